"""Items of sequences: right in every encoding, careless, hostile."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacsnode.dicom.encoding import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, Encoding
from pacsnode.dicom.items import MAX_BYTES, MAX_ITEMS, items_of
from pacsnode.dicom.uid import EXPLICIT_VR_BIG_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from tests.unit.dicom.headers import UNDEFINED, Mutation, element, item, mutated, nested, sequence

EXPLICIT, IMPLICIT, BIG = EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN
ENCODINGS = [(EXPLICIT, EXPLICIT_LITTLE), (IMPLICIT, IMPLICIT_LITTLE), (BIG, EXPLICIT_BIG)]
each_encoding = pytest.mark.parametrize(("syntax", "encoding"), ENCODINGS)

CODE, MEANING, INNER = 0x00080100, 0x00080104, 0x00082220
WANTED = frozenset((CODE, MEANING, INNER))


def read(value: bytes, encoding: Encoding = EXPLICIT_LITTLE) -> list[dict[int, bytes]]:
    found = items_of(value, encoding, WANTED, max(WANTED), frozenset((INNER,)))
    return [one.values for one in found]


def code(value: bytes = b"A1", syntax: str = EXPLICIT) -> bytes:
    return element(CODE, "SH", value, syntax)


@each_encoding
@pytest.mark.parametrize("undefined", [True, False])
def test_the_wanted_values_of_each_item(syntax: str, encoding: Encoding, undefined: bool) -> None:
    further = element(0x00080005, "CS", b"ISO_IR 192", syntax) + code(b"A1", syntax)
    first = item(further + element(MEANING, "LO", b"Skull ", syntax), syntax, undefined=undefined)
    value = first + item(code(b"B2", syntax), syntax, undefined=undefined)
    assert read(value, encoding) == [{CODE: b"A1", MEANING: b"Skull "}, {CODE: b"B2"}]


@each_encoding
@pytest.mark.parametrize("undefined", [True, False])
def test_a_sequence_in_an_item_is_its_items(syntax: str, encoding: Encoding, undefined: bool) -> None:
    inner = item(code(b"IN", syntax), syntax, undefined=undefined)
    outer = code(b"OUT ", syntax) + sequence(INNER, inner, syntax, undefined=undefined)
    (found,) = read(item(outer, syntax, undefined=undefined), encoding)
    assert found[CODE] == b"OUT "
    assert read(found[INNER], encoding) == [{CODE: b"IN"}]


@each_encoding
def test_what_is_nested_deeper_is_passed_over(syntax: str, encoding: Encoding) -> None:
    value = item(nested(20, syntax) + element(INNER, "SQ", b"", syntax), syntax)
    assert read(code(b"A1", syntax)) == []
    assert read(item(code(b"A1", syntax), syntax) + value, encoding) == [{CODE: b"A1"}, {INNER: b""}]


def test_an_unknown_vr_may_hold_implicit_items() -> None:
    """PS3.5 6.2.2: a sequence of VR UN in an explicit data set."""
    assert read(item(code(b"A1", IMPLICIT), IMPLICIT, undefined=False)) == [{CODE: b"A1"}]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (b"", []),
        (b"\xff" * 40, []),
        (item(), [{}]),
        (item(code()) + element(0xFFFEE0DD, "", b"") + item(code(b"B2")), [{CODE: b"A1"}]),
        (item(code()) + b"\xff" * 40 + item(code(b"B2")), [{CODE: b"A1"}]),
        # an item that ends too early, with a length that tells where the next one is, and without
        (item(code()[:-1], undefined=False) + item(code(b"B2")), [{CODE: b"B2"}]),
        (item(element(CODE, "SH", b"A1", length=500)) + item(code(b"B2")), []),
        (element(0xFFFEE000, "", code(), length=5000), []),
        (element(0xFFFEE000, "", code(), length=UNDEFINED), []),
        # elements of the file meta, of a group that is none, in a wrong order
        (item(element(0x00020010, "UI", b"1.2\0"), undefined=False) + item(code()), [{CODE: b"A1"}]),
        (item(element(MEANING, "LO", b"Skull ") + code()), [{MEANING: b"Skull ", CODE: b"A1"}]),
    ],
)
def test_items_that_cannot_be_read_are_left_out(value: bytes, found: list[dict[int, bytes]]) -> None:
    assert read(value) == found


def test_a_sequence_that_is_too_deep_is_no_item() -> None:
    assert read(item(code()) + item(nested(100)) + item(code(b"B2"))) == [{CODE: b"A1"}]


def test_how_much_is_read_is_bounded() -> None:
    assert len(read(item(code()) * (MAX_ITEMS + 5))) == MAX_ITEMS
    long = item(element(MEANING, "LO", b"x" * 20_000))
    assert len(read(long * 10)) == MAX_BYTES // len(long)


@given(
    st.sampled_from(ENCODINGS),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 9), st.binary(max_size=9)), max_size=4),
)
def test_nothing_is_raised_whatever_the_bytes(
    written: tuple[str, Encoding], mutations: list[Mutation]
) -> None:
    syntax, encoding = written
    inner = sequence(INNER, item(code(b"IN", syntax), syntax), syntax)
    value = item(code(b"A1", syntax) + inner, syntax) * 3
    for found in read(mutated(value, mutations), encoding):
        assert found.keys() <= WANTED
        read(found.get(INNER, b""), encoding)
