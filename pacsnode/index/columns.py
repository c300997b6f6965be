"""From the text of a header to the values of a row."""

import json
from collections.abc import Collection, Mapping

from pacsnode.dicom.attributes import Attribute, Level
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


def as_folded(attribute: Attribute, text: str) -> str | None:
    """Return a person name as it is matched, each value for itself; of other text what `lookups` says."""
    if attribute in lookups.CASELESS:
        return lookups.other_case(text)
    if not attribute.multi_valued:
        return folded(text)
    return "\\".join(folded(value) for value in text.split("\\") if value)


class Columns:
    """The columns of one level that hold attributes, in a fixed order. Immutable."""

    def __init__(self, level: Level) -> None:
        stored = schema.TABLES[level].stored
        self.keywords = tuple(attribute.keyword for attribute in stored)
        self._plain = tuple((a.keyword, a.column) for a in stored if not schema.is_numeric(a))
        self._numeric = tuple((a.keyword, a.column) for a in stored if schema.is_numeric(a))
        self._folded = tuple((a.keyword, f"{a.column}_folded", a) for a in stored if schema.is_folded(a))
        caseless = [a for a in lookups.CASELESS if a.level is level]
        self._folded += tuple((a.keyword, f"{a.column}_other_case", a) for a in caseless)
        columns = [one[1] for one in (*self._plain, *self._numeric, *self._folded)]
        self.names = ", ".join(f'"{column}"' for column in columns) + (", as_sent" if self._numeric else "")
        self.marks = ", ".join("?" * (len(columns) + bool(self._numeric)))
        self.assignments = ", ".join(f'"{column}" = ?' for column in columns) + (
            ", as_sent = ?" if self._numeric else ""
        )

    def row(self, values: Mapping[str, str]) -> list[Value]:
        """Return the values for `names`; what is empty is NULL."""
        get = values.get
        row: list[Value] = [get(keyword) or None for keyword, _ in self._plain]
        as_sent = {}
        for keyword, _ in self._numeric:
            text = get(keyword)
            if not text:
                row.append(None)
                continue
            kept, is_lossy = as_number(text)
            row.append(kept)
            if is_lossy:
                as_sent[keyword] = text
        for keyword, _, attribute in self._folded:
            text = get(keyword)
            row.append(as_folded(attribute, text) if text else None)
        if self._numeric:
            row.append(json.dumps(as_sent) if as_sent else None)
        return row

    def filling(self, values: Mapping[str, str], keywords: Collection[str]) -> tuple[str, list[Value]]:
        """Return the assignments that set only these attributes, and their values."""
        chosen = {keyword: values[keyword] for keyword in keywords}
        changed = {f'"{column}" = ?' for keyword, column, *_ in self._all() if keyword in chosen}
        row = dict(zip(self.assignments.split(", "), self.row(chosen), strict=True))
        as_sent = row.pop("as_sent = ?", None)
        assignments = {assignment: value for assignment, value in row.items() if assignment in changed}
        if as_sent is not None:
            assignments["as_sent = json_patch(coalesce(as_sent, '{}'), ?)"] = as_sent
        return ", ".join(assignments), list(assignments.values())

    def _all(self) -> tuple[tuple[str, str] | tuple[str, str, Attribute], ...]:
        return (*self._plain, *self._numeric, *self._folded)


COLUMNS = {level: Columns(level) for level in Level}
