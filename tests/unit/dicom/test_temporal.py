"""Dates and times (PS3.5 6.2)."""

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
