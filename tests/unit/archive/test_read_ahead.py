"""Reading ahead: checked bytes in order, bounded in memory, whatever the store does."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import google_crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacsnode.archive import read_ahead as module
from pacsnode.archive.read_ahead import NOT_WANTED, Prepared, ReadAhead
from pacsnode.errors import CannotConvert, ObjectNotFound
from pacsnode.index.base import Located
from pacsnode.storage.base import Readable
from pacsnode.storage.memory import BytesReadable
from pacsnode.storage.reading import bytes_of
from tests.factories import Parts, Sample
from tests.faults import bounded

WAIT = 20.0
EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"


class Counted(BytesReadable):
    """A file that tells when it is closed."""

    def __init__(self, data: bytes, opened: list["Counted"]) -> None:
        super().__init__(data)
        self.is_closed = False
        opened.append(self)

    def close(self) -> None:
        self.is_closed = True


class Store:
    """Files by UID, and which of them were opened."""

    def __init__(self, sizes: Sequence[int], meta_bytes: int = 4) -> None:
        self.opened: list[Counted] = []
        self.files = {f"1.{at}": os.urandom(meta_bytes + size) for at, size in enumerate(sizes)}
        self.plan = [self._located(at, uid, meta_bytes) for at, uid in enumerate(self.files)]

    def _located(self, at: int, uid: str, meta_bytes: int) -> Located:
        file = self.files[uid]
        return Located(
            at, "1", "1.1", uid, "1.2", EXPLICIT, 0, None, len(file),
            google_crc32c.value(file), len(file) - meta_bytes, google_crc32c.value(file[meta_bytes:]),
        )  # fmt: skip

    def open(self, place: Located) -> Readable:
        if place.sop_instance_uid not in self.files:
            raise ObjectNotFound("object is not there")
        return Counted(self.files[place.sop_instance_uid], self.opened)

    def ahead(
        self, *, max_bytes: int = 1 << 20, wanted: Callable[[Located], str | None] = lambda _: EXPLICIT
    ) -> ReadAhead:
        return ReadAhead(self.plan, self.open, max_bytes=max_bytes, wanted_in=wanted, convert=self.convert)

    def convert(
        self, source: Readable, offset: int, stored: str, wanted: str, is_wanted: Callable[[], bool]
    ) -> Readable:
        """Turn the data set round, and fail with those that begin with a NUL."""
        assert (stored, wanted, is_wanted()) == (EXPLICIT, IMPLICIT, True)
        data_set = bytes_of(source, source.length - offset, offset)
        if data_set[:1] == b"\0":
            raise CannotConvert("a NUL")
        return Counted(data_set[::-1], self.opened)

    def assert_closed(self) -> None:
        assert all(one.is_closed for one in self.opened)


def content(prepared: Prepared) -> bytes:
    """Return the data set as it would be sent."""
    rest = b""
    if prepared.readable is not None:
        start = prepared.offset + len(prepared.head)
        buffer = bytearray(prepared.readable.length - start)
        assert prepared.readable.read_into(memoryview(buffer), start) == len(buffer)
        rest = bytes(buffer)
    return bytes(prepared.head) + rest


def taken(ahead: ReadAhead) -> Iterator[Prepared]:
    while (prepared := ahead.take(WAIT)) is not None:
        yield prepared
    assert ahead.is_exhausted


@given(st.lists(st.integers(0, 3000), max_size=12), st.integers(1, 4000), st.integers(1, 40))
def test_everything_comes_in_order_as_it_lies(sizes: list[int], max_bytes: int, meta_bytes: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "HEAD_BYTES", 1000)
        patch.setattr(module, "_PIECE_BYTES", 300)
        store = Store(sizes, meta_bytes)
        ahead, found = store.ahead(max_bytes=max_bytes), []
        for prepared in taken(ahead):
            assert prepared.refusal == ""
            assert len(prepared.head) <= 1000
            found.append(content(prepared))
            ahead.release(prepared)
        ahead.close()
    assert found == [file[meta_bytes:] for file in store.files.values()]
    store.assert_closed()
    assert ahead.not_ended() == []
    assert ahead._held_bytes == 0


def test_nothing_is_opened_before_it_is_asked_for() -> None:
    store = Store([10])
    store.ahead().close()
    assert store.opened == []


def test_it_stops_at_the_limit_and_goes_on_at_half_of_it() -> None:
    store = Store([1020] * 40)  # 1,024 bytes each
    ahead = store.ahead(max_bytes=10 * 1024)
    held = [ahead.take(WAIT)]
    ahead_is_full(ahead)
    assert len(store.opened) == 10
    held += [ahead.take(WAIT) for _ in range(3)]
    for prepared in held:
        assert prepared is not None
        ahead.release(prepared)
    assert ahead._is_waiting, "not for each small one"
    prepared = ahead.take(WAIT)
    assert prepared is not None
    ahead.release(prepared)
    ahead_is_full(ahead)
    assert len(store.opened) == 15
    ahead.close()
    store.assert_closed()


def ahead_is_full(ahead: ReadAhead) -> None:
    with ahead._arrived:
        assert ahead._arrived.wait_for(
            lambda: ahead._is_waiting and ahead._held_bytes >= ahead._max_bytes, WAIT
        )


def test_damaged_and_lost_instances_are_refused_and_closed() -> None:
    store = Store([10] * 4)
    del store.files["1.0"]
    store.files["1.1"] = store.files["1.1"][:-1]
    store.files["1.2"] = bytes(14)
    ahead = store.ahead()
    refusals = [prepared.refusal for prepared in taken(ahead)]
    ahead.close()
    assert refusals[0] == "object is not there"
    assert "13 bytes, not 14" in refusals[1]
    assert "not those that were stored" in refusals[2]
    assert refusals[3] == ""
    store.assert_closed()


def test_a_large_one_that_is_damaged_at_its_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEAD_BYTES", 1000)
    store = Store([5000])
    store.files["1.0"] = store.files["1.0"][:-1] + bytes((store.files["1.0"][-1] ^ 1,))
    (prepared,) = taken(ahead := store.ahead())
    assert "not those that were stored" in prepared.refusal
    assert prepared.readable is None
    ahead.close()
    store.assert_closed()


class Ending(BytesReadable):
    """A file that says more than it has."""

    def __init__(self, data: bytes, length: int) -> None:
        super().__init__(data)
        self.length = length


@pytest.mark.parametrize("held", [500, 1500])
def test_a_file_that_ends_early_is_refused(monkeypatch: pytest.MonkeyPatch, held: int) -> None:
    monkeypatch.setattr(module, "HEAD_BYTES", 1000)
    store = Store([1996])
    ahead = ReadAhead(store.plan, lambda _: Ending(bytes(held), 2000), max_bytes=1 << 20)
    (prepared,) = taken(ahead)
    assert "ends" in prepared.refusal
    ahead.close()


def test_what_is_not_wanted_is_not_opened() -> None:
    store = Store([10] * 3)
    ahead = store.ahead(wanted=lambda place: EXPLICIT if place.sop_instance_uid == "1.1" else None)
    assert [prepared.refusal for prepared in taken(ahead)] == [NOT_WANTED, "", NOT_WANTED]
    assert len(store.opened) == 1
    ahead.close()


def test_what_is_given_back_comes_first() -> None:
    store = Store([10] * 3)
    ahead = store.ahead()
    first = ahead.take(WAIT)
    assert first is not None
    ahead.give_back(first)
    assert [prepared.number for prepared in taken(ahead)] == [0, 1, 2]
    assert [place.sop_instance_uid for place in ahead.not_ended()] == ["1.0", "1.1", "1.2"]
    ahead.give_back(first)
    assert not ahead.is_exhausted
    assert ahead.take(0) is first
    ahead.release(first)
    assert len(ahead.not_ended()) == 2
    ahead.close()


def test_a_store_that_is_slow_keeps_nobody_waiting_longer_than_said() -> None:
    goes_on, store = threading.Event(), Store([10])

    def slow(place: Located) -> Readable:
        goes_on.wait(WAIT)
        return store.open(place)

    ahead = ReadAhead(store.plan, slow, max_bytes=1 << 20)
    assert ahead.take(0.01) is None
    assert not ahead.is_exhausted
    goes_on.set()
    assert ahead.take(WAIT) is not None
    ahead.close()


def test_closing_while_the_store_hangs_closes_what_it_gives_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_JOIN_SECONDS", 0.01)
    begun, goes_on, store = threading.Event(), threading.Event(), Store([10, 10])

    def slow(place: Located) -> Readable:
        begun.set()
        goes_on.wait(WAIT)
        return store.open(place)

    ahead = ReadAhead(store.plan, slow, max_bytes=1 << 20)
    assert ahead.take(0) is None
    assert begun.wait(WAIT)
    ahead.close()
    goes_on.set()
    assert ahead._thread is not None
    ahead._thread.join(WAIT)
    assert not ahead._thread.is_alive()
    assert len(store.opened) == 1
    store.assert_closed()


def test_an_unexpected_error_reaches_whoever_takes() -> None:
    def bug(_: Located) -> Readable:
        raise ValueError("bug")

    ahead = ReadAhead(Store([10]).plan, bug, max_bytes=1 << 20)
    with pytest.raises(RuntimeError) as raised:
        ahead.take(WAIT)
    assert isinstance(raised.value.__cause__, ValueError)
    assert not ahead.is_exhausted, "nothing was sent"
    ahead.close()


def test_several_take_each_instance_once() -> None:
    store = Store([2000] * 300)
    ahead, found, lock = store.ahead(max_bytes=8192), list[int](), threading.Lock()

    def take() -> None:
        for prepared in taken(ahead):
            with lock:
                found.append(prepared.number)
            ahead.release(prepared)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    ahead.close()
    assert sorted(found) == list(range(300))
    store.assert_closed()


def test_no_thread_and_no_descriptor_is_left(tmp_path: Path) -> None:
    with Parts(tmp_path) as parts:
        for number in range(1, 6):
            parts.put(Sample(number))
        before = len(os.listdir("/proc/self/fd"))
        ahead = ReadAhead(parts.everything(), parts.objects.open, max_bytes=2048)
        assert ahead.take(WAIT) is not None
        ahead.close()
        assert len(os.listdir("/proc/self/fd")) == before
        assert not [thread for thread in threading.enumerate() if thread.name == "read-ahead"]


# In another transfer syntax


def test_what_is_wanted_otherwise_is_converted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEAD_BYTES", 1000)
    store = Store([10, 3000, 10])
    store.files["1.2"] = store.files["1.2"][:4] + b"\0" * 10
    store.plan[2] = store._located(2, "1.2", 4)
    ahead = store.ahead(wanted=lambda _: IMPLICIT)
    small, large, bad = taken(ahead)
    assert [content(one) for one in (small, large)] == [store.files[uid][4:][::-1] for uid in ("1.0", "1.1")]
    assert [one.transfer_syntax for one in (small, large, bad)] == [IMPLICIT] * 3
    assert [one.data_set_length for one in (small, large)] == [10, 3000]
    assert (bad.refusal, bad.is_unconvertible) == ("a NUL", True)
    for one in (small, large, bad):
        ahead.release(one)
    ahead.close()
    store.assert_closed()
    assert ahead._held_bytes == 0


def test_damaged_bytes_are_not_converted() -> None:
    store = Store([10])
    store.files["1.0"] = store.files["1.0"][:-1] + b"!"
    (damaged,) = taken(store.ahead(wanted=lambda _: IMPLICIT))
    assert "not those that were stored" in damaged.refusal
    assert not damaged.is_unconvertible
    store.assert_closed()


def test_one_that_was_read_too_early_is_converted_and_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEAD_BYTES", 1000)
    store = Store([3000])
    ahead = store.ahead()
    prepared = ahead.take(WAIT)
    assert prepared is not None
    ahead.converted(prepared, IMPLICIT)
    assert content(prepared) == store.files["1.0"][4:][::-1]
    assert prepared.is_converted
    ahead.converted(prepared, EXPLICIT)
    assert content(prepared) == store.files["1.0"][4:]
    assert not prepared.is_converted
    ahead.release(prepared)
    ahead.close()
    store.assert_closed()
    assert ahead._held_bytes == 0


def test_a_conversion_is_broken_off_by_who_needs_nothing_more() -> None:
    store, is_begun = Store([10]), threading.Event()

    def convert(_: Readable, __: int, ___: str, ____: str, is_wanted: Callable[[], bool]) -> Readable:
        is_begun.set()
        assert any(not is_wanted() for _ in bounded(20))
        raise CannotConvert("broken off")

    ahead = ReadAhead(store.plan, store.open, max_bytes=1, wanted_in=lambda _: IMPLICIT, convert=convert)
    thread = threading.Thread(target=lambda: is_begun.wait(20) and ahead.give_up())
    thread.start()
    (prepared,) = taken(ahead)
    assert prepared.refusal == "broken off"
    thread.join(20)
    ahead.close()


# Nearby and far


def test_one_that_is_damaged_nearby_is_read_once_more() -> None:
    store, distrusted = Store([10, 10]), list[str]()
    whole = dict(store.files)
    store.files["1.0"] = store.files["1.0"][:-1] + b"!"
    store.files["1.1"] = store.files["1.1"][:-1] + b"!"

    def distrust(place: Located) -> bool:
        distrusted.append(place.sop_instance_uid)
        if place.sop_instance_uid == "1.0":
            store.files["1.0"] = whole["1.0"]
            return True
        return False

    ahead = ReadAhead(store.plan, store.open, max_bytes=1 << 20, distrust=distrust)
    first, second = taken(ahead)
    assert (first.refusal, content(first)) == ("", whole["1.0"][4:])
    assert "not those that were stored" in second.refusal
    assert distrusted == ["1.0", "1.1"]
    ahead.close()
    store.assert_closed()
