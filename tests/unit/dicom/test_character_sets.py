"""The Defined Terms, how they are misspelt, and what several of them come to."""

import pytest
from pydicom.charset import CODES_TO_ENCODINGS, python_encoding

from pacsnode.dicom.character_sets import (
    AS_SAID,
    ASCII,
    DESIGNATIONS,
    ROMAJI,
    WITH_CODE_EXTENSIONS,
    WITHOUT_CODE_EXTENSIONS,
    CharacterSetRule,
    are_defined,
    repertoire,
)
from tests.character_sets import REPERTOIRES


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("ISO IR 100", "ISO_IR 100"),
        ("ISO_IR 192 ", "ISO_IR 192"),
        ("iso_ir_192", "ISO_IR 192"),
        ("ISO-IR 101", "ISO_IR 101"),
        ("ISO_IR192", "ISO_IR 192"),
        ("UTF-8", "ISO_IR 192"),
        ("utf8", "ISO_IR 192"),
        ("ISO 2022 IR 192", "ISO_IR 192"),
        ("ISO2022 IR 87", "ISO 2022 IR 87"),
        ("ISO_2022_IR_87", "ISO 2022 IR 87"),
        ("ISO_IR 87", "ISO 2022 IR 87"),
        ("ISO_IR 149", "ISO 2022 IR 149"),
        ("ISO_IR 58", "ISO 2022 IR 58"),
        ("ISO 8859-1", "ISO_IR 100"),
        ("ISO_8859-5", "ISO_IR 144"),
        ("ISO 8859-15", "ISO_IR 203"),
        ("gb18030", "GB18030"),
        ("GB2312", "GBK"),
        ("ISO 2022 GBK", "GBK"),
        ("ISO_IR 6", ""),
        ("ISO_IR 100\0", "ISO_IR 100"),
        ("ISO_IR 999", ""),
        ("ISO_IR 9999", ""),
        ("punycode", ""),
        ("zip", ""),
        ("idna", ""),
        ("ISO_IR 000100", ""),
        ("x" * 100_000, ""),
        ("ISO_IR 100" + " " * 100_000 + "x", "ISO_IR 100"),
    ],
)
def test_misspelt_terms_are_understood_and_unknown_ones_the_default(said: str, meant: str) -> None:
    assert repertoire((said,)) == repertoire((meant,))


def test_a_set_that_stands_alone_allows_no_others() -> None:
    assert repertoire(("ISO_IR 192", "ISO 2022 IR 87")) == repertoire(("ISO_IR 192",))
    assert repertoire(("", "ISO_IR 192", "ISO 2022 IR 87")) == repertoire(("", "ISO 2022 IR 87"))
    assert repertoire(("ISO_IR 192",)).is_stand_alone
    assert not repertoire(("ISO_IR 100",)).is_stand_alone


@pytest.mark.parametrize(
    "sets", [(), ("",), ("ISO_IR 6",), ("ISO 2022 IR 6",), ("x",), ("", "ISO 2022 IR 6")]
)
def test_the_default_repertoire(sets: tuple[str, ...]) -> None:
    assert repertoire(sets).is_default


@pytest.mark.parametrize("sets", [("ISO_IR 13",), ("ISO_IR 100",), ("", "ISO 2022 IR 87"), ("GBK",)])
def test_what_is_not_the_default_repertoire(sets: tuple[str, ...]) -> None:
    assert not repertoire(sets).is_default


@pytest.mark.parametrize(
    "term", sorted(WITH_CODE_EXTENSIONS - {f"ISO 2022 IR {n}" for n in (58, 87, 149, 159)})
)
def test_a_term_of_both_kinds_means_the_same(term: str) -> None:
    assert repertoire((term,)) == repertoire((term.replace("ISO 2022 IR", "ISO_IR"),))


def test_value_1_is_never_a_set_of_two_bytes_in_g0() -> None:
    assert repertoire(("ISO 2022 IR 87",)).g0 is ASCII
    assert repertoire(("ISO 2022 IR 13", "ISO 2022 IR 87")).g0 is ROMAJI


def test_the_escape_sequences_are_pydicoms_and_that_of_latin_9() -> None:
    assert set(CODES_TO_ENCODINGS) | {b"\x1b-b"} <= set(DESIGNATIONS)
    extra = {b"\x1b-b", b"\x1b$@", b"\x1b$(B", b"\x1b(I", b"\x1b$A", b"\x1b$(C"}
    assert set(DESIGNATIONS) - set(CODES_TO_ENCODINGS) == extra


def test_all_terms_are_there() -> None:
    said = {name for name in python_encoding if name and name not in ("ISO 2022 GBK", "ISO 2022 58")}
    assert said | {"ISO_IR 203", "ISO 2022 IR 203"} == WITHOUT_CODE_EXTENSIONS | WITH_CODE_EXTENSIONS


@pytest.mark.parametrize("sets", [(), ("",), ("ISO_IR 6",), *REPERTOIRES])
def test_what_the_standard_defines(sets: tuple[str, ...]) -> None:
    assert are_defined(sets)


@pytest.mark.parametrize(
    "sets",
    [
        ("UTF8",),
        ("ISO IR 100",),
        ("ISO_IR 100 ",),
        ("ISO_IR 87",),
        ("ISO_IR 100", ""),
        ("ISO_IR 192", "ISO 2022 IR 87"),
        ("", "GBK"),
        ("", "ISO 2022 IR 192"),
        ("", ""),
    ],
)
def test_what_it_does_not_define(sets: tuple[str, ...]) -> None:
    assert not are_defined(sets)


def test_who_says_nothing_is_given_the_default_and_who_lies_is_overridden() -> None:
    latin, greek, cyrillic = ("ISO_IR 100",), ("ISO_IR 126",), ("ISO_IR 144",)
    assert (AS_SAID.applied(()), AS_SAID.applied(greek)) == ((), greek)
    default = CharacterSetRule(default=latin)
    assert (default.applied(()), default.applied(greek)) == (latin, greek)
    override = CharacterSetRule(cyrillic, latin)
    assert (override.applied(()), override.applied(greek)) == (cyrillic, cyrillic)
