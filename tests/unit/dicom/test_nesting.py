"""Stepping over sequences: right, wrong, deep and unfinished ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacsnode.dicom import nesting
from pacsnode.dicom.encoding import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, UNDEFINED_LENGTH, Encoding
from pacsnode.dicom.nesting import Incomplete, after_sequence
from pacsnode.dicom.uid import EXPLICIT_VR_BIG_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from pacsnode.errors import UnreadableDataSet
from tests.unit.dicom.headers import element, item, nested, sequence

EXPLICIT, IMPLICIT, BIG = EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN
ENCODINGS = [(EXPLICIT, EXPLICIT_LITTLE), (IMPLICIT, IMPLICIT_LITTLE), (BIG, EXPLICIT_BIG)]
END_OF_ITEM = element(0xFFFEE00D, "", b"")
END = element(0xFFFEE0DD, "", b"")
NAME = element(0x00100010, "PN", b"Doe^John")


def after(
    items: bytes,
    encoding: Encoding = EXPLICIT_LITTLE,
    *,
    length: int = UNDEFINED_LENGTH,
    is_fragments: bool = False,
    is_complete: bool = True,
) -> int:
    return after_sequence(
        items,
        0,
        length,
        encoding.order,
        is_implicit=encoding.is_implicit,
        is_fragments=is_fragments,
        is_complete=is_complete,
    )


def contents(syntax: str) -> list[bytes]:
    """Return what items may hold, each with things that mislead a walk by bytes alone."""
    return [
        b"",
        element(0x00100010, "PN", b"Doe^John", syntax),
        element(0x00091010, "OB", END, syntax) + element(0x00091011, "UT", b"text", syntax),
        sequence(0x00081140, item(element(0x00081150, "UI", b"1.2\0", syntax), syntax), syntax),
        sequence(0x00081140, item(b"", syntax, undefined=False) * 3, syntax, undefined=False),
        sequence(0x00091140, item(element(0x00091150, "LO", b"ab", IMPLICIT), IMPLICIT), syntax, vr="UN")
        if syntax != BIG
        else b"",
        sequence(0x7FE00010, element(0xFFFEE000, "", END_OF_ITEM + b"\xff\xd8", syntax), syntax, vr="OB"),
        element(0x00080050, "QQ", b"odd length", syntax) + element(0x00080060, "CS", b"CT", syntax),
    ]


@pytest.mark.parametrize(("syntax", "encoding"), ENCODINGS)
@pytest.mark.parametrize("undefined", [True, False])
def test_the_end_is_found_whatever_the_items_hold(syntax: str, encoding: Encoding, undefined: bool) -> None:
    for content in contents(syntax):
        items = item(content, syntax, undefined=undefined) * 2
        value = items + element(0xFFFEE0DD, "", b"", syntax)
        assert after(value + b"more", encoding) == len(value), content


@pytest.mark.parametrize(("syntax", "encoding"), ENCODINGS)
def test_every_prefix_is_incomplete(syntax: str, encoding: Encoding) -> None:
    for content in contents(syntax):
        value = (
            item(content, syntax)
            + item(content, syntax, undefined=False)
            + element(0xFFFEE0DD, "", b"", syntax)
        )
        for end in range(len(value)):
            with pytest.raises(Incomplete) as raised:
                after(value[:end], encoding, is_complete=False)
            assert end < raised.value.needed_bytes <= len(value)
            with pytest.raises(UnreadableDataSet):
                after(value[:end], encoding)


@pytest.mark.parametrize(("syntax", "encoding"), ENCODINGS)
@pytest.mark.parametrize("undefined", [True, False])
def test_64_levels_are_followed_and_more_are_refused(
    syntax: str, encoding: Encoding, undefined: bool
) -> None:
    header = 8 if encoding.is_implicit else 12
    for levels in (1, 2, nesting.MAX_DEPTH):
        value = nested(levels, syntax, undefined=undefined)[header:]
        assert after(value, encoding, length=UNDEFINED_LENGTH if undefined else len(value)) == len(value)
    for levels in (nesting.MAX_DEPTH + 1, 5000):
        value = nested(levels, syntax, undefined=undefined)[header:]
        assert undefined or nesting.is_suspect(value, 0, len(value), encoding.order)
        with pytest.raises(UnreadableDataSet, match="nested more than 64"):
            after(value, encoding, length=UNDEFINED_LENGTH if undefined else len(value))


def test_what_is_too_short_to_nest_deeply_is_not_suspect() -> None:
    value = nested(nesting.MAX_DEPTH, IMPLICIT, undefined=False)[8:]
    assert not nesting.is_suspect(value, 0, len(value), IMPLICIT_LITTLE.order)
    assert not nesting.is_suspect(bytes(100_000), 0, 100_000, IMPLICIT_LITTLE.order), "no item"


@pytest.mark.parametrize(
    "items",
    [
        element(0xFFFEE000, "", NAME, length=UNDEFINED_LENGTH) + END,  # without the end of the item
        element(0xFFFEE000, "", NAME, length=UNDEFINED_LENGTH) + item(NAME) + END,
        item(NAME) + END_OF_ITEM + item(NAME) + END,  # a delimiter too many
        element(0xFFFEE000, "", NAME + END_OF_ITEM) + END,  # a delimiter in an item of defined length
        element(0xFFFEE000, "", sequence(0x00081140, item(NAME))[:-8], length=None) + END,  # cut off inside
        item(element(0x00081140, "SQ", item(NAME)[:-3])) + END,
    ],
)
def test_slips_of_devices_are_passed_over(items: bytes) -> None:
    assert after(items + NAME) == len(items)


def test_a_container_with_a_length_is_left_there_whatever_is_inside() -> None:
    garbage = bytes(range(256)) * 8
    items = item(element(0x00081140, "SQ", element(0xFFFEE000, "", garbage))) + END
    assert after(items + NAME) == len(items)
    value = element(0xFFFEE000, "", garbage, length=UNDEFINED_LENGTH)
    assert after(value + NAME, length=len(value)) == len(value)


@pytest.mark.parametrize(
    "items",
    [
        NAME + END,
        item(NAME)[:-8] + b"\xfe\xff\x99\x99" + bytes(4) + END,
        element(0xFFFEE000, "", NAME, length=1000) + END,
        item(NAME),
    ],
)
def test_what_cannot_be_followed_is_unreadable(items: bytes) -> None:
    with pytest.raises(UnreadableDataSet):
        after(items)


def test_fragments_are_not_entered() -> None:
    fragment = element(0xFFFEE000, "", NAME + END)
    assert after(fragment * 2 + END, is_fragments=True) == len(fragment * 2 + END)
    with pytest.raises(UnreadableDataSet):
        after(item(NAME) + END, is_fragments=True)


@pytest.mark.parametrize("content", [item(), item(undefined=False), b""])
def test_the_number_of_elements_is_limited(content: bytes) -> None:
    elements = content * (nesting.MAX_ELEMENTS + 1) if content else b""
    value = elements or element(0xFFFEE000, "", NAME * (nesting.MAX_ELEMENTS + 1), length=UNDEFINED_LENGTH)
    with pytest.raises(UnreadableDataSet, match="more than"):
        after(value + END)


PIECES = st.sampled_from(
    [
        END,
        END_OF_ITEM,
        NAME,
        element(0xFFFEE000, "", b"", length=UNDEFINED_LENGTH),
        element(0xFFFEE000, "", b"", length=20),
        element(0x00081140, "SQ", b"", length=UNDEFINED_LENGTH),
        element(0x00081140, "SQ", b"", length=2000),
        element(0x7FE00010, "OB", b"", length=UNDEFINED_LENGTH),
        b"\0",
        b"\xff" * 8,
    ]
)


@given(st.lists(PIECES | st.binary(max_size=12), max_size=40), st.booleans(), st.booleans())
def test_any_bytes_have_an_end_or_are_refused(
    pieces: list[bytes], is_implicit: bool, is_fragments: bool
) -> None:
    data = b"".join(pieces)
    try:
        end = after(data, IMPLICIT_LITTLE if is_implicit else EXPLICIT_LITTLE, is_fragments=is_fragments)
    except UnreadableDataSet:
        return
    assert 0 < end <= len(data)
