"""Identifier -> Query: what a C-FIND, C-MOVE or C-GET asks for (PS3.4 C.2.2.2, C.4).

`parse` and `parse_retrieve` turn the bytes of a request Identifier into a `Query` that cannot exist invalid;
all that may go wrong is a `RequestError` with the tags at fault. What the value of a key means is in `keys`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from pacsnode.dicom import budget, deflate, elements, encoding, temporal, uid
from pacsnode.dicom.attributes import (
    BY_KEYWORD,
    INSTANCE_AVAILABILITY,
    QUERY_RETRIEVE_LEVEL,
    RETRIEVE_AE_TITLE,
    SPECIFIC_CHARACTER_SET,
    STANDARD,
    STEERING,
    TIME_OF,
    TIMEZONE_OFFSET_FROM_UTC,
    UNIQUE_KEY,
    Attribute,
    Catalogue,
    Level,
    Source,
)
from pacsnode.dicom.catalogue import creator_of, sequences_in
from pacsnode.dicom.character_sets import AS_SAID, CharacterSetRule
from pacsnode.dicom.key_reading import EVERY_TAG, KeyReader, is_structure
from pacsnode.dicom.keys import invalid, is_count
from pacsnode.dicom.query import (
    BASELINE,
    InformationModel,
    Key,
    Matching,
    Moments,
    Options,
    Query,
    Range,
    SingleValue,
    ValueList,
)
from pacsnode.errors import InvalidIdentifier

MAX_CHARACTER_SET_BYTES = 256  # of (0008,0005); each answer may repeat it

_ISSUER_OF_PATIENT_ID = BY_KEYWORD["IssuerOfPatientID"]

_Elements = tuple[dict[int, bytes], encoding.Encoding]


def parse(
    identifier: bytes,
    transfer_syntax_uid: str,
    model: InformationModel,
    *,
    options: Options = BASELINE,
    rule: CharacterSetRule = AS_SAID,
    catalogue: Catalogue = STANDARD,
    match_case: bool = True,
) -> Query:
    """Return the query of a C-FIND (PS3.4 C.4.1); `options` were negotiated, `rule` is that of the requester.

    Attributes of levels below the one asked for are not answered and count as unsupported; those above are
    matched and answered. Raises `InvalidIdentifier`, `InvalidUID` or `UnreadableDataSet`.
    """
    request = _Request.read(identifier, transfer_syntax_uid, model, rule, catalogue)
    timezone = request.timezone() if options.timezone_adjustment else None
    known = request.known()
    understood = request.understood(known, KeyReader(options, timezone, match_case, rule))
    unique = request.unique_keys()
    given = {attribute.tag for attribute in understood.answered}
    answered = (*understood.answered, *(one for one in unique if one.tag not in given))
    return Query(
        model=model,
        level=request.level,
        keys=understood.keys,
        returned=tuple(sorted(answered, key=lambda attribute: attribute.tag)),
        unsupported=tuple(sorted((*request.unsupported(known), *understood.unsupported))),
        unsupported_items=understood.unsupported_items,
        unmatched=understood.unmatched,
        character_sets=request.character_sets,
        asks_retrieve_ae_title=RETRIEVE_AE_TITLE in request.values,
        asks_instance_availability=INSTANCE_AVAILABILITY in request.values,
        is_relational=_is_relational(unique, understood.keys),
        options=options,
        timezone=timezone,
    )


def parse_retrieve(
    identifier: bytes,
    transfer_syntax_uid: str,
    model: InformationModel,
    *,
    options: Options = BASELINE,
    rule: CharacterSetRule = AS_SAID,
) -> Query:
    """Return what a C-MOVE or C-GET asks for (PS3.4 C.4.2.1.4, C.4.3.1.3): unique keys, nothing returned.

    The unique key of the level must name something, one value or a list of UIDs: an empty or wildcard one
    never means everything. At PATIENT level the Issuer of Patient ID counts too, since the ID alone may be
    ambiguous. All other attributes are ignored. Of the options, only relational retrieval can be among those
    that were negotiated. Raises as `parse`.
    """
    request = _Request.read(identifier, transfer_syntax_uid, model, rule, STANDARD)
    unique = request.unique_keys()
    issuer = (_ISSUER_OF_PATIENT_ID,) if request.level is Level.PATIENT else ()
    given = (one for one in (*unique, *issuer) if one.tag in request.values)
    asked = {one.tag: one for one in sorted(given, key=lambda attribute: attribute.tag)}
    keys = request.understood(asked, KeyReader(BASELINE, None, match_case=True, rule=rule)).keys
    own = UNIQUE_KEY[request.level]
    wanted = next((key.matching for key in keys if key.attribute is own), None)
    if not (isinstance(wanted, SingleValue) or (own.vr == "UI" and isinstance(wanted, ValueList))):
        raise invalid(own, f"a retrieve needs a {own.keyword} and no wildcard")
    if any(key.attribute in issuer and not isinstance(key.matching, SingleValue) for key in keys):
        raise invalid(
            _ISSUER_OF_PATIENT_ID, "a retrieve needs one IssuerOfPatientID or none, and no wildcard"
        )
    return Query(
        model=model,
        level=request.level,
        keys=keys,
        returned=(),
        character_sets=request.character_sets,
        is_relational=_is_relational(unique, keys),
        options=options,
    )


@dataclass(frozen=True, slots=True)
class _Understood:
    """Conditions and attributes to answer, in tag order; and what is not supported of known sequences."""

    keys: tuple[Key, ...]
    answered: tuple[Attribute, ...]
    unsupported: tuple[int, ...]
    unsupported_items: tuple[int, ...]
    unmatched: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Request:
    """An Identifier taken apart: raw values by tag, and what is needed to understand them."""

    values: dict[int, bytes]
    how: encoding.Encoding
    character_sets: tuple[str, ...]
    model: InformationModel
    level: Level
    catalogue: Catalogue

    @classmethod
    def read(
        cls,
        identifier: bytes,
        transfer_syntax_uid: str,
        model: InformationModel,
        rule: CharacterSetRule,
        catalogue: Catalogue,
    ) -> "_Request":
        values, how = _elements(identifier, transfer_syntax_uid, _sequences(catalogue))
        level = _level(values.get(QUERY_RETRIEVE_LEVEL, b""), model)
        sets = rule.applied(_character_sets(values.get(SPECIFIC_CHARACTER_SET, b"")))
        return cls(values, how, sets, model, level, catalogue)

    def known(self) -> dict[int, Attribute]:
        """Return the attributes that can be asked for at the level, by the tag that each has here, in tag order."""
        found = {}
        for tag in sorted(self.values):
            attribute = self._attribute(tag)
            if attribute is not None and attribute.level <= self.level:
                found[tag] = attribute
        return found

    def unsupported(self, known: Mapping[int, Attribute]) -> list[int]:
        """Return the tags of which the requester is to hear that they were left out (0xFF01, PS3.4 C.4.1.1.4)."""
        return [tag for tag in self.values if not (tag in known or tag in STEERING or is_structure(tag))]

    def unique_keys(self) -> tuple[Attribute, ...]:
        """Return the unique keys of the model down to the level asked for."""
        return tuple(UNIQUE_KEY[level] for level in self.model.levels if level <= self.level)

    def timezone(self) -> int | None:
        """Return the requester's offset from UTC, None if it gives none (PS3.3 C.12.1.1.8)."""
        text = self.values.get(TIMEZONE_OFFSET_FROM_UTC, b"").decode("ascii", "replace").strip(" \0")
        minutes = temporal.offset(text) if text else None
        if text and minutes is None:
            raise InvalidIdentifier(
                "TimezoneOffsetFromUTC is not an offset (+HHMM or -HHMM)",
                offending=(TIMEZONE_OFFSET_FROM_UTC,),
            )
        return minutes

    def understood(self, asked: Mapping[int, Attribute], reader: KeyReader) -> _Understood:
        """Return the conditions on these attributes, which are given by tag."""
        matchings, answered = dict[int, Matching | None](), list[Attribute]()
        unsupported, unsupported_items = list[int](), list[int]()
        for tag, attribute in asked.items():
            raw = self.values[tag]
            if attribute.vr != "SQ":
                matchings[tag] = (
                    reader.matching(attribute, raw, self.how, self.character_sets) if raw else None
                )
                answered.append(replace(attribute, tag=tag) if attribute.creator else attribute)
                continue
            found = reader.sequence(attribute, raw, self.how, self.character_sets)
            matchings[tag] = found.matching
            if not found.is_known:
                (unsupported_items if found.attribute.items else unsupported).append(tag)
            if found.attribute.items:
                answered.append(found.attribute)
        if reader.options.combined_date_time:
            self._combine(matchings)
        keys = tuple(
            reader.key(asked[tag], matching) for tag, matching in matchings.items() if matching is not None
        )
        budget.refuse_excess(keys)
        given = tuple(one for one in answered if one.source is not Source.CONSTANT)
        return _Understood(keys, given, tuple(unsupported), tuple(unsupported_items), self._unmatched(asked))

    def _unmatched(self, asked: Mapping[int, Attribute]) -> tuple[int, ...]:
        """Return the tags whose value is not matched though they are answered."""
        return tuple(tag for tag, one in asked.items() if is_count(one) and self.values[tag].strip(b" \0"))

    def _combine(self, matchings: dict[int, Matching | None]) -> None:
        """Make one condition of a date range and a time range of the same form (PS3.4 C.2.2.2.5.4)."""
        for date, time in TIME_OF.items():
            days, hours = matchings.get(date.tag), matchings.get(time.tag)
            if not (isinstance(days, Range) and isinstance(hours, Range)):
                continue
            if b"-" in self.values[time.tag] and _have_same_form(
                days, hours
            ):  # a single time is a range, too
                matchings[date.tag], matchings[time.tag] = _moments(date, days, hours), None

    def _attribute(self, tag: int) -> Attribute | None:
        if not tag >> 16 & 1:
            return self.catalogue.by_tag.get(tag)
        creator = self.values.get(tag & 0xFFFF0000 | tag >> 8 & 0xFF, b"")
        return self.catalogue.private(tag, creator_of(creator))


