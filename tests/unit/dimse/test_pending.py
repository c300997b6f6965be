"""How often Pending is answered."""

from hypothesis import given
from hypothesis import strategies as st

from pacsnode.dimse.pending import Pace


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_first_ones_come_at_once_and_then_so_many_a_second() -> None:
    clock = Clock()
    pace = Pace(burst=3, a_second=10, now=clock)
    assert [pace.is_due() for _ in range(5)] == [True, True, True, False, False]
    clock.now = 0.11
    assert [pace.is_due() for _ in range(2)] == [True, False]
    clock.now = 1000.0
    assert [pace.is_due() for _ in range(5)] == [True, True, True, False, False]


@given(st.lists(st.floats(0, 2), max_size=300))
def test_there_are_never_more_than_the_burst_and_the_rate(steps: list[float]) -> None:
    clock = Clock()
    pace = Pace(now=clock)
    due = 0
    for step in steps:
        clock.now += step
        due += pace.is_due()
    assert due <= 25 + 25 * clock.now + 1
