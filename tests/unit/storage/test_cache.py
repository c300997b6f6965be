"""The cache: never other bytes than those that are wanted, one download for all, and room when it is needed."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import google_crc32c
import pytest

from pacsnode.errors import DamagedObject, ObjectNotFound, PermanentError
from pacsnode.storage import cache as module
from pacsnode.storage.base import Readable
from pacsnode.storage.cache import Cache, Wanted
from pacsnode.storage.files import FileReadable
from pacsnode.storage.memory import BytesReadable
from pacsnode.storage.reading import bytes_of

DATA = os.urandom(5000)


def wanted(data: bytes = DATA, name: str = "1.2/1.3/1.4.dcm") -> Wanted:
    return Wanted(name, len(data), google_crc32c.value(data))


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    cache = Cache(tmp_path / "cache", max_bytes=100_000)
    yield cache
    cache.close()


class Fetch:
    """Gives bytes, and counts how often."""

    def __init__(self, data: bytes = DATA) -> None:
        self.data = data
        self.times = 0

    def __call__(self) -> Readable:
        self.times += 1
        return BytesReadable(self.data)


def content(readable: Readable) -> bytes:
    try:
        return bytes_of(readable, readable.length, 0)
    finally:
        readable.close()


def never() -> Readable:
    raise AssertionError("it was fetched")


def files(cache: Cache) -> list[str]:
    return sorted(name for _, _, name in cache._files())


def test_what_was_fetched_is_kept(cache: Cache) -> None:
    cache.open(wanted(), Fetch(), is_ahead=True).close()
    assert cache.counts() == {"instances": 0, "fetched": 1}
    assert content(cache.open(wanted(), never)) == DATA
    assert content(cache.open(wanted(), never)) == DATA
    assert cache.counts() == {"instances": 2, "fetched": 1}
    assert files(cache) == [wanted().file_name]


def test_another_object_of_the_same_bytes_is_another_file(cache: Cache) -> None:
    cache.open(wanted(), Fetch()).close()
    fetch = Fetch()
    cache.open(wanted(name="1.2/1.3/1.5.dcm"), fetch).close()
    assert fetch.times == 1


@pytest.mark.parametrize("data", [DATA[:-1], DATA + b"x", DATA[:-1] + b"!"])
def test_a_damaged_download_is_neither_given_out_nor_kept(cache: Cache, data: bytes) -> None:
    with pytest.raises(DamagedObject):
        cache.open(wanted(), Fetch(data))
    assert files(cache) == []
    assert content(cache.open(wanted(), Fetch())) == DATA


def test_an_object_that_is_not_there(cache: Cache) -> None:
    def fetch() -> Readable:
        raise ObjectNotFound("it is not there")

    with pytest.raises(ObjectNotFound):
        cache.open(wanted(), fetch)
    assert files(cache) == []


def test_a_file_of_another_length_is_dropped(cache: Cache, tmp_path: Path) -> None:
    (tmp_path / "cache" / wanted().file_name).write_bytes(DATA[:10])
    assert content(cache.open(wanted(), Fetch())) == DATA
    assert content(cache.open(wanted(), never)) == DATA


def test_one_that_is_distrusted_is_fetched_anew(cache: Cache) -> None:
    cache.open(wanted(), Fetch()).close()
    assert cache.drop(wanted())
    assert not cache.drop(wanted())
    fetch = Fetch()
    cache.open(wanted(), fetch).close()
    assert fetch.times == 1


def test_several_that_ask_at_once_share_one_download(cache: Cache) -> None:
    may_go, found, asking = threading.Event(), list[bytes](), threading.Barrier(6, timeout=20)
    calls = list[int]()

    def fetch() -> Readable:
        calls.append(1)
        assert may_go.wait(20)
        return BytesReadable(DATA)

    def ask() -> None:
        asking.wait()
        found.append(content(cache.open(wanted(), fetch)))

    threads = [threading.Thread(target=ask) for _ in range(5)]
    for thread in threads:
        thread.start()
    asking.wait()
    may_go.set()
    for thread in threads:
        thread.join(20)
    assert found == [DATA] * 5
    assert len(calls) == 1


class Waited(threading.Event):
    """Tells that somebody waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.is_waited_for = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.is_waited_for.set()
        return super().wait(timeout)


def test_those_that_wait_hear_of_the_failure(cache: Cache) -> None:
    is_begun, may_go = threading.Event(), threading.Event()
    errors = list[Exception]()

    def fetch() -> Readable:
        is_begun.set()
        assert may_go.wait(20)
        raise ObjectNotFound("it is not there")

    def ask(fetch: Callable[[], Readable]) -> None:
        try:
            cache.open(wanted(), fetch)
        except ObjectNotFound as error:
            errors.append(error)

    first = threading.Thread(target=ask, args=(fetch,))
    first.start()
    assert is_begun.wait(20)
    waited = cache._downloads[wanted().file_name].is_over = Waited()
    second = threading.Thread(target=ask, args=(never,))
    second.start()
    assert waited.is_waited_for.wait(20)
    may_go.set()
    first.join(20)
    second.join(20)
    assert len(errors) == 2


