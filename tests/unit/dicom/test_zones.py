"""Time zone query adjustment (PS3.4 C.2.2.2, C.2.2.2.1.3; PS3.3 C.12.1.1.8)."""

import pytest

from pacsnode.dicom.attributes import BY_KEYWORD, Level
from pacsnode.dicom.query import InformationModel, Query
from pacsnode.dicom.temporal import shifted_time
from pacsnode.dicom.zones import Zoned, local, shift, zone_keyword

STUDY, SERIES, IMAGE = (zone_keyword(level) for level in (Level.STUDY, Level.SERIES, Level.IMAGE))


def seen(keyword: str, timezone: int | None, **record: str) -> str | None:
    return local(BY_KEYWORD[keyword], record, timezone)


@pytest.mark.parametrize(
    ("timezone", "zone", "date", "time"),
    [
        (None, "+0000", "20200115", "2330"),  # not negotiated, or no offset in the request
        (0, "+0000", "20200115", "2330"),
        (60, "+0100", "20200115", "2330"),
        (60, "+0000", "20200116", "0030"),
        (-60, "+0000", "20200115", "2230"),
        (60, "-0500", "20200116", "0530"),
        (-300, "+0530", "20200115", "1300"),
        (840, "-1200", "20200117", "0130"),
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
    assert seen("StudyTime", 600, StudyTime="2330", **{STUDY: "+0000"}) == "0930"
    assert seen("StudyTime", -60, StudyTime="0030", **{STUDY: "+0000"}) == "2330"


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
    assert seen("StudyTime", 180, **record) == "13"
    assert seen("SeriesTime", 180, **record) == "12"
    assert seen("ContentTime", 180, **record) == "11"
    assert shift(Level.SERIES, record, 180) == 120


def test_an_instance_without_a_zone_has_that_of_its_series_and_a_series_none_of_its_study() -> None:
    assert seen("ContentTime", 120, ContentTime="10", **{SERIES: "+0100", IMAGE: ""}) == "11"
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


@pytest.mark.parametrize(
    ("text", "minutes", "expected"),
    [
        ("10", 60, "11"),
        ("10", 30, "1030"),
        ("1030", 60, "1130"),
        ("103005", 30, "110005"),
        ("103005.25", -60, "093005.25"),
        ("235960", 60, "010000"),
        ("10", 0, "10"),
    ],
)
def test_a_time_keeps_its_precision(text: str, minutes: int, expected: str) -> None:
    assert shifted_time(text, minutes) == expected


# Answers (C.4.1.1.3.2)


def query_of(*keywords: str, timezone: int | None) -> Query:
    returned = tuple(BY_KEYWORD[keyword] for keyword in keywords)
    return Query(InformationModel.STUDY_ROOT, Level.IMAGE, keys=(), returned=returned, timezone=timezone)


def test_a_row_is_brought_into_the_requesters_zone() -> None:
    zoned = Zoned(query_of("StudyDate", "ContentDate", "ContentTime", "StudyID", timezone=60))
    assert [(one.keyword, one.level) for one in zoned.query.returned[4:]] == [
        ("StudyTime", Level.STUDY),
        ("TimezoneOffsetFromUTC", Level.STUDY),
        ("TimezoneOffsetFromUTC", Level.SERIES),
        ("TimezoneOffsetFromUTC", Level.IMAGE),
    ]
    row = ("20200115", "20200115", "1000", "S1", "2330", "+0000", "+0100", "-0500", "ISO_IR 100")
    assert zoned.row(row) == ("20200116", "20200115", "1600", "S1", "ISO_IR 100")
    without = (None, "20200115", "1000", None, None, None, "+0000", None, None)
    assert zoned.row(without) == (None, "20200115", "1100", None, None)


@pytest.mark.parametrize(
    "query",
    [
        query_of("StudyDate", "StudyTime", timezone=None),
        query_of("PatientBirthDate", "PatientBirthTime", "StudyID", timezone=60),
        query_of(timezone=60),
    ],
)
def test_where_no_time_is_answered_a_row_is_as_it_is(query: Query) -> None:
    zoned = Zoned(query)
    assert zoned.query == query
    row = ("a", "b", "c", None)
    assert zoned.row(row) is row
