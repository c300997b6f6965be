"""A query in words: how the node has understood each key, for people who ask why it answers as it does.

Pure. Without values nothing in it names a patient: of what was asked for only the number of characters is told, and
UIDs, which are the only values that can be nothing else once they are valid.
"""

from collections.abc import Iterator, Sequence

from pacsnode.dicom import temporal
from pacsnode.dicom.attributes import Attribute
from pacsnode.dicom.character_sets import are_defined
from pacsnode.dicom.matching import NUMERIC_VRS
from pacsnode.dicom.query import (
    AllOf,
    AnyOf,
    Empty,
    Items,
    Key,
    Matching,
    Moments,
    Options,
    Query,
    Range,
    SingleValue,
    ValueList,
    Wildcard,
    Words,
)

_MAX_VALUES = 8
_MAX_CHARACTERS = 80
_UNIVERSAL = "universal matching: shown, whatever its value"
_NOT_MATCHED = "not supported for matching (0xFF01): shown, whatever its value"

OPTION_NAMES = {
    "relational": "relational queries",
    "combined_date_time": "combined date-time matching",
    "fuzzy_names": "fuzzy matching of person names",
    "timezone_adjustment": "timezone adjustment",
    "empty_value": "empty value matching",
    "multiple_value": "multiple value matching",
}


def in_words(query: Query, *, with_values: bool) -> Iterator[tuple[str, str]]:
    """Yield what each key means as (attribute, meaning), then what is said of the query as a whole.

    The second kind has an attribute of `""`.
    """
    for key in query.keys:
        yield key.attribute.keyword, meaning(key, with_values=with_values)
    matched = {key.attribute.keyword for key in query.keys}
    for attribute in query.returned:
        if attribute.keyword not in matched:
            is_unmatched = attribute.tag in query.unmatched
            yield attribute.keyword, _NOT_MATCHED if is_unmatched else _UNIVERSAL
    yield from (("", remark) for remark in _remarks(query))


def meaning(key: Key, *, with_values: bool) -> str:
    """Return what one key asks for."""
    return _Wording(with_values=with_values, match_case=key.match_case).of(key.matching, key.attribute)


def _remarks(query: Query) -> Iterator[str]:
    if query.unsupported:
        yield f"not supported, so left out (0xFF01): {_tags(query.unsupported)}"
    if query.unsupported_items:
        others = _tags(query.unsupported_items)
        yield f"not all keys in the item are supported, the others are left out (0xFF01): {others}"
    if query.is_relational:
        yield "a unique key above the level is missing: all that lies above is searched (relational query)"
    if negotiated := _negotiated(query.options):
        yield f"negotiated: {negotiated}"
    if query.timezone is not None:
        yield f"times are the requester's, {_offset(query.timezone)} from UTC"
    if query.character_sets:
        yield f"asked in {_sets(query.character_sets)}"
    if query.visibility is not None:
        yield "only what this requester sees (sees)"


def _tags(tags: Sequence[int]) -> str:
    return _some([f"({tag >> 16:04X},{tag & 0xFFFF:04X})" for tag in tags])


def _some(words: Sequence[str], separator: str = ", ") -> str:
    """Return the first few words, and how many more there are."""
    more = len(words) - _MAX_VALUES
    listed = separator.join(words[:_MAX_VALUES])
    return f"{listed} and {more} more" if more > 0 else listed


def _negotiated(options: Options) -> str:
    return ", ".join(name for field, name in OPTION_NAMES.items() if getattr(options, field))


def _sets(character_sets: tuple[str, ...]) -> str:
    """Return the names of character sets, if they are names: anything may stand there."""
    if not are_defined(character_sets):
        return "a character set that the Standard does not define, read as well as it can be"
    return " and ".join(name or "the default repertoire" for name in character_sets)


def _offset(minutes: int) -> str:
    text = temporal.offset_text(minutes)
    return f"{text[:3]}:{text[3:]}"


class _Wording:
    """Words for each rule, with what was asked for or with its length."""

    def __init__(self, *, with_values: bool, match_case: bool) -> None:
        self._with_values = with_values
        self._match_case = match_case

    def of(self, matching: Matching, attribute: Attribute) -> str:
        match matching:
            case SingleValue(value):
                return f"single value matching: {self._compared(attribute)}{self._shown(attribute, value)}"
            case Wildcard(pattern):
                return f"wild card matching: {self._compared(attribute)}{self._shown(attribute, pattern)}"
            case ValueList(values):
                rule = "list of UID matching" if attribute.vr == "UI" else "several values"
                return f"{rule}: any of {_some([self._shown(attribute, value) for value in values])}"
            case Range(low, high):
                return f"range matching: {self._span(attribute, low, high)}"
            case Moments(low, high):
                return f"combined date-time matching: {self._span(attribute, low, high)}"
            case _:
                return self._further(matching, attribute)

    def _further(self, matching: Matching, attribute: Attribute) -> str:
        match matching:
            case Words(words):
                begins = " and ".join(self._shown(attribute, word) for word in words)
                return f"fuzzy matching: words of the name that begin with {begins}, in any order"
            case Empty():
                return "empty value matching: absent, or without a value"
            case AnyOf(matchings):
                return f"any of: {self._each(matchings, attribute)}"
            case AllOf(matchings):
                return f"multiple value matching: some value for each of: {self._each(matchings, attribute)}"
            case Items(keys):
                parts = [
                    f"{key.attribute.keyword} by {meaning(key, with_values=self._with_values)}"
                    for key in keys
                ]
                return f"sequence matching: one item with {_some(parts, '; ')}"
        raise AssertionError(matching)

    def _each(self, matchings: Sequence[Matching], attribute: Attribute) -> str:
        return _some([self.of(one, attribute) for one in matchings], "; ")

    def _span(self, attribute: Attribute, low: str | None, high: str | None) -> str:
        if low == high and low is not None:
            return f"within {self._shown(attribute, low)}"
        first, last = (end and self._shown(attribute, end) for end in (low, high))
        if not first:
            return f"until {last}"
        return f"{first} to {last}" if last else f"{first} or later"

    def _shown(self, attribute: Attribute, value: str) -> str:
        if not self._with_values and attribute.vr != "UI":
            return f"({len(value)} character{'s' if len(value) != 1 else ''})"
        more = len(value) - _MAX_CHARACTERS
        return f'"{value[:_MAX_CHARACTERS]}"' + (f" and {more} characters more" if more > 0 else "")

    def _compared(self, attribute: Attribute) -> str:
        if attribute.vr == "PN":
            return "whatever case and accents, "
        if attribute.vr in NUMERIC_VRS:
            return "as a number, "
        return "" if self._match_case else "whatever case, "
