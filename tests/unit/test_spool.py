"""The spool: names, tokens, and that nothing is published which the disk did not keep."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import google_crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacsnode import spool as module
from pacsnode.errors import ObjectNotFound, OutOfResources
from pacsnode.spool import Entry, Incoming, Spool
from tests.factories import NOW_MS, Clock, spooled

ENTRIES = st.builds(
    Entry,
    token=st.integers(0, (1 << 63) - 1),
    length=st.integers(0, 1 << 40),
    crc32c=st.integers(0, (1 << 32) - 1),
)


def filled_and_published(incoming: Incoming) -> None:
    incoming.write(b"x" * 1_000_000)
    incoming.publish()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def spool(tmp_path: Path, clock: Clock):
    spool = Spool(tmp_path, min_free_bytes=0, now_ms=clock)
    yield spool
    spool.close()


def failing(code: int) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


@given(ENTRIES)
def test_a_name_is_read_back_as_its_entry(entry: Entry) -> None:
    assert Entry.parse(entry.name) == entry


@given(
    st.one_of(
        st.text(max_size=60), st.from_regex(r"[0-9a-f]{16}-[0-9]{1,30}-[0-9a-f]{8}\.dcm", fullmatch=True)
    )
)
def test_a_name_that_is_read_is_what_its_entry_prints(name: str) -> None:
    """Otherwise an entry would stand for a file that is not there."""
    entry = Entry.parse(name)
    assert entry is None or entry.name == name
    assert entry is None or entry.token < 1 << 63  # the index keeps it as a signed integer


def test_what_was_written_is_read_back(spool: Spool, clock: Clock) -> None:
    data = os.urandom(300_000)
    incoming = spool.begin()
    for at in range(0, len(data), 70_000):
        incoming.write(data[at : at + 70_000])
    assert incoming.read(1000, 150_000) == data[150_000:151_000]
    assert spool.entries() == []
    entry = incoming.publish()
    incoming.close()
    assert (entry.length, entry.crc32c) == (len(data), google_crc32c.value(data))
    assert entry.received_at_ms == clock.now_ms
    assert spool.entries() == [entry]
    readable = spool.open(entry)
    buffer = bytearray(len(data))
    assert readable.read_into(memoryview(buffer), 0) == len(data)
    assert bytes(buffer) == data
    readable.close()


def test_what_is_not_published_leaves_nothing(spool: Spool) -> None:
    incoming = spool.begin()
    incoming.write(b"x" * 1_000_000)
    incoming.close()
    incoming.close()
    assert spool.entries() == []
    assert list(spool._ready.path.parent.rglob("*")) == [spool._ready.path]


def test_tokens_ascend_even_when_the_clock_is_set_back(spool: Spool, clock: Clock) -> None:
    entries = []
    for now_ms in (
        NOW_MS,
        NOW_MS,
        NOW_MS - 86_400_000,
        NOW_MS + 1,
        NOW_MS - 10 * 365 * 86_400_000,
        NOW_MS + 2,
    ):
        clock.now_ms = now_ms
        entries.append(spooled(spool, b"%d" % now_ms))
    assert [entry.token for entry in entries] == sorted({entry.token for entry in entries})
    assert spool.entries() == entries
    assert entries[-1].received_at_ms == NOW_MS + 2


def test_a_token_of_an_entry_that_waits_is_not_given_again_after_a_restart(
    spool: Spool, clock: Clock, tmp_path: Path
) -> None:
    """The clock may be set back between two runs; a token names one instance in the index."""
    waiting = spooled(spool, b"of the first run")
    restarted = Spool(tmp_path, min_free_bytes=0, now_ms=clock)
    try:
        later = spooled(restarted, b"of the second")
        assert later.token != waiting.token
        assert later.received_at_ms == clock.now_ms
    finally:
        restarted.close()


def test_two_spools_on_one_folder_never_share_an_entry(spool: Spool, clock: Clock, tmp_path: Path) -> None:
    other = Spool(tmp_path, min_free_bytes=0, now_ms=clock)
    try:
        assert spooled(spool, b"same") != spooled(other, b"same")
        assert len(spool.entries()) == 2
    finally:
        other.close()


@pytest.mark.parametrize("call", ["writev", "fsync", "link"])
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_a_failed_write_never_publishes_and_makes_the_spool_suspect(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    incoming = spool.begin()
    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing(code))
        with pytest.raises(OutOfResources):
            filled_and_published(incoming)
    assert spool.entries() == []
    with monkeypatch.context() as patch:  # the disk still keeps nothing
        patch.setattr(os, "fsync", failing(code))
        for _ in range(2):
            with pytest.raises(OutOfResources):
                spool.begin()
    if call == "writev":
        with pytest.raises(OutOfResources):
            incoming.publish()  # a part is missing: it can never be published
    incoming.close()
    entry = spooled(spool, b"the disk is well again")
    assert spool.entries() == [entry]
    monkeypatch.setattr(os, "fsync", failing(code))
    spool.begin().close()  # not suspect any more: no probe


def test_a_disk_that_begins_to_fail_is_told_of_once(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, str]] = []
    spool = Spool(
        tmp_path, min_free_bytes=0, now_ms=clock, failed=lambda place, reason: told.append((place, reason))
    )
    for _ in range(2):
        incoming = [spool.begin() for _ in range(3)]
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", failing(errno.EIO))
            for one in incoming:
                with pytest.raises(OutOfResources):
                    filled_and_published(one)
                one.close()
        spooled(spool, b"the disk is well again")
    spool.close()
    assert [place for place, _ in told] == [str(tmp_path / "ready")] * 2
    assert all(os.strerror(errno.EIO) in reason for _, reason in told)


def test_a_probe_that_writes_nothing_leaves_the_spool_suspect(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    incoming = spool.begin()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing(errno.EIO))
        with pytest.raises(OutOfResources):
            incoming.publish()
    incoming.close()
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", failing(errno.ENOSPC))
        with pytest.raises(OutOfResources):
            spool.begin()
    spool.begin().close()


def test_a_write_that_is_cut_short_in_the_middle_is_completed(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    writev = os.writev
    monkeypatch.setattr(os, "writev", lambda d, parts: writev(d, [b"".join(parts)[:7]]))
    entry = spooled(spool, b"longer than seven")
    assert (spool._ready.path / entry.name).read_bytes() == b"longer than seven"


def test_short_space_refuses_before_anything_is_written(tmp_path: Path, clock: Clock) -> None:
    spool = Spool(tmp_path, min_free_bytes=1 << 62, now_ms=clock)
    try:
        with pytest.raises(OutOfResources, match="min_free"):
            spool.begin()
    finally:
        spool.close()


def test_no_descriptor_left_is_a_resource(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = spooled(spool, b"x")
    monkeypatch.setattr(os, "open", failing(errno.EMFILE))
    with pytest.raises(OutOfResources):
        spool.begin()
    with pytest.raises(OutOfResources):
        spool.open(entry)


def test_bytes_that_cannot_be_read_back_are_a_resource(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    incoming = spool.begin()
    incoming.write(b"x")
    monkeypatch.setattr(os, "pread", failing(errno.EIO))
    with pytest.raises(OutOfResources):
        incoming.read(1, 0)
    incoming.close()


def test_an_entry_is_removed_once(spool: Spool) -> None:
    entry = spooled(spool, b"x")
    spool.remove(entry)
    spool.remove(entry)
    assert spool.entries() == []
    with pytest.raises(ObjectNotFound):
        spool.open(entry)


def test_files_of_others_are_no_entries(spool: Spool) -> None:
    (spool._ready.path / "README").write_text("hello")
    (spool._ready.path / "0000000000000001-01-00000000.dcm").write_text("length with a zero in front")
    assert spool.entries() == []


def test_a_damaged_entry_is_kept_aside(spool: Spool, tmp_path: Path) -> None:
    entry = spooled(spool, b"torn")
    place = spool.set_aside(entry)
    assert place.read_bytes() == b"torn"
    assert place.parent == tmp_path / "damaged"
    assert place.parent.stat().st_mode & 0o777 == 0o700
    assert spool.entries() == []


def test_how_much_is_in_it_and_how_much_more_may_come(tmp_path: Path, clock: Clock) -> None:
    spool = Spool(tmp_path, min_free_bytes=1000, now_ms=clock)
    empty = spool.use()
    assert (empty.waiting, empty.bytes, empty.oldest_age_seconds, empty.damaged) == (0, 0, None, 0)
    assert empty.min_free_bytes == 1000
    assert empty.free_bytes > 0
    first, _ = spooled(spool, b"x" * 10), spooled(spool, b"x" * 5)
    clock.now_ms += 2500
    use = spool.use()
    assert (use.waiting, use.bytes, use.oldest_age_seconds) == (2, 15, 2.5)
    spool.set_aside(first)
    use = spool.use()
    assert (use.waiting, use.bytes, use.damaged) == (1, 5, 1)
    clock.now_ms -= 10_000
    assert spool.use().oldest_age_seconds == 0.0, "the clock was set back"
    spool.close()


def test_no_more_than_so_much_waits(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_COUNT_SECONDS", 0.0)
    monkeypatch.setattr(module, "_COUNT_SHARE", 0.0)
    spool = Spool(tmp_path, min_free_bytes=0, max_bytes=6, now_ms=clock)
    entries = []
    for _ in range(2):
        incoming = spool.begin()
        incoming.write(b"abc")
        entries.append(incoming.publish())
        incoming.close()
    with pytest.raises(OutOfResources, match=r"spool\.max_bytes"):
        spool.begin()
    spool.remove(entries[0])
    spool.begin().close()
    assert spool.use().max_bytes == 6
    spool.close()
