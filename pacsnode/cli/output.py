"""What a command prints: text for people, or one JSON object a line for programs.

Items go to standard output as they come. With `--json` each line has one key, its kind, and the last line's
kind is `result`; without, tables and sentences. Progress goes to standard error, and only to a terminal. Text
from a peer is printed without its control characters: they could drive the terminal.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import click

_ROWS_TO_MEASURE = 100
_WIDEST_COLUMN = 40
_PLURALS = {"study": "studies", "series": "series", "query": "queries", "copy": "copies"}


class Output:
    """Prints items and one result."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    def item(self, kind: str, fields: Mapping[str, object], text: str | None) -> None:
        """Print one item; None for what people do not need to read."""
        if self.as_json:
            click.echo(json.dumps({kind: fields}, ensure_ascii=False))
        elif text is not None:
            click.echo(text)

    def result(self, fields: Mapping[str, object], text: str | None) -> None:
        """Print the result, the last line."""
        self.item("result", fields, text)

    @contextmanager
    def table(self, kind: str, columns: Sequence[str]) -> Iterator["Table"]:
        """Print a table row by row."""
        table = Table(self, kind, columns)
        try:
            yield table
        finally:
            table.flush()

    @contextmanager
    def progress(self, label: str, total: int | None = None) -> Iterator["Progress"]:
        """Show progress on standard error if it is a terminal."""
        shown = sys.stderr.isatty() and not self.as_json
        progress = Progress(label, total, shown=shown)
        try:
            yield progress
        finally:
            progress.clear()


class Table:
    """Rows under a heading. The first rows decide how wide columns are, so that rows can be printed early."""

    def __init__(self, output: Output, kind: str, columns: Sequence[str]) -> None:
        self._output = output
        self._kind = kind
        self._columns = tuple(columns)
        self._held: list[tuple[str, ...]] | None = []
        self._widths: tuple[int, ...] = ()

    def row(self, cells: Sequence[str], fields: Mapping[str, object]) -> None:
        """Print one row: `cells` for people, `fields` for programs."""
        if self._output.as_json:
            self._output.item(self._kind, fields, None)
            return
        printable_cells = tuple(printable(cell) for cell in cells)
        if self._held is None:
            click.echo(self._line(printable_cells))
            return
        self._held.append(printable_cells)
        if len(self._held) == _ROWS_TO_MEASURE:
            self.flush()

    def flush(self) -> None:
        """Print the heading and the rows that were held back to measure the columns."""
        held, self._held = self._held, None
        if not held:
            return
        self._widths = tuple(
            min(max(len(cell) for cell in column), max(_WIDEST_COLUMN, len(column[0])))
            for column in zip(self._columns, *held, strict=True)
        )
        click.secho(self._line(self._columns), bold=True)
        for row in held:
            click.echo(self._line(row))

    def _line(self, cells: Sequence[str]) -> str:
        return "  ".join(f"{cell:<{width}}" for cell, width in zip(cells, self._widths, strict=True)).rstrip()


class Progress:
    """One line on a terminal that is written over and over."""

    def __init__(self, label: str, total: int | None, *, shown: bool) -> None:
        self._label = label
        self._total = total
        self._shown = shown

    def update(self, done: int, total: int | None = None) -> None:
        """Show how far the work is."""
        if not self._shown:
            return
        self._total = total if total is not None else self._total
        click.echo(f"\r\x1b[K{self._label} {self._bar(done)}", nl=False, err=True)

    def clear(self) -> None:
        """Leave the line as it was."""
        if self._shown:
            click.echo("\r\x1b[K", nl=False, err=True)

    def _bar(self, done: int) -> str:
        if not self._total:
            return str(done)
        filled = round(30 * min(done, self._total) / self._total)
        return f"[{'#' * filled}{'.' * (30 - filled)}] {done} of {self._total}"


def printable(text: str) -> str:
    """Return text from elsewhere without what could drive a terminal."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: `1 file`, `2 files`, `3 studies`."""
    if number == 1:
        return f"1 {noun}"
    return f"{number:,} {_PLURALS.get(noun, noun + 's')}"


def status_text(status: int) -> str:
    """Return a DIMSE status as the Standard writes it."""
    return f"0x{status:04X}"
