"""Dates, times and their combination as SQL. Pure.

A date is compared as text, if the calendar has it: strftime gives it back after a calculation, which turns February
30 into March. A time is microseconds since midnight, since `105960` and `110000` are the same instant and texts of
different precision do not sort. A date together with its time is a moment as `dicom.temporal` counts it:
microseconds since the beginning of the year 1.
"""

from pacsnode.dicom import matching, temporal
from pacsnode.dicom.query import Moments, Range
from pacsnode.index.fragments import Fragment

_END_OF_TIME = 1 << 40  # microseconds
_LAST_MOMENT = 1 << 62
_BEFORE_YEAR_1 = "1721424.5"  # the Julian day that is day 0 of the year 1


def within(vr: str, value: str, wanted: Range) -> Fragment:
    """Return the condition that a DA, TM or DT lies in a range."""
    if vr == "TM":
        return _time_within(value, wanted)
    if vr == "DT":
        low = matching.utc_span(wanted.low)[0] if wanted.low else None
        high = matching.utc_span(wanted.high)[1] if wanted.high else None
        ends = -1 if low is None else low, _LAST_MOMENT if high is None else high
        return Fragment(f"utc_of({value}) BETWEEN ? AND ?", ends)
    return _dates_between(value, wanted) + Fragment(f" AND {_is_date(value)}")


def _time_within(value: str, wanted: Range) -> Fragment:
    first = temporal.instants(wanted.low) if wanted.low is not None else None
    last = temporal.instants(wanted.high) if wanted.high is not None else None
    ends = first[0] if first else 0, last[1] if last else _END_OF_TIME
    return Fragment(f"{_microseconds(value)} BETWEEN ? AND ?", ends)


def _dates_between(value: str, wanted: Range) -> Fragment:
    first, last = wanted.low and temporal.date(wanted.low), wanted.high and temporal.date(wanted.high)
    return Fragment(f"{value} BETWEEN ? AND ?", (first or "00010101", last or "99991231"))


def between(date: str, time: str, shift: str | None, wanted: Moments) -> Fragment:
    """Return the condition that a date with its time lies between two moments.

    `shift` is the SQL of microseconds, which are added where there is a time.
    """
    low = temporal.of_stamp(wanted.low) if wanted.low else -1
    high = temporal.of_stamp(wanted.high) if wanted.high else _LAST_MOMENT
    day = f"CAST(julianday({_day(date)}) - {_BEFORE_YEAR_1} AS INTEGER) * {temporal.DAY}"
    within_day = _microseconds(time) if shift is None else f"{_microseconds(time)} + {shift}"
    moment = f"{day} + CASE WHEN coalesce({time}, '') = '' THEN 0 ELSE {within_day} END"
    return Fragment(f"CASE WHEN {_is_date(date)} THEN {moment} END BETWEEN ? AND ?", (low, high))


def _day(value: str) -> str:
    return f"substr({value}, 1, 4) || '-' || substr({value}, 5, 2) || '-' || substr({value}, 7, 2)"


def _is_date(value: str) -> str:
    return f"strftime('%Y%m%d', {_day(value)}, '+0 days') = {value} AND {value} >= '00010101'"


def _microseconds(value: str) -> str:
    """Return the SQL of a stored time as microseconds since midnight, NULL if it is none."""
    digits = "[0-2][0-9]", "[0-2][0-9][0-5][0-9]", "[0-2][0-9][0-5][0-9][0-6][0-9]"
    plain = " OR ".join(f"{value} GLOB '{pattern}'" for pattern in digits)
    fraction = f"{value} GLOB '{digits[2]}.[0-9]*' AND substr({value}, 8) NOT GLOB '*[^0-9]*'"
    seconds = f"(substr({value}, 1, 2) * 60 + substr({value}, 3, 2)) * 60 + substr({value}, 5, 2)"
    microseconds = f"({seconds}) * 1000000 + substr(substr({value}, 8) || '000000', 1, 6)"
    is_precise = f"{fraction} AND length({value}) <= 13"
    is_time = f"{value} < '24' AND substr({value}, 5, 2) <= '60' AND ({plain} OR {is_precise})"
    return f"CASE WHEN {is_time} THEN {microseconds} END"
