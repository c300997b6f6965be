"""Programs that convert: what they are given, and what becomes of them when pixels get the better of them."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pacsnode.archive import transcoders as module
from pacsnode.archive.transcoders import PROGRAM, TranscoderLimits, Transcoders
from pacsnode.dicom.uid import EXPLICIT_VR_LITTLE_ENDIAN as EXPLICIT
from pacsnode.dicom.uid import IMPLICIT_VR_LITTLE_ENDIAN as IMPLICIT
from pacsnode.errors import CannotConvert, OutOfResources
from pacsnode.storage.files import FileReadable
from pacsnode.storage.memory import BytesReadable
from pacsnode.storage.reading import bytes_of
from tests.factories import element

ROWS = element(0x00280010, "US", b"\2\0")
FILE = b"what stands before" + ROWS
OFFSET = len(FILE) - len(ROWS)
LIMITS = TranscoderLimits(processes=1, memory_bytes=1 << 30, seconds=20.0)

# Each takes one order and does something that codecs do to a process.
_TAKE = "import os,socket,sys,time; c=socket.socket(fileno=0); m,f,_,_=socket.recv_fds(c,4096,2); "
CRASHES = _TAKE + "os.kill(os.getpid(), 11)"
EXITS = _TAKE + "os._exit(3)"
HANGS = _TAKE + "c.recv(1)"
TALKS = _TAKE + "c.send(b'[1'); c.recv(1)"
LIES = _TAKE + 'c.send(b\'{"length": 99, "refusal": ""}\'); c.recv(1)'


def saying(program: str) -> tuple[str, ...]:
    return (sys.executable, "-c", program)


@contextmanager
def transcoders(
    folder: Path,
    limits: TranscoderLimits = LIMITS,
    program: tuple[str, ...] = PROGRAM,
    *,
    min_free_bytes: int = 0,
) -> Iterator[Transcoders]:
    running = Transcoders(limits, folder=folder, min_free_bytes=min_free_bytes, program=program)
    try:
        yield running
    finally:
        running.close()
    assert running._running == 0


def converted(running: Transcoders, data: bytes = FILE) -> bytes:
    readable = running.convert(BytesReadable(data), OFFSET, EXPLICIT, IMPLICIT)
    try:
        return bytes_of(readable, readable.length, 0)
    finally:
        readable.close()


def children_of(running: Transcoders) -> list[int]:
    return [child._process.pid for child in running._idle]


def test_an_instance_is_converted_wherever_it_lies(tmp_path: Path) -> None:
    (tmp_path / "instance").write_bytes(FILE)
    with transcoders(tmp_path / "new") as running:
        assert converted(running) == element(0x00280010, "", b"\2\0", IMPLICIT)
        readable = FileReadable(os.open(tmp_path / "instance", os.O_RDONLY))
        out = running.convert(readable, OFFSET, EXPLICIT, IMPLICIT)
        readable.close()
        assert bytes_of(out, out.length, 0) == element(0x00280010, "", b"\2\0", IMPLICIT)
        out.close()
        assert len(children_of(running)) == 1
        assert running.report() == {"processes": 1, "converted": 2, "failed": 0, "deaths": 0}
    assert list((tmp_path / "new").iterdir()) == []


def test_what_cannot_be_converted_costs_nothing_else(tmp_path: Path) -> None:
    with transcoders(tmp_path) as running:
        with pytest.raises(CannotConvert, match="ends within an element"):
            converted(running, FILE[:-1])
        before = children_of(running)
        assert converted(running)
        assert children_of(running) == before
        assert running.report() == {"processes": 1, "converted": 1, "failed": 1, "deaths": 0}


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (CRASHES, "ended: signal 11"),
        (EXITS, "ended: exit 3"),
        (TALKS, "failed"),
        (LIES, "failed"),
    ],
)
def test_a_program_that_fails_is_ended_and_the_next_one_started(
    tmp_path: Path, program: str, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    with transcoders(tmp_path, program=saying(program)) as running:
        with pytest.raises(CannotConvert, match=words):
            converted(running)
        running._program = PROGRAM
        if program == LIES:  # it is found out by its file, and is tried again
            running.close()
            return
        assert (running.report()["processes"], running.report()["deaths"]) == (0, 1)
        assert converted(running)


def test_a_program_that_hangs_is_killed_in_time(tmp_path: Path) -> None:
    limits = TranscoderLimits(processes=1, memory_bytes=1 << 30, seconds=0.3)
    with transcoders(tmp_path, limits, saying(HANGS)) as running:
        with pytest.raises(CannotConvert, match=r"longer than 0\.3 s"):
            converted(running)
        assert running.report() == {"processes": 0, "converted": 0, "failed": 1, "deaths": 1}


def test_what_is_wanted_no_more_is_broken_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.01)
    with transcoders(tmp_path, program=saying(HANGS)) as running:
        started = time.monotonic()
        with pytest.raises(CannotConvert, match="broken off"):
            running.convert(BytesReadable(FILE), OFFSET, EXPLICIT, IMPLICIT, lambda: False)
        assert time.monotonic() - started < LIMITS.seconds
        assert running.report()["processes"] == 0


def test_closing_breaks_off_what_is_under_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.01)
    running, errors = Transcoders(LIMITS, folder=tmp_path, program=saying(HANGS)), list[Exception]()
    is_under_way = threading.Event()

    def convert() -> None:
        try:
            running.convert(
                BytesReadable(FILE), OFFSET, EXPLICIT, IMPLICIT, lambda: is_under_way.set() is None
            )
        except CannotConvert as error:
            errors.append(error)

    thread = threading.Thread(target=convert)
    thread.start()
    assert is_under_way.wait(20)
    running.close()
    thread.join(20)
    assert not thread.is_alive()
    assert len(errors) == 1
    assert running._running == 0
    with pytest.raises(OutOfResources, match="stops"):
        converted(running)


def test_a_program_that_went_for_want_of_work_is_replaced(tmp_path: Path) -> None:
    with transcoders(tmp_path, program=saying("pass")) as running:
        with pytest.raises(OutOfResources, match="no program"):
            converted(running)
        assert running.report() == {"processes": 0, "converted": 0, "failed": 0, "deaths": 0}
        running._program = PROGRAM
        assert converted(running)
        (pid,) = children_of(running)
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert running.report()["processes"] == 0
        assert converted(running)


def test_several_that_went_for_want_of_work_are_passed_over(tmp_path: Path) -> None:
    limits = TranscoderLimits(processes=4, memory_bytes=1 << 30, seconds=20.0)
    with transcoders(tmp_path, limits) as running:
        dead = [module._Child(saying("pass"), limits) for _ in range(4)]
        for child in dead:
            assert child._process.wait(20) == 0
        running._idle, running._running = list(dead), 4
        assert converted(running)
        assert running._running == 1


def test_a_full_disk_is_no_fault_of_the_image(tmp_path: Path) -> None:
    full = _TAKE + 'c.send(b\'{"length": 0, "refusal": "no space", "is_temporary": true}\'); c.recv(1)'
    with (
        transcoders(tmp_path, program=saying(full)) as running,
        pytest.raises(OutOfResources, match="no space"),
    ):
        converted(running)


def test_nobody_waits_for_a_program_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.01)
    limits = TranscoderLimits(processes=1, memory_bytes=1 << 30, seconds=0.2)
    with transcoders(tmp_path, limits) as running:
        running._running = 1
        with pytest.raises(OutOfResources, match=r"transcode\.processes"):
            converted(running)
        running._running = 0


def test_a_program_that_cannot_be_started(tmp_path: Path) -> None:
    nowhere = (str(tmp_path / "nowhere"),)
    with (
        transcoders(tmp_path, program=nowhere) as running,
        pytest.raises(OutOfResources, match="No such file"),
    ):
        converted(running)


def test_without_room_nothing_is_converted(tmp_path: Path) -> None:
    with (
        transcoders(tmp_path, min_free_bytes=1 << 60) as running,
        pytest.raises(OutOfResources, match="min_free"),
    ):
        converted(running)
    with transcoders(tmp_path / "file" / "below") as running:
        (tmp_path / "file").touch()
        with pytest.raises(OutOfResources, match="nothing can be converted"):
            converted(running)


def test_what_would_be_too_large_is_refused(tmp_path: Path) -> None:
    limits = TranscoderLimits(processes=1, memory_bytes=1 << 30, seconds=20.0, output_bytes=4)
    with (
        transcoders(tmp_path, limits) as running,
        pytest.raises(CannotConvert, match="larger than a data set"),
    ):
        converted(running)


def test_a_program_ends_with_its_worker(tmp_path: Path) -> None:
    with transcoders(tmp_path) as running:
        converted(running)
        (child,) = running._idle
        child.channel.close()
        assert child._process.wait(20) in (0, 1)