@lru_cache(maxsize=8)
def _sequences(catalogue: Catalogue) -> frozenset[int]:
    return sequences_in(catalogue.attributes)


def _elements(identifier: bytes, transfer_syntax_uid: str, sequences: frozenset[int]) -> _Elements:
    """Return the raw values of the top level by tag; the bounds of `elements` and `deflate` hold."""
    claim = encoding.declared(transfer_syntax_uid)

    def read(data: encoding.Data, is_whole: bool) -> _Elements:  # noqa: FBT001 - called by `first_answer`
        actual = encoding.detected(data, claim)
        values = elements.values_of(
            bytes(data), actual, EVERY_TAG, EVERY_TAG[-1], sequences=sequences, is_complete=is_whole
        )
        return values, actual

    if uid.is_deflated(transfer_syntax_uid):
        return deflate.first_answer(identifier, read, is_complete=True)
    return read(identifier, True)  # noqa: FBT003


def _level(raw: bytes, model: InformationModel) -> Level:
    name = raw.decode("ascii", "replace").strip(" \0")
    for level in model.levels:
        if level.name == name:
            return level
    *others, last = (level.name for level in model.levels)
    said = "Query/Retrieve Level must be" if name else "no Query/Retrieve Level; must be"
    raise InvalidIdentifier(f"{said} {', '.join(others)} or {last}", offending=(QUERY_RETRIEVE_LEVEL,))


