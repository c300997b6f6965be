"""Log lines on standard error, as text or JSON, where a service manager or a person reads them."""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime


class TextFormatter(logging.Formatter):
    """`2026-01-31T09:30:00.250Z INFO association_log: message`, a traceback below it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        name = record.name.removeprefix("pacsnode.")
        line = f"{_timestamp(record)} {record.levelname} {name}: {record.getMessage()}"
        return f"{line}\n{_traceback(record)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One JSON object: time, node, level, logger, message, and exception where there is one."""

    def __init__(self, node_name: str) -> None:
        super().__init__()
        self._node_name = node_name

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        fields = {
            "time": _timestamp(record),
            "node": self._node_name,
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = _traceback(record)
        return json.dumps(fields, ensure_ascii=False)


def configure(node_name: str, level: str, form: str, process: str = "", *, number: int = 0) -> None:  # noqa: ARG001
    """Write records from `level` up to standard error; `form` is "text" or "json"."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(node_name) if form == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # They tell of each PDU and request at INFO, and may name patients at DEBUG.
    for library in ("google", "pydicom", "pynetdicom", "urllib3"):
        logging.getLogger(library).setLevel(logging.WARNING)


def _timestamp(record: logging.LogRecord) -> str:
    return (
        datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )


def _traceback(record: logging.LogRecord) -> str:
    assert record.exc_info is not None
    return "".join(traceback.format_exception(*record.exc_info)).rstrip()
