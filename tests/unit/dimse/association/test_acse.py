"""A-ASSOCIATE PDUs: round trips, devices' habits, and that garbage raises one thing."""

import struct
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_items import SOPClassExtendedNegotiationSubItem
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation

from pacsnode.dicom.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from pacsnode.dimse.association.acse import (
    APPLICATION_CONTEXT_NAME,
    AssociateAccept,
    AssociateRequest,
    Decision,
    Proposal,
    Rejection,
    Roles,
    decode_accept,
    decode_rejection,
    decode_request,
    encode_accept,
    encode_rejection,
    encode_request,
)
from pacsnode.dimse.association.endings import ProtocolViolation
from pacsnode.dimse.association.pdu import HEADER, PDUType
from pacsnode.dimse.contexts import negotiate
from tests.dimse_peers import STUDY_ROOT_FIND, VERIFICATION
from tests.factories import CT
from tests.unit.dicom.headers import Mutation, mutated

UIDS = st.from_regex(r"1(\.(0|[1-9][0-9]{0,8})){1,6}", fullmatch=True)
_TITLE_CHARACTERS = st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="\\")
TITLES = st.text(_TITLE_CHARACTERS, min_size=1, max_size=16)
ROLES = st.builds(Roles, is_scu=st.booleans(), is_scp=st.booleans())


@st.composite
def requests(draw: st.DrawFn) -> AssociateRequest:
    numbers = draw(st.lists(st.integers(0, 127), max_size=6, unique=True))
    proposals = tuple(
        Proposal(2 * number + 1, draw(UIDS), tuple(draw(st.lists(UIDS, min_size=1, max_size=3, unique=True))))
        for number in numbers
    )
    return AssociateRequest(
        called_ae_title=draw(TITLES),
        calling_ae_title=draw(TITLES),
        application_context_name=APPLICATION_CONTEXT_NAME,
        proposals=proposals,
        max_pdu_bytes=draw(st.integers(0, 0xFFFFFFFF)),
        roles={proposal.abstract_syntax: draw(ROLES) for proposal in proposals if draw(st.booleans())},
        extended=draw(st.dictionaries(UIDS, st.binary(max_size=9), max_size=3)),
    )


