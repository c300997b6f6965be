"""Dates and times (PS3.5 6.2)."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacsnode.dicom import temporal

SECOND = 1_000_000


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("20200229", "20200229"),
        ("2020.01.15", "20200115"),  # PS3.5 6.2, DA: the form of ACR-NEMA
        ("20200230", None),
        ("20201301", None),
        ("00000101", None),
        ("2020.0115", None),
        ("2020-01-15", None),
        ("202001", None),
        ("20200115 ", None),
        ("２０２００１１５", None),
        ("", None),
    ],
)
def test_a_date_is_a_day_of_the_calendar(text: str, date: str | None) -> None:
    assert temporal.date(text) == date


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("10", 36_000 * SECOND, 39_600 * SECOND - 1),
        ("1030", 37_800 * SECOND, 37_860 * SECOND - 1),
        ("10:30", 37_800 * SECOND, 37_860 * SECOND - 1),
        ("103005", 37_805 * SECOND, 37_806 * SECOND - 1),
        ("10:30:05.25", 37_805_250_000, 37_805_259_999),
        ("103005.123456", 37_805_123_456, 37_805_123_456),
        ("000000", 0, SECOND - 1),
        ("235960", 86_400 * SECOND, 86_401 * SECOND - 1),  # PS3.5 6.2, TM: a leap second
    ],
)
def test_a_time_covers_what_its_precision_leaves_open(text: str, first: int, last: int) -> None:
    assert temporal.instants(text) == (first, last)


@pytest.mark.parametrize(
    "text", ["", "1", "24", "1060", "103061", "103005.", "103005.1234567", "10:3", "1030 ", "１０"]
)
def test_other_text_is_no_time(text: str) -> None:
    assert temporal.instants(text) is None
    assert temporal.time(text) is None


def test_a_time_loses_only_its_colons() -> None:
    assert temporal.time("10:30:05.25") == "103005.25"
    assert temporal.time("1030") == "1030"


@given(st.text("0123456789.:-", max_size=16))
def test_any_text_is_a_time_with_ordered_instants_or_none(text: str) -> None:
    instants = temporal.instants(text)
    if instants is not None:
        assert 0 <= instants[0] <= instants[1]


@given(st.dates())
def test_every_day_is_a_date(day) -> None:
    assert temporal.date(day.strftime("%Y%m%d").zfill(8)) == day.strftime("%Y%m%d").zfill(8)


@pytest.mark.parametrize(
    ("text", "first", "last", "offset"),
    [
        # PS3.5 6.2, DT: components at the end may be left out, an offset never depends on them
        ("2020", "20200101000000.000000", "20201231235959.999999", None),
        ("202002", "20200201000000.000000", "20200229235959.999999", None),
        ("202012", "20201201000000.000000", "20201231235959.999999", None),
        ("20200115", "20200115000000.000000", "20200115235959.999999", None),
        ("2020011510", "20200115100000.000000", "20200115105959.999999", None),
        ("202001151030", "20200115103000.000000", "20200115103059.999999", None),
        ("20200115103005", "20200115103005.000000", "20200115103005.999999", None),
        ("20200115103005.25", "20200115103005.250000", "20200115103005.259999", None),
        ("20200115103005.123456+0100", "20200115103005.123456", "20200115103005.123456", 60),
        ("2007-0500", "20070101000000.000000", "20071231235959.999999", -300),
        ("9999", "99990101000000.000000", "99991231235959.999999", None),
        ("20200115235960", "20200116000000.000000", "20200116000000.999999", None),  # a leap second
    ],
)
def test_a_date_and_time_covers_what_its_precision_leaves_open(
    text: str, first: str, last: str, offset: int | None
) -> None:
    span = temporal.span(text)
    assert span is not None
    assert (temporal.stamp(span[0]), temporal.stamp(span[1]), span[2]) == (first, last, offset)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "202",
        "20201",
        "20200230",
        "2020011525",
        "20200115103000.",
        "2020011510300",
        "20200115+1401",
        "20200115-1201",
        "20200115+01",
        "20200115 ",
        "２０２０",
        "0000",
    ],
)
def test_other_text_is_no_date_and_time(text: str) -> None:
    assert temporal.span(text) is None


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("+0000", 0), ("-0000", 0), ("+0100", 60), ("-0330", -210), ("+1400", 840), ("-1200", -720)],
)
def test_offsets(text: str, minutes: int) -> None:
    assert temporal.offset(text) == minutes
    assert temporal.offset(temporal.offset_text(minutes)) == minutes


@pytest.mark.parametrize("text", ["", "0100", "+1401", "-1201", "+0160", "+100", "+01:00", "Z", "+０１００"])
def test_other_text_is_no_offset(text: str) -> None:
    assert temporal.offset(text) is None


@given(st.datetimes(), st.integers(-840, 840))
def test_stamps_and_shifts_are_those_of_the_calendar(moment: dt.datetime, minutes: int) -> None:
    text = f"{moment.year:04}" + moment.strftime("%m%d%H%M%S.%f")
    assert temporal.stamp(temporal.of_stamp(text)) == text
    assert temporal.moment(text[:8], text[8:]) == temporal.of_stamp(text)
    try:
        later = moment + dt.timedelta(minutes=minutes)
    except OverflowError:
        return
    expected = f"{later.year:04}" + later.strftime("%m%d%H%M%S.%f")
    assert "".join(temporal.shifted(text[:8], text[8:], minutes)) == expected
    assert temporal.shifted_time(text[8:], minutes) == expected[8:]


def test_a_stamp_stays_in_the_calendar() -> None:
    assert temporal.stamp(-1) == "00010101000000.000000"
    assert temporal.stamp(10**20) == "99991231235959.999999"
    assert temporal.shifted("99991231", "2330", 60)[0] == "99991231"
