"""Dates, times and both together, in SQL as in the oracle."""

import contextlib
from collections.abc import Iterator

import pytest

from pacsnode.dicom.query import Moments, Range
from pacsnode.index.sqlite import SqliteIndex
from tests.unit.index.holding import holds


@pytest.fixture(scope="module")
def index() -> Iterator[SqliteIndex]:
    with contextlib.closing(SqliteIndex()) as index:
        yield index


@pytest.mark.parametrize(
    "stored",
    [
        "20200230",
        "20190229",
        "20201301",
        "00000101",
        "20200100",
        "2020011",
        "202001150",
        "2020",
        "UNKNOWN",
        "99999999",
    ],
)
def test_what_is_no_date_is_in_no_range(index: SqliteIndex, stored: str) -> None:
    for matching in (Range("19000101", None), Range(None, "99991231"), Range("00010101", "99991231")):
        assert not holds(index, "StudyDate", matching, StudyDate=stored)


@pytest.mark.parametrize("stored", ["20200229", "00010101", "99991231", "20200101"])
def test_what_is_a_date_is_in_its_range(index: SqliteIndex, stored: str) -> None:
    assert holds(index, "StudyDate", Range(stored, stored), StudyDate=stored)
    assert holds(index, "StudyDate", Range(stored, None), StudyDate=stored)
    assert holds(index, "StudyDate", Range(None, stored), StudyDate=stored)


@pytest.mark.parametrize(
    "stored",
    ["24", "1060", "103061", "1", "103", "103000.", "103000.1234567", "103000.x", "UNKNOWN", "240000"],
)
def test_what_is_no_time_is_in_no_range(index: SqliteIndex, stored: str) -> None:
    for matching in (Range("00", None), Range(None, "235960"), Range("00", "235960.999999")):
        assert not holds(index, "StudyTime", matching, StudyTime=stored)


@pytest.mark.parametrize(
    ("low", "high", "stored", "found"),
    [
        ("10", None, "10", True),
        ("1030", "1030", "103059.999999", True),
        ("1030", "1030", "1031", False),
        ("11", None, "105960", True),
        (None, "105959", "105960", False),
        (None, "23", "235960", False),
        ("103000.25", "103000.25", "103000.250001", True),
        ("103000.25", "103000.25", "103000.26", False),
        ("103000.25", "103000.25", "103000.25", True),
        ("00", "23", "00", True),
    ],
)
def test_times_are_instants(
    index: SqliteIndex, low: str | None, high: str | None, stored: str, found: bool
) -> None:
    assert holds(index, "StudyTime", Range(low, high), StudyTime=stored) is found


# A date together with its time


@pytest.mark.parametrize(
    ("day", "hour", "found"),
    [
        ("20200115", "103000", True),
        ("20200115", "1029", False),
        ("20200116", "", True),
        ("20200115", "", False),
        ("20200116", "235960", True),
        ("20200117", "093000", True),
        ("20200117", "093000.000001", False),
        ("20200114", "235960", False),
        ("20200116", "UNKNOWN", False),
        ("20200230", "10", False),
        ("", "10", False),
    ],
)
def test_moments_are_between_moments(index: SqliteIndex, day: str, hour: str, found: bool) -> None:
    wanted = Moments("20200115103000.000000", "20200117093000.000000")
    assert holds(index, "StudyDate", wanted, StudyDate=day, StudyTime=hour) is found
    assert holds(index, "ContentDate", wanted, ContentDate=day, ContentTime=hour) is found


def test_a_leap_second_begins_the_next_day(index: SqliteIndex) -> None:
    wanted = Moments("20200116000000.000000", None)
    assert holds(index, "StudyDate", wanted, StudyDate="20200115", StudyTime="235960")
    assert holds(
        index, "StudyDate", Moments(None, "20200115235959.999999"), StudyDate="20200115", StudyTime="235959"
    )


@pytest.mark.parametrize(
    ("zone", "found"), [("+0100", True), ("+0000", False), ("-1200", False), ("+1400", True), ("", False)]
)
def test_moments_are_in_the_requesters_zone(index: SqliteIndex, zone: str, found: bool) -> None:
    stored = {"StudyDate": "20200116", "StudyTime": "0030", "TimezoneOffsetFromUTC": zone}
    last = Moments(None, "20200115235959.999999")
    assert holds(index, "StudyDate", last, timezone=0, **stored) is found
    assert holds(index, "StudyDate", Range(None, "20200115"), timezone=0, **stored) is found
    assert holds(index, "StudyTime", Range("12", None), timezone=0, **stored) is (zone in ("+0100", "-1200"))
    assert not holds(index, "StudyDate", last, **stored)


@pytest.mark.parametrize("day", ["00010101", "00010102", "99991230", "99991231"])
def test_the_ends_of_the_calendar_have_no_neighbours(index: SqliteIndex, day: str) -> None:
    zone = {"StudyDate": day, "StudyTime": "12", "TimezoneOffsetFromUTC": "+0000"}
    assert holds(index, "StudyDate", Range(day, day), timezone=60, **zone)
    assert holds(
        index, "StudyDate", Moments(f"{day}000000.000000", f"{day}235959.999999"), timezone=60, **zone
    )


def test_an_instance_has_the_zone_of_its_series_if_it_has_none(index: SqliteIndex) -> None:
    stored = {"ContentDate": "20200116", "ContentTime": "0030", "TimezoneOffsetFromUTC": "+0100"}
    assert holds(index, "ContentDate", Range(None, "20200115"), timezone=0, **stored)


# DT


@pytest.mark.parametrize(
    ("stored", "found"),
    [
        ("20200115103000", True),
        ("20200115103000+0100", False),
        ("20200115113000+0100", True),
        ("2020", False),
        ("20200116", True),
        ("20200230", False),
        ("UNKNOWN", False),
    ],
)
def test_a_dt_is_in_utc_or_in_the_zone_that_it_names(index: SqliteIndex, stored: str, found: bool) -> None:
    wanted = Range("20200115103000.000000", None)
    assert holds(index, "AcquisitionDateTime", wanted, AcquisitionDateTime=stored) is found


def test_a_dt_without_a_zone_is_in_that_of_its_data_set(index: SqliteIndex) -> None:
    stored = {"AcquisitionDateTime": "20200115113000", "TimezoneOffsetFromUTC": "+0100"}
    wanted = Range("20200115103000.000000", "20200115103000.000000")
    assert holds(index, "AcquisitionDateTime", wanted, timezone=-300, **stored)
    assert not holds(index, "AcquisitionDateTime", wanted, **stored)
