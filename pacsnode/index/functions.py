"""What SQL cannot say of a value, as functions of the connections that answer queries.

They are the oracle's own code, called for each row that is looked at, and so are only for what is rare: text without
regard to case, words of names that have no table of words, DT, numbers that are kept as text, and time zones. No
index, view or generated column needs them: the file can be read, and written, without.
"""

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType

from pacsnode.dicom import matching, temporal, zones
from pacsnode.dicom.attributes import BY_KEYWORD, TIME_OF, Attribute, KeyType, Level

Value = str | int | float | bytes | None


def _without_case(text: Value) -> str | None:
    return matching.without_case(text) if isinstance(text, str) else None


def _has_words(asked: str, name: Value) -> bool | None:
    return matching.has_words(_list(asked), name) if isinstance(name, str) else None


def _number(value: Value) -> float | None:
    if isinstance(value, str):
        return matching.number(value)
    return float(value) if isinstance(value, int | float) else None


def _utc(text: Value) -> int | None:
    """Return the first moment of a DT, in UTC."""
    return matching.utc_span(text)[0] if isinstance(text, str) else None


def _local(
    keyword: str, level: int, text: Value, time: Value, zone: Value, upper_zone: Value, to: int
) -> Value:
    """Return a date, time or DT in the zone of the requester, as `zones.local` says."""
    if not isinstance(text, str):
        return None
    attribute = BY_KEYWORD.get(keyword) or Attribute(0, keyword, "DT", Level(level), KeyType.OPTIONAL)
    record = _record(attribute.level, zone, upper_zone) | {keyword: text}
    if attribute in TIME_OF and isinstance(time, str):
        record[TIME_OF[attribute].keyword] = time
    return zones.local(attribute, record, to)


def _shift(level: int, zone: Value, upper_zone: Value, to: int) -> int:
    """Return the microseconds to the zone of the requester, as `zones.shift` says."""
    own = Level(level)
    return zones.shift(own, _record(own, zone, upper_zone), to) * temporal.MINUTE


def _record(level: Level, zone: Value, upper_zone: Value) -> dict[str, str]:
    found = {zones.zone_keyword(level): zone}
    if level is Level.IMAGE:
        found[zones.zone_keyword(Level.SERIES)] = upper_zone
    return {keyword: text for keyword, text in found.items() if isinstance(text, str)}


@lru_cache(maxsize=64)
def _list(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))


# By name: the number of parameters, and what is called. All are deterministic.
FUNCTIONS: Mapping[str, tuple[int, Callable[..., Value]]] = MappingProxyType(
    {
        "without_case": (1, _without_case),
        "has_words": (2, _has_words),
        "number_of": (1, _number),
        "utc_of": (1, _utc),
        "local_of": (7, _local),
        "shift_of": (4, _shift),
    }
)
