"""One key of a query as an SQL condition, with the meaning that `dicom.matching` gives it.

Pure. Values are always bound; identifiers come from our own table. The few places where SQL needs thought:

- GLOB is the wildcard match: case-sensitive, `*` and `?` as in DICOM, and only `[` to be escaped (PS3.4
  C.2.2.2.4). It does not backtrack exponentially.
- A PN matches by its folded column, whole or by its first component group, the part before the first `=`.
- Several values stand in one column, joined by backslashes. A JSON array made of them in SQL splits them:
  `json_quote` writes each backslash as two, and those two become the seam.
- A date is compared as text, if the calendar has it: strftime gives it back after a calculation, which
  turns February 30 into March; a time as microseconds since
  midnight, since `105960` and `110000` are the same instant and texts of different precision do not sort.
- UIDs in a list are bound as one blob and its slices: blobs have no JSON form, and the number of parameters
  is limited.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from pacsnode.dicom import charset, matching, temporal
from pacsnode.dicom.attributes import Attribute, Level
from pacsnode.dicom.query import Key, Range, SingleValue, ValueList, Wildcard
from pacsnode.dicom.uid import packed, validated
from pacsnode.index import schema

Parameter = str | int | float | bytes
_END_OF_TIME = 1 << 40  # microseconds


@dataclass(frozen=True, slots=True)
class Fragment:
    """A piece of SQL and the values of its question marks, in order."""

    sql: str
    parameters: tuple[Parameter, ...] = ()

    def __add__(self, other: "Fragment") -> "Fragment":
        return Fragment(self.sql + other.sql, self.parameters + other.parameters)


NOTHING = Fragment("0")


def joined(fragments: Sequence[Fragment], separator: str) -> Fragment:
    """Return the fragments with a separator between them."""
    parameters = tuple(value for fragment in fragments for value in fragment.parameters)
    return Fragment(separator.join(fragment.sql for fragment in fragments), parameters)


def any_of(fragments: Sequence[Fragment]) -> Fragment:
    """Return the fragments joined by OR."""
    return Fragment("(") + joined(fragments, " OR ") + Fragment(")") if len(fragments) > 1 else fragments[0]


def column(attribute: Attribute) -> str:
    """Return the SQL expression that the attribute is matched by, wherever it is kept."""
    return schema.matched(attribute)


def condition(key: Key) -> Fragment:
    """Return the condition of one key."""
    attribute = key.attribute
    if schema.is_uid(attribute):
        return _uid_condition(key)
    if attribute.multi_valued:
        return _any_value(attribute, key)
    # The plus keeps SQLite from using the index of a PN here, which its OR would make it do in two parts.
    value = f"+{column(attribute)}" if schema.is_folded(attribute) else column(attribute)
    return _value_condition(attribute, key, value)


def _value_condition(attribute: Attribute, key: Key, value: str) -> Fragment:
    """Return the condition on one value, which is an SQL expression."""
    match key.matching:
        case SingleValue(wanted):
            return _equal(attribute, value, wanted)
        case ValueList(several) if schema.is_folded(attribute) or attribute.vr in matching.NUMERIC_VRS:
            return any_of([_equal(attribute, value, wanted) for wanted in several])
        case ValueList(several):
            return Fragment(f"{value} IN (SELECT value FROM json_each(?))", (json.dumps(several),))
        case Wildcard(pattern):
            return _like(attribute, value, pattern)
        case Range(low, high):
            return _within(attribute.vr, value, low, high)


def _any_value(attribute: Attribute, key: Key) -> Fragment:
    """Return the condition that one of several values matches (PS3.4 C.2.2.2.1)."""
    whole = column(attribute)
    if isinstance(key.matching, SingleValue) and not schema.is_folded(attribute):
        wanted = key.matching.value
        if "\\" in wanted:
            return NOTHING
        return Fragment(f"instr('\\' || {whole} || '\\', ?)", (f"\\{wanted}\\",))
    one = _value_condition(attribute, key, "one.value")
    return Fragment(f"EXISTS (SELECT 1 FROM {_split(whole)} AS one WHERE ") + one + Fragment(")")


def _split(values: str) -> str:
    return f"""json_each('[' || replace(json_quote({values}), '\\\\', '","') || ']')"""


def number_or_text(attribute: Attribute, value: str) -> Parameter:
    """Return what a value is compared as: a number if the attribute is numeric and it is one."""
    if attribute.vr not in matching.NUMERIC_VRS:
        return value
    number = matching.number(value)
    return value if number is None else number


def _equal(attribute: Attribute, value: str, wanted: str) -> Fragment:
    if not schema.is_folded(attribute):
        return Fragment(f"{value} = ?", (number_or_text(attribute, wanted),))
    name = charset.folded(wanted)
    whole = Fragment(f"{value} = ?", (name,))
    if not name or "=" in name:
        return whole
    start, end = f"{name}=", after(f"{name}=")
    return any_of([whole, Fragment(f"({value} >= ? AND {value} < ?)", (start, end))])


def after(prefix: str) -> str:
    """Return the first text behind all those that begin with the prefix, in the order of UTF-8."""
    last = ord(prefix[-1]) + 1
    return prefix[:-1] + chr(0xE000 if last == 0xD800 else last)  # surrogates are no characters


def _like(attribute: Attribute, value: str, pattern: str) -> Fragment:
    if not schema.is_folded(attribute):
        return Fragment(f"{value} GLOB ?", (as_glob(pattern),))
    glob = as_glob(charset.folded_pattern(pattern))
    first_group = f"(instr({value}, '=') > 1 AND substr({value}, 1, instr({value}, '=') - 1) GLOB ?)"
    return Fragment(f"({value} GLOB ? OR {first_group})", (glob, glob))


def as_glob(pattern: str) -> str:
    """Return a DICOM pattern as a GLOB pattern."""
    return pattern.replace("[", "[[]")


def _within(vr: str, value: str, low: str | None, high: str | None) -> Fragment:
    if vr == "TM":
        first = temporal.instants(low) if low is not None else None
        last = temporal.instants(high) if high is not None else None
        ends = first[0] if first else 0, last[1] if last else _END_OF_TIME
        return Fragment(f"{_microseconds(value)} BETWEEN ? AND ?", ends)
    day = f"substr({value}, 1, 4) || '-' || substr({value}, 5, 2) || '-' || substr({value}, 7, 2)"
    return _between_dates(value, low, high) + Fragment(f" AND strftime('%Y%m%d', {day}, '+0 days') = {value}")


def _between_dates(value: str, low: str | None, high: str | None) -> Fragment:
    first, last = low and temporal.date(low), high and temporal.date(high)
    return Fragment(f"{value} BETWEEN ? AND ?", (first or "00010101", last or "99991231"))


def _microseconds(value: str) -> str:
    """Return the SQL of a stored time as microseconds since midnight, NULL if it is none."""
    digits = "[0-2][0-9]", "[0-2][0-9][0-5][0-9]", "[0-2][0-9][0-5][0-9][0-6][0-9]"
    plain = " OR ".join(f"{value} GLOB '{pattern}'" for pattern in digits)
    fraction = f"{value} GLOB '{digits[2]}.[0-9]*' AND substr({value}, 8) NOT GLOB '*[^0-9]*'"
    seconds = f"(substr({value}, 1, 2) * 60 + substr({value}, 3, 2)) * 60 + substr({value}, 5, 2)"
    microseconds = f"({seconds}) * 1000000 + substr(substr({value}, 8) || '000000', 1, 6)"
    is_precise = f"{fraction} AND length({value}) <= 13"
    is_time = f"{value} < '24' AND substr({value}, 5, 2) <= '60' AND ({plain} OR {is_precise})"
    return f"CASE WHEN {is_time} THEN {microseconds} END"


def _uid_condition(key: Key) -> Fragment:
    attribute = key.attribute
    wanted: tuple[str, ...] = (key.matching.value,) if isinstance(key.matching, SingleValue) else ()
    if isinstance(key.matching, ValueList):
        wanted = key.matching.values
    if attribute.keyword in _DICTIONARY:
        table, its_id = _DICTIONARY[attribute.keyword]
        listed = (json.dumps(wanted),)
        return Fragment(
            f"{its_id} IN (SELECT id FROM {table} WHERE uid IN (SELECT value FROM json_each(?)))", listed
        )
    blobs = [packed(validated(uid)) for uid in wanted]
    exact = in_blobs(column(attribute), blobs)
    if attribute.level is not Level.IMAGE:
        return exact
    return (
        in_numbers("instance.uid_hash", [schema.uid_hash(blob) for blob in blobs]) + Fragment(" AND ") + exact
    )


_DICTIONARY = {
    "SOPClassUID": ("sop_class", "instance.sop_class"),
    "AvailableTransferSyntaxUID": ("transfer_syntax", "instance.transfer_syntax"),
}


def in_blobs(column: str, blobs: Sequence[bytes]) -> Fragment:
    """Return `column IN blobs`, for any number of them."""
    if len(blobs) == 1:
        return Fragment(f"{column} = ?", (blobs[0],))
    starts = accumulate((len(blob) for blob in blobs), initial=1)
    slices = json.dumps([[start, len(blob)] for start, blob in zip(starts, blobs, strict=False)])
    one = "substr(?, json_extract(value, '$[0]'), json_extract(value, '$[1]'))"
    return Fragment(f"{column} IN (SELECT {one} FROM json_each(?))", (b"".join(blobs), slices))


def in_numbers(column: str, numbers: Sequence[int]) -> Fragment:
    """Return `column IN numbers`, for any number of them."""
    if len(numbers) == 1:
        return Fragment(f"{column} = ?", (numbers[0],))
    return Fragment(f"{column} IN (SELECT value FROM json_each(?))", (json.dumps(numbers),))
