"""Pieces of SQL with the values of their question marks. Pure.

Lists of any length are bound as one parameter, since the number of parameters is limited: numbers and texts as a
JSON array, UIDs as one blob and its slices, since blobs have no JSON form.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

Parameter = str | int | float | bytes


@dataclass(frozen=True, slots=True)
class Fragment:
    """A piece of SQL and the values of its question marks, in order."""

    sql: str
    parameters: tuple[Parameter, ...] = ()

    def __add__(self, other: "Fragment") -> "Fragment":
        return Fragment(self.sql + other.sql, self.parameters + other.parameters)


NOTHING = Fragment("0")
NOT_ASCII = "*[^\x01-\x7f]*"  # as a GLOB pattern


def joined(fragments: Sequence[Fragment], separator: str) -> Fragment:
    """Return the fragments with a separator between them."""
    parameters = tuple(value for fragment in fragments for value in fragment.parameters)
    return Fragment(separator.join(fragment.sql for fragment in fragments), parameters)


def any_of(fragments: Sequence[Fragment]) -> Fragment:
    """Return the fragments joined by OR."""
    return _bracketed(fragments, " OR ")


def all_of(fragments: Sequence[Fragment]) -> Fragment:
    """Return the fragments joined by AND."""
    return _bracketed(fragments, " AND ")


def _bracketed(fragments: Sequence[Fragment], operator: str) -> Fragment:
    if len(fragments) == 1:
        return fragments[0]
    return Fragment("(") + joined(fragments, operator) + Fragment(")")


def as_glob(pattern: str) -> str:
    """Return a DICOM pattern as a GLOB pattern."""
    return pattern.replace("[", "[[]")


def after(prefix: str) -> str:
    """Return the first text behind all those that begin with the prefix, in the order of UTF-8."""
    last = ord(prefix[-1]) + 1
    return prefix[:-1] + chr(0xE000 if last == 0xD800 else last)  # surrogates are no characters


def beginning(pattern: str) -> str:
    """Return what everything begins with that a DICOM pattern covers."""
    return pattern.partition("*")[0].partition("?")[0]


def split_at(value: str, seam: str) -> str:
    """Return the SQL of a JSON array of the parts of a text; the seam is as `json_quote` writes it."""
    return f"""'[' || replace(json_quote({value}), '{seam}', '","') || ']'"""


def in_texts(value: str, texts: Sequence[str]) -> Fragment:
    """Return `value IN texts`, for any number of them."""
    return Fragment(f"{value} IN (SELECT value FROM json_each(?))", (json.dumps(list(texts)),))


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
    return Fragment(f"{column} IN (SELECT value FROM json_each(?))", (json.dumps(list(numbers)),))
