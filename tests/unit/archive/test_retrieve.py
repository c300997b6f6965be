"""Counts and the ending of a retrieve (PS3.4 C.4.2.3.1, C.4.3.3.1)."""

import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacsnode.archive.retrieve import Ending, Retrieve, SubOperations
from tests.factories import Parts, Sample


@pytest.mark.parametrize(
    ("total", "completed", "failed", "warned", "is_cancelled", "ending"),
    [
        (0, 0, 0, 0, False, Ending.SUCCESS),
        (0, 0, 0, 0, True, Ending.SUCCESS),
        (3, 3, 0, 0, False, Ending.SUCCESS),
        (3, 2, 1, 0, False, Ending.WARNING),
        (3, 2, 0, 1, False, Ending.WARNING),
        (3, 0, 2, 1, False, Ending.WARNING),
        (3, 0, 0, 3, False, Ending.WARNING),
        (3, 0, 3, 0, False, Ending.FAILURE),
        (1, 0, 1, 0, False, Ending.FAILURE),
        (3, 1, 0, 0, True, Ending.CANCELLED),
        (3, 0, 0, 0, True, Ending.CANCELLED),
        (3, 0, 2, 0, True, Ending.CANCELLED),
        (3, 3, 0, 0, True, Ending.SUCCESS),
        (3, 0, 3, 0, True, Ending.FAILURE),
        (3, 1, 2, 0, True, Ending.WARNING),
    ],
)
def test_how_it_ended(
    total: int, completed: int, failed: int, warned: int, is_cancelled: bool, ending: Ending
) -> None:
    counts = SubOperations(total, completed, failed, warned)
    assert counts.ending(is_cancelled=is_cancelled) is ending


@given(st.lists(st.sampled_from(["complete", "warn", "fail"]), max_size=30), st.integers(0, 5))
def test_the_counts_add_up(outcomes: list[str], left: int) -> None:
    counts = SubOperations(total=len(outcomes) + left)
    for number, outcome in enumerate(outcomes):
        if outcome == "fail":
            counts.fail(f"1.{number}", f"reason {number}")
        else:
            getattr(counts, outcome)()
    assert counts.remaining == left
    assert counts.completed + counts.failed + counts.warned + counts.remaining == counts.total
    failed = [number for number, outcome in enumerate(outcomes) if outcome == "fail"]
    assert counts.failed_uids == [f"1.{number}" for number in failed]
    assert counts.first_failure == (f"instance 1.{failed[0]}: reason {failed[0]}" if failed else "")


def test_several_senders_count_at_the_same_time() -> None:
    counts, seen = SubOperations(total=4000), list[int]()

    def send(number: int) -> None:
        for at in range(1000):
            if at % 3 == 2:
                counts.fail(f"1.{number}.{at}", "no", 10)
            else:
                (counts.complete, counts.warn)[at % 3](10)
            now = counts.numbers()
            seen.append(now.remaining + now.completed + now.failed + now.warned)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert set(seen) == {4000}
    assert (counts.remaining, counts.completed, counts.bytes_sent) == (0, 4 * 334, 40_000)
    assert len(set(counts.failed_uids)) == counts.failed == 4 * 333


def test_what_is_planned_is_read_ahead_and_opened(tmp_path: Path) -> None:
    with Parts(tmp_path) as parts:
        parts.put(Sample())
        retrieve = Retrieve(parts.index, parts.objects)
        ahead = retrieve.read_ahead(parts.everything())
        prepared = ahead.take(20)
        assert prepared is not None
        assert bytes(prepared.head) == Sample().data_set
        ahead.release(prepared)
        assert ahead.is_exhausted
        ahead.close()
