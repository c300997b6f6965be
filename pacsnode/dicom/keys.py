"""What the value of a key asks for (PS3.4 C.2.2.2). It depends on its VR and on what was negotiated:

| VR | one value | backslash |
|---|---|---|
| AE CS LO SH UC | Single Value, or Wild Card with `*` or `?` in it | separates values |
| PN | the same; with fuzzy matching negotiated its words | separates values |
| LT ST UT UR | Single Value or Wild Card | is text |
| UI | Single Value | List of UID Matching |
| DA TM DT | Single Value or Range | separates values |
| AS and numbers | Single Value | separates values |

A zero length value, and `*` alone where wildcards are allowed, match universally (C.2.2.2.3, C.2.2.2.4): no
condition. So does a name of delimiters only (`^^`), which is an empty one (PS3.5 6.2.1.1).
Counts (Number of ... Related ...) are return keys only: a value sent in one is not matched, and the requester hears
that (0xFF01, PS3.4 C.4.1.1.4; `is_count`).

Several values ask for any of them; what they mean is not defined (C.2.2.2.8, note 4), and that is what those
mean who send `CT\\MR` in Modalities in Study, or in Modality. With Multiple Value Matching negotiated all of
them are asked for, in an attribute that may have several; wildcards are not allowed there (C.2.2.2.8).
With Empty Value Matching negotiated `""` asks for no value (C.2.2.2.7); a number, an AS and a UI can't be two
quotation marks, so that for those it is an error, as it is for dates without negotiation.

Each bound here keeps a request from costing more than its answer can be worth; none is near what workstations send.
"""

import re
from collections.abc import Callable, Sequence

from pacsnode.dicom import charset, names, temporal, uid
from pacsnode.dicom.attributes import Attribute, Source
from pacsnode.dicom.catalogue import INDENTED_VRS, SINGLE_VRS
from pacsnode.dicom.query import (
    BASELINE,
    AllOf,
    AnyOf,
    Empty,
    Matching,
    Options,
    Range,
    SingleValue,
    ValueList,
    Wildcard,
    Words,
)
from pacsnode.errors import InvalidIdentifier, InvalidUID

MAX_COMMENT_CHARACTERS = 64  # of an Error Comment (0000,0902), which these errors become (PS3.7 E.1)
MAX_KEY_CHARACTERS = 10_240  # of one value: what LT may have, the longest VR of the table (PS3.5 6.2)
MAX_WILDCARDS = 32  # in one value
MAX_ALTERNATIVES = 64  # values of a key that are not all plain
MAX_COMPARED = 256  # plain values of a key that are compared one by one: names, numbers, dates

WILDCARD_VRS = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})  # PS3.4 C.2.2.2.4
EMPTY_VRS = WILDCARD_VRS | {"DA", "DT", "TM"}  # PS3.4 C.2.2.2.7
# That may be compared without regard to case.
CASE_VRS = frozenset({"CS", "LO", "LT", "SH", "ST", "UC", "UT"})
_ALL_OF_VRS = frozenset({"AE", "AS", "AT", "CS", "LO", "PN", "SH", "UC"})  # PS3.4 C.2.2.2.8
_LOOKED_UP_VRS = frozenset({"AE", "AS", "CS", "LO", "SH", "UC"})

_EMPTY = '""'
_STARS = re.compile(r"\*{2,}")
NUMBER = re.compile(
    r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII
)  # PS3.5 6.2, IS and DS

_Rule = Callable[[Attribute, str], Matching | None]


def matching_of(
    attribute: Attribute, text: str, options: Options = BASELINE, timezone: int | None = None
) -> Matching | None:
    """Return the condition that a key asks for, None if it matches universally.

    A DT without an offset is in the `timezone`, in UTC if that is None. The order of the ends of ranges is for
    `check_order`.
    """
    if attribute.source is Source.CONSTANT or is_count(attribute):
        return None
    values = _values(attribute, text)
    if not values:
        return None
    if any(len(value) > MAX_KEY_CHARACTERS for value in values):
        raise invalid(attribute, f"{attribute.keyword} is longer than {MAX_KEY_CHARACTERS} characters")
    if attribute.vr == "UI":
        return _uids(attribute, values)
    rule = _rule(attribute, options, timezone or 0)
    if len(values) == 1:
        return rule(attribute, values[0])
    return _several(attribute, values, rule, is_all=options.multiple_value)


