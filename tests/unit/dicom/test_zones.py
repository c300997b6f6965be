"""Time zone query adjustment (PS3.4 C.2.2.2, C.2.2.2.1.3; PS3.3 C.12.1.1.8)."""

import pytest

from pacsnode.dicom.attributes import BY_KEYWORD, Level
from pacsnode.dicom.zones import local, shift, zone_keyword

STUDY, SERIES, IMAGE = (zone_keyword(level) for level in (Level.STUDY, Level.SERIES, Level.IMAGE))


def seen(keyword: str, timezone: int | None, **record: str) -> str | None:
    return local(BY_KEYWORD[keyword], record, timezone)


@pytest.mark.parametrize(
    ("timezone", "zone", "date", "time"),
    [
        (None, "+0000", "20200115", "2330"),  # not negotiated, or no offset in the request
        (0, "+0000", "20200115", "2330"),
        (60, "+0100", "20200115", "2330"),
        (60, "+0000", "20200116", "003000.000000"),
        (-60, "+0000", "20200115", "223000.000000"),
        (60, "-0500", "20200116", "053000.000000"),
        (-300, "+0530", "20200115", "130000.000000"),
        (840, "-1200", "20200117", "013000.000000"),
        # a zone that is not known, or none, is the requester's
        (60, "", "20200115", "2330"),
        (60, "EST", "20200115", "2330"),
        (60, "+1500", "20200115", "2330"),
    ],
)
def test_a_date_goes_with_its_time(timezone: int | None, zone: str, date: str, time: str) -> None:
    record = {"StudyDate": "20200115", "StudyTime": "2330", STUDY: zone}
    assert seen("StudyDate", timezone, **record) == date
    assert seen("StudyTime", timezone, **record) == time


def test_a_date_without_a_time_stays_and_a_time_without_a_date_goes_round() -> None:
    assert seen("StudyDate", 600, StudyDate="20200115", **{STUDY: "+0000"}) == "20200115"
    assert seen("StudyTime", 600, StudyTime="2330", **{STUDY: "+0000"}) == "093000.000000"
    assert seen("StudyTime", -60, StudyTime="0030", **{STUDY: "+0000"}) == "233000.000000"


@pytest.mark.parametrize("garbage", ["UNKNOWN", "25", "20200230"])
def test_garbage_stays(garbage: str) -> None:
    record = {"StudyDate": garbage, "StudyTime": garbage, STUDY: "+0000"}
    assert seen("StudyDate", 60, **record) == garbage
    assert seen("StudyTime", 60, **record) == garbage
    assert seen("StudyDate", 60, StudyDate="20200115", StudyTime=garbage, **{STUDY: "+0000"}) == "20200115"


def test_each_level_has_its_zone() -> None:
    record = {
        STUDY: "+0000",
        SERIES: "+0100",
        IMAGE: "+0200",
        "StudyTime": "10",
        "SeriesTime": "10",
        "ContentTime": "10",
    }
    assert seen("StudyTime", 180, **record) == "130000.000000"
    assert seen("SeriesTime", 180, **record) == "120000.000000"
    assert seen("ContentTime", 180, **record) == "110000.000000"
    assert shift(Level.SERIES, record, 180) == 120


def test_an_instance_without_a_zone_has_that_of_its_series_and_a_series_none_of_its_study() -> None:
    assert seen("ContentTime", 120, ContentTime="10", **{SERIES: "+0100", IMAGE: ""}) == "110000.000000"
    assert seen("ContentTime", 120, ContentTime="10", **{SERIES: "+0100", IMAGE: "EST"}) == "10"
    assert seen("SeriesTime", 120, SeriesTime="10", **{STUDY: "+0100"}) == "10"


def test_patients_are_not_adjusted() -> None:
    record = {"PatientBirthDate": "19600101", "PatientBirthTime": "2330", STUDY: "+0000"}
    assert seen("PatientBirthDate", 60, **record) == "19600101"
    assert seen("PatientBirthTime", 60, **record) == "2330"


def test_other_attributes_and_absent_ones_are_as_they_are() -> None:
    assert seen("StudyID", 60, StudyID="1030", **{STUDY: "+0000"}) == "1030"
    assert seen("StudyDate", 60, **{STUDY: "+0000"}) is None


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("20200115103000", "+0100", "20200115103000+0100"),
        ("20200115103000", "", "20200115103000-0300"),  # unknown: the requester's
        ("20200115103000+0530", "+0100", "20200115103000+0530"),
        ("UNKNOWN", "+0100", "UNKNOWN"),
    ],
)
def test_a_date_and_time_names_a_zone(text: str, zone: str, expected: str) -> None:
    record = {"AcquisitionDateTime": text, SERIES: zone}
    assert seen("AcquisitionDateTime", -180, **record) == expected
    assert seen("AcquisitionDateTime", None, **record) == text
