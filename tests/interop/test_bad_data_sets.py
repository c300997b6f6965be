"""C-STOREs that are refused: status, a comment that helps, nothing kept, and the association lives on."""

import logging
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import generate_uid

from pacsnode.observe import AssociationEnded, InstanceStored
from tests.interop import wire
from tests.interop.data_sets import PATIENT_NAME, ct_image, encoded
from tests.interop.nodes import Running, StartNode, assert_no_association_left
from tests.interop.wire import p_data, pdv

_CONTEXTS = (
    (1, wire.VERIFICATION, (wire.IMPLICIT,)),
    (3, wire.CT_IMAGE, (wire.EXPLICIT,)),
    (5, wire.CT_IMAGE, (wire.IMPLICIT,)),
    (7, "1.2.840.10008.5.1.4.1.1.4", (wire.EXPLICIT,)),
    (9, wire.CT_IMAGE, ("1.2.840.10008.1.2.1.99",)),
)
_GOOD_UID = ct_image().SOPInstanceUID
_MAX_COMMENT = 64


def _store(
    peer: wire.Wire,
    data_set: bytes,
    *,
    uid: bytes = _GOOD_UID.encode(),
    context_id: int = 3,
    sop_class: str = wire.CT_IMAGE,
    piece_bytes: int = 16000,
) -> wire.Response:
    peer.send(p_data(pdv(context_id, wire.c_store_rq(uid, sop_class=sop_class), is_command=True)))
    for at in range(0, max(len(data_set), 1), piece_bytes):
        piece, is_last = data_set[at : at + piece_bytes], at + piece_bytes >= len(data_set)
        peer.send(p_data(pdv(context_id, piece, is_command=False, is_last=is_last)))
    return peer.message()


@dataclass(frozen=True)
class Refusal:
    """A C-STORE that must be refused, and with what."""

    status: int
    data_set: bytes
    uid: bytes = _GOOD_UID.encode()
    context_id: int = 3
    sop_class: str = wire.CT_IMAGE


def _without_uids() -> bytes:
    return encoded(
        ct_image(SOPClassUID=None, SOPInstanceUID=None, StudyInstanceUID=None, SeriesInstanceUID=None)
    )


def _with_raw_uid(keyword: str, raw: bytes) -> bytes:
    """Return a data set whose UID is these bytes, which pydicom would refuse to write."""
    uid = str(ct_image()[keyword].value).encode()
    uid += b"\0" * (len(uid) & 1)
    raw += b"\0" * (len(raw) & 1)
    data = encoded(ct_image())
    tag = struct.pack("<HH", ct_image()[keyword].tag.group, ct_image()[keyword].tag.element)
    whole = tag + b"UI" + struct.pack("<H", len(uid)) + uid
    assert data.count(whole) == 1
    return data.replace(whole, tag + b"UI" + struct.pack("<H", len(raw)) + raw)


_CASES = {
    "command UID is no UID": Refusal(0x0117, encoded(ct_image()), uid=b"1.2.a"),
    "command UID is a path": Refusal(0x0117, encoded(ct_image()), uid=b"../../../../etc/passwd"),
    "command UID is empty": Refusal(0x0117, encoded(ct_image()), uid=b""),
    "command UID is too long": Refusal(0x0117, encoded(ct_image()), uid=b"1." * 32 + b"1"),
    "command UID ends with a dot": Refusal(0x0117, encoded(ct_image()), uid=b"1.2.3."),
    "command UID with a newline": Refusal(0x0117, encoded(ct_image()), uid=b"1.2\nERROR forged"),
    "class is not the context's": Refusal(0x0122, encoded(ct_image()), sop_class="1.2.840.10008.5.1.4.1.1.4"),
    "other instance in the data set": Refusal(0xA900, encoded(ct_image(2))),
    "other class in the data set": Refusal(
        0xA900, encoded(ct_image()), context_id=7, sop_class="1.2.840.10008.5.1.4.1.1.4"
    ),
    "no UIDs": Refusal(0xA900, _without_uids()),
    "no Study Instance UID": Refusal(0xA900, encoded(ct_image(StudyInstanceUID=None))),
    "empty Series Instance UID": Refusal(0xA900, encoded(ct_image(SeriesInstanceUID=""))),
    "study UID is a path": Refusal(0xA900, _with_raw_uid("StudyInstanceUID", b"../../../../tmp/evil")),
    "series UID with letters": Refusal(0xA900, _with_raw_uid("SeriesInstanceUID", b"1.2.x")),
    "study UID of 66 characters": Refusal(0xA900, _with_raw_uid("StudyInstanceUID", b"1." * 32 + b"11")),
    "data set of noise": Refusal(0xC000, bytes(range(1, 256)) * 8),
    "data set that ends in an element": Refusal(0xC000, encoded(ct_image())[:150]),
    "element that overruns": Refusal(0xC000, b"\x08\x00\x05\x00CS\xff\xff" + bytes(10)),
    "deflated noise": Refusal(0xC000, b"\xff" * 200, context_id=9),
}


