"""Finding elements in data sets that are right, careless or hostile."""

import pytest

from pacsnode.dicom.attributes import BY_KEYWORD
from pacsnode.dicom.elements import FURTHER_BYTES, values_of
from pacsnode.dicom.encoding import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, Data, Encoding
from pacsnode.dicom.nesting import MAX_ELEMENTS, Incomplete
from pacsnode.dicom.uid import EXPLICIT_VR_BIG_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from pacsnode.errors import UnreadableDataSet
from tests.unit.dicom.headers import UIDS, UNDEFINED, data_set, element, item, nested, sequence

EXPLICIT, IMPLICIT, BIG = EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN
ENCODINGS = [(EXPLICIT, EXPLICIT_LITTLE), (IMPLICIT, IMPLICIT_LITTLE), (BIG, EXPLICIT_BIG)]
both = pytest.mark.parametrize(("syntax", "encoding"), ENCODINGS)

MODALITY, NAME, LAST = 0x00080060, 0x00100010, 0x00100020
WANTED = frozenset((MODALITY, NAME, LAST, *UIDS))


def found(
    data: Data, encoding: Encoding = EXPLICIT_LITTLE, *, required: bool = False, is_complete: bool = True
) -> dict[int, bytes]:
    needed = frozenset(UIDS) if required else frozenset[int]()
    return values_of(data, encoding, WANTED, LAST, required=needed, is_complete=is_complete)


def few(syntax: str = EXPLICIT) -> bytes:
    return element(MODALITY, "CS", b"CT", syntax) + element(NAME, "PN", b"Doe^John", syntax)


@both
def test_values_are_those_of_the_top_level(syntax: str, encoding: Encoding) -> None:
    inner = item(element(MODALITY, "CS", b"MR", syntax), syntax)
    for undefined in (True, False):
        hidden = sequence(0x00081140, inner, syntax, undefined=undefined)
        assert found(hidden + few(syntax), encoding) == {MODALITY: b"CT", NAME: b"Doe^John"}


@both
def test_nothing_behind_the_last_tag_is_looked_at(syntax: str, encoding: Encoding) -> None:
    behind = element(LAST + 1, "SQ", b"\xff" * 20, syntax, UNDEFINED)
    assert found(few(syntax) + behind, encoding) == {MODALITY: b"CT", NAME: b"Doe^John"}
    assert found(few(syntax) + behind, encoding, is_complete=False) == {MODALITY: b"CT", NAME: b"Doe^John"}
    truncated = element(LAST + 1, "OB", b"", syntax, 1_000_000)
    assert NAME in found(few(syntax) + truncated, encoding)


@both
def test_required_elements_are_looked_for_up_to_the_pixel_data(syntax: str, encoding: Encoding) -> None:
    late = element(0x00400275, "SQ", b"", syntax) + data_set(syntax=syntax)
    assert found(few(syntax) + late, encoding, required=True).keys() >= UIDS.keys()
    assert found(few(syntax) + late, encoding).keys() == {MODALITY, NAME}
    pixels = element(0x7FE00010, "OB", b"\xff" * 9, syntax, UNDEFINED)
    assert found(few(syntax) + pixels + late, encoding, required=True).keys() == {MODALITY, NAME}


@both
def test_of_repeated_elements_the_last_counts_and_order_does_not_matter(
    syntax: str, encoding: Encoding
) -> None:
    data = element(NAME, "PN", b"Doe^John", syntax) + element(MODALITY, "CS", b"MR", syntax)
    assert found(data + few(syntax), encoding) == {MODALITY: b"CT", NAME: b"Doe^John"}


@both
def test_a_prefix_is_incomplete_until_something_behind_the_last_tag_begins(
    syntax: str, encoding: Encoding
) -> None:
    data = few(syntax) + element(0x00100040, "CS", b"O ", syntax)
    sufficient = len(few(syntax)) + 8
    for end in range(sufficient):
        with pytest.raises(Incomplete) as raised:
            found(data[:end], encoding, is_complete=False)
        assert end < raised.value.needed_bytes <= sufficient
    for end in range(sufficient, len(data)):
        assert found(data[:end], encoding, is_complete=False) == found(data, encoding)