REQUEST = AssociateRequest(
    "PACSNODE", "CT1", APPLICATION_CONTEXT_NAME,
    (Proposal(1, VERIFICATION, ("1.2.840.10008.1.2",)),
     Proposal(3, CT, ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2"))),
    16384, {CT: Roles(is_scu=True, is_scp=True)}, {STUDY_ROOT_FIND: bytes(7)},
)  # fmt: skip


def body_of(pdu: bytes) -> bytes:
    _, length = HEADER.unpack_from(pdu)
    assert len(pdu) == HEADER.size + length
    return pdu[HEADER.size :]


def request_body(request: AssociateRequest = REQUEST) -> bytes:
    return body_of(encode_request(request, our_max_pdu_bytes=request.max_pdu_bytes))


@settings(max_examples=50)
@given(requests())
def test_a_request_is_read_back(request: AssociateRequest) -> None:
    assert decode_request(request_body(request)) == request


@settings(max_examples=50)
@given(requests(), st.data())
def test_an_accept_is_read_back(request: AssociateRequest, data: st.DataObject) -> None:
    decisions = tuple(
        Decision(p.context_id, p.abstract_syntax, data.draw(st.integers(0, 4)), p.transfer_syntaxes[-1])
        for p in request.proposals
    )
    pdu = encode_accept(request, decisions, request.roles, request.extended, our_max_pdu_bytes=131072)
    assert pdu[0] == PDUType.A_ASSOCIATE_AC
    found = decode_accept(body_of(pdu))
    assert isinstance(found, AssociateAccept)
    assert found.max_pdu_bytes == 131072
    assert found.roles == request.roles
    assert found.extended == request.extended
    assert [(d.context_id, d.result) for d in found.decisions] == [
        (d.context_id, d.result) for d in decisions
    ]
    for ours, theirs in zip(decisions, found.decisions, strict=True):
        if ours.result == 0:
            assert theirs.transfer_syntax == ours.transfer_syntax


@given(st.integers(1, 2), st.integers(1, 3), st.integers(1, 7))
def test_a_rejection_is_read_back(result: int, source: int, reason: int) -> None:
    pdu = encode_rejection(Rejection(result, source, reason))
    assert pdu[:6] == bytes.fromhex("0300 00000004")
    assert decode_rejection(body_of(pdu)) == Rejection(result, source, reason)


def test_we_name_our_implementation() -> None:
    for pdu in (
        encode_request(REQUEST, our_max_pdu_bytes=1),
        encode_accept(REQUEST, (), {}, our_max_pdu_bytes=1),
    ):
        assert IMPLEMENTATION_CLASS_UID.encode() in pdu
        assert IMPLEMENTATION_VERSION_NAME.encode() in pdu
        assert pdu[6:8] == b"\0\1"  # protocol version 1 (PS3.8 9.3.2)


def test_an_accept_repeats_the_titles() -> None:
    """PS3.8 table 9-17: the reserved fields have the values of the request."""
    pdu = encode_accept(REQUEST, (), {}, our_max_pdu_bytes=1)
    assert pdu[10:26] == b"PACSNODE        "
    assert pdu[26:42] == b"CT1             "


# Titles


def with_titles(called: bytes, calling: bytes) -> bytes:
    body = request_body()
    return body[:4] + called.ljust(16, b" ")[:16] + calling.ljust(16, b" ")[:16] + body[36:]


@pytest.mark.parametrize(
    ("raw", "title"),
    [
        (b"CT1", "CT1"),
        (b"CT1\0\0\0\0\0\0\0\0\0\0\0\0\0", "CT1"),
        (b"\0\0CT1 \0", "CT1"),
        (b"  CT1", "CT1"),
        (b"CT 1", "CT 1"),
        (b"0123456789ABCDEF", "0123456789ABCDEF"),
    ],
)
def test_padding_of_devices(raw: bytes, title: str) -> None:
    request = decode_request(with_titles(raw, raw))
    assert (request.called_ae_title, request.calling_ae_title) == (title, title)


@given(st.binary(max_size=16), st.binary(max_size=16))
@example(b"", b"")
@example(bytes(16), bytes(16))
@example(b"\xc4RZTE", b"a\nb")
def test_any_title_is_answered_or_refused(called: bytes, calling: bytes) -> None:
    """What no title can be matches no peer; it may not come back as a traceback, nor as a line in the log."""
    try:
        request = decode_request(with_titles(called, calling))
    except ProtocolViolation:
        return
    for title in (request.called_ae_title, request.calling_ae_title):
        assert title.isascii()
        assert title.isprintable()
    assert encode_accept(request, (), {}, our_max_pdu_bytes=1)


# The answer's reserved fields


@pytest.mark.parametrize("reserved", [bytes(32), b"\xff" * 32, b" " * 32, b"\n" * 32])
def test_the_reserved_fields_of_an_accept_are_not_tested(reserved: bytes) -> None:
    """PS3.8 table 9-17: their values shall not be tested when received."""
    decisions = (Decision(1, VERIFICATION, 0, "1.2.840.10008.1.2"),)
    body = body_of(encode_accept(REQUEST, decisions, {}, our_max_pdu_bytes=5000))
    found = decode_accept(body[:4] + reserved + body[36:])
    assert found.max_pdu_bytes == 5000
    assert found.decisions[0].transfer_syntax == "1.2.840.10008.1.2"


@pytest.mark.parametrize("result", [1, 2, 3, 4])
def test_a_refused_context_may_come_without_a_transfer_syntax(result: int) -> None:
    """Its sub-item is not significant (PS3.8 9.3.3.2); some leave its value empty."""
    decisions = (Decision(1, VERIFICATION, result, "1.2.840.10008.1.2"),)
    body = body_of(encode_accept(REQUEST, decisions, {}, our_max_pdu_bytes=5000))
    item = b"\x40\0\0\x11" + b"1.2.840.10008.1.2"
    assert body.count(item) == 1
    for empty in (b"\x40\0\0\0", b""):
        at = body.index(item)
        shorter = (
            body[: at - 6]
            + struct.pack(">H", 4 + len(empty))
            + body[at - 4 : at]
            + empty
            + body[at + len(item) :]
        )
        found = decode_accept(shorter)
        assert [(d.context_id, d.result) for d in found.decisions] == [(1, result)]


# Garbage

BODY = request_body()
DECISIONS = (Decision(1, VERIFICATION, 0, "1.2.840.10008.1.2"), Decision(3, CT, 3, "1.2.840.10008.1.2"))
ACCEPT = body_of(
    encode_accept(REQUEST, DECISIONS, REQUEST.roles,
                  REQUEST.extended, our_max_pdu_bytes=16384)
)  # fmt: skip
MUTATIONS = st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 6), st.binary(max_size=6)), max_size=5)