def _assert_refused(running: Running, caplog: pytest.LogCaptureFixture, status: int) -> InstanceStored:
    """Nothing kept, one line for the refusal and one for the association, without patient data."""
    event: InstanceStored
    (event,) = running.events.of(InstanceStored)
    assert event.status == status
    running.events.wait_for(AssociationEnded)
    assert_no_association_left()
    running.assert_empty()
    lines = [
        r.getMessage() for r in caplog.records if r.levelno >= logging.INFO and "spool:" not in r.getMessage()
    ]
    assert len(lines) == 2, lines
    assert f"0x{status:04X}" in lines[0]
    assert not any(PATIENT_NAME in line or "\n" in line for line in lines)
    return event


@pytest.mark.parametrize("case", _CASES)
def test_store_is_refused(start_node: StartNode, caplog: pytest.LogCaptureFixture, case: str) -> None:
    refusal = _CASES[case]
    caplog.set_level(logging.INFO)
    running = start_node()
    with wire.Wire(running.port) as peer:
        peer.associate(_CONTEXTS)
        response = _store(
            peer,
            refusal.data_set,
            uid=refusal.uid,
            context_id=refusal.context_id,
            sop_class=refusal.sop_class,
        )
        assert response.status == refusal.status
        assert 0 < len(response.comment) <= _MAX_COMMENT
        assert response.us(0x0120) == 1
        assert peer.echo(1) == 0
        peer.release()
    _assert_refused(running, caplog, refusal.status)