def _character_sets(raw: bytes) -> tuple[str, ...]:
    if len(raw) > MAX_CHARACTER_SET_BYTES:
        raise InvalidIdentifier("Specific Character Set is too long", offending=(SPECIFIC_CHARACTER_SET,))
    names = tuple(name.strip(" \0") for name in raw.decode("ascii", "replace").split("\\"))
    return names if any(names) else ()


def _have_same_form(days: Range, hours: Range) -> bool:
    return (days.low is None, days.high is None) == (hours.low is None, hours.high is None)


def _moments(date: Attribute, days: Range, hours: Range) -> Moments:
    """Return both as one range; the ends cover what their precision leaves open."""
    low = _moment(days.low, hours.low, at=0)
    high = _moment(days.high, hours.high, at=1)
    if low is not None and high is not None and low > high:
        raise invalid(date, f"{date.keyword} with its time ends before it begins")
    return Moments(low, high)


def _moment(day: str | None, hour: str | None, *, at: int) -> str | None:
    within = temporal.instants(hour) if hour else None
    start = temporal.moment(day, None) if day else None
    return None if within is None or start is None else temporal.stamp(start + within[at])


def _is_relational(unique: tuple[Attribute, ...], keys: tuple[Key, ...]) -> bool:
    """Return whether a unique key above the level is not one value (PS3.4 C.4.1.2.2.1)."""
    given = {key.attribute for key in keys if isinstance(key.matching, SingleValue)}
    return any(attribute not in given for attribute in unique[:-1])
