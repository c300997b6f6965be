"""No patient in the log (RELIABILITY L1), watched over the whole suite.

The test data name their patients by marks that nothing else contains. A handler hears every record of the product
from INFO up, with its arguments, its fields and what would be written of its exception; a test during which one
holds a mark fails. What nodes in processes of their own have written is held against the same marks
(`assert_no_patient`, from `tests.served` and `tests.system.program`).

Tests that read the corpus add the patients of its files, by `watch_for`.
"""

import logging
import re
from collections.abc import Iterable, Iterator

import pytest

from pacsnode.association_log import escaped
from pacsnode.demo.phantom import STUDIES
from pacsnode.processes.log_formats import TextFormatter

MARKS = ("CANARY", "MUSTERMANN^ERIKA", "Roe^Richard", "Somebody^Else")

# A line of any form at DEBUG, where `logging.patient_data` may allow what is forbidden above.
_DEBUG_LINE = re.compile(r'\S+ DEBUG |<7>|.*"level": "debug"')


class Watch(logging.Handler):
    """Hears records and remembers those that name a patient."""

    def __init__(self, marks: Iterable[str]) -> None:
        super().__init__(logging.INFO)
        self._marks = set(marks)
        self._found: list[str] = []
        self.setFormatter(TextFormatter("node", "", 0, patient_data=False))

    def watch_for(self, values: Iterable[str]) -> None:
        """Add patient data to look for, but for what is too short, or too common a word or number, to tell."""
        plain = {value.strip() for value in values if _is_distinctive(value.strip())}
        self._marks |= plain | {escaped(value) for value in plain}

    def names_in(self, text: str) -> list[str]:
        """Return the marks that a text holds."""
        return [mark for mark in self._marks.copy() if mark in text]

    def emit(self, record: logging.LogRecord) -> None:
        text = f"{record.getMessage()} {getattr(record, 'fields', '')} {self.format(record)}"
        if names := self.names_in(text):
            self._found.append(f"{record.levelname} {record.name}: {names} in: {text}")

    def take(self) -> list[str]:
        """Return what was found since the last call."""
        found, self._found = self._found, []
        return found


def _is_distinctive(value: str) -> bool:
    is_more_than_a_word = "^" in value or not value.isascii() or any(map(str.isdigit, value))
    return len(value) >= 6 and any(map(str.isalpha, value)) and is_more_than_a_word


WATCH = Watch((*MARKS, *(value for study in STUDIES for value in (study.patient_id, study.patient_name))))


def watch_for(values: Iterable[str]) -> None:
    """Look for further patients, in all tests that follow."""
    WATCH.watch_for(values)


def assert_no_patient(written: str) -> None:
    """Check what a process has written to standard error, but for its lines at DEBUG."""
    for line in written.splitlines():
        if not _DEBUG_LINE.match(line):
            assert not WATCH.names_in(line), f"a patient is named in the log: {line}"


# The hooks and fixtures below are a plugin: tests/conftest.py imports them, or `-p tests.canary` does.


def pytest_configure() -> None:
    """Hear every record of the product, whatever a test sets the level of other loggers to."""
    product = logging.getLogger("pacsnode")
    product.setLevel(logging.INFO)
    product.addHandler(WATCH)


@pytest.fixture(autouse=True)
def _no_patient_in_the_log() -> Iterator[None]:
    """Fail a test during which a record named a patient."""
    yield
    found = WATCH.take()
    assert not found, "a patient is named in the log"


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run for records that came after the last test."""
    if found := WATCH.take():
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        print(*found, sep="\n")
