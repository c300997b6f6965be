"""Trying again: how long, how often, and when not."""

import threading
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacsnode.errors import DamagedObject, ObjectExists, OutOfResources, StorageAway, StorageRefused
from pacsnode.storage.base import ObjectFacts, ObjectInfo, Readable
from pacsnode.storage.memory import BytesReadable, MemoryStorage
from pacsnode.storage.retry import Retry, RetryingStorage
from tests.objects import put

AWAY = StorageAway("away")


class Clock:
    """Time that passes only while somebody waits, or a call takes it."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.waits: list[float] = []
        self.stop_after: int | None = None

    def now(self) -> float:
        return self.seconds

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self.seconds += seconds
        return self.stop_after is not None and len(self.waits) >= self.stop_after

    def retry(self, *, chance: float = 1.0, budget_seconds: float = 30.0) -> Retry:
        return Retry(now=self.now, wait=self.wait, chance=lambda: chance, budget_seconds=budget_seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def failing(*errors: Exception) -> Callable[[], str]:
    """Return a call that raises these one after another, and then succeeds."""
    left = list(errors)

    def call() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return call


def test_what_succeeds_is_not_waited_for(clock: Clock) -> None:
    assert clock.retry()(failing()) == "done"
    assert clock.waits == []


def test_waits_double_up_to_a_bound_and_end_with_the_budget(clock: Clock) -> None:
    with pytest.raises(StorageAway):
        clock.retry()(failing(*[AWAY] * 100))
    assert clock.waits == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0]
    assert sum(clock.waits) <= 30.0


@given(chance=st.floats(0, 1), budget_seconds=st.floats(0, 100))
def test_whatever_chance_is_the_budget_holds_and_half_of_a_wait_is_certain(
    chance: float, budget_seconds: float
) -> None:
    clock = Clock()
    with pytest.raises(StorageAway):
        clock.retry(chance=chance, budget_seconds=budget_seconds)(failing(*[AWAY] * 1000))
    assert sum(clock.waits) <= budget_seconds
    for wait, most in zip(clock.waits, (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, *[8.0] * 100), strict=False):
        assert most / 2 <= wait <= most


def test_time_that_calls_take_counts(clock: Clock) -> None:
    def slow() -> None:
        clock.seconds += 20.0
        raise AWAY

    with pytest.raises(StorageAway):
        clock.retry()(slow)
    assert len(clock.waits) == 1


def test_retry_after_is_kept_to(clock: Clock) -> None:
    assert clock.retry()(failing(StorageAway("busy", retry_after_seconds=5.0), AWAY)) == "done"
    assert clock.waits == [5.0, 0.5]


def test_a_retry_after_beyond_the_budget_is_left_to_the_caller(clock: Clock) -> None:
    with pytest.raises(StorageAway) as raised:
        clock.retry()(failing(StorageAway("busy", retry_after_seconds=60.0)))
    assert raised.value.retry_after_seconds == 60.0
    assert clock.waits == []


@pytest.mark.parametrize("error", [StorageRefused("no"), ObjectExists("no"), ValueError("bug")])
def test_what_will_not_help_is_not_tried_again(clock: Clock, error: Exception) -> None:
    with pytest.raises(type(error)):
        clock.retry()(failing(error))
    assert clock.waits == []


def test_any_temporary_error_is_tried_again(clock: Clock) -> None:
    assert clock.retry()(failing(OutOfResources("full"))) == "done"


def test_a_stop_ends_a_wait(clock: Clock) -> None:
    clock.stop_after = 2
    with pytest.raises(StorageAway):
        clock.retry()(failing(*[AWAY] * 100))
    assert len(clock.waits) == 2


def test_a_stop_that_has_come_already_ends_it_at_once() -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(StorageAway):
        Retry(stop=stop)(failing(*[AWAY] * 100))


def test_all_calls_together_have_a_budget_too(clock: Clock) -> None:
    retry, calls = Retry(now=clock.now, wait=lambda _: False, budget_seconds=1e9), [0]

    def away() -> None:
        calls[0] += 1
        raise AWAY

    for _ in range(50):
        with pytest.raises(StorageAway):
            retry(away)
    assert calls[0] == 50 + 32, "a storage in trouble is asked once for each call, and 32 times more"
    for _ in range(10):
        retry(failing())
    with pytest.raises(StorageAway):
        retry(away)
    assert calls[0] == 50 + 32 + 2, "ten successes bring one back"
    clock.seconds += 10.0
    with pytest.raises(StorageAway):
        retry(away)
    assert calls[0] == 50 + 32 + 4, "and so do ten seconds"
    clock.seconds += 1e6
    with pytest.raises(StorageAway):
        retry(away)
    assert calls[0] == 50 + 32 + 4 + 33, "but never more than there were"


class Bad(MemoryStorage):
    """A storage whose calls fail as they are told."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[Exception] = []

    def fail(self) -> None:
        if self.errors:
            raise self.errors.pop(0)

    def put(self, name: str, source: Readable, facts: ObjectFacts) -> None:
        super().put(name, source, facts)
        self.fail()

    def open(self, name: str) -> Readable:
        self.fail()
        return BadReadable(super().open(name), self)

    def page(self, token: str) -> tuple[Sequence[ObjectInfo], str]:
        self.fail()
        found = sorted(self.list(), key=lambda info: info.name)
        at = int(token or 0)
        return found[at : at + 2], str(at + 2) if at + 2 < len(found) else ""

    def check(self) -> None:
        self.fail()

    def delete(self, name: str) -> None:
        super().delete(name)
        self.fail()

    def sync(self) -> None:
        self.fail()


