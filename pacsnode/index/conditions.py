"""One key of a query as an SQL condition, with the meaning that `dicom.matching` gives it.

Pure. Values are always bound; identifiers come from our own table. The few places where SQL needs thought:

- GLOB is the wildcard match: case-sensitive, `*` and `?` as in DICOM, and only `[` to be escaped (PS3.4
  C.2.2.2.4). It does not backtrack exponentially.
- Several values stand in one text, joined by backslashes, and are split there (`fragments.split_at`).
- Every condition but that of an empty value is false or NULL where the attribute has no value, and so are those that
  are made of them by AND and OR.

Names are in `spellings`, dates and times in `instants`, what only Python can say in `functions`.
"""

import json
from collections.abc import Sequence

from pacsnode.dicom import matching
from pacsnode.dicom.attributes import TIME_OF, Attribute, Level
from pacsnode.dicom.query import (
    AllOf,
    AnyOf,
    Empty,
    Items,
    Key,
    Matching,
    Moments,
    Range,
    SingleValue,
    ValueList,
    Wildcard,
    Words,
)
from pacsnode.dicom.uid import packed, validated
from pacsnode.dicom.zones import ZONES, is_adjusted
from pacsnode.index import instants, schema, spellings, values
from pacsnode.index.fragments import (
    NOTHING,
    Fragment,
    all_of,
    any_of,
    as_glob,
    in_blobs,
    in_numbers,
    in_texts,
    split_at,
)
from pacsnode.index.values import Value

# The others are compared as they are, or looked up in a list.
_ONE_BY_ONE = frozenset({*matching.NUMERIC_VRS, "PN"})
_QUOTED_BACKSLASH = r"\\"  # json_quote writes it as two


def condition(key: Key, timezone: int | None = None) -> Fragment:
    """Return the condition of one key, for a requester in this time zone (`Query.timezone`)."""
    return _attribute(key, values.of(key.attribute), key.matching, timezone, depth=0)


def levels(key: Key, timezone: int | None) -> set[Level]:
    """Return the levels whose tables the condition needs: an instance may have the time zone of its series."""
    level = key.attribute.level
    return {level, Level.SERIES} if timezone is not None and level is Level.IMAGE else {level}


def _attribute(key: Key, value: Value, asked: Matching, timezone: int | None, *, depth: int) -> Fragment:
    """Return the condition on an attribute with all of its values."""
    match asked:
        case AnyOf(several):
            return any_of([_attribute(key, value, one, timezone, depth=depth) for one in several])
        case AllOf(several):
            return all_of([_attribute(key, value, one, timezone, depth=depth) for one in several])
        case Empty():
            return _empty(value)
        case Items(keys):
            return _items(value, keys, depth)
        case Moments():
            return _moments(key.attribute, asked, timezone)
        case _ if value.is_packed:
            return _uid_condition(key.attribute, asked)
        case Words(words) if value.folded:
            return spellings.with_words(value.folded, words, _one_or_several(key, value, asked))
        case _:
            return _near(value, asked, timezone, _one_or_several(key, _in_zone(value, timezone), asked))


def _one_or_several(key: Key, value: Value, asked: Matching) -> Fragment:
    return _any_value(key, value, asked) if key.attribute.multi_valued else _value(key, value, asked)


def _near(value: Value, asked: Matching, timezone: int | None, exact: Fragment) -> Fragment:
    """Return a condition on dates that costs much such that most dates do not come to it."""
    attribute = value.attribute
    if attribute.vr == "DT" and not attribute.multi_valued:
        return instants.near(value.text, asked, 0, exact)  # its ends are in UTC, it may be in any zone
    is_moved = timezone is not None and attribute in TIME_OF
    return instants.near(value.text, asked, timezone, exact) if is_moved else exact


def _empty(value: Value) -> Fragment:
    return NOTHING if value.is_packed else Fragment(f"coalesce({value.text}, '') = ''")


def _items(value: Value, keys: Sequence[Key], depth: int) -> Fragment:
    """Return the condition that one item of a sequence matches all keys (PS3.4 C.2.2.2.6)."""
    item = f"item{depth}"
    held = [
        _attribute(key, values.within(key.attribute, item), key.matching, None, depth=depth + 1)
        for key in keys
    ]
    return (
        Fragment(f"EXISTS (SELECT 1 FROM json_each({value.text}) AS {item} WHERE ")
        + all_of(held)
        + Fragment(")")
    )


def _moments(date: Attribute, asked: Moments, timezone: int | None) -> Fragment:
    shift = None
    if timezone is not None and date.level in ZONES:
        shift = f"shift_of({date.level:d}, {_zones(date.level)}, {timezone:d})"
    day = values.of(date).text
    exact = instants.between(day, values.of(TIME_OF[date]).text, shift, asked)
    return instants.near(day, asked, timezone, exact)


