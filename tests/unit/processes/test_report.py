"""The report on its socket: whole, for its owner only, and never at the cost of the node."""

import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pacsnode.errors import ConfigError, TemporaryError
from pacsnode.processes.report import NAME, NotAnswering, ReportSocket, read
from tests.supervised import answering


@pytest.fixture
def own(tmp_path: Path) -> Iterator[ReportSocket]:
    own = ReportSocket(tmp_path, lambda: {"node": "pacs-1"})
    yield own
    own.close()


def connected(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(10)
    connection.connect(str(path))
    return connection


def test_each_who_asks_gets_the_report_of_that_moment(tmp_path: Path) -> None:
    asked: list[int] = []

    def report() -> dict[str, object]:
        asked.append(1)
        return {"asked": len(asked), "name": "caf\u00e9"}

    with answering(tmp_path, report):
        assert [read(tmp_path) for _ in range(3)] == [{"asked": n, "name": "caf\u00e9"} for n in (1, 2, 3)]
    assert not (tmp_path / NAME).exists()


def test_a_folder_of_any_depth(tmp_path: Path) -> None:
    folder = tmp_path.joinpath(*["a folder with a long name"] * 8)
    folder.mkdir(parents=True)
    assert len(str(folder)) > 108
    with answering(folder, lambda: {"node": "deep"}):
        assert read(folder) == {"node": "deep"}


def test_the_socket_is_for_its_owner_only(tmp_path: Path, own: ReportSocket) -> None:
    assert stat.S_IMODE((tmp_path / NAME).stat().st_mode) == 0o600
    assert not os.get_inheritable(own.fileno())


def test_what_a_node_that_was_killed_has_left_is_replaced(tmp_path: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path; from pacsnode.processes.report import ReportSocket; "
        "own = ReportSocket(Path(sys.argv[1]), dict); os._exit(9)"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path], check=False, timeout=60)
    assert done.returncode == 9
    assert (tmp_path / NAME).is_socket()
    with pytest.raises(TemporaryError, match="no node runs on"):
        read(tmp_path)
    with answering(tmp_path, lambda: {"node": "new"}):
        assert read(tmp_path) == {"node": "new"}


@pytest.mark.parametrize("folder", ["", "missing", "file"])
def test_no_node(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TemporaryError) as caught:
        read(tmp_path / folder)
    assert str(caught.value) == f"no node runs on {tmp_path / folder}"
    assert not isinstance(caught.value, NotAnswering)


def test_a_folder_of_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ConfigError, match="belongs to another user: ask as the user that the node runs as"):
        read(tmp_path)


def test_a_node_that_hangs_is_waited_for_no_longer_than_said(tmp_path: Path, own: ReportSocket) -> None:
    started = time.monotonic()
    with pytest.raises(NotAnswering, match="does not answer: it hangs, or is very busy"):
        read(tmp_path, seconds=0.2)
    assert time.monotonic() - started < 2.0


def test_a_node_that_drips_is_waited_for_no_longer_either(tmp_path: Path) -> None:
    stop = threading.Event()

    def drip(listening: socket.socket) -> None:
        with listening.accept()[0] as connection:
            while not stop.wait(0.02):
                connection.send(b" ")

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(tmp_path / NAME))
        listening.listen()
        thread = threading.Thread(target=drip, args=(listening,))
        thread.start()
        started = time.monotonic()
        with pytest.raises(NotAnswering, match="does not answer"):
            read(tmp_path, seconds=0.3)
        assert time.monotonic() - started < 3.0
        stop.set()
        thread.join()


def test_a_node_whose_queue_is_full(tmp_path: Path, own: ReportSocket) -> None:
    with ExitStack() as waiting:
        try:
            while True:
                connection = waiting.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
                connection.settimeout(0)
                connection.connect(str(tmp_path / NAME))
        except BlockingIOError:
            pass
        with pytest.raises(NotAnswering, match="accepts no connection: it hangs"):
            read(tmp_path, seconds=0.2)


@pytest.mark.parametrize("text", [b"", b'{"node": "x', b'{"node": "x"}', b"[]\n", b"\xff\n"])
def test_an_answer_that_is_cut_off(tmp_path: Path, text: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(tmp_path / NAME))
        listening.listen()

        def answer() -> None:
            with listening.accept()[0] as connection:
                connection.sendall(text)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(NotAnswering, match="broke off its answer"):
            read(tmp_path)
        thread.join()


def test_a_reader_that_does_not_read_costs_the_node_nothing(tmp_path: Path) -> None:
    report = {"name": "x" * 150_000}
    own = ReportSocket(tmp_path, lambda: report)
    try:
        with connected(tmp_path / NAME) as first:
            started = time.monotonic()
            own.accept_one()
            assert time.monotonic() - started < 1.0
            text = b"".join(iter(lambda: first.recv(1 << 16), b""))
            assert len(text) > 150_000, "all of it was in the buffer"
        with connected(tmp_path / NAME):
            pass
        own.accept_one()  # it has gone
        own.accept_one()  # there is none
    finally:
        own.close()


def test_a_report_that_fails_does_not_end_the_node(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    reports: list[Any] = [{"node": "well"}, {1, 2}]
    with answering(tmp_path, reports.pop):
        with pytest.raises(NotAnswering, match="broke off its answer"):
            read(tmp_path)
        assert read(tmp_path) == {"node": "well"}
    assert "unexpected error, the report is not given" in caplog.text
