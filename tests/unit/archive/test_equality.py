"""Two arrivals are the same instance: what is not shown to be equal counts as different."""

import zlib
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pacsnode.archive.equality import is_comparable, same_bytes, same_elements
from pacsnode.dicom.uid import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)
from pacsnode.storage.memory import BytesReadable
from tests.factories import JPEG_LOSSLESS, Sample, element, padded
from tests.unit.dicom import headers

EXPLICIT, IMPLICIT, BIG = EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN
DEFLATED = DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN


def in_syntax(sample: Sample, syntax: str) -> bytes:
    """Return a Part 10 file of the same content in another transfer syntax."""
    if syntax == DEFLATED:
        plain = replace(sample, transfer_syntax=EXPLICIT)
        meta = replace(sample, transfer_syntax=DEFLATED)
        compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        return meta.file[: -len(plain.data_set)] + compressor.compress(plain.data_set) + compressor.flush()
    if syntax == BIG:
        words = b"".join(sample.words[at : at + 2][::-1] for at in range(0, len(sample.words), 2))
        return replace(sample, transfer_syntax=BIG, words=words).file
    return replace(sample, transfer_syntax=syntax).file


def are_same(first: bytes, second: bytes) -> bool:
    answers = {
        same_elements(BytesReadable(a), BytesReadable(b)) for a, b in ((first, second), (second, first))
    }
    assert len(answers) == 1, "equality has no direction"
    return answers.pop()


def file_of(data_set: bytes, syntax: str) -> bytes:
    sample = Sample(transfer_syntax=syntax)
    return sample.file[: -len(sample.data_set)] + data_set


@given(first=st.binary(max_size=40), second=st.binary(max_size=40), length=st.integers(0, 40))
@example(b"meta-a" + b"data", b"other meta" + b"data", 4)
@example(b"data", b"dbta", 4)
def test_same_bytes_compares_data_sets_alone(first: bytes, second: bytes, length: int) -> None:
    length = min(length, len(first), len(second))
    expected = first[len(first) - length :] == second[len(second) - length :]
    assert same_bytes(BytesReadable(first), BytesReadable(second), length) is expected


@pytest.mark.parametrize("first", [EXPLICIT, IMPLICIT, BIG, DEFLATED])
@pytest.mark.parametrize("second", [EXPLICIT, IMPLICIT, BIG, DEFLATED])
def test_equal_elements_are_the_same_instance_in_whatever_syntax(first: str, second: str) -> None:
    sample = Sample(more=((0x00280010, "US", b"\x02\x00"),), comment="follow-up")
    files = []
    for syntax in (first, second):
        rows = b"\x00\x02" if syntax == BIG else b"\x02\x00"
        files.append(in_syntax(replace(sample, more=((0x00280010, "US", rows),)), syntax))
    assert is_comparable(first, second, len(files[0]))
    assert are_same(*files)


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG, DEFLATED])
@pytest.mark.parametrize(
    "other",
    [
        Sample(comment="corrected"),
        Sample(words=b"\x01\x02\x03\x05"),
        Sample(words=b"\x01\x02"),
        Sample(more=((0x00100010, "PN", b"EIGHT^PAT "),)),
        Sample(more=((0x00091001, "LO", b"private "),)),
    ],
)
def test_other_elements_are_another_instance(syntax: str, other: Sample) -> None:
    assert not are_same(in_syntax(Sample(), EXPLICIT), in_syntax(other, syntax))


def test_words_that_were_not_turned_round_are_another_instance() -> None:
    """The same bytes of OW in Big Endian are other pixels: a Success would lose them."""
    wrong = replace(Sample(), transfer_syntax=BIG).file
    assert not are_same(Sample().file, wrong)


def test_pixels_of_8_bits_are_the_same_as_ob_and_ow() -> None:
    """Implicit VR has OW where Explicit VR may have OB (PS3.5 A.1, A.2)."""
    cells = ((0x00280100, "US", b"\x08\x00"), (0x00280103, "US", b"\0\0"), (0x7FE00010, "OB", b"\1\2\3\4"))
    assert are_same(Sample(more=cells).file, replace(Sample(more=cells), transfer_syntax=IMPLICIT).file)


