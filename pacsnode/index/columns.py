"""From the text of a header to the values of a row."""

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial

from pacsnode.dicom.attributes import STANDARD, Attribute, Catalogue, Level
from pacsnode.dicom.charset import folded
from pacsnode.dicom.matching import number
from pacsnode.index import lookups, schema

Value = str | int | float | bytes | None
_EXACT = 1 << 53  # integers up to here are the same number as an IEEE double, which is what is matched


def as_number(text: str) -> tuple[int | float | str, bool]:
    """Return a numeric attribute as it is kept, and whether the text can't be had back from that."""
    if text.isascii() and text.isdigit() and len(text) < 16 and (text[0] != "0" or text == "0"):
        return int(text), False
    value = number(text)
    if value is None:
        return text, False
    if abs(value) < _EXACT and value == int(value):
        return int(value), str(int(value)) != text
    return value, True


def as_folded(attribute: Attribute, text: str) -> str:
    """Return a person name as it is matched, each value for itself."""
    if not attribute.multi_valued:
        return folded(text)
    return "\\".join(folded(value) for value in text.split("\\") if value)


def with_folded_names(attribute: Attribute, text: str) -> str:
    """Return the JSON text of items with each name folded beside it."""
    names, items = schema.names_in(attribute), json.loads(text)
    for item in items:
        item |= {
            f"{one.keyword}_folded": as_folded(one, item[one.keyword]) for one in names if one.keyword in item
        }
    return as_json(items)


def as_json(value: object) -> str:
    """Return JSON text as the header scan writes it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def keeping(attribute: Attribute) -> Callable[[str], Value]:
    """Return what makes the value of a column from the text of an attribute that is no number."""
    if schema.is_packed(attribute):
        return schema.packed_text
    return partial(with_folded_names, attribute) if schema.names_in(attribute) else str


class Columns:
    """The columns of one level that hold attributes, in a fixed order. Immutable.

    The last ones are `as_sent`, where a level has numbers, and `extra`, for the further attributes.
    """

    def __init__(self, level: Level, extra: tuple[Attribute, ...] = ()) -> None:
        stored = schema.TABLES[level].stored
        self._stored = stored
        self.keywords = tuple(attribute.keyword for attribute in (*stored, *extra))
        numeric = [a for a in stored if schema.is_numeric(a)]
        changed = [a for a in stored if schema.is_packed(a) or schema.names_in(a)]
        plain = [a for a in stored if a not in numeric and a not in changed]
        self._plain = tuple((a.keyword, a.column) for a in plain)
        self._changed = tuple((a.keyword, a.column, keeping(a)) for a in changed)
        self._numeric = tuple((a.keyword, a.column) for a in numeric)
        self._beside: tuple[tuple[str, str, Callable[[str], Value]], ...] = (
            *(
                (a.keyword, f"{a.column}_folded", partial(as_folded, a))
                for a in stored
                if schema.is_folded(a)
            ),
            *(
                (a.keyword, f"{a.column}_other_case", lookups.other_case)
                for a in lookups.CASELESS
                if a.level is level
            ),
        )
        self._extra = {attribute.keyword: attribute for attribute in extra}
        columns = [f'"{one[1]}"' for one in self._all()] + (["as_sent"] if numeric else []) + ["extra"]
        self.names = ", ".join(columns)
        self.marks = ", ".join("?" * len(columns))
        self.assignments = ", ".join(f"{column} = ?" for column in columns)

    def row(self, values: Mapping[str, str]) -> list[Value]:
        """Return the values for `names`; what is empty is NULL."""
        get = values.get
        row: list[Value] = [get(keyword) or None for keyword, _ in self._plain]
        row += [keep(text) if (text := get(keyword)) else None for keyword, _, keep in self._changed]
        as_sent = {}
        for keyword, _ in self._numeric:
            text = get(keyword)
            if not text:
                row.append(None)
                continue
            number, is_lossy = as_number(text)
            row.append(number)
            if is_lossy:
                as_sent[keyword] = text
        row += [keep(text) if (text := get(keyword)) else None for keyword, _, keep in self._beside]
        if self._numeric:
            row.append(json.dumps(as_sent) if as_sent else None)
        row.append(self._extra_of(values) if self._extra else None)
        return row

    def filling(self, values: Mapping[str, str], keywords: Collection[str]) -> tuple[str, list[Value]]:
        """Return the assignments that set only these attributes, and their values."""
        chosen = {keyword: values[keyword] for keyword in keywords}
        changed = {f'"{one[1]}" = ?' for one in self._all() if one[0] in chosen}
        row = dict(zip(self.assignments.split(", "), self.row(chosen), strict=True))
        objects = {name: row.pop(f"{name} = ?", None) for name in ("as_sent", "extra")}
        assignments = {assignment: value for assignment, value in row.items() if assignment in changed}
        for name, patch in objects.items():
            if patch is not None:
                assignments[f"{name} = json_patch(coalesce({name}, '{{}}'), ?)"] = patch
        return ", ".join(assignments), list(assignments.values())

    def read(self, extra: str | None, row: Iterable[Value]) -> dict[str, str]:
        """Return what a row has, from its `extra` and the columns of `Table.stored`."""
        values = {
            a.keyword: str(value) for a, value in zip(self._stored, row, strict=True) if value is not None
        }
        return values | (json.loads(extra) if extra else {})

    def _extra_of(self, values: Mapping[str, str]) -> str | None:
        found: dict[str, str | None] = {}
        for keyword, attribute in self._extra.items():
            text = values.get(keyword)
            if text:
                found[keyword] = text
                if schema.is_folded(attribute):
                    found[f"{keyword}_folded"] = as_folded(attribute, text)
        return as_json(found) if found else None

    def _all(self) -> tuple[tuple[str, str] | tuple[str, str, object], ...]:
        return (*self._plain, *self._changed, *self._numeric, *self._beside)


def columns_of(catalogue: Catalogue) -> Mapping[Level, Columns]:
    """Return the columns of all levels; `names`, `marks` and `assignments` are those of every catalogue."""
    return {
        level: Columns(level, tuple(one for one in catalogue.extra if one.level is level)) for level in Level
    }


COLUMNS = columns_of(STANDARD)
