"""Dates and times as PS3.5 6.2 writes them (DA, TM), read once for queries, matching and the index.

Nothing here raises: text that is no date or time is `None`.
"""

import datetime as dt
import re

_DATE = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})|([0-9]{4})\.([0-9]{2})\.([0-9]{2})", re.ASCII)
_TIME = re.compile(r"([0-9]{2})(?::?([0-9]{2})(?::?([0-9]{2})(?:\.([0-9]{1,6}))?)?)?", re.ASCII)

_SECOND = 1_000_000
_LAST = (23, 59, 60)  # PS3.5 6.2 TM allows a leap second


def date(text: str) -> str | None:
    """Return a date of the calendar as `YYYYMMDD`; the retired form `2020.01.15` is accepted."""
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    year, month, day = filter(None, found.groups())
    try:
        dt.date(int(year), int(month), int(day))
    except ValueError:
        return None
    return f"{year}{month}{day}"


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
    first = ((numbers[0] * 60 + numbers[1]) * 60 + numbers[2]) * _SECOND + int(
        (fraction or "0").ljust(6, "0")
    )
    return first, first + _precision(minute, second, fraction) - 1


def _precision(minute: str | None, second: str | None, fraction: str | None) -> int:
    """Return how many microseconds a time with these components covers."""
    if minute is None:
        return 3600 * _SECOND
    if second is None:
        return 60 * _SECOND
    return int(_SECOND // 10 ** len(fraction or ""))