def test_a_full_disk_keeps_nothing_and_hinders_nobody(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_all", full)
    fetch = Fetch()
    assert content(cache.open(wanted(), fetch)) == DATA
    assert fetch.times == 2
    assert files(cache) == []


def test_a_file_of_the_same_disk_is_kept_without_a_copy(cache: Cache, tmp_path: Path) -> None:
    path = tmp_path / "spooled"
    path.write_bytes(DATA)
    source = FileReadable(os.open(path, os.O_RDONLY))
    cache.keep(wanted(), source)
    cache.keep(wanted(), source)
    source.close()
    assert path.stat().st_nlink == 2
    path.unlink()
    assert content(cache.open(wanted(), never)) == DATA


def test_what_was_used_least_recently_goes_first(cache: Cache, tmp_path: Path) -> None:
    all_of_them = [wanted(name=f"1.2/1.3/{number}.dcm") for number in range(25)]
    for number, one in enumerate(all_of_them):
        cache.open(one, Fetch()).close()
        os.utime(tmp_path / "cache" / one.file_name, (1000 + number, 1000 + number))
    cache.open(all_of_them[0], never).close()  # used now
    assert cache.trim() == 35_000
    assert cache.use() == {"files": 18, "bytes": 90_000, "max_bytes": 100_000}
    assert set(files(cache)) == {one.file_name for one in (all_of_them[0], *all_of_them[8:])}
    assert cache.trim() == 0


def test_it_leaves_room_for_others(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        cache.open(wanted(name=f"1.2/1.3/{number}.dcm"), Fetch()).close()
    monkeypatch.setattr(cache._folder, "free_bytes", lambda: 50_000)
    cache._reserve_bytes = 57_000
    assert content(cache.open(wanted(name="1.2/1.3/5.dcm"), Fetch())) == DATA
    assert cache.use()["files"] == 4, "nothing more is kept"
    assert cache.trim() == 10_000
    cache._reserve_bytes = 1_000_000
    assert cache.trim() == 10_000
    assert files(cache) == []


def test_who_has_waited_long_enough_fetches_for_himself(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_WAIT_SECONDS", 0.01)
    is_begun, may_go = threading.Event(), threading.Event()

    def slow() -> Readable:
        is_begun.set()
        assert may_go.wait(20)
        return BytesReadable(DATA)

    first = threading.Thread(target=lambda: cache.open(wanted(), slow).close())
    first.start()
    assert is_begun.wait(20)
    assert content(cache.open(wanted(), Fetch())) == DATA
    may_go.set()
    first.join(20)


def test_a_disk_that_takes_no_notes_still_gives(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cache.open(wanted(), Fetch()).close()
    os.utime(tmp_path / "cache" / wanted().file_name, (1000, 1000))

    def refuse(_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(module.os, "utime", refuse)
    assert content(cache.open(wanted(), never)) == DATA


def test_a_file_that_goes_stays_readable(cache: Cache) -> None:
    readable = cache.open(wanted(), Fetch())
    cache.drop(wanted())
    assert content(readable) == DATA


def test_several_processes_fetch_an_object_once(tmp_path: Path) -> None:
    caches = [Cache(tmp_path / "cache", max_bytes=100_000) for _ in range(4)]
    fetch, begun, goes_on, found = Fetch(), threading.Event(), threading.Event(), list[bytes]()

    def slow() -> Readable:
        begun.set()
        goes_on.wait(20)
        return fetch()

    threads = [
        threading.Thread(target=lambda cache=cache: found.append(content(cache.open(wanted(), slow))))  # type: ignore[misc]
        for cache in caches
    ]
    for thread in threads:
        thread.start()
    assert begun.wait(20)
    other = wanted(name="1.2/1.3/1.5.dcm")
    assert content(caches[0].open(other, Fetch())) == DATA, "another object does not wait"
    goes_on.set()
    for thread in threads:
        thread.join(20)
    assert found == [DATA] * 4
    assert fetch.times == 1
    assert sum(cache.counts()["fetched"] for cache in caches) == 2
    for cache in caches:
        cache.close()


def test_a_process_that_dies_while_it_fetches_keeps_nobody_waiting(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", max_bytes=100_000)
    dying = (
        "import os, pathlib, sys; from pacsnode.storage.cache import Cache, Wanted\n"
        "cache = Cache(pathlib.Path(sys.argv[1]), max_bytes=100_000)\n"
        "cache.open(Wanted(sys.argv[2], int(sys.argv[3]), int(sys.argv[4])), lambda: os._exit(7))"
    )
    words = str(tmp_path / "cache"), wanted().name, str(wanted().length), str(wanted().crc32c)
    assert subprocess.run([sys.executable, "-c", dying, *words], check=False, timeout=30).returncode == 7
    assert content(cache.open(wanted(), Fetch())) == DATA
    cache.close()


def test_without_turns_it_is_fetched_all_the_same(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("pacsnode.storage.turns.fcntl.fcntl", fails)
    assert content(cache.open(wanted(), Fetch())) == DATA


def test_a_folder_that_cannot_have_turns_is_said(tmp_path: Path) -> None:
    (tmp_path / "cache" / ".turns").mkdir(parents=True)
    with pytest.raises(PermanentError, match="Is a directory"):
        Cache(tmp_path / "cache", max_bytes=1)
