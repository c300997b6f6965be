"""Dates, times and their combination as SQL. Pure.

A date is compared as text, if the calendar has it: strftime gives it back after a calculation, which turns February
30 into March. A time is microseconds since midnight, since `105960` and `110000` are the same instant and texts of
different precision do not sort. A date together with its time is a moment as `dicom.temporal` counts it:
microseconds since the beginning of the year 1.

What costs more than a comparison of texts is only looked at where the day, as text, is near enough (`near`).
"""

import datetime as dt

from pacsnode.dicom import matching, temporal
from pacsnode.dicom.query import Matching, Moments, Range, SingleValue
from pacsnode.index.fragments import Fragment, after

_END_OF_TIME = 1 << 40  # microseconds
_LAST_MOMENT = 1 << 62
_ZONES_APART = dt.timedelta(days=2)  # offsets go from -1200 to +1400
_LEAP_SECOND = dt.timedelta(days=1)  # 235960 belongs to the next day
_BEFORE_YEAR_1 = "1721424.5"  # the Julian day that is day 0 of the year 1


def day_ends(asked: Matching, timezone: int | None = None) -> tuple[str, str] | None:
    """Return low and high of low <= text < high for the text of every date that can match, None if all can.

    The same holds of a text that begins with the date, such as a DT or `study.moment`. With a time zone the dates are
    those of any zone.
    """
    match asked:
        case SingleValue(day):
            ends: tuple[str | None, str | None] = (day, day)
        case Range(low, high):
            ends = (low and low[:8], high and high[:8])
        case Moments(low, high):
            ends = (_earlier(low and low[:8], _LEAP_SECOND), high and high[:8])
        case _:
            return None
    if any(end and temporal.date(end) != end for end in ends):
        return None
    if timezone is not None:
        ends = _earlier(ends[0], _ZONES_APART), _earlier(ends[1], -_ZONES_APART)
    return ends[0] or "0", after(ends[1] or "9")


def _earlier(day: str | None, by: dt.timedelta) -> str | None:
    """Return an earlier day, None if the calendar has none."""
    if not day or temporal.date(day) is None:
        return day
    try:
        found = dt.date(int(day[:4]), int(day[4:6]), int(day[6:])) - by
    except OverflowError:
        return None
    return f"{found.year:04}{found.month:02}{found.day:02}"


def near(value: str, asked: Matching, timezone: int | None, exact: Fragment) -> Fragment:
    """Return a condition that is only looked at where the text begins with a day that can match."""
    ends = day_ends(asked, timezone)
    if ends is None:
        return exact
    return Fragment(f"CASE WHEN {value} >= ? AND {value} < ? THEN ", ends) + exact + Fragment(" END")


def within(vr: str, value: str, wanted: Range) -> Fragment:
    """Return the condition that a DA, TM or DT lies in a range."""
    if vr == "DT":
        return _utc_within(value, wanted)
    lies = _time_within if vr == "TM" else _date_within
    if "(" not in value:
        return lies(value, wanted)
    # The condition names the value many times: what is no plain column is looked at once only.
    once = Fragment(f"EXISTS (SELECT 1 FROM (SELECT {value} AS value) AS once WHERE ")
    return once + lies("once.value", wanted) + Fragment(")")


def _utc_within(value: str, wanted: Range) -> Fragment:
    low = matching.utc_span(wanted.low)[0] if wanted.low else None
    high = matching.utc_span(wanted.high)[1] if wanted.high else None
    ends = -1 if low is None else low, _LAST_MOMENT if high is None else high
    return Fragment(f"utc_of({value}) BETWEEN ? AND ?", ends)


def _date_within(value: str, wanted: Range) -> Fragment:
    first, last = wanted.low and temporal.date(wanted.low), wanted.high and temporal.date(wanted.high)
    ends = first or "00010101", last or "99991231"
    return Fragment(f"{value} BETWEEN ? AND ? AND {_is_date(value)}", ends)


def _time_within(value: str, wanted: Range) -> Fragment:
    first = temporal.instants(wanted.low) if wanted.low is not None else None
    last = temporal.instants(wanted.high) if wanted.high is not None else None
    ends = first[0] if first else 0, last[1] if last else _END_OF_TIME
    return Fragment(f"{_microseconds(value)} BETWEEN ? AND ?", ends)


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