class BadReadable:
    def __init__(self, readable: Readable, storage: Bad) -> None:
        self._readable = readable
        self._storage = storage
        self.length = readable.length

    def read_into(self, buffer: memoryview, offset: int) -> int:
        self._storage.fail()
        return self._readable.read_into(buffer, offset)

    def close(self) -> None:
        self._readable.close()


@pytest.fixture
def bad() -> Bad:
    return Bad()


@pytest.fixture
def retrying(bad: Bad, clock: Clock) -> RetryingStorage:
    return RetryingStorage(bad, clock.retry())


def test_each_call_is_tried_again(bad: Bad, retrying: RetryingStorage, clock: Clock) -> None:
    bad.errors = [AWAY, AWAY]
    put(retrying, "a", BytesReadable(b"data"))
    bad.errors = [AWAY]
    readable = retrying.open("a")
    bad.errors = [AWAY]
    buffer = bytearray(4)
    assert readable.read_into(memoryview(buffer), 0) == readable.length == 4
    assert buffer == b"data"
    readable.close()
    bad.errors = [AWAY]
    retrying.sync()
    bad.errors = [AWAY]
    retrying.delete("a")
    assert list(retrying.list()) == []
    assert len(clock.waits) == 6
    retrying.close()


def test_a_check_is_not_tried_again(bad: Bad, retrying: RetryingStorage, clock: Clock) -> None:
    bad.errors = [AWAY]
    with pytest.raises(StorageAway):
        retrying.check()
    retrying.check()
    assert clock.waits == []


def test_a_listing_goes_on_at_the_page_that_failed(bad: Bad, retrying: RetryingStorage) -> None:
    for name in "abcde":
        put(retrying, name, BytesReadable(b""))
    given = []
    for info in retrying.list():
        given.append(info.name)
        bad.errors = [AWAY]
    assert given == list("abcde")


def test_what_arrives_damaged_is_fetched_once_more(bad: Bad, retrying: RetryingStorage, clock: Clock) -> None:
    put(retrying, "a", BytesReadable(b"data"))
    bad.errors = [DamagedObject("flipped")]
    retrying.open("a").close()
    bad.errors = [DamagedObject("flipped"), DamagedObject("flipped")]
    with pytest.raises(DamagedObject):
        retrying.open("a")
    assert clock.waits == []
