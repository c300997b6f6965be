"""What is written to standard error: one line a record, in the form asked for, and nothing of a patient."""

import io
import json
import logging
import os
import re
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextvars import copy_context
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pacsnode.association_log import AssociationLog
from pacsnode.errors import DamagedObject
from pacsnode.observe import (
    PATIENT_DATA_LOGGER,
    AssociationEnded,
    AssociationRejected,
    InstanceStored,
    QueryAnswered,
    current_association,
)
from pacsnode.processes import logs
from pacsnode.processes.log_formats import JournalFormatter, JsonFormatter, TextFormatter, printable
from pacsnode.processes.log_limits import FIRST_LINES
from pacsnode.processes.logs import LimitedHandler, configure, is_coloured, is_journal

RECORD = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (DEBUG|INFO|WARNING|ERROR|CRITICAL) \S+")
FORGERY = "x\r\n2026-01-01T00:00:00.000Z ERROR forged: no\x1b[2J\u2028<0>forged\u202e\0\x85"

log = logging.getLogger("pacsnode.test")


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    root = logging.getLogger()
    libraries = {
        name: logging.getLogger(name)
        for name in ("google", "urllib3", "pydicom", "pynetdicom", "py.warnings", PATIENT_DATA_LOGGER)
    }
    before = root.handlers[:], root.level
    levels = {name: logger.level for name, logger in libraries.items()}
    for module, hook in ((sys, "excepthook"), (sys, "unraisablehook"), (threading, "excepthook")):
        monkeypatch.setattr(module, hook, getattr(module, hook))
    product = logging.getLogger("pacsnode")
    monkeypatch.setattr(product, "level", logging.NOTSET)
    logging._acquireLock()
    product.manager._clear_cache()  # type: ignore[attr-defined]
    logging._releaseLock()
    yield
    logging.captureWarnings(False)
    for one in root.handlers:
        if isinstance(one, LimitedHandler):
            one.close()
    root.handlers, root.level = before
    for name, logger in libraries.items():
        logger.setLevel(levels[name])
    product.manager._clear_cache()  # type: ignore[attr-defined]


