"""Counts and the ending of a retrieve (PS3.4 C.4.2.3.1, C.4.3.3.1)."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacsnode.archive.retrieve import Ending, Retrieve, SubOperations
from pacsnode.errors import DamagedObject
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


def test_damaged_instances_are_not_opened(tmp_path: Path) -> None:
    with Parts(tmp_path) as parts:
        parts.put(Sample())
        (place,) = parts.everything()
        retrieve = Retrieve(parts.index, parts.objects)
        retrieve.open(place).close()
        (entry,) = parts.spool.entries()
        path = tmp_path / "spool/ready" / entry.name
        path.write_bytes(path.read_bytes()[:-1] + b"!")
        with pytest.raises(DamagedObject):
            retrieve.open(place)
