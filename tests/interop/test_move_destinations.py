"""C-MOVE to destinations that are unknown, down, choosy or rude, as DCMTK's storescp can be made to be."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom import AE, evt

from pacsnode.dimse import scu
from pacsnode.dimse.association.requestor import Caller
from pacsnode.dimse.scu import RetrieveProgress
from pacsnode.observe import RetrieveEnded
from tests.interop import dcmtk, wire
from tests.interop.data_sets import ct_image, identifier, written
from tests.interop.moves import STUDY_MOVE, request_move, wait_until_cancelled
from tests.interop.nodes import Running, StartNode, assert_no_association_left

_SUCCESS, _WARNING, _FAILURE, _CANCEL, _PENDING = 0x0000, 0xB000, 0xA702, 0xFE00, 0xFF00
_INSTANCES = 4
_STUDY = str(ct_image().StudyInstanceUID)
_ASKED = identifier("STUDY", StudyInstanceUID=_STUDY)
_UIDS = tuple(str(ct_image(number).SOPInstanceUID) for number in range(1, _INSTANCES + 1))


@pytest.fixture
def running(start_node: StartNode, destination_port: int, tmp_path: Path) -> Running:
    """A node with a study of four CT images, and one destination where nobody listens yet."""
    peers: list[dict[str, Any]] = [
        {"ae_title": "STORESCP", "host": "127.0.0.1", "port": destination_port},
        {"ae_title": "NOHOST"},
    ]
    running = start_node(peers=peers)
    files = [written(ct_image(number), tmp_path / f"{number}.dcm") for number in range(1, _INSTANCES + 1)]
    assert {result.status for result in scu.send(Caller("TESTSCU"), running.remote, files)} == {0}
    return running


def _move(running: Running, destination: str = "STORESCP", asked: Dataset = _ASKED) -> RetrieveProgress:
    """Return the final response."""
    responses = scu.move(
        Caller("TESTSCU"), running.remote, asked, patient_root=False, destination=destination
    )
    *pending, final = responses
    assert all(
        progress.status == _PENDING
        and progress.remaining is not None
        and progress.remaining + progress.completed + progress.failed + progress.warned == _INSTANCES
        for progress in pending
    )
    assert final.remaining is None
    return final


def _counts(final: RetrieveProgress) -> tuple[int, int, int, int]:
    return final.status, final.completed, final.failed, final.warned


@pytest.mark.parametrize("destination", ["NOBODY", "NOHOST", ""])
def test_unknown_destination(running: Running, destination: str) -> None:
    final = _move(running, destination)
    assert final.status == 0xA801
    assert 0 < len(final.comment) <= 64


def test_unknown_destination_by_movescu(running: Running) -> None:
    keys = ("-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={_STUDY}")
    ran = dcmtk.run("movescu", running.port, "-d", "-S", "-aem", "NOBODY", *keys)
    assert ran.statuses == [0xA801], ran.output


def test_destination_that_is_down(running: Running) -> None:
    final = _move(running)
    assert _counts(final) == (_FAILURE, 0, _INSTANCES, 0)
    assert final.failed_uids == _UIDS
    assert "given up" in final.comment
    (event,) = running.events.wait_for(RetrieveEnded)
    assert "no connection" in event.comment
    assert event.destination_ae_title == "STORESCP"


def test_destination_that_refuses_associations(
    running: Running, destination_port: int, tmp_path: Path
) -> None:
    with dcmtk.storescp(tmp_path / "moved", destination_port, "--refuse") as storescp:
        final = _move(running)
        assert storescp.files() == []
    assert _counts(final) == (_FAILURE, 0, _INSTANCES, 0)
    assert final.failed_uids == _UIDS


@pytest.mark.parametrize("when", ["--abort-after", "--abort-during"])
def test_destination_that_aborts(running: Running, destination_port: int, tmp_path: Path, when: str) -> None:
    with dcmtk.storescp(tmp_path / "moved", destination_port, when):
        final = _move(running)
    assert _counts(final) == (_FAILURE, 0, _INSTANCES, 0)
    assert final.failed_uids == _UIDS
    assert_no_association_left()


def test_destination_that_takes_implicit_only(
    running: Running, destination_port: int, tmp_path: Path
) -> None:
    with dcmtk.storescp(tmp_path / "moved", destination_port, "+xi", "+B") as storescp:
        final = _move(running)
        received = [dcmread(path) for path in storescp.files()]
    assert _counts(final) == (_SUCCESS, _INSTANCES, 0, 0)
    assert {str(one.SOPInstanceUID) for one in received} == set(_UIDS)
    for one in received:
        assert one.file_meta.TransferSyntaxUID == ImplicitVRLittleEndian
        assert one == ct_image(int(one.InstanceNumber))
    (event,) = running.events.wait_for(RetrieveEnded)
    assert event.converted == _INSTANCES


@contextmanager
def _pynetdicom_scp(port: int, handle: Any, *, ae_title: str = "STORESCP") -> Iterator[list[Any]]:
    """Run a storage SCP that answers as it is told; yield the events that it has seen."""
    seen: list[Any] = []

    def on_store(event: Any) -> int:
        seen.append(event)
        return int(handle(len(seen), event))

    ae = AE(ae_title)
    ae.add_supported_context(wire.CT_IMAGE, [wire.EXPLICIT, wire.IMPLICIT])
    server = ae.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, on_store)])
    assert server is not None
    try:
        yield seen
    finally:
        server.shutdown()


def test_move_originator_and_calling_ae_title(running: Running, destination_port: int) -> None:
    """Sub-operations call with the title that the requester called, and tell who asked (PS3.7 9.1.1.1)."""
    with _pynetdicom_scp(destination_port, lambda number, event: 0) as seen:
        assert _counts(_move(running)) == (_SUCCESS, _INSTANCES, 0, 0)
    assert {event.assoc.requestor.ae_title for event in seen} == {"PACSNODE"}
    assert {event.request.MoveOriginatorApplicationEntityTitle for event in seen} == {"TESTSCU"}
    assert {event.request.MoveOriginatorMessageID for event in seen} == {1}


def test_statuses_of_the_destination_are_counted(running: Running, destination_port: int) -> None:
    statuses = {1: 0x0000, 2: 0xB000, 3: 0xA700, 4: 0xC000}
    with _pynetdicom_scp(destination_port, lambda number, event: statuses[number]):
        final = _move(running)
    assert _counts(final) == (_WARNING, 1, 2, 1)
    assert final.failed_uids == _UIDS[2:]
    assert 0 < len(final.comment) <= 64


def test_all_warned(running: Running, destination_port: int) -> None:
    with _pynetdicom_scp(destination_port, lambda number, event: 0xB007):
        final = _move(running)
    assert _counts(final) == (_WARNING, 0, 0, _INSTANCES)
    assert final.failed_uids == ()


def test_destination_that_aborts_once_is_called_again(running: Running, destination_port: int) -> None:
    def handle(number: int, event: Any) -> int:
        if number == 2:
            event.assoc.abort()
        return 0

    with _pynetdicom_scp(destination_port, handle) as seen:
        final = _move(running)
    assert _counts(final) == (_SUCCESS, _INSTANCES, 0, 0)
    uids = [str(event.request.AffectedSOPInstanceUID) for event in seen]
    assert uids == [_UIDS[0], _UIDS[1], *_UIDS[1:]]


def test_instance_that_the_destination_cannot_take_does_not_end_the_move(
    running: Running, destination_port: int
) -> None:
    def handle(number: int, event: Any) -> int:
        if event.request.AffectedSOPInstanceUID == _UIDS[1]:
            event.assoc.abort()
        return 0

    with _pynetdicom_scp(destination_port, handle):
        final = _move(running)
    assert _counts(final) == (_WARNING, _INSTANCES - 1, 1, 0)
    assert final.failed_uids == _UIDS[1:2]


def test_cancelled_move_stops_and_counts(running: Running, destination_port: int) -> None:
    with wire.Wire(running.port) as peer:

        def handle(number: int, event: Any) -> int:
            peer.send(wire.p_data(wire.pdv(1, wire.c_cancel_rq(5), is_command=True)))
            wait_until_cancelled()
            return 0

        with _pynetdicom_scp(destination_port, handle) as seen:
            peer.associate([(1, STUDY_MOVE, (wire.EXPLICIT,)), (3, wire.VERIFICATION, (wire.IMPLICIT,))])
            request_move(peer, _ASKED)
            final = peer.message()
            while final.status == _PENDING:
                final = peer.message()
            assert peer.echo(3) == 0
            peer.release()
    assert len(seen) == 1
    assert final.status == _CANCEL
    assert [final.us(number) for number in (0x1020, 0x1021, 0x1022, 0x1023)] == [_INSTANCES - 1, 1, 0, 0]


def test_requestor_that_hangs_up_ends_the_move(running: Running, destination_port: int) -> None:
    with wire.Wire(running.port) as peer:

        def handle(number: int, event: Any) -> int:
            if number == 1:
                peer.socket.shutdown(2)
            return 0

        with _pynetdicom_scp(destination_port, handle):
            peer.associate([(1, STUDY_MOVE, (wire.EXPLICIT,))])
            request_move(peer, _ASKED)
            assert_no_association_left()


def test_move_to_another_node(start_node: StartNode, tmp_path: Path) -> None:
    second = start_node(dicom={"ae_title": "SECOND"})
    first = start_node(peers=[{"ae_title": "SECOND", "host": "127.0.0.1", "port": second.port}])
    files = [written(ct_image(number), tmp_path / f"{number}.dcm") for number in range(1, _INSTANCES + 1)]
    assert {result.status for result in scu.send(Caller("TESTSCU"), first.remote, files)} == {0}
    assert _counts(_move(first, "SECOND")) == (_SUCCESS, _INSTANCES, 0, 0)
    assert second.entities() == first.entities() == (1, 1, 1, _INSTANCES)
