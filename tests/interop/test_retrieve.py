"""C-GET by getscu and pynetdicom, C-MOVE by movescu to storescp: levels, counts, statuses, and what fails."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread

from pacsnode.dimse import scu
from pacsnode.dimse.association.requestor import Caller
from pacsnode.observe import RetrieveEnded
from tests.interop import dcmtk, peers, wire
from tests.interop.data_sets import ct_image, data_set_bytes, encoded, identifier, written
from tests.interop.nodes import Running, StartNode

_PATIENT_GET, _STUDY_GET = "1.2.840.10008.5.1.4.1.2.1.3", "1.2.840.10008.5.1.4.1.2.2.3"
_STUDY_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
_SUCCESS, _WARNING, _FAILURE, _CANCEL, _PENDING = 0x0000, 0xB000, 0xA702, 0xFE00, 0xFF00
_KIND = (wire.CT_IMAGE, wire.EXPLICIT)

# Study, series and number of instances: two patients, three studies, four series, seven instances.
_CONTENT = ((1, 1, 2), (1, 2, 1), (2, 1, 1), (3, 1, 3))


def _uid(study: int, series: int | None = None, number: int | None = None) -> str:
    return ".".join(
        str(part) for part in ("1.2.826.0.1.3680043.10.1", study, series, number) if part is not None
    )


def _images() -> list[Dataset]:
    return [
        ct_image(
            number,
            study=study,
            series=series,
            PatientID="CANARY1" if study < 3 else "CANARY3",
            PatientName="Doe^J",
        )
        for study, series, count in _CONTENT
        for number in range(1, count + 1)
    ]


def _fill(running: Running, folder: Path, images: Sequence[Dataset]) -> None:
    folder.mkdir(exist_ok=True)
    files = [written(image, folder / f"{image.SOPInstanceUID}.dcm") for image in images]
    assert {result.status for result in scu.send(Caller("TESTSCU"), running.remote, files)} == {0}


def _destination(port: int) -> dict[str, Any]:
    return {"ae_title": "STORESCP", "host": "127.0.0.1", "port": port}


@pytest.fixture
def running(start_node: StartNode, destination_port: int, tmp_path: Path) -> Running:
    running = start_node(peers=[_destination(destination_port), {"ae_title": "NOHOST"}])
    _fill(running, tmp_path / "sent", _images())
    return running


# Level and keys as arguments of getscu and movescu, and the instances that they name.
_LEVELS = {
    "patient": (
        "-P",
        ["QueryRetrieveLevel=PATIENT", "PatientID=CANARY1"],
        [(1, 1, 1), (1, 1, 2), (1, 2, 1), (2, 1, 1)],
    ),
    "study of a patient": (
        "-P",
        ["QueryRetrieveLevel=STUDY", "PatientID=CANARY1", f"StudyInstanceUID={_uid(1)}"],
        [(1, 1, 1), (1, 1, 2), (1, 2, 1)],
    ),
    "study": (
        "-S",
        ["QueryRetrieveLevel=STUDY", f"StudyInstanceUID={_uid(3)}"],
        [(3, 1, 1), (3, 1, 2), (3, 1, 3)],
    ),
    "studies": (
        "-S",
        ["QueryRetrieveLevel=STUDY", f"StudyInstanceUID={_uid(2)}\\{_uid(3)}"],
        [(2, 1, 1), (3, 1, 1), (3, 1, 2), (3, 1, 3)],
    ),
    "series": (
        "-S",
        ["QueryRetrieveLevel=SERIES", f"StudyInstanceUID={_uid(1)}", f"SeriesInstanceUID={_uid(1, 1)}"],
        [(1, 1, 1), (1, 1, 2)],
    ),
    "image": (
        "-S",
        [
            "QueryRetrieveLevel=IMAGE",
            f"StudyInstanceUID={_uid(1)}",
            f"SeriesInstanceUID={_uid(1, 1)}",
            f"SOPInstanceUID={_uid(1, 1, 2)}",
        ],
        [(1, 1, 2)],
    ),
    "images without the keys above": (
        "-S",
        ["QueryRetrieveLevel=IMAGE", f"SOPInstanceUID={_uid(3, 1, 3)}\\{_uid(1, 2, 1)}"],
        [(1, 2, 1), (3, 1, 3)],
    ),
    "nothing": ("-S", ["QueryRetrieveLevel=STUDY", "StudyInstanceUID=1.2.3.4"], []),
}


def _received(folder: Path) -> dict[str, bytes]:
    return {str(dcmread(path).SOPInstanceUID): data_set_bytes(path) for path in folder.iterdir()}


def _assert_received(folder: Path, wanted: Sequence[tuple[int, int, int]]) -> None:
    images = {str(image.SOPInstanceUID): encoded(image) for image in _images()}
    assert _received(folder) == {_uid(*one): images[_uid(*one)] for one in wanted}


def _asked(keys: Sequence[str]) -> list[str]:
    return [part for key in keys for part in ("-k", key)]


@pytest.mark.parametrize("level", _LEVELS)
def test_getscu(running: Running, tmp_path: Path, level: str) -> None:
    root, keys, wanted = _LEVELS[level]
    folder = tmp_path / "got"
    folder.mkdir()
    ran = dcmtk.run("getscu", running.port, "-d", "+B", "-od", folder, root, *_asked(keys))
    assert ran.exit_code == 0, ran.output
    assert ran.statuses[-1] == _SUCCESS
    assert ran.final_counts["completed"] == len(wanted)
    assert ran.final_counts["failed"] == ran.final_counts["warning"] == 0
    _assert_received(folder, wanted)


@pytest.mark.parametrize("level", _LEVELS)
def test_movescu(running: Running, destination_port: int, tmp_path: Path, level: str) -> None:
    root, keys, wanted = _LEVELS[level]
    with dcmtk.storescp(tmp_path / "moved", destination_port, "+B") as storescp:
        ran = dcmtk.run("movescu", running.port, "-d", "-aem", "STORESCP", root, *_asked(keys))
    assert ran.exit_code == 0, ran.output
    assert ran.statuses[-1] == _SUCCESS
    assert set(ran.statuses[:-1]) <= {_PENDING}
    assert ran.final_counts["completed"] == len(wanted)
    assert ran.final_counts["failed"] == ran.final_counts["warning"] == 0
    _assert_received(storescp.folder, wanted)


def _get(
    running: Running, asked: Dataset, model: str = _STUDY_GET
) -> tuple[list[tuple[Dataset, Dataset | None]], dict[str, bytes]]:
    return peers.get(running.port, asked, model, [_KIND])


def _counts(status: Dataset) -> tuple[int | None, ...]:
    return tuple(
        status.get(f"NumberOf{kind}Suboperations") for kind in ("Remaining", "Completed", "Failed", "Warning")
    )


def test_counts_of_every_response(running: Running) -> None:
    responses, _ = _get(running, identifier("STUDY", StudyInstanceUID=_uid(3)))
    assert [status.Status for status, _ in responses] == [_PENDING, _PENDING, _SUCCESS]
    assert [_counts(status) for status, _ in responses] == [(2, 1, 0, 0), (1, 2, 0, 0), (None, 3, 0, 0)]


def test_nothing_matched_is_success_with_zeros(running: Running) -> None:
    ((status, _),), received = _get(running, identifier("STUDY", StudyInstanceUID="1.2.3.4"))
    assert (status.Status, _counts(status)) == (_SUCCESS, (None, 0, 0, 0))
    assert received == {}


def _files_of(running: Running, uid: str) -> list[Path]:
    """Return where the bytes of an instance lie: in the spool, in the storage, or under a name in both."""
    folders = (running.folder / "spool" / "ready", running.folder / "archive")
    paths = [path for folder in folders for path in folder.rglob("*.dcm")]
    found = [
        path for path in paths if re.search(re.escape(uid.encode()) + rb"[\0\x02]", path.read_bytes()[:600])
    ]
    assert found
    return found


def _damage(running: Running, uid: str, how: str) -> None:
    for path in _files_of(running, uid):
        if how == "removed":
            path.unlink()
            continue
        os.chmod(path, 0o600)
        with path.open("r+b") as file:
            if how == "truncated":
                file.truncate(path.stat().st_size - 10)
            else:
                file.seek(-5, os.SEEK_END)
                file.write(b"\xff")


@pytest.fixture
def filed(start_node: StartNode, destination_port: int, tmp_path: Path) -> Running:
    """A node that has filed all that it was sent, so that no file moves while a test damages it."""
    running = start_node(peers=[_destination(destination_port)])
    _fill(running, tmp_path / "sent", _images())
    running.node.stop()
    running.node.start()
    running.node._upkeep._loop.stop()
    return Running(
        running.node, running.folder, running.events, scu.Remote("PACSNODE", "127.0.0.1", running.node.port)
    )


@pytest.mark.parametrize("how", ["removed", "truncated", "changed"])
def test_one_damaged_instance_does_not_end_a_get(filed: Running, how: str) -> None:
    damaged = _uid(3, 1, 2)
    _damage(filed, damaged, how)
    responses, received = _get(filed, identifier("STUDY", StudyInstanceUID=_uid(3)))
    final, failed = responses[-1]
    assert (final.Status, _counts(final)) == (_WARNING, (None, 2, 1, 0))
    assert failed is not None
    assert failed.FailedSOPInstanceUIDList == damaged
    assert 0 < len(final.ErrorComment) <= 64
    assert set(received) == {_uid(3, 1, 1), _uid(3, 1, 3)}


@pytest.mark.parametrize("how", ["removed", "changed"])
def test_one_damaged_instance_does_not_end_a_move(
    filed: Running, destination_port: int, tmp_path: Path, how: str
) -> None:
    damaged = _uid(3, 1, 1)
    _damage(filed, damaged, how)
    keys = ["QueryRetrieveLevel=STUDY", f"StudyInstanceUID={_uid(3)}"]
    with dcmtk.storescp(tmp_path / "moved", destination_port, "+B") as storescp:
        ran = dcmtk.run("movescu", filed.port, "-d", "-S", "-aem", "STORESCP", *_asked(keys))
    assert ran.statuses[-1] == _WARNING
    assert (ran.final_counts["completed"], ran.final_counts["failed"]) == (2, 1)
    assert damaged in ran.output.rsplit("Response Identifiers", 1)[-1]
    _assert_received(storescp.folder, [(3, 1, 2), (3, 1, 3)])


def test_all_failed(filed: Running) -> None:
    uids = [_uid(3, 1, number) for number in (1, 2, 3)]
    for uid in uids:
        _damage(filed, uid, "changed")
    responses, received = _get(filed, identifier("STUDY", StudyInstanceUID=_uid(3)))
    final, failed = responses[-1]
    assert (final.Status, _counts(final)) == (_FAILURE, (None, 0, 3, 0))
    assert failed is not None
    assert list(failed.FailedSOPInstanceUIDList) == uids
    assert received == {}


@pytest.mark.parametrize(
    ("model", "asked"),
    [
        (_STUDY_GET, identifier("STUDY", StudyInstanceUID="")),
        (_STUDY_GET, identifier("STUDY", PatientID="CANARY1")),
        (_STUDY_GET, identifier("STUDY", StudyInstanceUID="*")),
        (_STUDY_GET, identifier("SERIES", StudyInstanceUID=_uid(1))),
        (_STUDY_GET, identifier("IMAGE", StudyInstanceUID=_uid(1), SeriesInstanceUID=_uid(1, 1))),
        (_STUDY_GET, identifier("PATIENT", PatientID="CANARY1")),
        (_STUDY_GET, identifier("", StudyInstanceUID=_uid(1))),
        (_PATIENT_GET, identifier("PATIENT", PatientID="")),
        (_PATIENT_GET, identifier("PATIENT", PatientID="CANARY*")),
        (_PATIENT_GET, identifier("PATIENT", PatientID="*")),
        (_PATIENT_GET, identifier("PATIENT", StudyInstanceUID=_uid(1))),
    ],
)
def test_without_the_unique_key_nothing_is_sent(running: Running, model: str, asked: Dataset) -> None:
    ((status, failed),), received = _get(running, asked, model)
    assert (status.Status, bool(failed)) == (0xA900, False)
    assert 0 < len(status.ErrorComment) <= 64
    assert "NumberOfRemainingSuboperations" not in status
    assert received == {}


def test_patient_id_of_two_persons_is_not_retrieved(running: Running, tmp_path: Path) -> None:
    """A retrieve at PATIENT level would mix them; their studies can be retrieved."""
    _fill(running, tmp_path / "other", [ct_image(study=9, PatientID="CANARY1", PatientName="Somebody^Else")])
    ((status, failed),), received = _get(running, identifier("PATIENT", PatientID="CANARY1"), _PATIENT_GET)
    assert (status.Status, bool(failed)) == (0xA900, False)
    assert 0 < len(status.ErrorComment) <= 64
    assert received == {}
    responses, received = _get(running, identifier("STUDY", StudyInstanceUID=_uid(9)))
    assert (responses[-1][0].Status, set(received)) == (_SUCCESS, {_uid(9, 1, 1)})


def test_get_in_contexts_that_do_not_fit(running: Running) -> None:
    """Stored explicit, accepted in implicit only: converted."""
    asked = identifier("STUDY", StudyInstanceUID=_uid(3))
    responses, received = peers.get(running.port, asked, _STUDY_GET, [(wire.CT_IMAGE, wire.IMPLICIT)])
    final, _ = responses[-1]
    assert (final.Status, _counts(final)) == (_SUCCESS, (None, 3, 0, 0))
    assert len(received) == 3


def test_get_without_the_role_sends_nothing(running: Running) -> None:
    contexts = [(1, _STUDY_GET, (wire.EXPLICIT,)), (3, *_KIND[:1], (wire.EXPLICIT,))]
    asked = encoded(identifier("STUDY", StudyInstanceUID=_uid(3)))
    request = wire.command(0x0010, has_data_set=True, e0002=_STUDY_GET.encode(), e0700=0)
    with wire.Wire(running.port) as peer:
        peer.associate(contexts)
        peer.send(wire.p_data(wire.pdv(1, request, is_command=True), wire.pdv(1, asked, is_command=False)))
        response = peer.message()
        while response.status == _PENDING:
            response = peer.message()
        assert response.status == _FAILURE
        peer.release()


def test_cancelled_get_stops_and_counts(running: Running) -> None:
    role = wire.item(0x54, bytes((0, len(wire.CT_IMAGE))) + wire.CT_IMAGE.encode() + b"\x00\x01")
    asked = encoded(identifier("PATIENT", PatientID="CANARY1"))
    request = wire.command(0x0010, has_data_set=True, e0002=_PATIENT_GET.encode(), e0700=0)
    with wire.Wire(running.port) as peer:
        peer.associate(
            [(1, _PATIENT_GET, (wire.EXPLICIT,)), (3, wire.CT_IMAGE, (wire.EXPLICIT,))], user_items=role
        )
        peer.send(wire.p_data(wire.pdv(1, request, is_command=True), wire.pdv(1, asked, is_command=False)))
        store = peer.message()
        assert store.us(0x0100) == 0x0001
        answer = wire.command(
            0x8001,
            e0002=wire.CT_IMAGE.encode(),
            e0120=store.us(0x0110) or 0,
            e0900=0,
            e1000=store.command[0x1000],
        )
        peer.send(
            wire.p_data(wire.pdv(1, wire.c_cancel_rq(1), is_command=True)),
            wire.p_data(wire.pdv(3, answer, is_command=True)),
        )
        final = peer.message()
        while final.status == _PENDING:
            final = peer.message()
        assert final.status == _CANCEL
        assert [final.us(number) for number in (0x1020, 0x1021, 0x1022, 0x1023)] == [3, 1, 0, 0]
        peer.release()
    (event,) = running.events.wait_for(RetrieveEnded)
    assert (event.status, event.completed, event.remaining) == (_CANCEL, 1, 3)


@pytest.mark.parametrize("answered", [0xB000, 0xB007, 0x0107])
def test_warnings_are_counted_and_not_listed(running: Running, answered: int) -> None:
    final, data_set = _get_answering(running, [0, answered, 0])
    assert final.status == _WARNING
    assert [final.us(number) for number in (0x1020, 0x1021, 0x1022, 0x1023)] == [None, 2, 0, 1]
    assert data_set == b""


@pytest.mark.parametrize("answered", [0xA700, 0xA900, 0xC123, 0x0110, 0x0122])
def test_failures_of_the_peer_are_counted_and_listed(running: Running, answered: int) -> None:
    final, data_set = _get_answering(running, [answered, 0, 0])
    assert final.status == _WARNING
    assert [final.us(number) for number in (0x1020, 0x1021, 0x1022, 0x1023)] == [None, 2, 1, 0]
    assert _uid(3, 1, 1).encode() in data_set


def _get_answering(running: Running, statuses: Sequence[int]) -> tuple[wire.Response, bytes]:
    """Retrieve a study of three, answering its C-STOREs so; return the final response and its data set."""
    role = wire.item(0x54, bytes((0, len(wire.CT_IMAGE))) + wire.CT_IMAGE.encode() + b"\x00\x01")
    asked = encoded(identifier("STUDY", StudyInstanceUID=_uid(3)))
    request = wire.command(0x0010, has_data_set=True, e0002=_STUDY_GET.encode(), e0700=0)
    remaining = list(statuses)
    with wire.Wire(running.port) as peer:
        peer.associate(
            [(1, _STUDY_GET, (wire.EXPLICIT,)), (3, wire.CT_IMAGE, (wire.EXPLICIT,))], user_items=role
        )
        peer.send(wire.p_data(wire.pdv(1, request, is_command=True), wire.pdv(1, asked, is_command=False)))
        while True:
            message = peer.message()
            if message.us(0x0100) == 0x0001:
                answer = wire.command(
                    0x8001,
                    e0002=wire.CT_IMAGE.encode(),
                    e0120=message.us(0x0110) or 0,
                    e0900=remaining.pop(0),
                    e1000=message.command[0x1000],
                )
                peer.send(wire.p_data(wire.pdv(3, answer, is_command=True)))
            elif message.status != _PENDING:
                peer.release()
                return message, message.data_set
