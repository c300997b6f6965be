"""Identifier -> Query: what a C-FIND, C-MOVE or C-GET asks for (PS3.4 C.2.2.2, C.4).

`parse` and `parse_retrieve` turn the bytes of a request Identifier into a `Query` that cannot exist invalid;
all that may go wrong is a `RequestError` with the tags at fault. What an attribute asks for depends on its VR
and on nothing else:

| VR | one value | several values |
|---|---|---|
| AE CS LO SH | Single Value, or Wild Card with `*` or `?` in it | any of them, without wildcards |
| PN | Single Value, or Wild Card | refused |
| LT | Single Value, or Wild Card | a backslash is text |
| UI | Single Value | List of UID Matching |
| DA TM | Single Value or Range | refused |
| IS DS US AS | Single Value | refused |

A zero length value, and `*` alone where wildcards are allowed, match universally (C.2.2.2.3, C.2.2.2.4): no
`Key`, only `returned`. So does a name of delimiters only (`^^`), which is an empty one (PS3.5 6.2.1.1).
Counts (Number of ... Related ...) are return keys only: a value sent in one is ignored. What several values
mean without Multiple Value Matching being negotiated is undefined (C.2.2.2.8, note 4): "any of" is what those
ask for who send `CT\\MR` in Modalities in Study, or in Modality.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from pacsnode.dicom import charset, deflate, elements, encoding, temporal, uid
from pacsnode.dicom.attributes import (
    BY_KEYWORD,
    BY_TAG,
    INSTANCE_AVAILABILITY,
    QUERY_RETRIEVE_LEVEL,
    RETRIEVE_AE_TITLE,
    SPECIFIC_CHARACTER_SET,
    TIMEZONE_OFFSET_FROM_UTC,
    UNIQUE_KEY,
    Attribute,
    Level,
    Source,
)
from pacsnode.dicom.visibility import Visibility
from pacsnode.errors import InvalidIdentifier, InvalidUID

MAX_KEY_CHARACTERS = 10_240  # of one value: what LT may have, the longest VR of the table (PS3.5 6.2)
MAX_CHARACTER_SET_BYTES = 256  # of (0008,0005); each answer may repeat it

WILDCARD_VRS = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})  # PS3.4 C.2.2.2.4
_LIST_VRS = frozenset({"AE", "CS", "LO", "SH", "UC"})  # besides UI, which has its own rule
_TEXT_VRS = frozenset({"LT", "ST", "UT"})  # one value, leading spaces significant (PS3.5 6.2)
CHARACTER_SET_VRS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})  # PS3.5 6.1.2.3

_STEERING = frozenset(
    {
        SPECIFIC_CHARACTER_SET,
        QUERY_RETRIEVE_LEVEL,
        RETRIEVE_AE_TITLE,
        INSTANCE_AVAILABILITY,
        TIMEZONE_OFFSET_FROM_UTC,
    }
)
_EVERY_TAG = range(1 << 32)
_ISSUER_OF_PATIENT_ID = BY_KEYWORD["IssuerOfPatientID"]

_Elements = tuple[dict[int, bytes], encoding.ByteOrder]

_STARS = re.compile(r"\*{2,}")
NUMBER = re.compile(
    r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII
)  # PS3.5 6.2, IS and DS


class InformationModel(Enum):
    """Query/Retrieve Information Model (PS3.4 C.6)."""

    PATIENT_ROOT = "Patient Root"
    STUDY_ROOT = "Study Root"

    @property
    def levels(self) -> tuple[Level, ...]:
        """The levels of the model, from the top down (PS3.4 C.6.1.1, C.6.2.1)."""
        return tuple(Level) if self is InformationModel.PATIENT_ROOT else tuple(Level)[1:]


@dataclass(frozen=True, slots=True)
class SingleValue:
    """Single Value Matching (PS3.4 C.2.2.2.1); for PN case-insensitive, for IS, DS and US numeric."""

    value: str


@dataclass(frozen=True, slots=True)
class ValueList:
    """List of UID Matching (PS3.4 C.2.2.2.2), and several values of a short text key.

    Any of them may match. At least two, all different, none with a wildcard.
    """

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wildcard:
    """Wild Card Matching (PS3.4 C.2.2.2.4): `*` any run of characters, `?` any one; all else is literal."""

    pattern: str


@dataclass(frozen=True, slots=True)
class Range:
    """Range Matching (PS3.4 C.2.2.2.5), both ends inclusive, at least one given.

    For DA the ends are `YYYYMMDD`. For TM they are digits as sent without colons, of any precision
    (`10`, `1030`, `103000.25`): the low end means its first instant, the high end its last.
    """

    low: str | None
    high: str | None


Matching = SingleValue | ValueList | Wildcard | Range


@dataclass(frozen=True, slots=True)
class Key:
    """One attribute with a condition. One that matches universally has no `Key`, it is only `returned`."""

    attribute: Attribute
    matching: Matching


@dataclass(frozen=True, slots=True)
class Query:
    """A valid question. All of `keys` must match; `returned` are the attributes to answer, in tag order.

    `returned` has no attribute with `Source.CONSTANT`; those, and the level, are added where answers are
    encoded. `unsupported` are the tags of the Identifier that the index does not know. `visibility` is what the
    requester may see, None for everything: an Identifier never says that, the one who answers it does.
    """

    model: InformationModel
    level: Level
    keys: tuple[Key, ...]
    returned: tuple[Attribute, ...]
    unsupported: tuple[int, ...] = ()
    character_sets: tuple[str, ...] = ()
    asks_retrieve_ae_title: bool = False
    asks_instance_availability: bool = False
    is_relational: bool = False  # a unique key above the level is missing (PS3.4 C.4.1.2.2.1)
    visibility: Visibility | None = None


def parse(identifier: bytes, transfer_syntax_uid: str, model: InformationModel) -> Query:
    """Return the query of a C-FIND (PS3.4 C.4.1).

    Attributes of levels below the one asked for are not answered and count as unsupported; those above are
    matched and answered. Raises `InvalidIdentifier`, `InvalidUID` or `UnreadableDataSet`.
    """
    request = _Request.read(identifier, transfer_syntax_uid, model)
    known = [BY_TAG[tag] for tag in request.tags if _is_answered(tag, request.level)]
    keys = request.keys(known)
    unique = request.unique_keys()
    answered = {a for a in known if a.source is not Source.CONSTANT} | set(unique)
    return Query(
        model=model,
        level=request.level,
        keys=keys,
        returned=tuple(sorted(answered, key=lambda attribute: attribute.tag)),
        unsupported=tuple(tag for tag in request.tags if _is_unsupported(tag, request.level)),
        character_sets=request.character_sets,
        asks_retrieve_ae_title=RETRIEVE_AE_TITLE in request.values,
        asks_instance_availability=INSTANCE_AVAILABILITY in request.values,
        is_relational=_is_relational(unique, keys),
    )


def parse_retrieve(identifier: bytes, transfer_syntax_uid: str, model: InformationModel) -> Query:
    """Return what a C-MOVE or C-GET asks for (PS3.4 C.4.2.1.4, C.4.3.1.3): unique keys, nothing returned.

    The unique key of the level must name something, one value or a list of UIDs: an empty or wildcard one
    never means everything. At PATIENT level the Issuer of Patient ID counts too, since the ID alone may be
    ambiguous. All other attributes are ignored. Raises as `parse`.
    """
    request = _Request.read(identifier, transfer_syntax_uid, model)
    unique = request.unique_keys()
    issuer = (_ISSUER_OF_PATIENT_ID,) if request.level is Level.PATIENT else ()
    keys = request.keys([*unique, *issuer])
    own = UNIQUE_KEY[request.level]
    wanted = next((key.matching for key in keys if key.attribute is own), None)
    if not (isinstance(wanted, SingleValue) or (own.vr == "UI" and isinstance(wanted, ValueList))):
        raise _invalid(own, f"a retrieve at {request.level.name} level needs a {own.keyword} and no wildcard")
    if any(key.attribute in issuer and not isinstance(key.matching, SingleValue) for key in keys):
        raise _invalid(
            _ISSUER_OF_PATIENT_ID, "a retrieve needs one IssuerOfPatientID or none, and no wildcard"
        )
    return Query(
        model=model,
        level=request.level,
        keys=keys,
        returned=(),
        character_sets=request.character_sets,
        is_relational=_is_relational(unique, keys),
    )


@dataclass(frozen=True, slots=True)
class _Request:
    """An Identifier taken apart: raw values by tag, and what is needed to understand them."""

    values: dict[int, bytes]
    order: encoding.ByteOrder
    character_sets: tuple[str, ...]
    model: InformationModel
    level: Level

    @classmethod
    def read(cls, identifier: bytes, transfer_syntax_uid: str, model: InformationModel) -> "_Request":
        values, order = _elements(identifier, transfer_syntax_uid)
        level = _level(values.get(QUERY_RETRIEVE_LEVEL, b""), model)
        sets = _character_sets(values.get(SPECIFIC_CHARACTER_SET, b""))
        return cls(values, order, sets, model, level)

    @property
    def tags(self) -> list[int]:
        return sorted(self.values)

    def unique_keys(self) -> tuple[Attribute, ...]:
        """Return the unique keys of the model down to the level asked for."""
        return tuple(UNIQUE_KEY[level] for level in self.model.levels if level <= self.level)

    def keys(self, attributes: list[Attribute]) -> tuple[Key, ...]:
        """Return the conditions on these attributes, in tag order."""
        keys = []
        for attribute in sorted(attributes, key=lambda one: one.tag):
            matching = _matching(attribute, self._text(attribute))
            if matching is not None:
                keys.append(Key(attribute, matching))
        return tuple(keys)

    def _text(self, attribute: Attribute) -> str:
        raw = self.values.get(attribute.tag, b"")
        if attribute.vr == "US":
            return _unsigned(attribute, raw, self.order)
        sets = self.character_sets if attribute.vr in CHARACTER_SET_VRS else ()
        return charset.decode(raw, attribute.vr, sets)


def _elements(identifier: bytes, transfer_syntax_uid: str) -> _Elements:
    """Return the raw values of the top level by tag; the bounds of `elements` and `deflate` hold."""
    claim = encoding.declared(transfer_syntax_uid)

    def read(data: encoding.Data, is_whole: bool) -> _Elements:  # noqa: FBT001 - called by `first_answer`
        actual = encoding.detected(data, claim)
        values = elements.values_of(bytes(data), actual, _EVERY_TAG, _EVERY_TAG[-1], is_complete=is_whole)
        return values, actual.order

    if uid.is_deflated(transfer_syntax_uid):
        return deflate.first_answer(identifier, read, is_complete=True)
    return read(identifier, True)  # noqa: FBT003


def _level(raw: bytes, model: InformationModel) -> Level:
    name = raw.decode("ascii", "replace").strip(" \0")
    for level in model.levels:
        if level.name == name:
            return level
    allowed = ", ".join(level.name for level in model.levels)
    said = "Query/Retrieve Level is not one of" if name else "Query/Retrieve Level is missing:"
    raise InvalidIdentifier(f"{said} {allowed} ({model.value})", offending=(QUERY_RETRIEVE_LEVEL,))


def _character_sets(raw: bytes) -> tuple[str, ...]:
    if len(raw) > MAX_CHARACTER_SET_BYTES:
        raise InvalidIdentifier("Specific Character Set is too long", offending=(SPECIFIC_CHARACTER_SET,))
    names = tuple(name.strip(" \0") for name in raw.decode("ascii", "replace").split("\\"))
    return names if any(names) else ()


def _is_answered(tag: int, level: Level) -> bool:
    attribute = BY_TAG.get(tag)
    return attribute is not None and attribute.level <= level


def _is_unsupported(tag: int, level: Level) -> bool:
    """Return whether the requester is to hear that the key was left out (0xFF01, PS3.4 C.4.1.1.4)."""
    is_structure = (
        tag & 0xFFFF == 0 or tag >> 16 == encoding.DELIMITERS
    )  # group length (PS3.5 7.2), stray items
    return not (is_structure or tag in _STEERING or _is_answered(tag, level))


def _is_relational(unique: tuple[Attribute, ...], keys: tuple[Key, ...]) -> bool:
    """Return whether a unique key above the level is not one value (PS3.4 C.4.1.2.2.1)."""
    given = {key.attribute for key in keys if isinstance(key.matching, SingleValue)}
    return any(attribute not in given for attribute in unique[:-1])


def _invalid(attribute: Attribute, message: str) -> InvalidIdentifier:
    return InvalidIdentifier(message, offending=(attribute.tag,))


def _unsigned(attribute: Attribute, raw: bytes, order: encoding.ByteOrder) -> str:
    if len(raw) % 2:
        raise _invalid(attribute, f"{attribute.keyword} is not a 16-bit number")
    return "\\".join(str(order.uint16(raw, at)) for at in range(0, len(raw), 2))


def _matching(attribute: Attribute, text: str) -> Matching | None:
    """Return the condition that a key asks for, None if it matches universally."""
    if attribute.source is Source.CONSTANT:
        return None
    if attribute.source is Source.COMPUTED and not attribute.multi_valued:  # a count
        return None
    values = _values(attribute, text)
    if not values:
        return None
    if any(len(value) > MAX_KEY_CHARACTERS for value in values):
        raise _invalid(attribute, f"{attribute.keyword} is longer than {MAX_KEY_CHARACTERS} characters")
    if attribute.vr == "UI":
        return _uids(attribute, values)
    if len(values) > 1:
        return _any_of(attribute, values)
    return _RULES.get(attribute.vr, _text)(attribute, values[0])


def _values(attribute: Attribute, text: str) -> list[str]:
    """Return the values without padding and without doubles; empty ones say nothing."""
    if attribute.vr in _TEXT_VRS:
        value = text.rstrip(" \0")
        return [value] if value else []
    values = dict.fromkeys(value.rstrip(" \0").lstrip(" ") for value in text.split("\\"))
    return [value for value in values if value]


def _uids(attribute: Attribute, values: list[str]) -> SingleValue | ValueList:
    try:
        uids = tuple(uid.validated(value) for value in values)
    except InvalidUID as error:
        raise InvalidUID(f"{attribute.keyword}: {error}", offending=(attribute.tag,)) from error
    return SingleValue(uids[0]) if len(uids) == 1 else ValueList(uids)


def _any_of(attribute: Attribute, values: list[str]) -> ValueList | None:
    if attribute.vr not in _LIST_VRS:
        raise _invalid(attribute, f"{attribute.keyword} has several values, one is allowed")
    if any(not value.strip("*") for value in values):
        return None
    if any("*" in value or "?" in value for value in values):
        raise _invalid(
            attribute, f"{attribute.keyword} has several values and a wildcard, one or the other is allowed"
        )
    return ValueList(tuple(values))


def _text(attribute: Attribute, value: str) -> SingleValue | Wildcard | None:
    if attribute.vr in WILDCARD_VRS and ("*" in value or "?" in value):
        pattern = _STARS.sub("*", value)
        return Wildcard(pattern) if pattern != "*" else None
    return SingleValue(value)


def _name(attribute: Attribute, value: str) -> SingleValue | Wildcard | None:
    is_universal = charset.folded_pattern(value) in ("", "*")
    return None if is_universal else _text(attribute, value)


def _number(attribute: Attribute, value: str) -> SingleValue:
    if not NUMBER.fullmatch(value):
        raise _invalid(attribute, f"{attribute.keyword} is not a number")
    return SingleValue(value)


def _date(attribute: Attribute, value: str) -> SingleValue | Range:
    if "-" in value:
        return _range(attribute, value, temporal.date)
    date = temporal.date(value)
    if date is None:
        raise _invalid(attribute, f"{attribute.keyword} is not a date (YYYYMMDD) or a range of dates")
    return SingleValue(date)


def _time(attribute: Attribute, value: str) -> Range:
    """Return the span of a time: `10` asks for 10:00:00 to 10:59:59.999999 (PS3.5 6.2, TM)."""
    if "-" in value:
        return _range(attribute, value, temporal.time)
    time = temporal.time(value)
    if time is None:
        raise _invalid(attribute, f"{attribute.keyword} is not a time (HHMMSS) or a range of times")
    return Range(time, time)


def _range(attribute: Attribute, value: str, end: Callable[[str], str | None]) -> Range:
    """Return `x-y`, `x-` or `-y` (PS3.4 C.2.2.2.5)."""
    low, _, high = (part.strip(" ") for part in value.partition("-"))
    ends = Range(end(low) if low else None, end(high) if high else None)
    is_complete = bool(ends.low) == bool(low) and bool(ends.high) == bool(high)
    if not (is_complete and (low or high)):
        raise _invalid(
            attribute, f"{attribute.keyword} is not a range with dates or times as ends: x-y, x- or -y"
        )
    return ends


_RULES: dict[str, Callable[[Attribute, str], Matching | None]] = {
    "PN": _name,
    "DA": _date,
    "TM": _time,
    "IS": _number,
    "DS": _number,
}