def is_count(attribute: Attribute) -> bool:
    """Return whether this is a Number of ... Related ..., which is answered and never matched."""
    return attribute.source is Source.COMPUTED and not attribute.multi_valued


def invalid(attribute: Attribute, message: str) -> InvalidIdentifier:
    """Return the error about a key; its tag stands for the keyword where an Error Comment would be too long."""
    return InvalidIdentifier(_brief(attribute, message), offending=(attribute.tag,))


def _brief(attribute: Attribute, message: str) -> str:
    if len(message) <= MAX_COMMENT_CHARACTERS:
        return message
    return message.replace(attribute.keyword, f"({attribute.tag >> 16:04X},{attribute.tag & 0xFFFF:04X})", 1)


def check_order(attribute: Attribute, matching: Matching | None) -> None:
    """Refuse a range that ends before it begins (PS3.4 C.2.2.2.5: the low end is less or equal)."""
    if isinstance(matching, AnyOf | AllOf):
        for one in matching.matchings:
            check_order(attribute, one)
    elif isinstance(matching, Range) and not _is_ordered(attribute.vr, matching.low, matching.high):
        more = ": no range goes over midnight" if attribute.vr == "TM" else ""
        raise invalid(attribute, f"{attribute.keyword} ends before it begins{more}")


def _is_ordered(vr: str, low: str | None, high: str | None) -> bool:
    if low is None or high is None:
        return True
    if vr == "TM":
        first, last = temporal.instants(low), temporal.instants(high)
        return first is not None and last is not None and first[0] <= last[1]
    return low <= high


def _values(attribute: Attribute, text: str) -> list[str]:
    """Return the values without padding and without doubles; empty ones say nothing. A NUL is a space everywhere."""
    leading = "" if attribute.vr in INDENTED_VRS else " "
    several = [text] if attribute.vr in SINGLE_VRS else text.split("\\")
    values = dict.fromkeys(value.replace("\0", " ").rstrip(" ").lstrip(leading) for value in several)
    return [value for value in values if value]


def _uids(attribute: Attribute, values: list[str]) -> SingleValue | ValueList:
    try:
        uids = tuple(dict.fromkeys(uid.validated(value) for value in values))
    except InvalidUID as error:
        message = _brief(attribute, f"{attribute.keyword} is not a UID")
        raise InvalidUID(message, offending=(attribute.tag,)) from error
    return SingleValue(uids[0]) if len(uids) == 1 else ValueList(uids)


def _several(attribute: Attribute, values: list[str], rule: _Rule, *, is_all: bool) -> Matching | None:
    is_all = is_all and attribute.multi_valued and attribute.vr in _ALL_OF_VRS
    if is_all and any(set(value) & {"*", "?"} for value in values):
        raise invalid(attribute, f"{attribute.keyword} has several values, so it can have no wildcards")
    found = dict.fromkeys(rule(attribute, value) for value in values)
    if None in found and not is_all:
        return None
    return _combined(attribute, [one for one in found if one is not None], is_all=is_all)


def _combined(attribute: Attribute, found: Sequence[Matching], *, is_all: bool) -> Matching | None:
    if len(found) < 2:
        return found[0] if found else None
    plain = tuple(one.value for one in found if isinstance(one, SingleValue))
    are_plain = len(plain) == len(found) and not is_all
    limit = MAX_COMPARED if are_plain else MAX_ALTERNATIVES
    if len(found) > limit and not (are_plain and attribute.vr in _LOOKED_UP_VRS):
        raise invalid(attribute, f"{attribute.keyword} has more than {limit} values")
    if are_plain:
        return ValueList(plain)
    return AllOf(tuple(found)) if is_all else AnyOf(tuple(found))