def _in_zone(value: Value, timezone: int | None) -> Value:
    """Return the value as it is in the requester's time zone (PS3.4 C.2.2.2)."""
    attribute = value.attribute
    if timezone is None or not is_adjusted(attribute):
        return value
    time = values.of(TIME_OF[attribute]).text if attribute in TIME_OF else "NULL"
    zones = _zones(attribute.level)
    called = f"'{attribute.keyword}', {attribute.level:d}, {value.text}, {time}, {zones}, {timezone:d}"
    return Value(attribute, f"local_of({called})")


def _zones(level: Level) -> str:
    """Return the time zone of an entity of the level, and that of its series for an instance."""
    own = values.of(ZONES[level]).text
    upper = values.of(ZONES[Level.SERIES]).text if level is Level.IMAGE else "NULL"
    return f"{own}, {upper}"


def _any_value(key: Key, value: Value, asked: Matching) -> Fragment:
    """Return the condition that one of several values matches (PS3.4 C.2.2.3)."""
    if isinstance(asked, SingleValue) and _is_text(key):
        if "\\" in asked.value:
            return NOTHING
        return Fragment(f"instr('\\' || {value.text} || '\\', ?)", (f"\\{asked.value}\\",))
    # A name is split as it is, and as it is folded where it is compared so.
    whole = value.text if isinstance(asked, Words) else value.matched
    one = _value(key, values.one_of(value, "one"), asked)
    listed = f"json_each({split_at(whole, _QUOTED_BACKSLASH)}) AS one"
    return Fragment(f"EXISTS (SELECT 1 FROM {listed} WHERE one.value <> '' AND ") + one + Fragment(")")


def _value(key: Key, value: Value, asked: Matching) -> Fragment:
    """Return the condition on one value."""
    match asked:
        case SingleValue(wanted):
            return _equal(key, value, wanted)
        case ValueList(several) if key.attribute.vr not in _ONE_BY_ONE:
            return _listed(key, value, several)
        case ValueList(several):
            return any_of([_equal(key, value, wanted) for wanted in several])
        case Wildcard(pattern):
            return _like(key, value, pattern)
        case Range():
            return instants.within(key.attribute.vr, value.text, asked)
        case Words(words):
            return Fragment(f"has_words(?, {value.text})", (json.dumps(words),))
    raise AssertionError(asked)  # the others are not about one value


def _is_text(key: Key) -> bool:
    """Return whether values are compared as they are."""
    return key.match_case and key.attribute.vr not in _ONE_BY_ONE


def _listed(key: Key, value: Value, several: Sequence[str]) -> Fragment:
    if key.match_case:
        return in_texts(value.text, several)
    return in_texts(f"without_case({value.text})", [matching.without_case(one) for one in several])


def _equal(key: Key, value: Value, wanted: str) -> Fragment:
    vr = key.attribute.vr
    if vr == "PN":
        return spellings.equal(_unindexed(value.folded), wanted)
    if vr in matching.NUMERIC_VRS:
        return _same_number(value, wanted)
    if not key.match_case:
        return Fragment(f"without_case({value.text}) = ?", (matching.without_case(wanted),))
    return Fragment(f"{value.text} = ?", (wanted,))


def _like(key: Key, value: Value, pattern: str) -> Fragment:
    if key.attribute.vr == "PN":
        return spellings.like(_unindexed(value.folded), pattern)
    if not key.match_case:
        return Fragment(f"without_case({value.text}) GLOB ?", (as_glob(matching.without_case(pattern)),))
    return Fragment(f"{value.text} GLOB ?", (as_glob(pattern),))


def _unindexed(column: str) -> str:
    """Return the column such that SQLite does not use its index here, which an OR would make it do in two parts."""
    return f"+{column}"


def _same_number(value: Value, wanted: str) -> Fragment:
    number = matching.number(wanted)
    if number is None:
        return Fragment(f"{value.text} = ?", (wanted,))
    return Fragment(f"{value.text} = ?" if value.is_typed else f"number_of({value.text}) = ?", (number,))


def _uid_condition(attribute: Attribute, asked: Matching) -> Fragment:
    wanted: tuple[str, ...] = (asked.value,) if isinstance(asked, SingleValue) else ()
    if isinstance(asked, ValueList):
        wanted = asked.values
    if attribute.keyword in _DICTIONARY:
        table, its_id = _DICTIONARY[attribute.keyword]
        uids = in_texts("uid", wanted)
        return Fragment(f"{its_id} IN (SELECT id FROM {table} WHERE ") + uids + Fragment(")")
    blobs = [packed(validated(uid)) for uid in wanted]
    exact = in_blobs(values.of(attribute).text, blobs)
    if attribute.level is not Level.IMAGE:
        return exact
    hashes = in_numbers("instance.uid_hash", [schema.uid_hash(blob) for blob in blobs])
    return hashes + Fragment(" AND ") + exact


_DICTIONARY = {
    "SOPClassUID": ("sop_class", "instance.sop_class"),
    "AvailableTransferSyntaxUID": ("transfer_syntax", "instance.transfer_syntax"),
}
