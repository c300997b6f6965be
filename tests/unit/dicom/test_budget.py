"""What all keys of a query may ask for together, and what that costs at most."""

import struct
from collections.abc import Mapping

import pytest

from pacsnode.dicom.attributes import BY_KEYWORD, STANDARD, Attribute, Source
from pacsnode.dicom.budget import MAX_COMPARISONS, comparisons
from pacsnode.dicom.identifier import parse
from pacsnode.dicom.query import (
    BASELINE,
    InformationModel,
    Key,
    Matching,
    Options,
    Query,
    SingleValue,
    ValueList,
    Wildcard,
)
from pacsnode.dicom.uid import IMPLICIT_VR_LITTLE_ENDIAN
from pacsnode.errors import InvalidIdentifier
from pacsnode.index.sql import Compiled

MAX_SQL_CHARACTERS = 160_000
EVERYTHING = Options(combined_date_time=True, fuzzy_names=True, timezone_adjustment=True)
ADJUSTED = Options(timezone_adjustment=True)


def query(values: Mapping[str, str], options: Options = BASELINE, *, match_case: bool = True) -> Query:
    """Return the query for IMAGE level with these values."""
    raw = {BY_KEYWORD[keyword].tag: value.encode() for keyword, value in values.items()}
    raw |= {0x00080052: b"IMAGE", 0x00080201: b"+0100"}
    elements = [
        struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value) + len(value) % 2)
        + value
        + b" " * (len(value) % 2)
        for tag, value in sorted(raw.items())
    ]
    return parse(
        b"".join(elements),
        IMPLICIT_VR_LITTLE_ENDIAN,
        InformationModel.PATIENT_ROOT,
        options=options,
        match_case=match_case,
    )


def asked_for(*vrs: str) -> list[Attribute]:
    return [a for a in STANDARD.attributes if a.vr in vrs and a.source is Source.STORED and not a.creator]


FORMS = {
    "name": "n{}*",
    "name without its end": "n{}^*",
    "name in groups": "n{}^*=b^*=c^*",
    "name with many wildcards": "a{}" + "^*" * 32,
}


def several(form: str, number: int) -> str:
    return "\\".join(form.format(at) for at in range(number))


def filled(form: str, attributes: list[Attribute], options: Options, each: int) -> Query:
    """Return the largest query that is accepted, of such values for one attribute after the other."""
    values: dict[str, str] = {}
    found = None
    for attribute in attributes:
        for number in (each, each // 2, each // 4, each // 8, each // 16):
            try:
                found = query(values | {attribute.keyword: several(form, number)}, options)
            except InvalidIdentifier:
                continue
            values[attribute.keyword] = several(form, number)
            break
    assert found is not None
    return query(values, options)


WORST = [
    *(("PN", form, BASELINE, 64) for form in FORMS.values()),
    ("PN", "n{}", BASELINE, 256),
    ("PN", " ".join("w{0}x" + str(at) for at in range(16)), EVERYTHING, 64),
    ("PN", "w{}", EVERYTHING, 64),
    ("TM", "0000{:02d}-2359", ADJUSTED, 60),
    ("DA", "19000101-20{:02d}0101", ADJUSTED, 64),
    ("DT", "19000101-20{:02d}0101", ADJUSTED, 64),
    ("LO", "*w{}*", BASELINE, 64),
    ("CS", "*W{}*", BASELINE, 64),
    ("SH", "w{}*", BASELINE, 64),
    ("IS", "{}", BASELINE, 256),
    ("DS", "{}", BASELINE, 256),
]


@pytest.mark.parametrize("step", [1, -1], ids=["from the patient", "from the image"])
@pytest.mark.parametrize(("vr", "form", "options", "each"), WORST)
def test_the_statement_of_any_query_that_is_accepted_is_short(
    vr: str, form: str, options: Options, each: int, step: int
) -> None:
    found = filled(form, asked_for(vr)[::step], options, each)
    assert sum(map(comparisons, found.keys)) <= MAX_COMPARISONS
    compiled = Compiled(found)
    for driver in (*compiled.drivers, None):
        statement = compiled.located(driver)
        assert len(statement.sql) < MAX_SQL_CHARACTERS
        assert len(statement.parameters) < 4 * MAX_COMPARISONS


def test_more_is_refused_with_what_asks_for_most() -> None:
    wide = {a.keyword: several("a{}" + "^*" * 32, 64) for a in asked_for("PN")}
    with pytest.raises(
        InvalidIdentifier, match=f"more than {MAX_COMPARISONS} comparisons, most for"
    ) as raised:
        query({"PatientID": "a*"} | wide)
    assert raised.value.offending[0] in {a.tag for a in asked_for("PN")}
    assert len(str(raised.value)) <= 64


def test_a_condition_on_each_attribute_is_far_from_it() -> None:
    values = {a.keyword: "1*" for a in asked_for("PN", "LO", "SH", "CS", "ST", "LT", "UT", "UC")}
    values |= {a.keyword: "20200101-20210101" for a in asked_for("DA", "DT")}
    values |= {a.keyword: "10-12" for a in asked_for("TM")} | {a.keyword: "1" for a in asked_for("IS", "DS")}
    assert sum(map(comparisons, query(values, ADJUSTED).keys)) <= MAX_COMPARISONS


@pytest.mark.parametrize(
    ("keyword", "matching", "count"),
    [
        ("StudyDescription", Wildcard("a*b*"), 1),
        ("AccessionNumber", ValueList(tuple(map(str, range(5000)))), 1),
        ("InstanceNumber", ValueList(tuple(map(str, range(100)))), 100),
        ("PatientName", SingleValue("a"), 2),
        ("PatientName", Wildcard("a^*"), 4),
        ("PatientName", SingleValue("a=b=c"), 4),
        ("OtherPatientNames", SingleValue("a"), 3),
    ],
)
def test_comparisons(keyword: str, matching: Matching, count: int) -> None:
    assert comparisons(Key(BY_KEYWORD[keyword], matching)) == count


def test_a_list_of_codes_is_one_whatever_its_length_also_without_case() -> None:
    values = {"AccessionNumber": several("A{}", 36_000)}
    statement = Compiled(query(values, match_case=False))._conditions[0]
    assert len(statement.sql) < 200
