"""Log lines on standard error, where a person or a service manager reads them.

`configure` sets the process up: the form of the lines (`log_formats`), how often the same line is written
(`log_limits`), what of the libraries is heard, and what becomes of exceptions that nobody has caught. It imports
nothing heavy, as each process of a node calls it, the supervisor too; and it may be called again, with another level
or form, while other threads write.
"""

import logging
import os
import sys
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import TextIO

from pacsnode.observe import PATIENT_DATA_LOGGER, current_association
from pacsnode.processes.log_formats import (
    Formatter,
    JournalFormatter,
    JsonFormatter,
    TextFormatter,
    printable,
)
from pacsnode.processes.log_limits import WINDOW_SECONDS, LineLimit

log = logging.getLogger(__name__)

_OFF = logging.CRITICAL + 1


class LimitedHandler(logging.StreamHandler[TextIO]):
    """Writes records to a stream, those that are said again and again in summary (see `log_limits`)."""

    def __init__(self, stream: TextIO, window_seconds: float = WINDOW_SECONDS) -> None:
        super().__init__(stream)
        self._limit = LineLimit(window_seconds)
        self._timer: threading.Timer | None = None
        self._is_closed = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or count it. The lock of the handler is held."""
        # Formatted later, and maybe by another thread, a record would carry that one's association.
        record.__dict__.setdefault("association_id", current_association.get())
        now = time.monotonic()
        self._write_due(now)
        if self._limit.admits(record, now):
            super().emit(record)
        elif self._timer is None and not self._is_closed:
            self._start_timer(now)

    def _write_due(self, now: float) -> None:
        for record in self._limit.due(now):
            super().emit(record)

    def _start_timer(self, now: float) -> None:
        self._timer = threading.Timer(self._limit.seconds_until_due(now), self._ring)
        self._timer.daemon = True
        try:
            self._timer.start()
        except RuntimeError:  # no thread to be had: the next record brings out what is due
            self._timer = None

    def _ring(self) -> None:
        self.acquire()
        try:
            self._timer = None
            if not self._is_closed:
                self._write_due(time.monotonic())
        finally:
            self.release()

    def close(self) -> None:
        """Write what is still withheld, and stop."""
        self.acquire()
        try:
            if not self._is_closed:
                self._is_closed = True
                for record in self._limit.rest():
                    super().emit(record)
            if self._timer is not None:
                self._timer.cancel()
        finally:
            self.release()
        super().close()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the logging module's own name
        """Say that a record could not be written; the logging module would print its raw arguments."""
        with suppress(OSError, ValueError):
            self.stream.write(
                f"a log record of {printable(record.name)}:{record.lineno} could not be written\n"
            )


def configure(
    node_name: str,
    level: str,
    form: str,
    process: str = "",
    *,
    number: int | None = None,
    patient_data: bool = False,
) -> None:
    """Write records from `level` up to standard error; `form` is "auto", "text", "json" or "journald".

    `process` is the role of this process and `number` tells several of one role apart (None for the only one). Called
    again, the new settings hold for all further records.
    """
    stream = sys.stderr
    printable("\n")  # loads its codec while there are descriptors left
    handler = LimitedHandler(stream)
    handler.setFormatter(_formatter(form, stream, node_name, process, number, patient_data=patient_data))
    root = logging.getLogger()
    earlier = [one for one in root.handlers if isinstance(one, LimitedHandler)]
    root.handlers = [*(one for one in root.handlers if one not in earlier), handler]
    for one in earlier:
        one.close()
    root.setLevel(level.upper())
    _set_library_levels(patient_data=patient_data)
    logging.captureWarnings(True)  # noqa: FBT003 - the logging module's own signature
    threading.excepthook = _log_thread_error
    sys.excepthook = _log_error
    sys.unraisablehook = _log_unraisable


def _set_library_levels(*, patient_data: bool) -> None:
    # They tell of each request at INFO.
    for library in ("google", "urllib3"):
        logging.getLogger(library).setLevel(logging.WARNING)
    # They quote what peers send as it is, at WARNING too; what matters of it our own log says.
    for library in ("pydicom", "pynetdicom"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    logging.getLogger("py.warnings").setLevel(logging.NOTSET if patient_data else _OFF)
    logging.getLogger(PATIENT_DATA_LOGGER).setLevel(logging.NOTSET if patient_data else _OFF)


def _formatter(
    form: str, stream: TextIO, node_name: str, process: str, number: int | None, *, patient_data: bool
) -> Formatter:
    if form == "auto":
        form = "journald" if is_journal(stream) else "text"
    if form == "json":
        return JsonFormatter(node_name, process, number, patient_data=patient_data)
    if form == "journald":
        return JournalFormatter(node_name, process, number, patient_data=patient_data)
    formatter = TextFormatter(node_name, process, number, patient_data=patient_data)
    formatter.is_coloured = is_coloured(stream)
    return formatter


def is_journal(stream: TextIO) -> bool:
    """Return whether a stream leads to the journal: $JOURNAL_STREAM is its device and inode (systemd.exec(5))."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):  # no descriptor behind it
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def is_coloured(stream: TextIO) -> bool:
    """Return whether a stream is a terminal whose user has not asked for none (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


# What nobody has caught goes the same way: the interpreter would print it as it is.


def _log_error(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    log.critical("unexpected error, the process ends", exc_info=(kind, error, trace))


def _log_thread_error(unhandled: threading.ExceptHookArgs) -> None:
    if unhandled.exc_value is not None and not isinstance(unhandled.exc_value, SystemExit):
        name = unhandled.thread.name if unhandled.thread else "?"
        log.critical("thread %s: unexpected error, it has ended", name, exc_info=unhandled.exc_value)


def _log_unraisable(unraisable: "sys.UnraisableHookArgs") -> None:
    log.error("unexpected error that could not be raised", exc_info=unraisable.exc_value)