def test_group_lengths_and_trailing_padding_do_not_count() -> None:
    plain = Sample()
    more = ((0x00080000, "UL", b"\x10\0\0\0"), (0xFFFCFFFC, "OB", bytes(20)))
    assert are_same(replace(plain, transfer_syntax=IMPLICIT).file, replace(plain, more=more).file)


def test_sequences_count() -> None:
    def with_code(meaning: bytes, syntax: str) -> bytes:
        inner = headers.element(0x00080104, "LO", meaning, syntax)
        items = headers.sequence(0x00081140, headers.item(inner, syntax), syntax, undefined=False)
        return file_of(headers.data_set(syntax=syntax, raw={0x00081140: items}), syntax)

    assert are_same(with_code(b"same", EXPLICIT), with_code(b"same", IMPLICIT))
    assert are_same(with_code(b"same", EXPLICIT), with_code(b"same", BIG))
    assert not are_same(with_code(b"same", EXPLICIT), with_code(b"else", IMPLICIT))


def test_unknown_bytes_in_another_order_are_not_shown_to_be_equal() -> None:
    private = ((0x00090010, "LO", b"ACME"), (0x00091001, "UN", b"\1\2"))
    files = [file_of(_with(private, syntax), syntax) for syntax in (EXPLICIT, BIG)]
    assert not are_same(*files)
    assert are_same(files[0], replace(Sample(more=private)).file)


def _with(more: tuple[tuple[int, str, bytes], ...], syntax: str) -> bytes:
    words = b"\x02\x01\x04\x03" if syntax == BIG else b"\x01\x02\x03\x04"
    return replace(Sample(more=more, words=words), transfer_syntax=syntax).data_set


@pytest.mark.parametrize(
    ("first", "second", "longest", "expected"),
    [
        (EXPLICIT, IMPLICIT, 1000, True),
        (EXPLICIT, BIG, 1000, True),
        (EXPLICIT, DEFLATED, 1000, True),
        (EXPLICIT, JPEG_LOSSLESS, 1000, False),
        (JPEG_LOSSLESS, IMPLICIT, 1000, False),
        (EXPLICIT, IMPLICIT, 1 << 30, False),
        (EXPLICIT, "1.2.840.10008.1.2.4.999", 1000, False),
    ],
)
def test_what_can_be_compared(first: str, second: str, longest: int, expected: bool) -> None:
    assert is_comparable(first, second, longest) is expected


def test_a_deflate_bomb_is_not_unpacked() -> None:
    """Its file is short; what it would become is not."""
    compressor = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    bomb = compressor.compress(Sample().data_set[:-12])
    for _ in range(300):
        bomb += compressor.compress(bytes(1 << 20))
    bomb += compressor.flush()
    assert len(bomb) < 1 << 20
    assert not are_same(file_of(bomb, DEFLATED), Sample().file)


@given(
    data=st.one_of(
        st.binary(max_size=200),
        st.lists(st.tuples(st.integers(0), st.integers(0, 8), st.binary(max_size=8)), min_size=1, max_size=4),
    ),
    syntax=st.sampled_from([EXPLICIT, IMPLICIT, BIG, DEFLATED]),
)
@example(b"\xff" * 20, DEFLATED)
def test_what_cannot_be_decoded_is_different_and_raises_nothing(
    data: bytes | list[headers.Mutation], syntax: str
) -> None:
    good = in_syntax(Sample(comment="a"), syntax)
    bad = file_of(data, syntax) if isinstance(data, bytes) else headers.mutated(good, data)
    answer = same_elements(BytesReadable(bad), BytesReadable(in_syntax(Sample(comment="b"), EXPLICIT)))
    assert isinstance(answer, bool)


def test_the_meta_is_not_compared() -> None:
    other = Sample().file.replace(b"CT1 ", b"CT2 ", 1)
    assert other != Sample().file
    assert are_same(other, replace(Sample(), transfer_syntax=IMPLICIT).file)


def test_elements_of_factories_are_those_of_the_standard() -> None:
    assert element(0x00080018, "UI", padded("1.2.3")) == b"\x08\0\x18\0UI\x06\x001.2.3\0"
