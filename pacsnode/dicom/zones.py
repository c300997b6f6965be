"""Time zone query adjustment (PS3.4 C.2.2.2, C.2.2.2.1.3, C.2.2.2.5.4; PS3.3 C.12.1.1.8).

Where it was negotiated and a request names its Timezone Offset From UTC (0008,0201), stored dates and times are
brought into the requester's time zone before they are compared, which gives the same as bringing both to UTC:

- A time of day goes over midnight where it must, and takes the date with it that belongs to it
  (`attributes.TIME_OF`), asked for or not. A date without a time stays as it is.
- A DT is in the zone that it names; one that names none is in that of its data set.
- The zone of a data set is what it gave as (0008,0201), kept at STUDY, SERIES and IMAGE level; that of an
  instance is the one of its series if it has none. Where it is not known, or is no offset, a value counts as one of the
  requester's zone.
- Patients' dates and times are those of where they were born: never adjusted. Nor are those in items of
  sequences, and those that a configuration adds, but for DT.

Answers are in the requester's zone as well, which they name (C.4.1.1.3.2): `Zoned` asks the index for what that takes.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from pacsnode.dicom import temporal
from pacsnode.dicom.attributes import TIME_OF, TIMEZONE_OFFSET_FROM_UTC, Attribute, KeyType, Level
from pacsnode.dicom.query import Query

ZONES: Mapping[Level, Attribute] = MappingProxyType(
    {
        level: Attribute(TIMEZONE_OFFSET_FROM_UTC, "TimezoneOffsetFromUTC", "SH", level, KeyType.OPTIONAL)
        for level in (Level.STUDY, Level.SERIES, Level.IMAGE)
    }
)
_TIMES = frozenset(TIME_OF.values())


def zone_keyword(level: Level) -> str:
    """Return what the zone of an entity of this level is called in a record of all levels."""
    return f"{level.name.title()}{ZONES[level].keyword}"


def shift(level: Level, record: Mapping[str, str], timezone: int) -> int:
    """Return the minutes from the zone of the data set to the requester's."""
    zone = _zone(level, record)
    return 0 if zone is None else timezone - zone


def local(attribute: Attribute, record: Mapping[str, str], timezone: int | None) -> str | None:
    """Return the stored text of an attribute in the requester's zone; with `timezone` None as it is."""
    text = record.get(attribute.keyword)
    if timezone is None or not text or attribute.level is Level.PATIENT:
        return text
    if attribute.vr == "DT":
        return _with_zone(text, _zone(attribute.level, record), timezone)
    if attribute in TIME_OF:
        time = record.get(TIME_OF[attribute].keyword)
        return temporal.shifted(text, time, shift(attribute.level, record, timezone))[0] if time else text
    if attribute in _TIMES:
        return temporal.shifted_time(text, shift(attribute.level, record, timezone))
    return text


def is_adjusted(attribute: Attribute) -> bool:
    """Return whether values of this attribute depend on the zone."""
    has_zone = attribute.vr == "DT" or attribute in TIME_OF or attribute in _TIMES
    return has_zone and attribute.level in ZONES


class Zoned:
    """A query with what it takes to answer it in the requester's zone: `query` is to be asked of the index."""

    def __init__(self, query: Query) -> None:
        self.query = query
        self._returned = query.returned
        self._adjusted: dict[int, Attribute] = {}
        if query.timezone is None:
            return
        self._adjusted = {at: one for at, one in enumerate(query.returned) if is_adjusted(one)}
        adjusted = self._adjusted.values()
        times = {TIME_OF[one]: None for one in adjusted if one in TIME_OF}
        levels = {one.level for one in adjusted}
        if Level.IMAGE in levels:
            levels.add(Level.SERIES)
        further = (
            *(one for one in times if one not in query.returned),
            *(ZONES[one] for one in sorted(levels)),
        )
        self.query = replace(query, returned=(*query.returned, *further))

    def row(self, row: tuple[str | None, ...]) -> tuple[str | None, ...]:
        """Return a row of `query` as one of the query that was given, in the requester's zone."""
        if not self._adjusted:
            return row
        record = {
            zone_keyword(one.level) if one.tag == TIMEZONE_OFFSET_FROM_UTC else one.keyword: value or ""
            for one, value in zip(self.query.returned, row, strict=False)
        }
        values = list(row[: len(self._returned)])
        for at, attribute in self._adjusted.items():
            values[at] = local(attribute, record, self.query.timezone) or None
        return (*values, row[-1])


def _zone(level: Level, record: Mapping[str, str]) -> int | None:
    text = record.get(zone_keyword(level))
    if not text and level is Level.IMAGE:
        text = record.get(zone_keyword(Level.SERIES))
    return temporal.offset(text) if text else None


def _with_zone(text: str, zone: int | None, timezone: int) -> str:
    span = temporal.span(text)
    if span is None or span[2] is not None:
        return text
    return text + temporal.offset_text(timezone if zone is None else zone)
