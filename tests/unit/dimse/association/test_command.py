"""Command sets: what is written is read back, and garbage raises one thing."""

import struct
from io import BytesIO

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydicom.filereader import read_dataset

from pacsnode.dimse.association import command as module
from pacsnode.dimse.association.command import (
    A_DATA_SET,
    NO_DATA_SET,
    CommandField,
    CommandSet,
    Element,
    encode,
    response,
    sub_operation_counts,
    text,
    ui,
    us,
)
from pacsnode.dimse.association.endings import MessageViolation
from tests.dimse_peers import elements_of, request_command
from tests.factories import CT

REQUEST = CommandSet.decode(
    request_command(CommandField.C_STORE, CT, 7, has_data_set=True, instance="1.2.826.7.1")
)
PROPERTIES = ("message_id", "message_id_being_responded_to", "status")


@given(
    st.one_of(
        st.binary(max_size=200),
        st.lists(st.tuples(st.integers(0, 3), st.sampled_from(list(Element)), st.binary(max_size=9))).map(
            lambda elements: b"".join(
                struct.pack("<HHI", group, number, len(value)) + value for group, number, value in elements
            )
        ),
    )
)
@example(b"")
@example(bytes(8))
@example(struct.pack("<HHI", 0, 0x0100, 0xFFFFFFFF))
def test_arbitrary_bytes_raise_only_a_message_violation(data: bytes) -> None:
    try:
        command = CommandSet.decode(data)
    except MessageViolation:
        return
    for element in Element:
        command.us(element)
        command.text(element)
        command.raw(element)
    assert isinstance(command.is_response, bool)
    for name in PROPERTIES:
        try:
            assert 0 <= getattr(command, name) <= 0xFFFF
        except MessageViolation:
            pass
    try:
        answer = response(command, 0xA700, comment="no")
    except MessageViolation:
        return
    assert elements_of(answer)[Element.STATUS] == us(0xA700)


def test_what_is_written_is_read_back() -> None:
    assert REQUEST.field == CommandField.C_STORE
    assert not REQUEST.is_response
    assert REQUEST.has_data_set
    assert REQUEST.message_id == 7
    assert REQUEST.text(Element.AFFECTED_SOP_CLASS_UID) == CT
    assert REQUEST.text(Element.AFFECTED_SOP_INSTANCE_UID) == "1.2.826.7.1"
    assert REQUEST.raw(Element.AFFECTED_SOP_INSTANCE_UID) == b"1.2.826.7.1\0"
    assert REQUEST.us(Element.STATUS) is None
    assert REQUEST.text(Element.MOVE_DESTINATION) == ""


@pytest.mark.parametrize("name", PROPERTIES)
def test_what_is_required_and_missing_is_a_violation(name: str) -> None:
    command = CommandSet.decode(encode([(Element.COMMAND_FIELD, us(CommandField.C_ECHO))]))
    with pytest.raises(MessageViolation):
        getattr(command, name)


@pytest.mark.parametrize(
    ("value", "expected"), [(None, False), (NO_DATA_SET, False), (A_DATA_SET, True), (0x0102, True)]
)
def test_whether_a_data_set_follows(value: int | None, expected: bool) -> None:
    """PS3.7 9.3.1.1: any value but 0101H."""
    elements = [(Element.COMMAND_FIELD, us(CommandField.C_FIND))]
    if value is not None:
        elements.append((Element.COMMAND_DATA_SET_TYPE, us(value)))
    assert CommandSet.decode(encode(elements)).has_data_set is expected


@pytest.mark.parametrize(
    ("field", "expected"), [(0x8001, True), (0x8FFF, True), (0x0001, False), (CommandField.C_CANCEL, False)]
)
def test_which_are_responses(field: int, expected: bool) -> None:
    assert CommandSet.decode(encode([(Element.COMMAND_FIELD, us(field))])).is_response is expected


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("<HHI", 8, 0x0100, 2) + us(1),  # another group
        encode([(Element.COMMAND_FIELD, us(1))]) + b"\0",
        encode([(Element.COMMAND_FIELD, us(1))])[:-1],
        encode([(Element.MESSAGE_ID, us(1))]),
        encode([(Element.COMMAND_FIELD, b"\1")]),
    ],
)
def test_what_is_no_command_set(data: bytes) -> None:
    with pytest.raises(MessageViolation):
        CommandSet.decode(data)


def test_pydicom_reads_what_is_written() -> None:
    data = response(
        REQUEST,
        0xB000,
        comment="x" * 200,
        offending=(0x00080018, 0x0020000D),
        has_data_set=True,
        counts=(
            (Element.NUMBER_OF_COMPLETED_SUB_OPERATIONS, 3),
            (Element.NUMBER_OF_FAILED_SUB_OPERATIONS, 100_000),
        ),
    )
    found = read_dataset(BytesIO(data), is_implicit_VR=True, is_little_endian=True)
    assert found.CommandGroupLength == len(data) - 12
    assert list(found.keys()) == sorted(found.keys())
    assert found.AffectedSOPClassUID == CT
    assert found.AffectedSOPInstanceUID == "1.2.826.7.1"
    assert found.CommandField == 0x8001
    assert found.MessageIDBeingRespondedTo == 7
    assert found.Status == 0xB000
    assert found.ErrorComment == "x" * 64
    assert [int(tag) for tag in found.OffendingElement] == [0x00080018, 0x0020000D]
    assert found.CommandDataSetType == A_DATA_SET
    assert found.NumberOfCompletedSuboperations == 3
    assert found.NumberOfFailedSuboperations == 0xFFFF
    assert "MessageID" not in found


@given(st.text(max_size=100))
def test_values_have_even_length_and_are_ascii(value: str) -> None:
    encoded = text(value)
    assert len(encoded) % 2 == 0
    assert encoded.isascii()
    assert len(ui("1.2.3")) == 6


@given(st.binary(min_size=1, max_size=7))
def test_an_answer_has_even_lengths_whatever_the_request_had(instance: bytes) -> None:
    """PS3.5 7.1.1: a careless peer's odd UID comes back padded."""
    request = CommandSet.decode(
        encode(
            [
                (Element.AFFECTED_SOP_CLASS_UID, b"1.2"),
                (Element.COMMAND_FIELD, us(1)),
                (Element.MESSAGE_ID, us(1)),
                (Element.AFFECTED_SOP_INSTANCE_UID, instance),
            ]
        )
    )
    answer = elements_of(response(request, 0))
    assert all(len(value) % 2 == 0 for value in answer.values())
    assert answer[Element.AFFECTED_SOP_INSTANCE_UID].rstrip(b"\0") == instance.rstrip(b"\0")


def test_the_elements_are_those_of_the_standard() -> None:
    from pydicom.datadict import tag_for_keyword
    from pynetdicom.dimse_messages import _COMMAND_SET_KEYWORDS

    keywords = {keyword for keywords in _COMMAND_SET_KEYWORDS.values() for keyword in keywords}
    tags = {tag_for_keyword(keyword) for keyword in keywords}
    assert {int(element) for element in Element} <= tags
    assert module.MAX_COMMENT_CHARACTERS == 64


def test_counts_of_a_response() -> None:
    assert [int(number) for number, _ in sub_operation_counts(4, 1, 2, 3)] == [0x1020, 0x1021, 0x1022, 0x1023]
    assert [value for _, value in sub_operation_counts(4, 1, 2, 3)] == [4, 1, 2, 3]
    assert [value for _, value in sub_operation_counts(None, 1, 2, 3)] == [1, 2, 3]
