"""Fetching ahead: what comes next, several at a time, and never too much."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from pacsnode.archive import prefetch as module
from pacsnode.archive.prefetch import Prefetch
from pacsnode.errors import ObjectNotFound
from pacsnode.index.base import Located
from tests.factories import Sample, located

WAIT = 20.0


def plan_of(*lengths: int) -> list[Located]:
    return [
        replace(located(Sample(), 1), sop_instance_uid=f"1.{at}", file_length=length)
        for at, length in enumerate(lengths)
    ]


class Store:
    """Notes what is fetched; waits for `go` if that is held."""

    def __init__(self) -> None:
        self.fetched: list[str] = []
        self.go = threading.Event()
        self.go.set()
        self._changed = threading.Condition()

    def __call__(self, place: Located) -> None:
        with self._changed:
            self.fetched.append(place.sop_instance_uid)
            self._changed.notify_all()
        assert self.go.wait(WAIT)
        if place.file_length == 13:
            raise ObjectNotFound("it is not there")

    def wait_for(self, count: int) -> list[str]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.fetched) >= count, WAIT)
            return sorted(self.fetched)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def ahead(
    plan: list[Located],
    store: Store,
    pool: ThreadPoolExecutor,
    is_wanted: Callable[[Located], bool] = lambda _: True,
) -> Prefetch:
    return Prefetch(plan, store, pool, threads=2, is_wanted=is_wanted)


def test_the_next_ones_are_fetched_and_no_more_than_the_threads_can_use(pool: ThreadPoolExecutor) -> None:
    store, plan = Store(), plan_of(*[1] * 30)
    prefetch = ahead(plan, store, pool)
    prefetch.reached(0)
    assert store.wait_for(8) == sorted(f"1.{at}" for at in range(1, 9))
    prefetch.reached(3)
    assert store.wait_for(11) == sorted(f"1.{at}" for at in range(1, 12))
    prefetch.close()


def test_no_more_than_so_many_bytes_but_one_at_least(
    pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_AHEAD_BYTES", 100)
    store = Store()
    prefetch = ahead(plan_of(1, 60, 30, 60, 500, 500), store, pool)
    prefetch.reached(0)
    assert store.wait_for(2) == ["1.1", "1.2"]
    prefetch.reached(2)
    assert store.wait_for(3) == ["1.1", "1.2", "1.3"]
    prefetch.reached(3)
    assert store.wait_for(4)[-1] == "1.4"
    prefetch.close()


def test_what_is_not_wanted_is_left_out_and_errors_are_no_news(pool: ThreadPoolExecutor) -> None:
    store = Store()
    prefetch = ahead(plan_of(1, 13, 1, 1), store, pool, lambda place: place.sop_instance_uid != "1.2")
    prefetch.reached(0)
    assert store.wait_for(2) == ["1.1", "1.3"]
    prefetch.close()


def test_after_the_close_nothing_more_is_fetched(pool: ThreadPoolExecutor) -> None:
    store = Store()
    store.go.clear()
    prefetch = ahead(plan_of(*[1] * 30), store, pool)
    prefetch.reached(0)
    store.wait_for(2)
    prefetch.close()
    store.go.set()
    pool.shutdown()
    assert sorted(store.fetched) == ["1.1", "1.2"]
