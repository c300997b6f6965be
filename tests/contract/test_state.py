"""The contract in `state.base`, over every adapter: there is one."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pacsnode.errors import PermanentError, TemporaryError
from pacsnode.state.base import CustodyEvent, CustodyKind, Run, State, every_event
from pacsnode.state.sqlite import SqliteState

AT_MS = 1_700_000_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def state(path: Path) -> Iterator[State]:
    with contextlib.closing(SqliteState(path)) as state:
        yield state


def event(number: int = 1, *, at_ms: int = AT_MS, association_id: str = "a1") -> CustodyEvent:
    return CustodyEvent(
        CustodyKind.DAMAGED,
        at_ms,
        "serve",
        f"reason {number}",
        f"1/2/{number}.dcm",
        f"1.2.{number}",
        association_id,
    )


def test_events_are_kept_as_they_were_recorded_in_their_order(state: State) -> None:
    events = [event(number) for number in range(1, 6)]
    state.record(events[:2])
    state.record([])
    state.record(events[2:])
    recorded = state.events(limit=10)
    assert [one.event for one in recorded] == events
    assert {(one.times, one.last_at_ms) for one in recorded} == {(1, AT_MS)}
    assert [one.number for one in recorded] == sorted({one.number for one in recorded})


def test_every_kind_is_kept(state: State) -> None:
    state.record([CustodyEvent(kind, AT_MS, "serve", "why") for kind in CustodyKind])
    assert [one.event.kind for one in state.events(limit=100)] == list(CustodyKind)


def test_events_come_in_pages(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pacsnode.state.base._PAGE", 3)
    state.record([event(number) for number in range(8)])
    first = state.events(limit=3)
    assert len(first) == 3
    assert state.events(after=first[-1].number, limit=3)[0].event == event(3)
    assert [one.event for one in every_event(state)] == [event(number) for number in range(8)]


def test_what_is_found_again_is_counted(state: State) -> None:
    for times, at_ms in enumerate((AT_MS, AT_MS + 5, AT_MS - 5), 1):
        state.record([event(at_ms=at_ms, association_id=f"a{times}")])
    (recorded,) = state.events(limit=10)
    assert (recorded.event, recorded.times, recorded.last_at_ms) == (event(), 3, AT_MS + 5)


def test_runs_know_of_the_one_before(state: State) -> None:
    first, before = state.begin_run("0.1", AT_MS)
    assert (first, before) == (Run(first.number, "0.1", AT_MS, None), None)
    second, before = state.begin_run("0.2", AT_MS + 1)
    assert before == first, "it did not end cleanly"
    assert second.number > first.number
    state.end_run(second.number, AT_MS + 2)
    _, before = state.begin_run("0.2", AT_MS + 3)
    assert before == Run(second.number, "0.2", AT_MS + 1, AT_MS + 2)


def test_snapshots_are_numbered_upwards_over_restarts(path: Path) -> None:
    numbers = []
    for _ in range(3):
        with contextlib.closing(SqliteState(path)) as state:
            numbers += [
                state.add_snapshot("digest", "start", AT_MS),
                state.add_snapshot("other", "SIGHUP", AT_MS),
            ]
    assert numbers == [1, 2, 3, 4, 5, 6]


def test_a_snapshot_keeps_the_number_that_it_has(state: State) -> None:
    assert state.add_snapshot("digest", "start", AT_MS) == 1
    assert state.add_snapshot("other", "SIGHUP", AT_MS, number=4) == 4
    assert state.add_snapshot("later", "start", AT_MS, number=4) == 4  # as by jobs that are started again
    assert state.add_snapshot("digest", "start", AT_MS) == 5


def test_every_write_raises_the_revision_and_reading_does_not(state: State) -> None:
    seen = [state.revision().number]
    for write in (
        lambda: state.record([event()]),
        lambda: state.record([event()]),
        lambda: state.begin_run("0.1", AT_MS),
        lambda: state.end_run(1, AT_MS),
        lambda: state.add_snapshot("digest", "start", AT_MS),
    ):
        write()
        state.events(limit=1)
        seen.append(state.revision().number)
    assert seen == sorted(set(seen))
    assert state.revision() == state.revision()


def test_all_is_there_when_it_is_opened_again(path: Path) -> None:
    with contextlib.closing(SqliteState(path)) as state:
        state.record([event()])
        revision = state.revision()
    with contextlib.closing(SqliteState(path)) as state:
        assert [one.event for one in state.events(limit=10)] == [event()]
        assert state.revision() == revision


def test_two_that_have_it_open_see_each_others_writes(path: Path, state: State) -> None:
    with contextlib.closing(SqliteState(path)) as other:
        other.record([event(1)])
        state.record([event(2)])
        assert other.events(limit=10) == state.events(limit=10)
        assert len(state.events(limit=10)) == 2


def test_a_copy_is_the_whole_at_its_revision(state: State, tmp_path: Path) -> None:
    state.record([event(number) for number in range(2000)])
    target = tmp_path / "copy.db"
    revision = state.copy(target, stop=lambda: False)
    state.record([event(5000)])
    assert revision == state.revision().number - 1
    with contextlib.closing(SqliteState(target)) as copied:
        assert copied.revision().number == revision
        assert [one.event for one in every_event(copied)] == [event(number) for number in range(2000)]


def test_a_copy_that_is_told_to_stop_is_none(state: State, tmp_path: Path) -> None:
    assert state.copy(tmp_path / "copy.db", stop=lambda: True) is None
    state.record([event()])


def test_a_copy_ends_while_another_process_writes_all_the_time(
    path: Path, state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each write between two steps makes the backup begin again."""
    monkeypatch.setattr("pacsnode.state.sqlite.STEP_PAGES", 4)
    state.record([event(number) for number in range(3000)])
    with contextlib.closing(SqliteState(path)) as other:
        written = 0

        def writing() -> bool:
            nonlocal written
            written += 1
            other.record([event(10_000 + written)])
            return False

        revision = state.copy(tmp_path / "copy.db", stop=writing)
        assert written > 6
        assert revision is not None
        with contextlib.closing(SqliteState(tmp_path / "copy.db")) as copied:
            assert copied.revision().number == revision
            assert sum(1 for _ in every_event(copied)) >= 3000


def test_many_threads_write_at_a_time(state: State) -> None:
    def write(thread: int) -> None:
        for number in range(10):
            state.record([event(100 * thread + number)])

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(state.events(limit=1000)) == 80


def test_a_full_disk_is_temporary_and_leaves_what_was_there(path: Path) -> None:
    with contextlib.closing(SqliteState(path)) as state:
        state.record([event()])
        connection = state._database._writer._connection
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(TemporaryError, match="full"):
            state.record([event(number) for number in range(2, 3000)])
        assert [one.event for one in state.events(limit=10)] == [event()]
        connection.execute("PRAGMA max_page_count = 1000000")
        state.record([event(2)])
        assert len(state.events(limit=10)) == 2


def test_damage_is_permanent(path: Path) -> None:
    with contextlib.closing(SqliteState(path)) as state:
        state.record([event(number) for number in range(3000)])
        state.settle()
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    path.write_bytes(data)
    with contextlib.closing(SqliteState(path)) as state, pytest.raises(PermanentError, match="damaged"):
        state.record([event(1)])