@both
@pytest.mark.parametrize("is_complete", [True, False])
def test_a_value_that_is_cut_off_is_never_returned(
    syntax: str, encoding: Encoding, is_complete: bool
) -> None:
    for end in range(len(few(syntax)) - 9, len(few(syntax))):
        with pytest.raises(UnreadableDataSet if is_complete else Incomplete):
            found(few(syntax)[:end], encoding, is_complete=is_complete)


@both
def test_group_lengths_odd_lengths_and_private_groups_are_passed(syntax: str, encoding: Encoding) -> None:
    odd = element(0x00080000, "UL", bytes(4), syntax) + element(0x00080050, "SH", b"odd", syntax)
    odd += element(0x00010010, "LO", b"old private", syntax) + element(0x00091001, "UN", bytes(5000), syntax)
    assert found(odd + few(syntax), encoding) == {MODALITY: b"CT", NAME: b"Doe^John"}


@both
@pytest.mark.parametrize("tag", [0x00000100, 0x00020010, 0x00020000])
def test_command_and_meta_elements_are_refused(syntax: str, encoding: Encoding, tag: int) -> None:
    with pytest.raises(UnreadableDataSet) as raised:
        found(few(syntax) + element(tag, "UI", b"1.2\0", syntax) + few(syntax), encoding)
    assert raised.value.offending == (tag,)


@both
def test_nuls_at_the_end_are_padding(syntax: str, encoding: Encoding) -> None:
    for count in (1, 7, 8, 9, 5000):
        assert found(few(syntax) + bytes(count), encoding).keys() == {MODALITY, NAME}
        with pytest.raises(Incomplete):
            found(few(syntax) + bytes(count), encoding, is_complete=False)
        with pytest.raises(UnreadableDataSet):
            found(few(syntax) + bytes(count) + b"\1", encoding)


@both
def test_stray_delimiters_and_items_are_passed(syntax: str, encoding: Encoding) -> None:
    stray = element(0xFFFEE00D, "", b"", syntax) + element(0xFFFEE0DD, "", b"", syntax)
    stray += item(element(MODALITY, "CS", b"MR", syntax), syntax, undefined=False)
    assert found(few(syntax) + stray, encoding) == {MODALITY: b"CT", NAME: b"Doe^John"}
    with pytest.raises(UnreadableDataSet):
        found(item(few(syntax), syntax) + few(syntax), encoding)


@both
@pytest.mark.parametrize("undefined", [True, False])
def test_deep_nesting_is_refused_with_and_without_lengths(
    syntax: str, encoding: Encoding, undefined: bool
) -> None:
    assert found(nested(64, syntax, undefined=undefined) + few(syntax), encoding).keys() == {MODALITY, NAME}
    for levels in (65, 3000):
        with pytest.raises(UnreadableDataSet, match="nested"):
            found(nested(levels, syntax, undefined=undefined) + few(syntax), encoding)


@both
def test_the_number_of_elements_is_limited(syntax: str, encoding: Encoding) -> None:
    with pytest.raises(UnreadableDataSet, match="more than"):
        found(element(0x00080050, "SH", b"", syntax) * (MAX_ELEMENTS + 1) + few(syntax), encoding)


@pytest.mark.parametrize("vr", ["??", "  ", "\0\0", "QQ", "un"])
def test_elements_with_odd_vrs_are_found_and_passed(vr: str) -> None:
    short = element(0x00080050, vr, b"A-17") + element(MODALITY, vr, b"CT")
    assert found(short + element(NAME, "PN", b"Doe^John")) == {MODALITY: b"CT", NAME: b"Doe^John"}


def test_implicit_elements_within_an_explicit_data_set_are_read() -> None:
    mixed = element(0x00080050, "SH", b"A-17") + element(MODALITY, "", b"CT", IMPLICIT)
    assert found(mixed + element(NAME, "PN", b"Doe^John")) == {MODALITY: b"CT", NAME: b"Doe^John"}


def test_an_unknown_vr_of_known_meaning_is_read_and_a_sequence_in_its_place_is_empty() -> None:
    assert found(element(MODALITY, "UN", b"CT") + element(NAME, "UT", b"Doe")) == {
        MODALITY: b"CT",
        NAME: b"Doe",
    }
    assert found(sequence(MODALITY, item(few())) + element(NAME, "PN", b"Doe")) == {
        MODALITY: b"",
        NAME: b"Doe",
    }


