"""C-FIND that does not go to its end: cancelled together with its request, later, or over the limit."""

from pathlib import Path

import pytest

from pacsnode.dimse import scu
from pacsnode.dimse.association.requestor import Caller
from pacsnode.observe import AssociationEnded, QueryAnswered
from tests.interop import dcmtk, peers, wire
from tests.interop.data_sets import ct_image, encoded, identifier, written
from tests.interop.nodes import Running, StartNode, assert_no_association_left
from tests.interop.wire import p_data, pdv

_STUDY_ROOT = "1.2.840.10008.5.1.4.1.2.2.1"
_CONTEXTS = ((1, _STUDY_ROOT, (wire.EXPLICIT,)), (3, wire.VERIFICATION, (wire.IMPLICIT,)))
_INSTANCES = 300
_CANCEL, _PENDING, _SUCCESS = 0xFE00, 0xFF00, 0x0000

_ALL = identifier("IMAGE", SOPInstanceUID="", SeriesDescription="", StudyDescription="")


@pytest.fixture(scope="module")
def running(start_shared_node: StartNode) -> Running:
    """A node with 300 instances whose answers fill more than the sockets' buffers."""
    running = start_shared_node()
    description = "x" * 60
    with wire.Wire(running.port) as peer:
        peer.associate([(1, wire.CT_IMAGE, (wire.EXPLICIT,))])
        for number in range(1, _INSTANCES + 1):
            image = ct_image(number, SeriesDescription=description, StudyDescription=description)
            uid = str(image.SOPInstanceUID).encode()
            peer.send(
                p_data(pdv(1, wire.c_store_rq(uid), is_command=True)),
                p_data(pdv(1, encoded(image), is_command=False)),
            )
            assert peer.message().status == 0
        peer.release()
    return running


def _request(message_id: int) -> bytes:
    command = wire.command(
        0x0020, message_id=message_id, has_data_set=True, e0002=_STUDY_ROOT.encode(), e0700=0
    )
    return p_data(pdv(1, command, is_command=True)) + p_data(pdv(1, encoded(_ALL), is_command=False))


def _cancel(message_id: int) -> bytes:
    return p_data(pdv(1, wire.c_cancel_rq(message_id), is_command=True))


def _statuses(peer: wire.Wire) -> list[int | None]:
    statuses: list[int | None] = []
    while not statuses or statuses[-1] == _PENDING:
        statuses.append(peer.message().status)
    return statuses


def test_cancel_in_the_same_segment_as_the_request(running: Running) -> None:
    with wire.Wire(running.port) as peer:
        peer.associate(_CONTEXTS)
        peer.send(_request(7), _cancel(7))
        statuses = _statuses(peer)
        assert statuses[-1] == _CANCEL
        assert len(statuses) - 1 < _INSTANCES
        assert peer.echo(3) == 0
        peer.release()


def test_cancel_while_answers_come(running: Running) -> None:
    with wire.Wire(running.port) as peer:
        peer.socket.setsockopt(1, 8, 4096)  # SOL_SOCKET, SO_RCVBUF: the node has to wait for us
        peer.associate(_CONTEXTS)
        peer.send(_request(8))
        assert peer.message().status == _PENDING
        peer.send(_cancel(8))
        statuses = _statuses(peer)
        # All may have been written before the cancel was read: then it came too late.
        assert statuses[-1] in (_CANCEL, _SUCCESS)
        assert (len(statuses) == _INSTANCES) == (statuses[-1] == _SUCCESS)
        assert peer.echo(3) == 0
        peer.release()


def test_cancel_of_another_message_changes_nothing(running: Running) -> None:
    with wire.Wire(running.port) as peer:
        peer.associate(_CONTEXTS)
        peer.send(_request(9), _cancel(10))
        assert _statuses(peer) == [_PENDING] * _INSTANCES + [_SUCCESS]
        peer.send(_request(10))  # the cancel of 10 came before its request: it is not for this one
        assert _statuses(peer)[-1] == _SUCCESS
        peer.release()


