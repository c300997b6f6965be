"""Dates and times as PS3.5 6.2 writes them (DA, TM, DT), read once for queries, matching and the index.

Nothing here raises: text that is no date or time is `None`. Where dates and times are calculated with they are
moments: microseconds since the beginning of the year 1. A day has as many as a day without a leap second, so
that `235960` is the first instant of the next day.
"""

import datetime as dt
import re

_DATE = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})|([0-9]{4})\.([0-9]{2})\.([0-9]{2})", re.ASCII)
_TIME = re.compile(r"([0-9]{2})(?::?([0-9]{2})(?::?([0-9]{2})(?:\.([0-9]{1,6}))?)?)?", re.ASCII)
_DATE_TIME = re.compile(
    r"([0-9]{4})(?:([0-9]{2})(?:([0-9]{2})(?:([0-9]{2}(?:[0-9]{2}(?:[0-9]{2}(?:\.[0-9]{1,6})?)?)?))?)?)?"
    r"([+-][0-9]{4})?",
    re.ASCII,
)
_OFFSET = re.compile(r"([+-])([0-9]{2})([0-9]{2})", re.ASCII)

SECOND = 1_000_000
MINUTE = 60 * SECOND
DAY = 86_400 * SECOND
_LAST = (23, 59, 60)  # PS3.5 6.2 TM allows a leap second
_FIRST_OFFSET, _LAST_OFFSET = -12 * 60, 14 * 60  # PS3.5 6.2, DT
_LAST_MOMENT = (dt.date.max.toordinal() + 1) * DAY - 1


def date(text: str) -> str | None:
    """Return a date of the calendar as `YYYYMMDD`; the retired form `2020.01.15` is accepted."""
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    year, month, day = filter(None, found.groups())
    return f"{year}{month}{day}" if _day(year, month, day) is not None else None


def time(text: str) -> str | None:
    """Return a time of day in its own precision without colons: `10`, `1030`, `103000.25`."""
    return text.replace(":", "") if instants(text) is not None else None


def instants(text: str) -> tuple[int, int] | None:
    """Return the first and the last microsecond since midnight that a time of any precision can mean."""
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    hour, minute, second, fraction = found.groups()
    numbers = [int(part or 0) for part in (hour, minute, second)]
    if any(number > last for number, last in zip(numbers, _LAST, strict=True)):
        return None
    first = ((numbers[0] * 60 + numbers[1]) * 60 + numbers[2]) * SECOND + int((fraction or "0").ljust(6, "0"))
    return first, first + _precision(minute, second, fraction) - 1


def offset(text: str) -> int | None:
    """Return an offset from UTC, `+0100` or `-0330`, in minutes (PS3.3 C.12.1.1.8, PS3.5 6.2)."""
    found = _OFFSET.fullmatch(text)
    if found is None:
        return None
    minutes = int(found[1] + "1") * (int(found[2]) * 60 + int(found[3]))
    return minutes if int(found[3]) < 60 and _FIRST_OFFSET <= minutes <= _LAST_OFFSET else None


def offset_text(minutes: int) -> str:
    """Return minutes east of UTC as an offset: `+0100`, `-0330`."""
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}{abs(minutes) % 60:02}"


def span(text: str) -> tuple[int, int, int | None] | None:
    """Return the first and last moment that a DT of any precision can mean, as written, and its offset.

    The offset is in minutes, None if there is none; the moments do not regard it.
    """
    found = _DATE_TIME.fullmatch(text)
    if found is None:
        return None
    year, month, day, clock, zone = found.groups()
    minutes = offset(zone) if zone else None
    start = _day(year, month or "01", day or "01")
    within = instants(clock) if clock else (0, DAY - 1)
    if start is None or within is None or (zone and minutes is None):
        return None
    last = start + within[1] if day else _end(int(year), int(month) if month else 12)
    return start + within[0], last, minutes


def moment(date: str, time: str | None) -> int | None:
    """Return the first moment of a stored date and time; without a time, that of the day."""
    found = _DATE.fullmatch(date)
    day = _day(*filter(None, found.groups())) if found else None
    within = instants(time) if time else (0, 0)
    return None if day is None or within is None else day + within[0]


def stamp(moment: int) -> str:
    """Return a moment as `YYYYMMDDHHMMSS.ffffff`; one outside of the calendar is its first or last."""
    days, rest = divmod(min(max(moment, DAY), _LAST_MOMENT), DAY)
    seconds, micro = divmod(rest, SECOND)
    day = dt.date.fromordinal(days)
    clock = f"{seconds // 3600:02}{seconds // 60 % 60:02}{seconds % 60:02}.{micro:06}"
    return f"{day.year:04}{day.month:02}{day.day:02}{clock}"


def of_stamp(text: str) -> int:
    """Return the moment of a stamp."""
    found = span(text)
    assert found is not None
    return found[0]


def shifted_time(time: str, minutes: int) -> str:
    """Return a time of day that many minutes later, over midnight too; what is no time stays as it is."""
    within = instants(time)
    if within is None or not minutes:
        return time
    return _as_precise(stamp(DAY + (within[0] + minutes * MINUTE) % DAY)[8:], time, minutes)


def shifted(date: str, time: str, minutes: int) -> tuple[str, str]:
    """Return a date and its time that many minutes later; what is none stays as it is."""
    found = moment(date, time)
    if found is None or not minutes:
        return date, time
    text = stamp(found + minutes * MINUTE)
    return text[:8], _as_precise(text[8:], time, minutes)


def _as_precise(clock: str, time: str, minutes: int) -> str:
    """Return the clock in the precision of the time that it was made of by a shift of some minutes."""
    return clock[: max(len(time.replace(":", "")), 4 if minutes % 60 else 2)]


def _day(year: str, month: str, day: str) -> int | None:
    """Return the first moment of a day of the calendar."""
    try:
        return dt.date(int(year), int(month), int(day)).toordinal() * DAY
    except ValueError:
        return None


def _end(year: int, month: int) -> int:
    """Return the last moment of a month."""
    next_month = (year + 1, 1) if month == 12 else (year, month + 1)
    if next_month[0] > dt.MAXYEAR:
        return _LAST_MOMENT
    return dt.date(*next_month, 1).toordinal() * DAY - 1


def _precision(minute: str | None, second: str | None, fraction: str | None) -> int:
    """Return how many microseconds a time with these components covers."""
    if minute is None:
        return 3600 * SECOND
    if second is None:
        return MINUTE
    return int(SECOND // 10 ** len(fraction or ""))
