"""Which file is the state, and the refusal to guess when it is not what it was."""

import contextlib
import os
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pacsnode.errors import DamagedObject, OutOfResources, TemporaryError
from pacsnode.state import folder as module
from pacsnode.state.base import CustodyEvent, CustodyKind
from pacsnode.state.folder import Opened, StateFolder
from pacsnode.state.sqlite import SqliteState
from pacsnode.storage.memory import BytesReadable
from tests.unit.state.damage import DAMAGES, content, event, fill

RESTORED = CustodyEvent(CustodyKind.STATE_RESTORED, 1, "test", "restored")


def nothing() -> str:
    return ""


def instances() -> str:
    return "the index holds 7 instances"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[StateFolder]:
    with StateFolder(tmp_path / "state") as folder:
        yield folder


@contextlib.contextmanager
def opened(folder: StateFolder) -> Iterator[SqliteState]:
    found = folder.open(holds=instances)
    assert found.state is not None, found.trouble
    try:
        yield found.state
    finally:
        found.state.close()


def begin(folder: StateFolder) -> Path:
    """Begin a state in a new folder, as the first start does."""
    found = folder.open(holds=nothing)
    assert found.state is not None
    found.state.record([event()])
    found.state.close()
    path = folder.file()
    assert path is not None
    return path


def test_a_new_folder_gets_a_state(folder: StateFolder) -> None:
    assert folder.file() is None
    assert begin(folder).name == "state-1.db"
    with opened(folder) as state:
        assert [one.event for one in state.events(limit=9)] == [event()]
    for path in folder.path.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_looking_begins_nothing(folder: StateFolder) -> None:
    assert folder.existing() == Opened(None)
    assert folder.file() is None


def test_a_folder_that_holds_something_and_has_no_state_lost_it(folder: StateFolder) -> None:
    assert folder.open(holds=instances) == Opened(
        None, f"the state in {folder.path} is missing, while the index holds 7 instances"
    )
    assert folder.file() is None


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_is_said_and_left_alone(folder: StateFolder, kind: str) -> None:
    """RELIABILITY D6b."""
    damage, expected = DAMAGES[kind]
    path = begin(folder)
    shutil.rmtree(folder.path / "copies")
    fill(path)
    damage(path)
    (folder.path / "copies").mkdir()
    before = content(folder.path)
    for _ in range(2):
        for found in (folder.open(holds=instances), folder.open(holds=nothing), folder.existing()):
            assert found.state is None
            assert re.search(expected, str(found.trouble))
    assert content(folder.path) == before


def test_a_file_that_lost_its_marker_only(folder: StateFolder) -> None:
    """Whatever took the marker may have taken more: it is not guessed that the file is the newest."""
    begin(folder)
    (folder.path / "state-1.in-use").unlink()
    assert "is missing" in str(folder.open(holds=instances).trouble)


def test_a_beginning_that_was_cut_short_is_left_behind(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(*_: object) -> None:
        raise OutOfResources("no space")

    with monkeypatch.context() as patch:
        patch.setattr(folder._folder, "publish", cut)
        with pytest.raises(OutOfResources):
            folder.open(holds=nothing)
    assert folder.file() is None
    assert begin(folder).name == "state-2.db"


def test_a_state_that_is_older_than_its_newest_copy(folder: StateFolder) -> None:
    """A backup of the file put in its place, or a WAL that was deleted."""
    path = begin(folder)
    before = path.read_bytes()
    with opened(folder) as state:
        state.record([event(2)])
        unfinished = folder.copies.unfinished()
        revision = state.copy(unfinished, stop=lambda: False)
        assert revision is not None
        folder.copies.publish(unfinished, revision=revision, made_at_ms=1_700_000_000_000)
    for leftover in folder.path.glob("state-1.db-*"):
        leftover.unlink()
    path.write_bytes(before)
    assert "revision" in str(folder.open(holds=instances).trouble)


def test_a_restored_state_gets_the_next_number_and_the_damaged_one_stays(folder: StateFolder) -> None:
    path = begin(folder)
    copy = path.read_bytes()
    path.write_bytes(b"damaged")
    restored = folder.begin(BytesReadable(copy), RESTORED, revision=70)
    assert restored.name == "state-2.db"
    assert path.read_bytes() == b"damaged"
    assert folder.file() == restored
    with opened(folder) as state:
        assert [one.event for one in state.events(limit=9)] == [event(), RESTORED]
        assert state.revision().number > 70
    restored.unlink()
    assert folder.open(holds=instances) == Opened(None, f"{restored} is missing"), "not the one before"
    assert folder.begin(None, RESTORED, revision=0).name == "state-3.db"
    with opened(folder) as state:
        assert [one.event for one in state.events(limit=9)] == [RESTORED]


def test_what_is_no_state_does_not_become_one(folder: StateFolder) -> None:
    path = begin(folder)
    for data in (b"", b"no database", path.read_bytes()[:5000]):
        with pytest.raises(DamagedObject):
            folder.begin(BytesReadable(data), RESTORED, revision=0)
    assert folder.file() == path
    assert [found.name for found in folder.path.glob("*.db")] == ["state-1.db"]


def test_a_lock_that_is_held_is_waited_for_and_no_damage(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOCK_WAIT_SECONDS", 0.05)
    begin(folder)
    with folder._locked(), StateFolder(folder.path) as other, pytest.raises(TemporaryError, match="locked"):
        other.open(holds=nothing)
    with opened(folder):
        pass


def test_of_many_that_begin_at_a_time_all_get_the_same(tmp_path: Path) -> None:
    """The processes of a node start together in a new folder."""
    start, files, troubles = threading.Barrier(6), list[Path](), list[str | None]()

    def begin_one() -> None:
        with StateFolder(tmp_path / "state") as folder:
            start.wait(30)
            found = folder.open(holds=nothing)
            troubles.append(found.trouble)
            if found.state is not None:
                found.state.record([event()])
                files.append(found.state.path)
                found.state.close()

    threads = [threading.Thread(target=begin_one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert troubles == [None] * 6
    assert {path.name for path in files} == {"state-1.db"}
    with StateFolder(tmp_path / "state") as folder, opened(folder) as state:
        (recorded,) = state.events(limit=9)
        assert recorded.times == 6


def test_nothing_stays_open(folder: StateFolder) -> None:
    path = begin(folder)
    descriptors = len(os.listdir("/proc/self/fd"))
    with opened(folder):
        pass
    path.write_bytes(b"damaged")
    folder.open(holds=nothing)
    folder.begin(None, RESTORED, revision=0)
    assert len(os.listdir("/proc/self/fd")) == descriptors
