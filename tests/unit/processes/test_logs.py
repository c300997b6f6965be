import json
import logging
from collections.abc import Iterator

import pytest
from pacsnode.cli.logs import configure


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers, root.level = before


def written(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_text(capsys: pytest.CaptureFixture[str]) -> None:
    configure("node-1", "info", "text")
    logging.getLogger("pacsnode.association_log").info("hello %s", "world")
    logging.getLogger("pacsnode.association_log").debug("too much")
    (line,) = written(capsys)
    time, rest = line.split(" ", 1)
    assert time.endswith("Z")
    assert "T" in time
    assert rest == "INFO association_log: hello world"


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    configure("node-1", "debug", "json")
    logging.getLogger("pacsnode.spool").debug('a "quoted"\nline')
    (line,) = written(capsys)
    fields = json.loads(line)
    assert fields["node"] == "node-1"
    assert (fields["level"], fields["logger"], fields["message"]) == (
        "debug",
        "pacsnode.spool",
        'a "quoted"\nline',
    )


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_traceback_is_kept(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure("node-1", "info", form)
    try:
        raise ZeroDivisionError("oh")
    except ZeroDivisionError:
        logging.getLogger("pacsnode").exception("failed")
    lines = written(capsys)
    assert "ZeroDivisionError: oh" in lines[-1]
    assert (len(lines) == 1) == (form == "json")


def test_libraries_are_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    configure("node-1", "debug", "text")
    logging.getLogger("pynetdicom.acse").info("chatter")
    assert written(capsys) == []