def written(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def fail(error: BaseException, message: str = "failed") -> None:
    try:
        raise error
    except BaseException:
        log.exception(message)


# Forms


def test_text(capsys: pytest.CaptureFixture[str]) -> None:
    configure("node-1", "info", "text")
    logging.getLogger("pacsnode.association_log").info("hello %s", "world")
    logging.getLogger("pacsnode.association_log").debug("too much")
    (line,) = written(capsys)
    assert RECORD.match(line)
    assert line.split(" ", 1)[1] == "INFO association_log: hello world"


def test_text_with_process_and_association(capsys: pytest.CaptureFixture[str]) -> None:
    configure("node-1", "info", "text", "worker", number=2)
    copy_context().run(lambda: (current_association.set("3f9a1c20"), log.info("in it")))
    log.info("out of it")
    configure("node-1", "info", "text", "jobs")
    log.info("alone")
    assert [line.split(" ", 1)[1] for line in written(capsys)] == [
        "INFO worker-2 test [3f9a1c20]: in it",
        "INFO worker-2 test: out of it",
        "INFO jobs test: alone",
    ]


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    configure("node-1", "debug", "json", "worker", number=2)
    logging.getLogger("pacsnode.spool").debug('a "quoted"\nline')
    (line,) = written(capsys)
    fields = json.loads(line)
    assert RECORD.match(f"{fields.pop('time')} INFO x")
    assert fields.pop("pid") == os.getpid()
    assert fields == {
        "node": "node-1",
        "level": "debug",
        "logger": "pacsnode.spool",
        "process": "worker",
        "process_number": 2,
        "message": r'a "quoted"\nline',
    }


def test_json_has_the_fields_of_an_event(capsys: pytest.CaptureFixture[str]) -> None:
    configure("node-1", "info", "json")
    log_of = AssociationLog()
    log_of(QueryAnswered("a1", "CT1", "Study Root", "STUDY", 3, 0xA700, "busy", 0.25))
    log_of(AssociationEnded("a1", "CT1", "PACSNODE", "10.0.0.7:4711", "released", 1.5, 3, 1, 4, 1000, 200))
    query, ended = map(json.loads, written(capsys))
    assert list(query)[:3] == ["time", "node", "level"]
    assert (query["level"], query["query_retrieve_level"], query["status"], query["seconds"]) == (
        "warning",
        "STUDY",
        "0xA700",
        0.25,
    )
    assert (ended["event"], ended["association_id"], ended["calling_ae_title"]) == (
        "association_ended",
        "a1",
        "CT1",
    )
    assert (ended["peer_address"], ended["bytes_received"], ended["count_queries"]) == (
        "10.0.0.7:4711",
        1000,
        1,
    )


def test_a_field_cannot_take_the_place_of_what_each_line_has(capsys: pytest.CaptureFixture[str]) -> None:
    configure("node-1", "info", "json")
    log.info("hello", extra={"fields": {"level": "x", "message": "x", "size": 5, "path": Path("/a")}})
    fields = json.loads(written(capsys)[0])
    assert (fields["level"], fields["message"], fields["size"], fields["path"]) == ("info", "hello", 5, "/a")


@pytest.mark.parametrize(
    ("level", "priority"), [("debug", 7), ("info", 6), ("warning", 4), ("error", 3), ("critical", 2)]
)
def test_journal(level: str, priority: int, capsys: pytest.CaptureFixture[str]) -> None:
    configure("node-1", "debug", "journald", "supervisor")
    log.log(logging.getLevelNamesMapping()[level.upper()], "hello")
    assert written(capsys) == [f"<{priority}>supervisor test: hello"]


def test_the_journal_gets_the_priority_on_each_line_of_a_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure("node-1", "info", "journald")
    fail(OSError("oh"))
    first, *further = written(capsys)
    assert first == "<3>test: failed"
    assert len(further) >= 3
    assert all(line.startswith("<3>    ") for line in further)


@pytest.mark.parametrize("form", ["text", "json", "journald"])
def test_a_traceback_is_kept_with_what_led_to_it(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure("node-1", "info", form)
    try:
        try:
            raise OSError("oh")
        except OSError as error:
            raise DamagedObject("object 1.2.3 is short") from error
    except DamagedObject:
        log.exception("failed")
    text = "\n".join(written(capsys))
    assert text.index("OSError: oh") < text.index("which led to") < text.index("DamagedObject: object 1.2.3")
    assert "test_logs.py" in text
    assert (text.count("\n") == 0) == (form == "json")


def test_a_ring_of_exceptions_and_an_endless_recursion_end(capsys: pytest.CaptureFixture[str]) -> None:
    configure("node-1", "info", "text")
    first, second = OSError("first"), OSError("second")
    first.__cause__, second.__cause__ = second, first
    fail(first)

    def ping(depth: int) -> None:
        pong(depth + 1)

    def pong(depth: int) -> None:
        ping(depth + 1)

    try:
        ping(0)
    except RecursionError:
        log.exception("deep")
    lines = written(capsys)
    assert len(lines) < 150
    assert "RecursionError" in lines[-1]


@pytest.mark.parametrize(
    ("environment", "form"),
    [({}, "text"), ({"JOURNAL_STREAM": "1:1"}, "text"), ({"JOURNAL_STREAM": "{}:{}"}, "journald")],
)
def test_auto_is_for_the_journal_where_there_is_one(
    environment: dict[str, str], form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    with (tmp_path / "log").open("w+") as stream:
        status = os.fstat(stream.fileno())
        for name, value in environment.items():
            monkeypatch.setenv(name, value.format(status.st_dev, status.st_ino))
        monkeypatch.setattr(sys, "stderr", stream)
        configure("node-1", "info", "auto")
        log.info("hello")
        stream.seek(0)
        assert stream.read().startswith("<6>") == (form == "journald")


def test_a_stream_without_a_descriptor_is_no_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", "1:1")
    assert not is_journal(io.StringIO())


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environment", "expected"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_colour_is_for_terminals(
    environment: dict[str, str], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert is_coloured(Terminal()) is expected
    assert not is_coloured(io.StringIO())
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    configure("node-1", "info", "text")
    log.warning("careful")
    assert ("\x1b[33mWARNING\x1b[0m" in terminal.getvalue()) is expected


# One line


@given(st.text(max_size=600), st.integers(4, 300))
@example(FORGERY, 256)
@example("\u05e9\u0301" * 300, 256)
def test_printable_text_is_one_line_within_its_limit(text: str, limit: int) -> None:
    shown = printable(text, limit)
    assert len(shown) <= limit
    assert shown.isprintable()
    assert shown == text or not text.isprintable() or len(text) > limit
    assert printable(shown, limit) == shown


def latin(data: bytes) -> str:
    return data.decode("latin-1")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    title=st.binary(max_size=300) | st.text().map(str.encode),
    form=st.sampled_from(["text", "json", "journald"]),
)
@example(FORGERY.encode(), "text")
@example(FORGERY.encode(), "json")
@example(FORGERY.encode(), "journald")
@example(b"\xff\xed\xa0\x80", "text")
def test_whatever_bytes_a_peer_sends_a_record_is_one_line(title: bytes, form: str) -> None:
    """RELIABILITY L2: AE title, UID and comment, through the observer and past it."""
    stream = io.StringIO()
    handler = LimitedHandler(stream)
    kind = {"text": TextFormatter, "json": JsonFormatter, "journald": JournalFormatter}[form]
    handler.setFormatter(kind("node", "worker", 1, patient_data=False))
    logger = logging.getLogger("forging")
    logger.propagate, logger.handlers = False, [handler]
    product = logging.getLogger("pacsnode.association_log")
    texts = (latin(title), title.decode("utf-8", "replace"), title.decode("utf-8", "surrogateescape"))
    product.propagate, product.handlers = False, [handler]
    product.setLevel(logging.DEBUG)
    try:
        for text in texts:
            observer = AssociationLog()
            observer(AssociationRejected(text, text, text, text, text))
            observer(InstanceStored("a1", text, text, text, text, text, 0xA900, text, 1, 0.1))
            observer(AssociationEnded("a1", text, text, text, text, 1.0, 1, 1, 1, 1, 1))
            logger.warning("%s and %r and %d", text, text, 5)
            logger.warning("mapped: %(title)s", {"title": text})
            logger.warning(text)
            logger.error("%s", ValueError(text))
            logger.warning("with fields", extra={"fields": {"calling_ae_title": text}})
    finally:
        product.propagate, product.handlers = True, []
        product.setLevel(logging.NOTSET)
    handler.close()
    *lines, rest = stream.getvalue().split("\n")
    assert (len(lines), rest) == (8 * len(texts), "")
    for line in lines:
        assert line.isprintable()
        assert line.startswith({"text": "20", "json": '{"time": "20', "journald": "<"}[form])
        assert len(line) < 5000
        assert form != "json" or json.loads(line)["node"] == "node"


@pytest.mark.parametrize("form", ["text", "journald"])
def test_no_line_of_a_traceback_looks_like_a_record(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure("node-1", "info", form, patient_data=True)
    fail(ValueError(FORGERY))
    first, *further = capsys.readouterr().err.removesuffix("\n").split("\n")
    assert first.endswith("test: failed")
    for line in further:
        assert line.isprintable()
        assert line.removeprefix("<3>").startswith("    ")
    assert "forged" in further[-1]


def test_arguments_are_cut_and_paths_are_not(capsys: pytest.CaptureFixture[str]) -> None:
    configure("node-1", "info", "text")
    log.info("%s", "x" * 300)
    log.info("%s", Path("/" + "p" * 300))
    log.info("m" * 10_000)
    log.info("%.1f %5d%% %s %s", 1.25, 42, None, True)
    cut, path, long, numbers = (line.split(": ", 1)[1] for line in written(capsys))
    assert cut == "x" * 253 + "..."
    assert path == "/" + "p" * 300
    assert len(long) == 8192
    assert numbers == "1.2    42% None True"


def test_a_record_that_cannot_be_formatted_is_told_without_its_arguments() -> None:
    stream = io.StringIO()
    handler = LimitedHandler(stream)
    handler.setFormatter(TextFormatter("node", "", 0, patient_data=False))
    logger = logging.getLogger("limited")
    logger.propagate, logger.handlers = False, [handler]
    logger.warning("%d", "DOE^JOHN")
    handler.close()
    assert re.fullmatch(r"a log record of limited:\d+ could not be written\n", stream.getvalue())


# Patients


@pytest.mark.parametrize("form", ["text", "json", "journald"])
@pytest.mark.parametrize("patient_data", [False, True])
def test_texts_of_unexpected_errors_are_withheld(
    form: str, patient_data: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    configure("node-1", "info", form, patient_data=patient_data)
    fail(ValueError("invalid literal for int() with base 10: 'DOE^JOHN'"))
    fail(KeyError("DOE^JOHN"))
    fail(ZeroDivisionError())
    text = capsys.readouterr().err
    assert text.count("DOE^JOHN") == (2 if patient_data else 0)
    assert text.count("logging.patient_data") == (0 if patient_data else 2)
    for kind in ("ValueError", "KeyError", "ZeroDivisionError"):
        assert kind in text


def test_the_error_that_led_to_another_is_withheld_too(capsys: pytest.CaptureFixture[str]) -> None:
    configure("node-1", "info", "text")
    error = DamagedObject("object 1.2.3")
    error.__cause__ = ValueError("DOE^JOHN")
    fail(error)
    assert "DOE" not in capsys.readouterr().err


def test_lines_that_name_patients_are_off_unless_they_are_allowed(capsys: pytest.CaptureFixture[str]) -> None:
    patients = logging.getLogger(PATIENT_DATA_LOGGER)
    for allowed, level, expected in (
        (False, "debug", 0),
        (True, "info", 0),
        (True, "debug", 1),
        (False, "debug", 0),
    ):
        configure("node-1", level, "text", patient_data=allowed)
        assert patients.isEnabledFor(logging.DEBUG) is bool(expected)
        patients.debug("C-FIND STUDY, PatientName: %s", "DOE")
        assert len(written(capsys)) == expected


@pytest.mark.parametrize("patient_data", [False, True])
def test_warnings_of_libraries_quote_values(patient_data: bool, capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        configure("node-1", "debug", "text", patient_data=patient_data)
        warnings.warn("Invalid value for VR PN:\n'DOE^JOHN'", stacklevel=1)
        lines = written(capsys)
        logging.captureWarnings(False)
    assert len(lines) == patient_data
    assert all(RECORD.match(line) for line in lines)


def test_libraries_are_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    configure("node-1", "debug", "text")
    for name in ("pynetdicom.acse", "pydicom", "google.cloud", "urllib3.connectionpool"):
        logging.getLogger(name).info("chatter")
    logging.getLogger("pydicom").warning("DOE^JOHN")
    logging.getLogger("google.cloud").warning("heard")
    (line,) = written(capsys)
    assert line.endswith("heard")


# Again and again


def test_the_same_line_is_limited_and_summed_up_by_itself() -> None:
    stream, changed = io.StringIO(), threading.Event()

    class Told(LimitedHandler):
        def flush(self) -> None:
            super().flush()
            if "were not written" in stream.getvalue():
                changed.set()

    handler = Told(stream, window_seconds=0.2)
    handler.setFormatter(TextFormatter("node", "", 0, patient_data=False))
    logger = logging.getLogger("limited")
    logger.propagate, logger.handlers = False, [handler]
    for number in range(100):
        copy_context().run(lambda: (current_association.set("a1"), logger.warning("full %d", number)))  # noqa: B023
    assert changed.wait(10)
    handler.close()
    lines = stream.getvalue().splitlines()
    assert len(lines) == FIRST_LINES + 1
    assert lines[-1].endswith("limited [a1]: full 99 (90 like this were not written)")


def test_the_end_of_the_process_keeps_nothing_back(tmp_path: Path) -> None:
    code = """
import logging
from pacsnode.processes.logs import configure
configure("node", "info", "json")
for number in range(1000):
    logging.getLogger("pacsnode").error("full %d", number)
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert [line["message"] for line in lines[:-1]] == [f"full {number}" for number in range(FIRST_LINES)]
    assert (lines[-1]["repeated"], lines[-1]["message"].split(" (")[0]) == (990, "full 999")


def test_a_flood_of_refusals_does_not_hide_those_of_others(capsys: pytest.CaptureFixture[str]) -> None:
    configure("node-1", "info", "json")
    observer = AssociationLog()
    for port in range(1000):
        observer(
            AssociationRejected("", f"CT{port}", "X", f"10.0.0.1:{port}", "called AE title not recognized")
        )
    observer(AssociationRejected("", "CT1", "X", "10.0.0.2:1", "called AE title not recognized"))
    observer(AssociationRejected("", "CT1", "X", "10.0.0.1:1", "limits.per_ip reached"))
    observer(InstanceStored("a1", "CT1", "1.2", "1.2.3", "1.2", "OutOfResources: x", 0xA700, "", 1, 0.1))
    said = [json.loads(line) for line in written(capsys)]
    assert [line["peer_address"].split(":")[0] for line in said[:-1]] == ["10.0.0.1"] * 10 + [
        "10.0.0.2",
        "10.0.0.1",
    ]
    assert said[-1]["event"] == "instance_stored"


def test_without_a_thread_the_next_record_brings_the_summary(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    stream = io.StringIO()
    handler = LimitedHandler(stream, window_seconds=0.05)
    handler.setFormatter(TextFormatter("node", "", 0, patient_data=False))
    logger = logging.getLogger("limited")
    logger.propagate, logger.handlers = False, [handler]
    logger.setLevel(logging.INFO)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        for _ in range(20):
            logger.warning("full")
    deadline = time.monotonic() + 10
    while "10 like this" not in stream.getvalue():
        assert time.monotonic() < deadline
        logger.info("something else")
    handler.close()


# Once more, and what nobody catches


def test_configured_again_the_new_settings_hold(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    others = [one for one in root.handlers if not isinstance(one, LimitedHandler)]
    configure("node-1", "warning", "text")
    log.info("not heard")
    configure("node-1", "debug", "json")
    log.debug("heard")
    (line,) = written(capsys)
    assert json.loads(line)["message"] == "heard"
    assert [one for one in root.handlers if not isinstance(one, LimitedHandler)] == others
    assert len(root.handlers) == len(others) + 1


def test_configured_again_while_threads_write_no_record_is_lost(capsys: pytest.CaptureFixture[str]) -> None:
    configure("node-1", "info", "text")

    def write(name: int) -> None:
        for number in range(300):
            log.info("%d-%d", name, number)

    threads = [threading.Thread(target=write, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for number in range(20):
        configure("node-1", "info", ("text", "journald")[number % 2])
    for thread in threads:
        thread.join()
    said = [line.rsplit(": ", 1)[1] for line in written(capsys)]
    assert sorted(said) == sorted(f"{name}-{number}" for name in range(4) for number in range(300))


def test_what_a_thread_does_not_catch_is_a_record(capsys: pytest.CaptureFixture[str]) -> None:
    configure("node-1", "info", "text")

    def bug(error: BaseException) -> None:
        raise error

    for error in (ValueError("DOE^JOHN"), SystemExit()):
        thread = threading.Thread(target=bug, args=(error,), name="lobby\nforged")
        thread.start()
        thread.join()
    first, *further = written(capsys)
    assert "CRITICAL processes.logs: thread lobby\\nforged: unexpected error, it has ended" in first
    assert all(line.startswith("    ") for line in further)
    assert "DOE" not in "".join(further)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("raise ValueError('DOE^JOHN')", "the process ends"),
        ("class A:\n    def __del__(self): raise ValueError('DOE^JOHN')\nA()", "could not be raised"),
    ],
)
def test_what_the_process_does_not_catch_is_a_record(code: str, says: str) -> None:
    program = f"from pacsnode.processes.logs import configure\nconfigure('node', 'info', 'journald')\n{code}"
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert says in ended.stderr.splitlines()[0]
    assert all(line.startswith(("<2>", "<3>")) for line in ended.stderr.splitlines())
    assert "DOE" not in ended.stderr.splitlines()[-1]


def test_it_loads_nothing_heavy() -> None:
    program = "import sys, pacsnode.processes.logs; print(*sys.modules)"
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    loaded = {name.split(".")[0] for name in ended.stdout.split()}
    assert not loaded & {"pydicom", "pynetdicom", "pydantic", "google", "sqlite3", "click"}


def test_the_hooks_are_those_of_this_module(monkeypatch: pytest.MonkeyPatch) -> None:
    configure("node-1", "info", "text")
    assert threading.excepthook is logs._log_thread_error
    assert sys.excepthook is logs._log_error
