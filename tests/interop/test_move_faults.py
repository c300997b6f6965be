"""C-MOVE to Orthanc, to storescp in its variants and to SCPs that misbehave: counts, time, and nothing left behind."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pynetdicom import AE, evt

from pacsnode.dimse import scu
from pacsnode.dimse.association.requestor import Caller
from pacsnode.dimse.scu import RetrieveProgress
from pacsnode.observe import RetrieveEnded
from tests.interop import dcmtk, wire
from tests.interop.data_sets import ct_image, data_set_bytes, identifier, written
from tests.interop.nodes import Running, StartNode, assert_no_association_left
from tests.interop.orthanc import orthanc

_SUCCESS, _WARNING, _FAILURE, _PENDING = 0x0000, 0xB000, 0xA702, 0xFF00
_INSTANCES = 12
_STUDY = str(ct_image().StudyInstanceUID)
_UIDS = tuple(str(ct_image(number).SOPInstanceUID) for number in range(1, _INSTANCES + 1))


@pytest.fixture
def start(start_node: StartNode, destination_port: int, tmp_path: Path) -> Callable[..., Running]:
    """Start a node with a study of twelve CT images and one destination."""

    def starting(peer: dict[str, Any] | None = None, **sections: Any) -> Running:
        base = {"ae_title": "STORESCP", "host": "127.0.0.1", "port": destination_port}
        running = start_node(peers=[base | (peer or {})], **sections)
        files = [written(ct_image(number), tmp_path / f"{number}.dcm") for number in range(1, _INSTANCES + 1)]
        assert {result.status for result in scu.send(Caller("TESTSCU"), running.remote, files)} == {0}
        return running

    return starting


def _move(running: Running, destination: str = "STORESCP", count: int = _INSTANCES) -> RetrieveProgress:
    """Return the final response; each Pending on the way adds up."""
    asked = identifier("IMAGE", StudyInstanceUID=_STUDY, SOPInstanceUID="\\".join(_UIDS[:count]))
    *pending, final = scu.move(
        Caller("TESTSCU"), running.remote, asked, patient_root=False, destination=destination
    )
    for progress in pending:
        assert progress.status == _PENDING
        assert progress.remaining is not None
        assert progress.remaining + progress.completed + progress.failed + progress.warned == count
    assert final.remaining is None
    return final


def _counts(final: RetrieveProgress) -> tuple[int, int, int, int]:
    return final.status, final.completed, final.failed, final.warned


@pytest.mark.parametrize(
    "options",
    [("+xe",), ("+xa",), ("+xs",), ("-pdu", "4096"), ("--fork",), ("+B",), ("-aet", "OTHER")],
    ids=" ".join,
)
def test_storescp_as_it_may_be_set(
    start: Callable[..., Running], destination_port: int, tmp_path: Path, options: tuple[str, ...]
) -> None:
    running = start()
    with dcmtk.storescp(tmp_path / "moved", destination_port, *options) as storescp:
        assert _counts(_move(running)) == (_SUCCESS, _INSTANCES, 0, 0)
        assert len(storescp.files()) == _INSTANCES
        if options == ("+B",):
            sent = {data_set_bytes(tmp_path / f"{number}.dcm") for number in range(1, _INSTANCES + 1)}
            assert {data_set_bytes(path) for path in storescp.files()} == sent


@pytest.mark.parametrize("when", ["--sleep-after", "--sleep-during"])
def test_storescp_that_takes_its_time(
    start: Callable[..., Running],
    destination_port: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    when: str,
) -> None:
    """Pending comes meanwhile, and the image is there."""
    monkeypatch.setattr("pacsnode.dimse.retrieve_scp.PENDING_SECONDS", 0.2)
    running = start()
    asked = identifier(
        "IMAGE", StudyInstanceUID=_STUDY, SOPInstanceUID=_UIDS[0]
    )  # after it comes the release
    with dcmtk.storescp(tmp_path / "moved", destination_port, when, "1"):
        *pending, final = scu.move(
            Caller("TESTSCU"), running.remote, asked, patient_root=False, destination="STORESCP"
        )
    assert _counts(final) == (_SUCCESS, 1, 0, 0)
    assert len(pending) >= 2


def test_storescp_that_takes_longer_than_it_may(
    start: Callable[..., Running], destination_port: int, tmp_path: Path
) -> None:
    running = start(dicom={"dimse_timeout": "300ms"}, retrieve={"stall_timeout": "500ms"})
    started = time.monotonic()
    with dcmtk.storescp(tmp_path / "moved", destination_port, "--sleep-during", "1"):
        final = _move(running)
        assert time.monotonic() - started < 15
    assert final.status == _FAILURE
    assert final.completed + final.failed == _INSTANCES
    assert final.failed_uids == _UIDS
    (event,) = running.events.wait_for(RetrieveEnded)
    assert "within the time limit" in event.comment


def test_orthanc_gets_everything(start_node: StartNode, destination_port: int, tmp_path: Path) -> None:
    peer = {"ae_title": "ORTHANC", "host": "127.0.0.1", "port": destination_port, "max_associations": 3}
    running = start_node(peers=[peer])
    files = [written(ct_image(number), tmp_path / f"{number}.dcm") for number in range(1, _INSTANCES + 1)]
    assert {result.status for result in scu.send(Caller("TESTSCU"), running.remote, files)} == {0}
    with orthanc(tmp_path / "orthanc", destination_port) as remote:
        assert _counts(_move(running, "ORTHANC")) == (_SUCCESS, _INSTANCES, 0, 0)
        asked = identifier(
            "IMAGE", StudyInstanceUID=_STUDY, SeriesInstanceUID=f"{_STUDY}.1", SOPInstanceUID=""
        )
        there = list(scu.find(Caller("TESTSCU"), remote, asked, patient_root=False))
    assert sorted(str(one.SOPInstanceUID) for one in there) == sorted(_UIDS)


@contextmanager
def _scp(port: int, handle: Callable[[Any], int], *, most: int = 10) -> Iterator[list[Any]]:
    """Run a storage SCP that answers as it is told; yield the events that it has seen."""
    seen: list[Any] = []

    def on_store(event: Any) -> int:
        seen.append(event)
        return handle(event)

    ae = AE("STORESCP")
    ae.maximum_associations = most
    ae.add_supported_context(wire.CT_IMAGE, [wire.EXPLICIT])
    server = ae.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, on_store)])
    assert server is not None
    try:
        yield seen
    finally:
        server.shutdown()


def _number(event: Any) -> int:
    return _UIDS.index(str(event.request.AffectedSOPInstanceUID))


@pytest.mark.parametrize("associations", [0, 3])
def test_every_third_is_refused(
    start: Callable[..., Running], destination_port: int, associations: int
) -> None:
    running = start({"max_associations": associations})
    with _scp(destination_port, lambda event: 0xA700 if _number(event) % 3 == 2 else 0) as seen:
        final = _move(running)
    assert _counts(final) == (_WARNING, 8, 4, 0)
    assert sorted(final.failed_uids) == sorted(_UIDS[2::3])
    assert len(seen) == _INSTANCES
    (event,) = running.events.wait_for(RetrieveEnded)
    assert (event.completed, event.failed, event.remaining) == (8, 4, 0)
    assert "0xA700" in event.comment
    assert event.bytes_sent > 0
    assert event.seconds > 0


def test_several_associations_at_the_same_time(start: Callable[..., Running], destination_port: int) -> None:
    """Each carries its part, in order, and each image comes once."""
    running, together = start({"max_associations": 3}), threading.Barrier(3)
    by_association: dict[Any, list[int]] = {}

    def handle(event: Any) -> int:
        sent = by_association.setdefault(event.assoc, [])
        sent.append(_number(event))
        if len(sent) == 1:
            together.wait(20)
        return 0

    with _scp(destination_port, handle) as seen:
        assert _counts(_move(running)) == (_SUCCESS, _INSTANCES, 0, 0)
    assert len(by_association) == 3
    assert all(sent == sorted(sent) for sent in by_association.values())
    assert sorted(map(_number, seen)) == list(range(_INSTANCES))
    (event,) = running.events.wait_for(RetrieveEnded)
    assert event.associations == 3


def test_a_destination_that_takes_but_one_association(
    start: Callable[..., Running], destination_port: int
) -> None:
    """Its limit is lower than we think: further associations are done without."""
    running = start({"max_associations": 3})
    with _scp(destination_port, lambda event: 0, most=1):
        assert _counts(_move(running)) == (_SUCCESS, _INSTANCES, 0, 0)


@pytest.mark.parametrize("associations", [1, 3])
def test_it_aborts_at_each_fourth(
    start: Callable[..., Running], destination_port: int, associations: int
) -> None:
    """It is called again each time, and the image under way is sent once more."""
    running, aborted = start({"max_associations": associations}), set[int]()

    def handle(event: Any) -> int:
        number = _number(event)
        if number % 4 == 3 and number not in aborted:
            aborted.add(number)
            event.assoc.abort()
        return 0

    with _scp(destination_port, handle):
        assert _counts(_move(running)) == (_SUCCESS, _INSTANCES, 0, 0)
    assert aborted == {3, 7, 11}


def test_nothing_is_left_of_many_that_fail(start: Callable[..., Running], destination_port: int) -> None:
    running = start({"max_associations": 2})

    def handle(event: Any) -> int:
        if _number(event) == 2:
            event.assoc.abort()
        return 0 if _number(event) % 2 else 0xC000

    def left() -> tuple[int, int]:
        with _scp(destination_port, handle):
            final = _move(running, count=6)
        assert final.completed + final.failed == 6
        assert_no_association_left()
        return len(os.listdir("/proc/self/fd")), threading.active_count()

    left()
    first = left()
    for _ in range(3):
        assert left() <= first
