"""pynetdicom as the other side: an oracle that shares only its message codecs with the node."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydicom import Dataset
from pynetdicom import AE, build_context, build_role, evt
from pynetdicom import _config as pynetdicom_settings
from pynetdicom.association import Association

MAX_CONTEXTS = 128


@contextmanager
def association(
    port: int,
    contexts: Iterable[tuple[str, str]],
    *,
    as_storage_scp: Iterable[str] = (),
    calling: str = "PYNETDICOM",
    called: str = "PACSNODE",
    handlers: Sequence[Any] = (),
    negotiation: Sequence[Any] = (),
) -> Iterator[Association]:
    """Associate with a context for each abstract and transfer syntax; released in the end."""
    ae = AE(calling)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 30
    ae.maximum_pdu_size = 0
    ae.requested_contexts = [build_context(abstract, transfer) for abstract, transfer in contexts]
    roles: list[Any] = [build_role(uid, scp_role=True) for uid in as_storage_scp]
    established = ae.associate(
        "127.0.0.1", port, ae_title=called, ext_neg=[*roles, *negotiation], evt_handlers=list(handlers)
    )
    assert established.is_established
    try:
        yield established
    finally:
        established.release()


@contextmanager
def stored_bytes_as_they_are() -> Iterator[None]:
    """Let pynetdicom send the data set of a file without decoding and encoding it again."""
    before = pynetdicom_settings.STORE_SEND_CHUNKED_DATASET
    pynetdicom_settings.STORE_SEND_CHUNKED_DATASET = True
    try:
        yield
    finally:
        pynetdicom_settings.STORE_SEND_CHUNKED_DATASET = before


def store(port: int, paths: Sequence[Path], kinds: Iterable[tuple[str, str]]) -> list[int]:
    """Send files as they are; return the status of each."""
    with stored_bytes_as_they_are(), association(port, kinds) as established:
        return [int(established.send_c_store(path).Status) for path in paths]


def get(
    port: int, identifier: Dataset, model: str, kinds: Iterable[tuple[str, str]]
) -> tuple[list[tuple[Dataset, Dataset | None]], dict[str, bytes]]:
    """Retrieve by C-GET; return the responses, and the data set's bytes by SOP Instance UID."""
    kinds = list(kinds)
    received: dict[str, bytes] = {}

    def keep(event: Any) -> int:
        uid = str(event.request.AffectedSOPInstanceUID)
        received[uid] = event.encoded_dataset(include_meta=False)
        return 0x0000

    with association(
        port,
        [(model, "1.2.840.10008.1.2.1"), *kinds],
        as_storage_scp=dict.fromkeys(sop_class for sop_class, _ in kinds),
        handlers=[(evt.EVT_C_STORE, keep)],
    ) as established:
        return list(established.send_c_get(identifier, model)), received
