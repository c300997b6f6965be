"""C-MOVE and C-GET as SCU."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import dcmread

from pacsnode.dimse import scu
from pacsnode.dimse.association.acse import AssociateRequest, Roles
from pacsnode.dimse.association.command import CommandSet, Element
from pacsnode.dimse.scu import RetrieveProgress
from tests.dimse_peers import STUDY_ROOT_GET, STUDY_ROOT_MOVE, CalledPeer
from tests.factories import CT, JPEG_LOSSLESS, MR, Sample, element
from tests.unit.dimse.scu.peers import (
    CALLER,
    EXPLICIT,
    FAILED_ONE,
    FAILED_TWO,
    GET,
    IMPLICIT,
    MOVE,
    answering,
    counted,
    giving,
    got,
    remote,
    request_of,
    study,
    telling,
)


def test_move_tells_of_each_response() -> None:
    answers = [
        counted(MOVE, 0xFF00, 2, 1, 0, 0),
        counted(MOVE, 0xFF00, 1, 1, 1, 0),
        counted(MOVE, 0xB000, None, 1, 2, 0, failed=FAILED_TWO),
    ]
    with CalledPeer(answering(*answers)) as peer:
        progress = list(scu.move(CALLER, remote(peer), study(), patient_root=False, destination="WS1"))
    assert progress == [
        RetrieveProgress(0xFF00, 2, 1, 0, 0),
        RetrieveProgress(0xFF00, 1, 1, 1, 0),
        RetrieveProgress(0xB000, None, 1, 2, 0, ("1.2.9", "1.2.10")),
    ]
    command = CommandSet.decode(request_of(peer).command)
    assert command.text(Element.MOVE_DESTINATION) == "WS1"
    assert command.text(Element.AFFECTED_SOP_CLASS_UID) == STUDY_ROOT_MOVE


@pytest.mark.parametrize(
    ("failed", "uids"), [(None, ()), (FAILED_ONE, ("1.2.9",)), (element(0x00080058, "UI", b""), ())]
)
def test_the_failed_list(failed: bytes | None, uids: tuple[str, ...]) -> None:
    with CalledPeer(answering(counted(MOVE, 0xA702, None, 0, 1, 0, failed=failed))) as peer:
        (final,) = scu.move(CALLER, remote(peer), study(), patient_root=False, destination="WS1")
    assert final.failed_uids == uids


def test_instances_are_written_as_they_come(folder: Path) -> None:
    seen: list[AssociateRequest] = []
    samples = [Sample(1), Sample(2), Sample(3, sop_class=MR, transfer_syntax=JPEG_LOSSLESS)]
    with CalledPeer(
        telling((CT, EXPLICIT), (MR, JPEG_LOSSLESS), (CT, EXPLICIT)), giving(*samples, seen=seen)
    ) as peer:
        assert got(peer, folder) == [RetrieveProgress(0, None, 3, 0, 0)]
    assert peer.results == ["told", [0, 0, 0]]
    (request,) = seen
    assert [(p.abstract_syntax, p.transfer_syntaxes) for p in request.proposals] == [
        (STUDY_ROOT_GET, (EXPLICIT, IMPLICIT)),
        (CT, (EXPLICIT,)),
        (MR, (JPEG_LOSSLESS,)),
    ]
    assert request.roles == {CT: Roles(False, True), MR: Roles(False, True)}
    for sample in samples:
        path = folder / f"{sample.uid}.dcm"
        assert path.read_bytes().endswith(sample.data_set)
        meta = dcmread(path).file_meta
        assert meta.TransferSyntaxUID == sample.transfer_syntax
        assert meta.MediaStorageSOPInstanceUID == sample.uid
    assert len(list(folder.iterdir())) == 3


@pytest.mark.parametrize("tells", [telling(), telling((CT, ""))])
def test_where_the_remote_does_not_tell_the_usual_classes_are_offered(
    folder: Path, tells: Callable[[socket.socket], object]
) -> None:
    seen: list[AssociateRequest] = []
    with CalledPeer(tells, giving(Sample(1), seen=seen)) as peer:
        got(peer, folder)
    assert 100 < len(seen[0].proposals) <= 128
    assert (folder / f"{Sample(1).uid}.dcm").exists()


def test_an_instance_without_a_valid_uid_is_refused_and_the_rest_comes(folder: Path) -> None:
    with CalledPeer(telling((CT, EXPLICIT)), giving(Sample(1), instance="../../evil")) as peer:
        got(peer, folder)
    assert peer.results == ["told", [0x0117]]
    assert list(folder.iterdir()) == []
    assert not (folder.parent.parent / "evil.dcm").exists()


def test_pending_and_failures_of_a_get_are_told(folder: Path) -> None:
    ending = counted(GET, 0xFF00, 1, 0, 0, 0) + counted(GET, 0xA702, None, 0, 1, 0, failed=FAILED_ONE)
    with CalledPeer(telling((CT, EXPLICIT)), giving(ending=ending)) as peer:
        progress = got(peer, folder)
    assert [one.status for one in progress] == [0xFF00, 0xA702]
    assert progress[-1].failed_uids == ("1.2.9",)