def test_a_sequence_of_undefined_length_in_un_is_implicit_inside() -> None:
    inner = item(sequence(0x00091101, item(few(IMPLICIT), IMPLICIT), IMPLICIT), IMPLICIT)
    assert found(sequence(0x00091100, inner, vr="UN") + few()) == {MODALITY: b"CT", NAME: b"Doe^John"}


def test_an_undefined_length_in_the_place_of_a_value_is_refused() -> None:
    with pytest.raises(UnreadableDataSet):
        found(element(0x00091101, "OB", b"no items here", length=UNDEFINED) + few())


@both
def test_bytearrays_give_bytes(syntax: str, encoding: Encoding) -> None:
    values = found(bytearray(few(syntax)), encoding)
    assert all(type(value) is bytes for value in values.values())
    assert values == found(few(syntax), encoding)


def test_the_tags_of_these_tests_are_in_the_table() -> None:
    assert (BY_KEYWORD["Modality"].tag, BY_KEYWORD["PatientName"].tag) == (MODALITY, NAME)


FURTHER = 0x00400275
END = element(0x7FE00010, "OB", b"", EXPLICIT)


def further(
    data: Data, encoding: Encoding = EXPLICIT_LITTLE, *, is_complete: bool = True
) -> dict[int, bytes]:
    """Return what is found up to `LAST`, and behind it as far as that is easy."""
    return values_of(
        data,
        encoding,
        WANTED | {FURTHER, FURTHER + 1},
        LAST,
        further_tag=FURTHER + 1,
        is_complete=is_complete,
    )


@both
def test_elements_behind_the_last_tag_are_read_where_they_can_be(syntax: str, encoding: Encoding) -> None:
    last = element(FURTHER, "LO", b"here", syntax)
    beyond = element(0x00400300, "US", b"", syntax) + element(FURTHER + 1, "LO", b"far ", syntax)
    assert further(few(syntax) + last + beyond, encoding) == {
        MODALITY: b"CT",
        NAME: b"Doe^John",
        FURTHER: b"here",
    }


@pytest.mark.parametrize(
    "trouble",
    [
        element(LAST + 1, "OB", b"", length=1_000_000),
        element(LAST + 1, "SQ", b"\xff" * 20, length=UNDEFINED),
        element(LAST + 1, "SQ", nested(100), length=UNDEFINED),
        element(LAST + 1, "OB", bytes(FURTHER_BYTES)),
        element(0x00020010, "UI", b"1.2\0"),
        element(FURTHER, "LO", b"here", length=200),
    ],
)
def test_trouble_behind_the_last_tag_ends_the_search_there(trouble: bytes) -> None:
    behind = element(LAST + 1, "LO", b"", EXPLICIT) + trouble + element(FURTHER + 1, "LO", b"here")
    assert further(few() + behind + END) == {MODALITY: b"CT", NAME: b"Doe^John"}


@pytest.mark.parametrize("size", [10, 1000, FURTHER_BYTES - 100, FURTHER_BYTES + 100, 3 * FURTHER_BYTES])
def test_a_prefix_finds_the_same_or_asks_for_no_more_than_it_looks_at(size: int) -> None:
    large = element(LAST + 1, "OB", bytes(size)) + element(FURTHER, "LO", b"here") + END
    data = few() + large
    whole, needed = further(data), []
    for length in range(0, len(data), 977):
        try:
            assert further(data[:length], is_complete=False) == whole
        except Incomplete as incomplete:
            needed.append((incomplete.needed_bytes, length))
    assert all(asked > length for asked, length in needed)
    assert max(needed)[0] <= len(few()) + FURTHER_BYTES


def test_only_what_is_named_a_sequence_has_items_as_its_value() -> None:
    inner = item(element(MODALITY, "CS", b"MR"))
    data = sequence(MODALITY, inner) + sequence(NAME, inner) + sequence(LAST, inner, undefined=False)
    found_here = values_of(data, EXPLICIT_LITTLE, WANTED, LAST, sequences={MODALITY}, is_complete=True)
    delimiter = element(0xFFFEE0DD, "", b"")
    assert found_here == {MODALITY: inner + delimiter, NAME: b"", LAST: inner}
