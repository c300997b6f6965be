"""What the value of a key asks for (PS3.4 C.2.2.2). It depends on its VR and on nothing else:

| VR | one value | several values |
|---|---|---|
| AE CS LO SH | Single Value, or Wild Card with `*` or `?` in it | any of them, without wildcards |
| PN | Single Value, or Wild Card | refused |
| LT | Single Value, or Wild Card | a backslash is text |
| UI | Single Value | List of UID Matching |
| DA TM | Single Value or Range | refused |
| IS DS US AS | Single Value | refused |

A zero length value, and `*` alone where wildcards are allowed, match universally (C.2.2.2.3, C.2.2.2.4): no
condition. So does a name of delimiters only (`^^`), which is an empty one (PS3.5 6.2.1.1).
Counts (Number of ... Related ...) are return keys only: a value sent in one is ignored. What several values
mean without Multiple Value Matching being negotiated is undefined (C.2.2.2.8, note 4): "any of" is what those
ask for who send `CT\\MR` in Modalities in Study, or in Modality.
"""

import re
from collections.abc import Callable

from pacsnode.dicom import charset, temporal, uid
from pacsnode.dicom.attributes import Attribute, Source
from pacsnode.dicom.query import Matching, Range, SingleValue, ValueList, Wildcard
from pacsnode.errors import InvalidIdentifier, InvalidUID

MAX_KEY_CHARACTERS = 10_240  # of one value: what LT may have, the longest VR of the table (PS3.5 6.2)

WILDCARD_VRS = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})  # PS3.4 C.2.2.2.4
_LIST_VRS = frozenset({"AE", "CS", "LO", "SH", "UC"})  # besides UI, which has its own rule
_TEXT_VRS = frozenset({"LT", "ST", "UT"})  # one value, leading spaces significant (PS3.5 6.2)
CHARACTER_SET_VRS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})  # PS3.5 6.1.2.3

_STARS = re.compile(r"\*{2,}")
NUMBER = re.compile(
    r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII
)  # PS3.5 6.2, IS and DS


def matching_of(attribute: Attribute, text: str) -> Matching | None:
    """Return the condition that a key asks for, None if it matches universally."""
    if attribute.source is Source.CONSTANT:
        return None
    if attribute.source is Source.COMPUTED and not attribute.multi_valued:  # a count
        return None
    values = _values(attribute, text)
    if not values:
        return None
    if any(len(value) > MAX_KEY_CHARACTERS for value in values):
        raise invalid(attribute, f"{attribute.keyword} is longer than {MAX_KEY_CHARACTERS} characters")
    if attribute.vr == "UI":
        return _uids(attribute, values)
    if len(values) > 1:
        return _any_of(attribute, values)
    return _RULES.get(attribute.vr, _text)(attribute, values[0])


def invalid(attribute: Attribute, message: str) -> InvalidIdentifier:
    """Return the error about a key."""
    return InvalidIdentifier(message, offending=(attribute.tag,))


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
        raise invalid(attribute, f"{attribute.keyword} has several values, one is allowed")
    if any(not value.strip("*") for value in values):
        return None
    if any("*" in value or "?" in value for value in values):
        raise invalid(
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
        raise invalid(attribute, f"{attribute.keyword} is not a number")
    return SingleValue(value)


def _date(attribute: Attribute, value: str) -> SingleValue | Range:
    if "-" in value:
        return _range(attribute, value, temporal.date)
    date = temporal.date(value)
    if date is None:
        raise invalid(attribute, f"{attribute.keyword} is not a date (YYYYMMDD) or a range of dates")
    return SingleValue(date)


def _time(attribute: Attribute, value: str) -> Range:
    """Return the span of a time: `10` asks for 10:00:00 to 10:59:59.999999 (PS3.5 6.2, TM)."""
    if "-" in value:
        return _range(attribute, value, temporal.time)
    time = temporal.time(value)
    if time is None:
        raise invalid(attribute, f"{attribute.keyword} is not a time (HHMMSS) or a range of times")
    return Range(time, time)


def _range(attribute: Attribute, value: str, end: Callable[[str], str | None]) -> Range:
    """Return `x-y`, `x-` or `-y` (PS3.4 C.2.2.2.5)."""
    low, _, high = (part.strip(" ") for part in value.partition("-"))
    ends = Range(end(low) if low else None, end(high) if high else None)
    is_complete = bool(ends.low) == bool(low) and bool(ends.high) == bool(high)
    if not (is_complete and (low or high)):
        raise invalid(
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
