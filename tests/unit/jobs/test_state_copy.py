"""The hourly copy: when it is made, that it is whole, where it goes, and which are removed."""

import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pacsnode.errors import OutOfResources, PermanentError
from pacsnode.jobs.state_copy import HOUR_SECONDS, StateCopy
from pacsnode.state.copies import KEPT_DAILY, KEPT_HOURLY, Copies, check_bytes, copies_in, opened_in
from pacsnode.state.sqlite import SqliteState
from pacsnode.storage.base import Storage
from pacsnode.storage.directory import DirectoryStorage
from pacsnode.storage.memory import MemoryStorage
from pacsnode.storage.names import object_name
from tests.objects import put
from tests.unit.state.damage import event


class Times:
    """The clock on the wall and the monotonic one."""

    def __init__(self) -> None:
        self.now_ms = 0
        self.monotonic = 500.0

    def pass_(self, seconds: float) -> None:
        self.now_ms += int(seconds * 1000)
        self.monotonic += seconds


class Copying:
    """The job over real parts."""

    def __init__(self, folder: Path, storage: Storage) -> None:
        self.state = SqliteState(folder / "state.db")
        self.copies = Copies(folder / "copies")
        self.storage = storage
        self.times = Times()
        self.times.now_ms = self.state.revision().created_at_ms
        self.is_damaged = False
        self.stops = False
        self.job = self.started()

    def started(self) -> StateCopy:
        return StateCopy(
            state=self.state,
            copies=self.copies,
            storage=self.storage,
            stop=lambda: self.stops,
            is_damaged=lambda: self.is_damaged,
            now_ms=lambda: self.times.now_ms,
            now=lambda: self.times.monotonic,
        )

    def hour(self) -> float:
        self.times.pass_(HOUR_SECONDS)
        return self.job.step()


@pytest.fixture(params=["directory", "memory"])
def copying(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Copying]:
    storage: Storage = (
        DirectoryStorage(tmp_path / "objects") if request.param == "directory" else MemoryStorage()
    )
    copying = Copying(tmp_path, storage)
    copying.state.record([event(number) for number in range(100)])
    yield copying
    copying.state.close()
    copying.copies.close()
    storage.close()


def test_the_first_is_made_an_hour_after_the_beginning_whatever_starts_there_were(copying: Copying) -> None:
    assert copying.job.step() == pytest.approx(HOUR_SECONDS)
    copying.times.pass_(3000)
    copying.job = copying.started()
    assert copying.job.step() == pytest.approx(600)
    assert copying.copies.list() == []
    copying.times.pass_(601)
    assert copying.job.step() == HOUR_SECONDS
    (copy,) = copying.copies.list()
    copying.copies.check(copy)
    assert copy.revision == copying.state.revision().number
    assert not (copying.copies.path / "unfinished").exists()


def test_it_is_in_the_storage_too_with_bytes_of_its_own(copying: Copying) -> None:
    copying.job.step()
    copying.hour()
    (copy,) = copying.copies.list()
    assert copies_in(copying.storage) == [copy]
    stored = opened_in(copying.storage, copy)
    with contextlib.closing(stored):
        check_bytes(stored, copy)
    assert (copying.copies.path / copy.name).stat().st_nlink == 1


def test_nothing_is_copied_when_nothing_has_changed(copying: Copying) -> None:
    copying.job.step()
    for _ in range(3):
        assert copying.hour() == HOUR_SECONDS
    assert len(copying.copies.list()) == 1
    copying.state.record([event(1)])
    copying.hour()
    assert len(copying.copies.list()) == 2


def test_it_comes_once_an_hour_however_often_it_is_asked(copying: Copying) -> None:
    copying.job.step()
    copying.hour()
    copying.state.record([event(1)])
    copying.times.pass_(1800)
    assert copying.job.step() == pytest.approx(1800)
    assert len(copying.copies.list()) == 1


