"""How a log line looks: as text for people, for journald, and as JSON for collectors.

Here is the last line of defence of two promises, whatever a call or a library does (RELIABILITY L1, L2):

- One record is one line, but for tracebacks, whose lines are indented so that none can be taken for a record. What
  does not print (control characters, line separators, marks of writing direction, surrogates) is written as an
  escape; each argument of a message has at most 256 characters.
- Texts of unexpected exceptions may quote a data set (`invalid literal for int(): 'DOE^JOHN'`). They are written
  only where `logging.patient_data` allows it; their types and places always are.
"""

import json
import logging
import traceback
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import PurePath
from types import MappingProxyType
from typing import Any

from pacsnode.errors import PacsNodeError

_MAX_ARGUMENT_CHARACTERS = 256
_MAX_PATH_CHARACTERS = 4096  # PATH_MAX: paths are ours, no part of one comes from a peer
_MAX_MESSAGE_CHARACTERS = 8192  # journald cuts a line at 48 KiB and takes the rest for a record of its own
_MAX_TRACEBACK_LINES = 120

# sd-daemon(3): the priority at the beginning of a line.
_PRIORITIES = MappingProxyType(
    {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}
)
_COLOURS = MappingProxyType({"CRITICAL": "1;31", "ERROR": "31", "WARNING": "33", "DEBUG": "2"})  # ECMA-48 SGR

# Exceptions whose texts name types, system errors, positions or lengths, and quote no value. sqlite3's, known by
# their module (which is not loaded everywhere), name tables and columns.
_QUOTE_NOTHING = (
    PacsNodeError,
    OSError,
    MemoryError,
    RuntimeError,
    AttributeError,
    NameError,
    ImportError,
    IndexError,
    TypeError,
    UnicodeError,
)
_WITHHELD = "(its text may quote a data set and is withheld, see logging.patient_data)"


def printable(text: str, limit: int = _MAX_ARGUMENT_CHARACTERS) -> str:
    """Return a text on one line and within a number of characters: what does not print becomes an escape."""
    if len(text) <= limit and text.isprintable():
        return text
    shown = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text[: limit + 1]
    )
    return shown if len(shown) <= limit else f"{shown[: limit - 3]}..."


class Formatter(logging.Formatter):
    """What the forms have in common."""

    def __init__(self, node_name: str, process: str, number: int | None, *, patient_data: bool) -> None:
        super().__init__()
        self.node_name = node_name
        self.process = process
        self.number = number
        self._patient_data = patient_data

    def head(self, record: logging.LogRecord) -> str:
        """Return `worker-1 dimse.server [3f9a1c20]: message`, without what there is none of."""
        process = (
            f"{self.process}-{self.number} "
            if self.number is not None
            else f"{self.process} "
            if self.process
            else ""
        )
        name = printable(record.name.removeprefix("pacsnode."))
        association = association_of(record)
        return f"{process}{name}{f' [{association}]' if association else ''}: {self.message(record)}"

    def message(self, record: logging.LogRecord) -> str:
        """Return the message, which stays on its line."""
        text = str(record.msg)
        if record.args:
            arguments = record.args
            if isinstance(arguments, Mapping):
                text %= {key: _argument(value) for key, value in arguments.items()}
            else:
                text %= tuple(map(_argument, arguments))
        repeated = getattr(record, "repeated", 0)
        said = f" ({repeated} like this were not written)" if repeated else ""
        return printable(text, _MAX_MESSAGE_CHARACTERS) + said

    def traceback(self, record: logging.LogRecord) -> list[str]:
        """Return the lines of the record's exception and of those that led to it, the first one first."""
        error = record.exc_info[1] if record.exc_info else None
        if error is None:
            return []
        lines = list[str]()
        for one in reversed(list(_chain(error))):
            lines += ["which led to:"] if lines else []
            frames = "".join(traceback.format_tb(one.__traceback__))
            lines += [printable(line, 1024) for line in frames.splitlines()]
            lines.append(f"{type(one).__qualname__}{self._text_of(one)}")
        if len(lines) > _MAX_TRACEBACK_LINES:
            half = _MAX_TRACEBACK_LINES // 2
            lines[half:-half] = [f"... {len(lines) - 2 * half} lines ..."]
        return lines

    def _text_of(self, error: BaseException) -> str:
        text = printable(str(error), 1024)
        if not text:
            return ""
        is_harmless = isinstance(error, _QUOTE_NOTHING) or type(error).__module__ == "sqlite3"
        return f": {text if is_harmless or self._patient_data else _WITHHELD}"


class TextFormatter(Formatter):
    """`2026-01-31T09:30:00.250Z INFO worker-1 association_log [3f9a1c20]: message`, a traceback indented below."""

    is_coloured = False

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        level = record.levelname
        if self.is_coloured and level in _COLOURS:
            level = f"\x1b[{_COLOURS[level]}m{level}\x1b[0m"
        lines = [f"{_timestamp(record)} {level} {self.head(record)}"]
        return "\n".join(lines + [f"    {line}" for line in self.traceback(record)])


class JournalFormatter(Formatter):
    """`<6>worker-1 association_log [3f9a1c20]: message`: the journal has the time, the priority leads each line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        priority = _PRIORITIES.get(record.levelno, 5)
        lines = [self.head(record)] + [f"    {line}" for line in self.traceback(record)]
        return "\n".join(f"<{priority}>{line}" for line in lines)


class JsonFormatter(Formatter):
    """One JSON object; the fields of an event stand beside the message, so that a collector can filter by them."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, in ASCII."""
        fields: dict[str, object] = {
            "time": _timestamp(record),
            "node": self.node_name,
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": self.process or None,
            "process_number": self.number,
            "pid": record.process,
            "association_id": association_of(record) or None,
            "message": self.message(record),
            "repeated": getattr(record, "repeated", None),
            "exception": "\n".join(self.traceback(record)) or None,
        }
        event: Mapping[str, object] = getattr(record, "fields", {})
        fields = {key: _argument(value) for key, value in event.items()} | fields
        head = ("time", "node", "level")
        return json.dumps(
            {key: fields[key] for key in (*head, *fields) if fields[key] is not None}, default=str
        )


def association_of(record: logging.LogRecord) -> str:
    """Return the id of the association that a record belongs to, or an empty string."""
    named = getattr(record, "fields", {}).get("association_id")
    return str(named or getattr(record, "association_id", ""))


def _argument(value: Any) -> Any:
    """Return what a message may take in: numbers as they are, everything else as printable text."""
    if value is None or isinstance(value, int | float):
        return value
    return printable(
        str(value), _MAX_PATH_CHARACTERS if isinstance(value, PurePath) else _MAX_ARGUMENT_CHARACTERS
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and those that led to it, each once: a chain may be a ring."""
    seen, one = set[int](), error
    while id(one) not in seen:
        yield one
        seen.add(id(one))
        before = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
        if before is None:
            return
        one = before


def _timestamp(record: logging.LogRecord) -> str:
    return (
        datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )
