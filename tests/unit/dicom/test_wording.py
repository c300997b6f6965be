"""Queries in words: each rule has them, and without values they name nobody."""

from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given

from pacsnode.dicom.attributes import BY_KEYWORD, Attribute, KeyType, Level
from pacsnode.dicom.query import (
    AllOf,
    AnyOf,
    Empty,
    InformationModel,
    Items,
    Key,
    Matching,
    Moments,
    Options,
    Query,
    Range,
    SingleValue,
    ValueList,
    Wildcard,
    Words,
)
from pacsnode.dicom.wording import OPTION_NAMES, in_words, meaning
from tests.factories_query import queries

COUNT = BY_KEYWORD["NumberOfStudyRelatedSeries"]
NAME, DATE, TIME, MODALITIES, WEIGHT, UID = (
    BY_KEYWORD[keyword]
    for keyword in (
        "PatientName",
        "StudyDate",
        "StudyTime",
        "ModalitiesInStudy",
        "PatientWeight",
        "StudyInstanceUID",
    )
)
STEP = Attribute(0x00400009, "ScheduledProcedureStepID", "SH", Level.SERIES, KeyType.OPTIONAL)
REQUEST = replace(
    BY_KEYWORD["SeriesDescription"], keyword="RequestAttributesSequence", vr="SQ", items=(STEP,)
)

SAID: tuple[tuple[Key, str, str], ...] = (
    (
        Key(NAME, Wildcard("DOE*")),
        'wild card matching: whatever case and accents, "DOE*"',
        "wild card matching: whatever case and accents, (4 characters)",
    ),
    (Key(WEIGHT, SingleValue("7")), 'single value matching: as a number, "7"', "(1 character)"),
    (
        Key(UID, ValueList(("1.2", "1.3"))),
        'list of UID matching: any of "1.2", "1.3"',
        'list of UID matching: any of "1.2", "1.3"',
    ),
    (Key(MODALITIES, ValueList(("CT", "MR"))), 'several values: any of "CT", "MR"', "(2 characters), (2"),
    (Key(DATE, Range("20200101", None)), 'range matching: "20200101" or later', "(8 characters) or later"),
    (Key(DATE, Range(None, "20200101")), 'range matching: until "20200101"', "until (8 characters)"),
    (Key(TIME, Range("10", "11")), 'range matching: "10" to "11"', "(2 characters) to (2 characters)"),
    (Key(TIME, Range("10", "10")), 'range matching: within "10"', "within (2 characters)"),
    (
        Key(DATE, Moments("20200101100000.000000", None)),
        'combined date-time matching: "20200101100000.000000" or later',
        "(21 characters) or later",
    ),
    (
        Key(NAME, Words(("john", "do"))),
        'fuzzy matching: words of the name that begin with "john" and "do", in any order',
        "begin with (4 characters) and (2 characters)",
    ),
    (Key(NAME, Empty()), "empty value matching: absent, or without a value", "absent"),
    (
        Key(MODALITIES, AnyOf((Wildcard("C*"), SingleValue("MR")))),
        'any of: wild card matching: "C*"; single value matching: "MR"',
        "any of: wild card matching: (2 characters);",
    ),
    (
        Key(MODALITIES, AllOf((SingleValue("CT"), SingleValue("MR")))),
        'multiple value matching: some value for each of: single value matching: "CT"; ',
        "some value for each of: single value matching: (2 characters);",
    ),
    (
        Key(REQUEST, Items((Key(STEP, SingleValue("S1")),))),
        'sequence matching: one item with ScheduledProcedureStepID by single value matching: "S1"',
        "by single value matching: (2 characters)",
    ),
)


@pytest.mark.parametrize(("key", "with_values", "without"), SAID)
def test_each_rule_has_its_words(key: Key, with_values: str, without: str) -> None:
    assert with_values in meaning(key, with_values=True)
    assert without in meaning(key, with_values=False)


def test_no_rule_is_left_out() -> None:
    assert {type(key.matching) for key, _, _ in SAID} == set(get_args(Matching))


@given(queries())
def test_without_values_nothing_that_was_sent_is_said(query: Query) -> None:
    """Words of the rules themselves are of letters; what a person could be called is marked here."""
    canary = "\N{SNOWMAN}"
    keys = (*query.keys, Key(NAME, Wildcard(f"{canary}*")), Key(MODALITIES, ValueList((canary, "MR"))))
    said = " ".join(text for _, text in in_words(replace(query, keys=keys), with_values=False))
    assert canary not in said
    assert canary in " ".join(text for _, text in in_words(replace(query, keys=keys), with_values=True))


def test_what_is_only_shown_and_what_is_said_of_the_whole() -> None:
    query = Query(
        InformationModel.STUDY_ROOT,
        Level.SERIES,
        (Key(NAME, SingleValue("A")),),
        returned=(NAME, DATE, COUNT),
        unsupported=(0x00180050, *range(0x00190001, 0x00190010)),
        unsupported_items=(0x00400275,),
        unmatched=(COUNT.tag,),
        character_sets=("", "ISO 2022 IR 87"),
        is_relational=True,
        visibility=(),
        options=Options(fuzzy_names=True, timezone_adjustment=True),
        timezone=-330,
    )
    said = list(in_words(query, with_values=True))
    assert ("StudyDate", "universal matching: shown, whatever its value") in said
    assert (COUNT.keyword, "not supported for matching (0xFF01): shown, whatever its value") in said
    assert [text for attribute, text in said if not attribute] == [
        (
            "not supported, so left out (0xFF01): (0018,0050), (0019,0001), (0019,0002), (0019,0003), "
            "(0019,0004), (0019,0005), (0019,0006), (0019,0007) and 8 more"
        ),
        "not all keys in the item are supported, the others are left out (0xFF01): (0040,0275)",
        "a unique key above the level is missing: all that lies above is searched (relational query)",
        "negotiated: fuzzy matching of person names, timezone adjustment",
        "times are the requester's, -05:30 from UTC",
        "asked in the default repertoire and ISO 2022 IR 87",
        "only what this requester sees (sees)",
    ]


def test_long_values_and_lists_are_cut() -> None:
    said = meaning(Key(NAME, SingleValue("x" * 1000)), with_values=True)
    assert said.endswith('x" and 920 characters more')
    listed = meaning(Key(UID, ValueList(tuple(f"1.2.{n}" for n in range(1000)))), with_values=False)
    assert listed.endswith('"1.2.7" and 992 more')
    either = meaning(Key(NAME, AnyOf(tuple(Wildcard(f"{n}*") for n in range(64)))), with_values=False)
    assert either.endswith("and 56 more")


def test_each_option_has_a_name() -> None:
    assert set(OPTION_NAMES) == set(Options.__dataclass_fields__)


def test_a_character_set_is_named_only_if_it_is_one() -> None:
    query = Query(InformationModel.STUDY_ROOT, Level.STUDY, (), (), character_sets=("DOE^JOHN",))
    ((_, said),) = in_words(query, with_values=False)
    assert said == "asked in a character set that the Standard does not define, read as well as it can be"