def test_request_sent_ahead_is_answered_after_the_first(running: Running) -> None:
    echo = p_data(pdv(3, wire.c_echo_rq(12), is_command=True))
    with wire.Wire(running.port) as peer:
        peer.associate(_CONTEXTS)
        peer.send(_request(11), echo)
        assert _statuses(peer) == [_PENDING] * _INSTANCES + [_SUCCESS]
        assert peer.message().us(0x0120) == 12
        peer.release()


def test_abort_while_answers_come(running: Running) -> None:
    before = len(running.events.of(AssociationEnded))
    with wire.Wire(running.port) as peer:
        peer.associate(_CONTEXTS)
        peer.send(_request(13))
        assert peer.message().status == _PENDING
        peer.send(wire.ABORT)
    running.events.wait_for(AssociationEnded, before + 1)
    assert_no_association_left()


def test_findscu_cancels(running: Running, tmp_path: Path) -> None:
    keys = ("-k", "QueryRetrieveLevel=IMAGE", "-k", "SOPInstanceUID")
    before = len(running.events.of(QueryAnswered))
    ran, answers = dcmtk.find(running.port, tmp_path / "answers", "-S", "--cancel", "2", *keys)
    assert ran.exit_code == 0, ran.output
    assert ran.statuses[-1] in (_CANCEL, _SUCCESS)
    assert len(answers) >= 2
    event = running.events.wait_for(QueryAnswered, before + 1)[-1]
    assert event.status == ran.statuses[-1]


def test_all_answers_come_in_pages_and_each_once(running: Running) -> None:
    uids = [a.SOPInstanceUID for a in scu.find(Caller("TESTSCU"), running.remote, _ALL, patient_root=False)]
    assert len(uids) == len(set(uids)) == _INSTANCES


@pytest.mark.parametrize(("limit", "status"), [(0, 0), (2, 0), (1, 0xA700)])
def test_limit_of_answers_is_decided_before_the_first(
    start_node: StartNode, tmp_path: Path, limit: int, status: int
) -> None:
    running = start_node(index={"max_find_results": limit})
    files = [written(ct_image(study=study), tmp_path / f"{study}.dcm") for study in (1, 2)]
    assert {result.status for result in scu.send(Caller("TESTSCU"), running.remote, files)} == {0}
    with peers.association(running.port, [(_STUDY_ROOT, wire.EXPLICIT)]) as established:
        responses = list(established.send_c_find(identifier("STUDY", StudyInstanceUID=""), _STUDY_ROOT))
    assert responses[-1][0].Status == status
    assert len(responses) == (3 if status == 0 else 1)
    if status:
        assert 0 < len(responses[-1][0].ErrorComment) <= 64


_NO_MORE = b"\x00\x00\x00\x09\x02\x00\x00\x00\x00\x00"  # Status (0000,0900) 0x0000


@pytest.mark.parametrize("max_pdu", [30, 128, 4096])
def test_peer_with_short_pdus(running: Running, max_pdu: int) -> None:
    with wire.Wire(running.port) as peer:
        peer.send(wire.associate_rq(_CONTEXTS, max_pdu=max_pdu))
        accepted = peer.pdu()
        assert accepted is not None
        assert accepted[0] == 2
        peer.send(_request(1))
        answers, longest = 0, 0
        while True:
            pdu = peer.pdu()
            assert pdu is not None
            longest = max(longest, len(pdu[1]))
            found = list(wire.pdvs(pdu[1]))
            answers += sum(control == 2 for control, _ in found)  # the last fragment of a data set
            is_final = any(control == 3 and _NO_MORE in fragment for control, fragment in found)
            if is_final or answers == _INSTANCES:
                break
        assert longest <= max_pdu
        assert answers == _INSTANCES
