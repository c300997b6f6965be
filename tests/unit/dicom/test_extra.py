"""Attributes that a configuration adds: what can be written, and what is said of the rest."""

import pytest

from pacsnode.dicom.attributes import ATTRIBUTES, BY_KEYWORD, Level
from pacsnode.dicom.extra import _LEVEL_OF, VRS, attribute


@pytest.mark.parametrize("written", ["SoftwareVersions", "0018,1020", "(0018,1020)", "00181020"])
def test_a_public_attribute_by_keyword_or_tag(written: str) -> None:
    found = attribute(written, None, None)
    assert (found.tag, found.keyword, found.vr, found.level) == (
        0x00181020,
        "SoftwareVersions",
        "LO",
        Level.SERIES,
    )
    assert found.multi_valued
    assert found.is_extra
    assert not found.creator


@pytest.mark.parametrize(
    ("written", "level", "vr", "expected"),
    [
        ("SliceThickness", None, None, ("DS", Level.IMAGE, False)),
        ("SliceThickness", Level.SERIES, None, ("DS", Level.SERIES, False)),
        ("SliceThickness", Level.SERIES, "DS", ("DS", Level.SERIES, False)),
        ("SequenceVariant", None, None, ("CS", Level.IMAGE, True)),
        ("VisitComments", None, None, ("LT", Level.STUDY, False)),
        ("InsurancePlanIdentification", None, None, ("LO", Level.PATIENT, True)),
        ("SmallestImagePixelValue", None, "US", ("US", Level.IMAGE, False)),
        ("0040,0999", Level.STUDY, "LO", ("LO", Level.STUDY, True)),
        ("0040,0999", Level.STUDY, "LT", ("LT", Level.STUDY, False)),
    ],
)
def test_level_and_representation(
    written: str, level: Level | None, vr: str | None, expected: tuple[str, Level, bool]
) -> None:
    found = attribute(written, level, vr)
    assert (found.vr, found.level, found.multi_valued) == expected


@pytest.mark.parametrize(
    ("written", "vr", "expected"),
    [
        ("0019,xx0C:SIEMENS MR HEADER", None, ("IS", False)),
        ("0019,xx0c:SIEMENS MR HEADER", None, ("IS", False)),
        ("0019,xxF0:NOBODY KNOWS", "SH", ("SH", True)),
        ("0019,xxF0:NOBODY KNOWS: 1.0", "UT", ("UT", False)),
    ],
)
def test_a_private_attribute_by_its_creator(written: str, vr: str | None, expected: tuple[str, bool]) -> None:
    found = attribute(written, Level.SERIES, vr)
    assert (found.vr, found.multi_valued) == expected
    assert found.tag == 0x00190000 | int(written[7:9], 16)
    assert found.creator == written[10:]
    assert found.keyword == f"0019,xx{written[7:9].upper()}:{written[10:]}"


@pytest.mark.parametrize(
    ("written", "level", "vr", "said"),
    [
        ("Nonsense", None, None, "is not an attribute; expected a keyword, a tag GGGG,EEEE"),
        ("", None, None, "is not an attribute"),
        ("0018,10200", None, None, "is not an attribute"),
        ("0019,100C", Level.SERIES, "LO", "is private: expected GGGG,xxEE:CREATOR"),
        ("0019,xx0C", Level.SERIES, "LO", "is not an attribute"),
        ("0019,xx0C:", Level.SERIES, "LO", "is not an attribute"),
        ("0019,xx0C:A'B", Level.SERIES, "LO", "is not an attribute"),
        ('0019,xx0C:A"B', Level.SERIES, "LO", "is not an attribute"),
        ("0019,xx0C:A\\B", Level.SERIES, "LO", "is not an attribute"),
        ("0019,xx0C: A", Level.SERIES, "LO", "without spaces at its ends"),
        ("0018,xx0C:ACME", Level.SERIES, "LO", "expected an odd group from 0009 to 7FDF"),
        ("0007,xx0C:ACME", Level.SERIES, "LO", "expected an odd group from 0009 to 7FDF"),
        ("7FE1,xx0C:ACME", Level.SERIES, "LO", "expected an odd group from 0009 to 7FDF"),
        ("0019,xxF0:NOBODY", None, "LO", "needs a level: patient, study, series or image"),
        ("0019,xxF0:NOBODY", Level.SERIES, None, "is not in the dictionary and needs a vr: AE, AS, CS"),
        ("0019,xx0C:SIEMENS MR HEADER", Level.SERIES, "LO", "has the value representation IS, not LO"),
        ("PatientName", None, None, "is in the index without this, at level PATIENT"),
        ("SpecificCharacterSet", None, None, "steers queries"),
        ("TimezoneOffsetFromUTC", None, None, "steers queries"),
        ("TransferSyntaxUID", None, None, "expected an attribute of the groups 0008 to 7FDE"),
        ("0018,0000", None, None, "cannot be asked for"),
        ("PixelData", Level.IMAGE, None, "cannot be asked for"),
        ("FFFE,E000", Level.IMAGE, "LO", "cannot be asked for"),
        ("RequestedProcedurePriority", None, "LO", "has the value representation SH, not LO"),
        ("ImagingServiceRequestComments", None, None, "needs a level: patient, study, series or image"),
        ("0040,0999", Level.STUDY, None, "needs a vr: AE, AS, CS"),
        ("ReferencedStudySequence", Level.STUDY, None, "has the value representation SQ; expected one of AE"),
        ("ReferencedStudySequence", Level.STUDY, "SQ", "'SQ' is none of the value representations"),
        ("SliceThickness", None, "XX", "'XX' is none of the value representations"),
        ("SmallestImagePixelValue", None, None, "has the value representation US or SS; expected one of"),
        ("RedPaletteColorLookupTableData", None, None, "has the value representation OW; expected one of"),
    ],
)
def test_a_mistake_says_what_is_allowed(written: str, level: Level | None, vr: str | None, said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("(", r"\(")):
        attribute(written, level, vr)


def test_each_attribute_with_a_known_level_can_be_added() -> None:
    for keyword, level in _LEVEL_OF.items():
        vr = "US" if "PixelValue" in keyword else None
        assert attribute(keyword, None, vr).level is level
    assert not _LEVEL_OF.keys() & BY_KEYWORD.keys()


def test_the_table_has_no_representation_that_could_not_be_added() -> None:
    assert {one.vr for one in ATTRIBUTES} - {"SQ"} <= set(VRS)
