"""The watch for patients in the log can fail."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.canary import MARKS, WATCH, Watch, assert_no_patient
from tests.factories import Sample
from tests.interop.data_sets import ct_image

ROOT = Path(__file__).resolve().parent.parent.parent

FORGETFUL = """
import logging

log = logging.getLogger("pacsnode.somewhere")

def test_that_a_message_tells():
    log.info("stored for %s", "CANARY^SEVEN")

def test_that_a_field_tells():
    log.info("stored", extra={"fields": {"patient_id": "CANARY-7"}})

def test_that_an_exception_tells():
    try:
        raise LookupError("nothing") from OSError(2, "no file", "/archive/CANARY-7")
    except LookupError:
        log.exception("failed")

def test_that_one_that_is_withheld_does_not():
    try:
        raise ValueError("YRANAC"[::-1])
    except ValueError:
        log.exception("failed")

def test_that_debug_may():
    log.setLevel(logging.DEBUG)
    log.debug("CANARY^SEVEN")

def test_that_a_careful_one_does_not():
    log.info("stored 1.2.3")
"""


@pytest.fixture
def watch() -> Watch:
    return Watch(MARKS)


def record(message: str, *arguments: object, level: int = logging.INFO) -> logging.LogRecord:
    return logging.LogRecord("pacsnode.test", level, __file__, 1, message, arguments, None)


def test_the_test_data_carry_marks(watch: Watch) -> None:
    assert watch.names_in(Sample().data_set.decode("latin-1"))
    assert watch.names_in(str(ct_image().PatientID))
    assert watch.names_in(str(ct_image().PatientName))


def test_a_mark_is_found_once(watch: Watch) -> None:
    watch.handle(record("of %s", "CANARY^SEVEN"))
    (found,) = watch.take()
    assert "CANARY" in found
    assert watch.take() == []


def test_further_patients_are_found_as_they_are_and_escaped(watch: Watch) -> None:
    watch.watch_for(["Bück^Anna", "short", "12345678", "phantom"])
    for text in ("Bück^Anna", r"B\xfcck^Anna", "short", "12345678", "phantom"):
        watch.handle(record(text))
    assert len(watch.take()) == 2


def test_what_a_process_has_written() -> None:
    assert_no_patient("2026-01-01T00:00:00.000Z DEBUG patient_data: C-FIND CANARY\nINFO nothing\n")
    for line in (
        "2026-01-01T00:00:00.000Z INFO x: CANARY",
        "<4>x: CANARY",
        '{"level": "info", "x": "CANARY"}',
    ):
        with pytest.raises(AssertionError, match="a patient is named"):
            assert_no_patient(f"fine\n{line}\n")


def test_the_product_is_watched() -> None:
    assert WATCH in logging.getLogger("pacsnode").handlers
    assert logging.getLogger("pacsnode.association_log").isEnabledFor(logging.INFO)


def test_a_run_in_which_a_patient_is_named_fails(tmp_path: Path) -> None:
    (tmp_path / "test_forgetful.py").write_text(FORGETFUL)
    plugins = ("-p", "tests.canary", "-p", "no:randomly", "-p", "no:cacheprovider")
    command = [sys.executable, "-m", "pytest", "-q", *plugins]
    ended = subprocess.run(
        [*command, "-c", os.devnull, "--rootdir", tmp_path, tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == pytest.ExitCode.TESTS_FAILED
    assert "3 errors" in ended.stdout
    assert "6 passed" in ended.stdout
    for name in ("a_message", "a_field", "an_exception"):
        assert f"test_forgetful.py::test_that_{name}_tells" in ended.stdout
