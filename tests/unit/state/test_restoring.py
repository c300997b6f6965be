"""The way back: which copy becomes the state, from where, and what it says of itself."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from pacsnode.errors import DamagedObject, ObjectNotFound
from pacsnode.state.base import CustodyKind
from pacsnode.state.copies import Copy
from pacsnode.state.folder import StateFolder
from pacsnode.state.restoring import begin_empty, restore, source_named, sources
from pacsnode.state.sqlite import SqliteState
from pacsnode.storage.memory import BytesReadable, MemoryStorage
from pacsnode.storage.names import state_copy_name
from tests.objects import put
from tests.unit.state.damage import event, flip_pages, truncate, zero_header

AT_MS = 1_700_000_000_000


class Kept:
    """A state with copies of three revisions, beside it and in the storage."""

    def __init__(self, path: Path) -> None:
        self.folder = StateFolder(path)
        self.storage = MemoryStorage()
        self.copies: list[Copy] = []
        state = self.folder.open(holds=lambda: "").state
        assert state is not None
        self.path = state.path
        for number in range(3):
            state.record([event(one) for one in range(number * 800, number * 800 + 800)])
            unfinished = self.folder.copies.unfinished()
            revision = state.copy(unfinished, stop=lambda: False)
            assert revision is not None
            copy = self.folder.copies.publish(
                unfinished, revision=revision, made_at_ms=AT_MS + number * 3_600_000
            )
            put(self.storage, state_copy_name(copy.name), BytesReadable(self.at(copy).read_bytes()))
            self.copies.append(copy)
        self.folder.copies.discard_unfinished()
        state.close()

    def at(self, copy: Copy) -> Path:
        return self.folder.copies.path / copy.name

    def restore(self, name: str | None = None) -> tuple[str, str, int]:
        """Restore; return the name and place of the source, and how many events of before there are."""
        found = (
            sources(self.folder, self.storage)
            if name is None
            else iter([source_named(name, self.folder, self.storage)])
        )
        restored = restore(self.folder, found, now_ms=AT_MS)
        assert restored.source is not None
        assert self.folder.file() == restored.path
        with contextlib.closing(SqliteState(restored.path)) as state:
            events = state.events(limit=10_000)
            assert events[-1].event.kind is CustodyKind.STATE_RESTORED
            assert restored.source.name in events[-1].event.detail
            assert state.revision().number > max(copy.revision for copy in self.copies)
        assert self.folder.examined(restored.path, everything=True).trouble is None
        return restored.source.name, restored.source.place, len(events) - 1


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    kept = Kept(tmp_path / "state")
    zero_header(kept.path)
    yield kept
    kept.folder.close()


def test_the_newest_copy_that_is_in_order(kept: Kept) -> None:
    assert kept.restore() == (kept.copies[2].name, "copies", 2400)
    assert kept.path.read_bytes()[:100] == bytes(100), "the damaged file stays"


def test_damaged_copies_are_passed_over_and_named(kept: Kept) -> None:
    flip_pages(kept.at(kept.copies[2]))
    truncate(kept.at(kept.copies[1]))
    restored = restore(kept.folder, sources(kept.folder, kept.storage), now_ms=AT_MS)
    assert restored.source is not None
    assert (restored.source.name, restored.source.place) == (kept.copies[0].name, "copies")
    assert [
        copy.name in text for copy, text in zip(kept.copies[:0:-1], restored.passed_over, strict=True)
    ] == [
        True,
        True,
    ]


def test_without_one_beside_it_the_storage_has_it(kept: Kept) -> None:
    for copy in kept.copies:
        kept.folder.copies.remove(copy)
    assert kept.restore() == (kept.copies[2].name, "storage", 2400)


def test_a_copy_by_its_name(kept: Kept) -> None:
    assert kept.restore(kept.copies[0].name) == (kept.copies[0].name, "copies", 800)
    kept.folder.copies.remove(kept.copies[1])
    assert kept.restore(kept.copies[1].name) == (kept.copies[1].name, "storage", 1600)


def test_a_file(kept: Kept, tmp_path: Path) -> None:
    plain = tmp_path / "from-a-tape.db"
    plain.write_bytes(kept.at(kept.copies[1]).read_bytes())
    assert kept.restore(str(plain)) == (str(plain), "file", 1600)
    named = tmp_path / kept.copies[1].name
    named.write_bytes(plain.read_bytes()[:-1])
    with pytest.raises(DamagedObject, match="bytes, not"):
        kept.restore(str(named))


@pytest.mark.parametrize("name", ["20231114T221320Z-1-1-00000000.db", "no/such/file", "/tmp"])
def test_what_is_not_there(kept: Kept, name: str) -> None:
    with pytest.raises(ObjectNotFound):
        kept.restore(name)


def test_without_any_copy_in_order_nothing_changes(kept: Kept) -> None:
    for copy in kept.copies:
        kept.storage.delete(state_copy_name(copy.name))
        truncate(kept.at(copy))
    with pytest.raises(DamagedObject, match=kept.copies[2].name):
        kept.restore()
    assert kept.folder.file() == kept.path
    for copy in kept.copies:
        kept.folder.copies.remove(copy)
    with pytest.raises(DamagedObject, match="there is no copy"):
        kept.restore()


def test_beginning_without_what_was_in_it(kept: Kept) -> None:
    restored = begin_empty(kept.folder, now_ms=AT_MS)
    assert kept.folder.file() == restored.path
    assert kept.folder.examined(restored.path, everything=True).trouble is None
    with contextlib.closing(SqliteState(restored.path)) as state:
        (recorded,) = state.events(limit=10)
        assert recorded.event.kind is CustodyKind.STATE_BEGUN
        assert kept.path.name in recorded.event.detail