def _rule(attribute: Attribute, options: Options, timezone: int) -> _Rule:
    """Return what one value of an attribute means."""
    rule = _RULES.get(attribute.vr, _text)
    if attribute.vr == "DT":
        rule = _date_time_in(timezone)
    if attribute.vr == "PN" and options.fuzzy_names:
        rule = _words
    if not (options.empty_value and attribute.vr in EMPTY_VRS):
        return rule
    return lambda attribute, value: Empty() if value == _EMPTY else rule(attribute, value)


def _text(attribute: Attribute, value: str) -> SingleValue | Wildcard | None:
    if attribute.vr in WILDCARD_VRS and ("*" in value or "?" in value):
        pattern = _STARS.sub("*", value)
        _check_wildcards(attribute, pattern)
        return Wildcard(pattern) if pattern != "*" else None
    return SingleValue(value)


def _check_wildcards(attribute: Attribute, pattern: str) -> None:
    if pattern.count("*") + pattern.count("?") > MAX_WILDCARDS:
        raise invalid(attribute, f"{attribute.keyword} has more than {MAX_WILDCARDS} wildcards")


def _name(attribute: Attribute, value: str) -> SingleValue | Wildcard | None:
    groups = _groups(attribute, value)
    is_universal = all(names.patterns(group)[-1] in ("", "*") for group in groups)
    return None if is_universal else _text(attribute, value)


def _groups(attribute: Attribute, value: str) -> list[str]:
    """Return the component groups of a name, without empty ones at the end."""
    groups = charset.folded_pattern(value).split("=")
    if len(groups) > names.MAX_GROUPS:
        raise invalid(attribute, f"{attribute.keyword} has more than {names.MAX_GROUPS} component groups")
    return groups


def _words(attribute: Attribute, value: str) -> Words | None:
    _check_wildcards(attribute, _STARS.sub("*", value))
    _groups(attribute, value)
    words = names.asked_words(value)
    if len(words) > names.MAX_WORDS:
        raise invalid(attribute, f"{attribute.keyword} has more than {names.MAX_WORDS} words")
    return Words(words) if words else None


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
        raise invalid(attribute, f"{attribute.keyword} is not a range of dates or times: x-y, x- or -y")
    return ends


def _date_time_in(timezone: int) -> _Rule:
    """Return the rule for DT: what names no offset is in the time zone (PS3.4 C.2.2.2.1.3, C.2.2.2.5.3)."""

    def rule(attribute: Attribute, value: str) -> Range:
        found = _date_time_range(value, timezone) or _date_times(value, value, timezone)
        if found is None:
            raise invalid(attribute, f"{attribute.keyword} is not a date and time or a range of them")
        return found

    return rule


def _date_time_range(value: str, timezone: int) -> Range | None:
    """Return a range, whose hyphen may be a sign as well: it is one where both sides are in order.

    `20200101-0500` is no range, since the year 500 is before 2020. It is one DT, though the Standard gives those with
    a negative offset no Single Value Matching: it has no other meaning.
    """
    hyphens = [at for at, char in enumerate(value[:64]) if char == "-"]
    for at in hyphens if len(value) <= 64 else ():  # two DT have at most 52 characters
        low, high = value[:at].strip(" "), value[at + 1 :].strip(" ")
        found = _date_times(low, high, timezone) if low or high else None
        if found is not None and _is_ordered("DT", found.low, found.high):
            return found
    return None


def _date_times(low: str, high: str, timezone: int) -> Range | None:
    """Return the range between two DT, of which one may be missing; a DT covers what its precision leaves open."""
    first = temporal.span(low) if low else None
    last = temporal.span(high) if high else None
    if bool(first) != bool(low) or bool(last) != bool(high):
        return None
    return Range(
        _in_utc(first[0], first[2], timezone) if first else None,
        _in_utc(last[1], last[2], timezone) if last else None,
    )


def _in_utc(moment: int, minutes: int | None, timezone: int) -> str:
    return temporal.stamp(moment - (timezone if minutes is None else minutes) * temporal.MINUTE)


_RULES: dict[str, _Rule] = {
    "PN": _name,
    "DA": _date,
    "TM": _time,
    "IS": _number,
    "DS": _number,
}