def test_empty_data_set_is_refused(start_node: StartNode, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    running = start_node()
    with wire.Wire(running.port) as peer:
        peer.associate(_CONTEXTS)
        assert _store(peer, b"").status == 0xA900
        assert peer.echo(1) == 0
        peer.release()
    _assert_refused(running, caplog, 0xA900)


def test_store_without_a_data_set_is_refused(start_node: StartNode, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    running = start_node()
    request = wire.command(0x0001, e0002=wire.CT_IMAGE.encode(), e0700=0, e1000=_GOOD_UID.encode())
    with wire.Wire(running.port) as peer:
        peer.associate(_CONTEXTS)
        peer.send(p_data(pdv(3, request, is_command=True)))
        assert peer.message().status == 0x0212
        assert peer.echo(1) == 0
        peer.release()
    _assert_refused(running, caplog, 0x0212)


def test_refusal_names_the_tags_at_fault(start_node: StartNode) -> None:
    with wire.Wire(start_node().port) as peer:
        peer.associate(_CONTEXTS)
        response = _store(peer, encoded(ct_image(StudyInstanceUID=None)))
        assert response.command[0x0901] == struct.pack("<HH", 0x0020, 0x000D)


def test_a_good_instance_after_a_refused_one_is_stored(start_node: StartNode) -> None:
    running = start_node()
    with wire.Wire(running.port) as peer:
        peer.associate(_CONTEXTS)
        assert _store(peer, encoded(ct_image(StudyInstanceUID=None))).status == 0xA900
        assert _store(peer, encoded(ct_image()), piece_bytes=7).status == 0
        peer.release()
    assert running.entities() == (1, 1, 1, 1)


def test_spool_without_space_drains_the_data_set_and_lives_on(
    start_node: StartNode, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    running = start_node(spool={"min_free": "1024 TiB"})
    pixels: Any = bytes(3 << 20)
    with wire.Wire(running.port) as peer:
        peer.associate(_CONTEXTS)
        response = _store(peer, encoded(ct_image(PixelData=pixels)), piece_bytes=100_000)
        assert response.status == 0xA700
        assert 0 < len(response.comment) <= _MAX_COMMENT
        assert peer.echo(1) == 0
        peer.release()
    event = _assert_refused(running, caplog, 0xA700)
    assert event.data_set_bytes > 3 << 20  # all of it was read


def test_data_set_over_the_limit_ends_the_association(
    start_node: StartNode, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    running = start_node(limits={"max_dataset": "1 MiB"})
    with wire.Wire(running.port) as peer:
        peer.associate(_CONTEXTS)
        peer.send(p_data(pdv(3, wire.c_store_rq(_GOOD_UID.encode()), is_command=True)))
        for _ in range(15):
            peer.send(p_data(pdv(3, bytes(100_000), is_command=False, is_last=False)))
        response = peer.message()
        assert response.status == 0xA700
        assert 0 < len(response.comment) <= _MAX_COMMENT
        assert peer.abort() == (0, 0)
    (ended,) = running.events.wait_for(AssociationEnded)
    assert "limits.max_dataset" in ended.ending
    assert_no_association_left()
    running.assert_empty()


def test_data_set_just_under_the_limit_is_stored(start_node: StartNode) -> None:
    running = start_node(limits={"max_dataset": "1 MiB"})
    rest: Any = bytes((1 << 20) - len(encoded(ct_image())) + 32 - 4)
    data_set = encoded(ct_image(PixelData=rest))
    assert (1 << 20) - 8 <= len(data_set) <= 1 << 20
    with wire.Wire(running.port) as peer:
        peer.associate(_CONTEXTS)
        assert _store(peer, data_set, piece_bytes=200_000).status == 0
        peer.release()
    assert running.entities() == (1, 1, 1, 1)


def test_requestor_that_is_no_scu_of_storage_may_not_store(start_node: StartNode) -> None:
    running = start_node()
    uid = wire.CT_IMAGE.encode()
    role = wire.item(0x54, struct.pack(">H", len(uid)) + uid + b"\x00\x01")  # SCU 0, SCP 1
    with wire.Wire(running.port) as peer:
        peer.associate(_CONTEXTS, user_items=role)
        response = _store(peer, encoded(ct_image()))
        assert response.status == 0x0124
        assert peer.echo(1) == 0
    running.assert_empty()


@pytest.mark.parametrize("uid", [b"1.2.3.04", b"1.2.3 ", b"1.2.3\0"])
def test_uids_that_real_devices_send_are_taken(start_node: StartNode, uid: bytes) -> None:
    running = start_node()
    with wire.Wire(running.port) as peer:
        peer.associate(_CONTEXTS)
        assert _store(peer, _with_raw_uid("SOPInstanceUID", uid), uid=uid).status == 0
    assert running.entities() == (1, 1, 1, 1)


def test_nothing_escapes_the_data_folder(start_node: StartNode, tmp_path: Path) -> None:
    running = start_node()
    before = sorted(path for path in tmp_path.iterdir())
    hostile = (b"../../../evil", b"/tmp/evil", b"..", b"1.2/3", b"1.2\\3", b"~1.2", b"-1")
    with wire.Wire(running.port) as peer:
        peer.associate(_CONTEXTS)
        for raw in hostile:
            assert _store(peer, encoded(ct_image()), uid=raw).status == 0x0117
            assert _store(peer, _with_raw_uid("StudyInstanceUID", raw)).status == 0xA900
            assert _store(peer, _with_raw_uid("SeriesInstanceUID", raw)).status == 0xA900
    running.events.wait_for(AssociationEnded)
    running.assert_empty()
    assert sorted(path for path in tmp_path.iterdir()) == before


def test_two_good_ones_beside_each_other(start_node: StartNode) -> None:
    """Two associations that send at the same time, fragment by fragment in turns."""
    running = start_node()
    ones = [encoded(ct_image(number)) for number in (1, 2)]
    with wire.Wire(running.port) as first, wire.Wire(running.port) as second:
        for peer, number in ((first, 1), (second, 2)):
            peer.associate(_CONTEXTS)
            uid = str(ct_image(number).SOPInstanceUID).encode()
            peer.send(p_data(pdv(3, wire.c_store_rq(uid), is_command=True)))
        for at in range(0, len(ones[0]), 50):
            for peer, data in ((first, ones[0]), (second, ones[1])):
                is_last = at + 50 >= len(data)
                peer.send(p_data(pdv(3, data[at : at + 50], is_command=False, is_last=is_last)))
        assert [peer.message().status for peer in (first, second)] == [0, 0]
    assert running.entities() == (1, 1, 1, 2)


def test_pipelined_requests_are_answered_in_order(start_node: StartNode) -> None:
    """A peer that sends ahead without asynchronous operations negotiated loses nothing."""
    running = start_node()
    with wire.Wire(running.port) as peer:
        peer.associate(_CONTEXTS)
        parts = []
        for number in range(1, 21):
            image = ct_image(number, SeriesDescription=generate_uid())
            uid = str(image.SOPInstanceUID).encode()
            parts.append(p_data(pdv(3, wire.c_store_rq(uid, message_id=number), is_command=True)))
            parts.append(p_data(pdv(3, encoded(image), is_command=False)))
        peer.send(*parts)
        answers = [peer.message() for _ in range(20)]
        assert [(answer.us(0x0120), answer.status) for answer in answers] == [(n, 0) for n in range(1, 21)]
        peer.release()
    assert running.entities() == (1, 1, 1, 20)