@settings(max_examples=300)
@given(st.one_of(st.binary(max_size=300), MUTATIONS))
@example(b"")
@example(bytes(68))
@example(BODY[:68])
def test_garbage_for_a_request_raises_only_a_protocol_violation(data: bytes | list[Mutation]) -> None:
    """And what is taken for a request can be answered."""
    body = data if isinstance(data, bytes) else mutated(BODY, data)
    try:
        request = decode_request(body)
    except ProtocolViolation:
        return
    negotiated = negotiate(request, lambda service: True, private_sop_classes=True)
    pdu = encode_accept(request, negotiated.decisions, negotiated.roles, our_max_pdu_bytes=16384)
    assert [d.context_id for d in decode_accept(body_of(pdu)).decisions] == [
        p.context_id for p in request.proposals
    ]


@settings(max_examples=300)
@given(st.one_of(st.binary(max_size=300), MUTATIONS))
@example(b"")
def test_garbage_for_an_accept_raises_only_a_protocol_violation(data: bytes | list[Mutation]) -> None:
    body = data if isinstance(data, bytes) else mutated(ACCEPT, data)
    try:
        decode_accept(body)
    except ProtocolViolation:
        return


def test_a_context_id_twice_is_a_violation() -> None:
    twice = replace(REQUEST, proposals=(REQUEST.proposals[0], replace(REQUEST.proposals[1], context_id=1)))
    with pytest.raises(ProtocolViolation, match="twice"):
        decode_request(request_body(twice))


@pytest.mark.parametrize("kind", [0x10, 0x20, 0x21, 0x30, 0x40, 0x50, 0x54, 0x56])
@pytest.mark.parametrize("more", [1, 7, 0xFFFF])
def test_an_item_that_is_longer_than_what_holds_it_is_a_violation(kind: int, more: int) -> None:
    body, decode = (ACCEPT, decode_accept) if kind == 0x21 else (BODY, decode_request)
    at = body.index(bytes((kind, 0)), 68)  # the first of its kind
    (length,) = struct.unpack_from(">H", body, at + 2)
    longer = body[: at + 2] + struct.pack(">H", min(length + more, 0xFFFF)) + body[at + 4 : at + 4 + length]
    with pytest.raises(ProtocolViolation):
        decode(longer)


def test_no_maximum_length_is_no_limit() -> None:
    """PS3.8 D.1.1: it is mandatory, and old peers leave it out."""
    item = b"\x51\0\0\x04" + struct.pack(">I", 16384)
    at = BODY.index(item)
    user = BODY.rindex(b"\x50\0", 0, at)
    (length,) = struct.unpack_from(">H", BODY, user + 2)
    body = BODY[: user + 2] + struct.pack(">H", length - 8) + BODY[user + 4 : at] + BODY[at + 8 :]
    assert decode_request(body).max_pdu_bytes == 0


