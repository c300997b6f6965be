"""Copies: what their names tell, which are kept, and that one that is not whole does not count."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacsnode.errors import DamagedObject, ObjectNotFound
from pacsnode.state.copies import (
    KEPT_DAILY,
    KEPT_HOURLY,
    Copies,
    Copy,
    copies_in,
    kept,
    newest_first,
    opened_in,
)
from pacsnode.storage.memory import BytesReadable, MemoryStorage
from pacsnode.storage.names import object_name, parse_state_copy, state_copy_name
from tests.objects import put
from tests.unit.state.damage import fill, flip_pages, truncate

AT_MS = 1_700_000_000_000
HOUR_MS = 3_600_000


@pytest.fixture
def copies(tmp_path: Path) -> Iterator[Copies]:
    copies = Copies(tmp_path / "copies")
    yield copies
    copies.close()


def published(copies: Copies, *, revision: int = 2, made_at_ms: int = AT_MS) -> Copy:
    unfinished = copies.unfinished()
    unfinished.unlink()
    fill(unfinished)
    return copies.publish(unfinished, revision=revision, made_at_ms=made_at_ms)


@given(
    st.integers(0, 4_000_000_000), st.integers(1, 10**15), st.integers(1, 10**12), st.integers(0, 0xFFFFFFFF)
)
def test_a_name_tells_the_copy(seconds: int, revision: int, length: int, crc32c: int) -> None:
    copy = Copy(seconds * 1000, revision, length, crc32c)
    assert Copy.parse(copy.name) == copy
    assert parse_state_copy(state_copy_name(copy.name)) == copy.name


@given(st.text(max_size=60))
def test_other_names_are_no_copies(name: str) -> None:
    copy = Copy.parse(name)
    assert copy is None or copy.name == name


@pytest.mark.parametrize(
    "name",
    ["20231114T221320Z-1-1-00000000.db\n", "20231314T221320Z-1-1-00000000.db", "unfinished", "../x.db", ""],
)
def test_names_that_look_like_one(name: str) -> None:
    assert Copy.parse(name) is None


def test_what_is_published_is_read_back_and_listed_newest_first(copies: Copies) -> None:
    first = published(copies)
    second = published(copies, revision=5, made_at_ms=AT_MS - HOUR_MS)  # the clock was set back
    assert copies.list() == [second, first]
    for copy in (first, second):
        copies.check(copy)
        assert (copies.path / copy.name).stat().st_size == copy.length
        assert (copies.path / copy.name).stat().st_mode & 0o077 == 0
    assert first.made_at_ms == AT_MS // 1000 * 1000


def test_publishing_the_same_twice_is_publishing_once(copies: Copies) -> None:
    unfinished = copies.unfinished()
    unfinished.unlink()
    fill(unfinished)
    assert copies.publish(unfinished, revision=2, made_at_ms=AT_MS) == copies.publish(
        unfinished, revision=2, made_at_ms=AT_MS
    )
    assert len(copies.list()) == 1


def test_what_an_earlier_run_left_unfinished_is_gone(copies: Copies) -> None:
    (copies.unfinished().parent / "state.db-journal").write_bytes(b"torn")
    copies.unfinished().write_bytes(b"torn")
    assert copies.unfinished().read_bytes() == b""
    assert copies.list() == []
    copies.discard_unfinished()
    copies.discard_unfinished()
    assert list(copies.path.iterdir()) == []


def test_a_damaged_file_is_not_published(copies: Copies) -> None:
    unfinished = copies.unfinished()
    unfinished.unlink()
    fill(unfinished)
    flip_pages(unfinished)
    with pytest.raises(DamagedObject):
        copies.publish(unfinished, revision=2, made_at_ms=AT_MS)
    assert copies.list() == []


def test_a_flipped_bit_within_a_text_is_found_in_a_copy(copies: Copies) -> None:
    copy = published(copies)
    path = copies.path / copy.name
    data = bytearray(path.read_bytes())
    at = data.index(b"reason 7.")
    data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedObject, match="not those that were written"):
        copies.check(copy)


def test_a_truncated_copy_is_found(copies: Copies) -> None:
    copy = published(copies)
    truncate(copies.path / copy.name)
    with pytest.raises(DamagedObject, match="bytes, not"):
        copies.check(copy)


def test_a_copy_that_is_gone(copies: Copies) -> None:
    copy = published(copies)
    copies.remove(copy)
    copies.remove(copy)
    with pytest.raises(ObjectNotFound):
        copies.check(copy)


def test_a_copy_whose_checksum_is_right_and_whose_pages_are_not(copies: Copies) -> None:
    from pacsnode.storage.reading import crc32c_of

    copy = published(copies)
    path = copies.path / copy.name
    flip_pages(path)
    forged = Copy(copy.made_at_ms, copy.revision, copy.length, crc32c_of(BytesReadable(path.read_bytes())))
    path.rename(copies.path / forged.name)
    with pytest.raises(DamagedObject, match="damaged"):
        copies.check(forged)


def test_checking_leaves_nothing_beside_a_copy(copies: Copies) -> None:
    copy = published(copies)
    descriptors = len(os.listdir("/proc/self/fd"))
    copies.check(copy)
    copies.discard_unfinished()
    assert [path.name for path in copies.path.iterdir()] == [copy.name]
    assert len(os.listdir("/proc/self/fd")) == descriptors


def hourly(number: int, *, first_ms: int = AT_MS) -> list[Copy]:
    return [Copy(first_ms + at * HOUR_MS, at + 1, 1, 1) for at in range(number)]


def test_the_newest_24_and_one_of_each_of_14_days_are_kept() -> None:
    remaining = kept(hourly(24 * 60))
    ordered = newest_first(remaining)
    assert ordered[:KEPT_HOURLY] == newest_first(hourly(24 * 60))[:KEPT_HOURLY]
    days = [copy.made_at_ms // 86_400_000 for copy in ordered[KEPT_HOURLY:]]
    assert len(days) == len(set(days))
    assert len({copy.made_at_ms // 86_400_000 for copy in remaining}) == KEPT_DAILY
    assert len(remaining) <= KEPT_HOURLY + KEPT_DAILY


def test_an_idle_node_keeps_its_past() -> None:
    rare = [Copy(AT_MS + month * 30 * 24 * HOUR_MS, month + 1, 1, 1) for month in range(10)]
    assert kept(rare) == set(rare)


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(1, 10_000)), max_size=200))
def test_removing_is_settled_at_once_and_the_newest_stays(made: list[tuple[int, int]]) -> None:
    copies = {Copy(AT_MS + hours * HOUR_MS, revision, 1, 1) for hours, revision in made}
    remaining = kept(copies)
    assert kept(remaining) == remaining
    assert len(remaining) <= KEPT_HOURLY + KEPT_DAILY
    if copies:
        assert newest_first(copies)[0] in remaining


def test_copies_in_a_storage() -> None:
    storage = MemoryStorage()
    first, second = hourly(2)
    for copy in (first, second):
        put(storage, state_copy_name(copy.name), BytesReadable(copy.name.encode()))
    put(storage, object_name("1.2", "1.3", "1.4"), BytesReadable(b"image"))
    put(storage, "_state/else", BytesReadable(b"?"))
    assert copies_in(storage) == [second, first]
    assert opened_in(storage, first).length == len(first.name)