@pytest.mark.parametrize("jump_ms", [3_600_000, 86_400_000, -10 * 365 * 86_400_000])
def test_a_clock_that_jumps_neither_stops_it_nor_makes_it_run(copying: Copying, jump_ms: int) -> None:
    """RELIABILITY F3."""
    copying.job.step()
    copying.hour()
    copying.times.now_ms += jump_ms
    for number in range(2):
        copying.state.record([event(number)])
        assert copying.hour() == HOUR_SECONDS
    assert len(copying.copies.list()) == 3
    assert copying.copies.list()[0].revision == copying.state.revision().number
    copying.job = copying.started()
    assert 0 < copying.job.step() <= HOUR_SECONDS


def test_old_ones_are_removed_here_and_in_the_storage(copying: Copying) -> None:
    put(copying.storage, object_name("1.2", "1.3", "1.4"), copying.copies.open(_first(copying)))
    for number in range(60):
        copying.state.record([event(number)])
        copying.hour()
        copying.times.pass_(8 * HOUR_SECONDS)
    here = copying.copies.list()
    assert KEPT_HOURLY < len(here) <= KEPT_HOURLY + KEPT_DAILY
    assert copies_in(copying.storage) == here
    assert object_name("1.2", "1.3", "1.4") in {info.name for info in copying.storage.list()}


def _first(copying: Copying):
    copying.job.step()
    copying.hour()
    return copying.copies.list()[0]


def test_a_storage_that_fails_gets_its_copy_later(
    copying: Copying, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    copying.job.step()
    with monkeypatch.context() as patch:
        patch.setattr(copying.storage, "put", raising(OutOfResources("the bucket is away")))
        assert copying.hour() == 300
    (copy,) = copying.copies.list()
    assert "the bucket is away" in caplog.text
    assert copying.job.step() == 300
    copying.times.pass_(300)
    assert copying.job.step() == HOUR_SECONDS
    assert copying.copies.list() == copies_in(copying.storage) == [copy]


def test_a_restart_finds_what_is_in_the_storage_already(copying: Copying) -> None:
    copy = _first(copying)
    copying.job = copying.started()
    copying.job.step()
    copying.hour()
    assert copies_in(copying.storage) == [copy]


@pytest.mark.parametrize("method", ["copy", "revision"])
def test_a_state_that_cannot_be_read_now_is_copied_later(
    copying: Copying, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    first = _first(copying)
    copying.state.record([event(1)])
    with monkeypatch.context() as patch:
        patch.setattr(copying.state, method, raising(OutOfResources("disk is full")))
        assert copying.hour() == 300
    assert copying.copies.list() == [first]
    assert not (copying.copies.path / "unfinished").exists()
    copying.times.pass_(300)
    copying.job.step()
    assert len(copying.copies.list()) == 2


def test_a_copy_that_is_not_in_order_is_none_and_the_state_is_looked_at(
    copying: Copying, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    copying.job.step()
    monkeypatch.setattr(copying.state, "copy", raising(PermanentError("state.db is damaged")))
    with caplog.at_level(logging.WARNING):
        assert copying.hour() == 300, "the state itself is in order: the next may be"
        assert "state.db is damaged" in caplog.text
        caplog.clear()
        copying.is_damaged = True
        copying.times.pass_(300)
        assert copying.job.step() == HOUR_SECONDS
        assert caplog.text == "", "who looked has said it"
    assert copying.copies.list() == []


def test_damage_on_the_way_does_not_become_a_copy(copying: Copying, monkeypatch: pytest.MonkeyPatch) -> None:
    copy_to = copying.state.copy

    def damaging(target: Path, *, stop: Callable[[], bool]) -> int | None:
        revision = copy_to(target, stop=stop)
        data = bytearray(target.read_bytes())
        data[-4096:] = b"\xff" * 4096
        target.write_bytes(data)
        return revision

    copying.job.step()
    monkeypatch.setattr(copying.state, "copy", damaging)
    assert copying.hour() == 300
    assert copying.copies.list() == []


def test_a_node_that_stops_does_not_wait_for_a_copy(copying: Copying) -> None:
    copying.job.step()
    copying.stops = True
    copying.hour()
    assert copying.copies.list() == []
    assert not (copying.copies.path / "unfinished").exists()


def raising(error: Exception) -> Callable[..., object]:
    def fail(*_: object, **__: object) -> object:
        raise error

    return fail