@pytest.mark.parametrize("wrong", [b"1.2.840.10008.1.2.4.\xff", b"\xc4.2.3", b"", b"not a UID", b"1..2"])
def test_syntaxes_that_are_no_uids_are_refused_and_not_repeated(wrong: bytes) -> None:
    """As abstract and as transfer syntax, with a role asked for: what comes back is ASCII and refuses."""
    marked = "1.2.777" + "7" * 20
    roles = {marked: Roles(is_scu=True, is_scp=True)}
    proposals = (Proposal(1, marked, ("1.2.840.10008.1.2",)), Proposal(3, CT, (marked,)))
    request = replace(REQUEST, proposals=proposals, roles=roles)
    body = request_body(request).replace(marked.encode(), wrong.ljust(len(marked), b"\0"))
    found = decode_request(body)
    negotiated = negotiate(found, lambda service: True, private_sop_classes=True)
    assert [decision.result for decision in negotiated.decisions] == [3, 4]
    assert encode_accept(found, negotiated.decisions, negotiated.roles, our_max_pdu_bytes=1)


def test_other_user_information_is_read_over() -> None:
    """User identity, asynchronous operations, common extended negotiation: not answered means not agreed."""
    more = b"\x53\0\0\x04\0\0\0\0" + b"\x58\0\0\x0a\1\0\0\4user\0\0" + b"\x57\0\0\x04\0\2\x31\x2e"
    user = BODY.rindex(b"\x50\0", 0, BODY.index(b"\x51\0\0\x04"))
    (length,) = struct.unpack_from(">H", BODY, user + 2)
    body = BODY[: user + 2] + struct.pack(">H", length + len(more)) + BODY[user + 4 :] + more
    assert decode_request(body) == REQUEST


# Extended negotiation (PS3.7 D.3.3.5), against pynetdicom's codec


def with_user_item(item: bytes) -> bytes:
    user = BODY.rindex(b"\x50\0", 0, BODY.index(b"\x51\0\0\x04"))
    (length,) = struct.unpack_from(">H", BODY, user + 2)
    return BODY[: user + 2] + struct.pack(">H", length + len(item)) + BODY[user + 4 :] + item


@pytest.mark.parametrize("value", [b"", b"\0", b"\0\x05", b"\0\x051.2.", b"\xff\xff1.2.3"])
def test_an_extended_negotiation_that_is_cut_off_is_a_violation(value: bytes) -> None:
    with pytest.raises(ProtocolViolation, match="extended negotiation"):
        decode_request(with_user_item(b"\x56\0" + struct.pack(">H", len(value)) + value))


def test_an_extended_negotiation_may_be_empty_and_the_last_one_counts() -> None:
    items = b"".join(
        b"\x56\0" + struct.pack(">HH", 2 + 5 + len(said), 5) + b"1.2.3" + said for said in (b"\1", b"")
    )
    assert decode_request(with_user_item(items)).extended == {STUDY_ROOT_FIND: bytes(7), "1.2.3": b""}


@settings(max_examples=50)
@given(requests())
def test_pynetdicom_reads_what_we_propose(request: AssociateRequest) -> None:
    pdu = A_ASSOCIATE_RQ()
    pdu.decode(encode_request(request, our_max_pdu_bytes=1 << 16))
    found = {
        str(item.sop_class_uid): item.service_class_application_information
        for item in pdu.user_information.user_data
        if isinstance(item, SOPClassExtendedNegotiationSubItem)
    }
    assert found == request.extended


@settings(max_examples=50)
@given(st.dictionaries(UIDS, st.binary(min_size=1, max_size=9), max_size=3))
def test_what_pynetdicom_proposes_is_read(extended: dict[str, bytes]) -> None:
    items = b""
    for uid, said in extended.items():
        item = SOPClassExtendedNegotiation()
        item.sop_class_uid = uid
        item.service_class_application_information = said
        sub_item = SOPClassExtendedNegotiationSubItem()
        sub_item.from_primitive(item)
        items += sub_item.encode()
    found = decode_request(with_user_item(items)).extended
    assert found == {STUDY_ROOT_FIND: bytes(7)} | extended


@settings(max_examples=50)
@given(requests())
def test_pynetdicom_reads_what_we_answer(request: AssociateRequest) -> None:
    pdu = A_ASSOCIATE_AC()
    pdu.decode(encode_accept(request, (), {}, request.extended, our_max_pdu_bytes=1 << 16))
    found = {
        str(item.sop_class_uid): item.service_class_application_information
        for item in pdu.user_information.user_data
        if isinstance(item, SOPClassExtendedNegotiationSubItem)
    }
    assert found == request.extended
