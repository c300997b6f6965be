"""How long a destination is tried."""

import pytest

from pacsnode.dimse.endurance import MAX_LOST, Endurance


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def endurance(clock: Clock) -> Endurance:
    return Endurance(stalled_seconds=300.0, waits_seconds=(1.0, 2.0), now=clock)


def test_one_that_was_never_there_is_given_up_at_once(endurance: Endurance) -> None:
    assert endurance.wait_after_failure(is_temporary=False) is None


def test_one_that_rejects_for_now_is_tried_a_few_times(endurance: Endurance) -> None:
    assert [endurance.wait_after_failure(is_temporary=True) for _ in range(3)] == [1.0, 2.0, None]


def test_one_that_was_there_is_tried_again(endurance: Endurance) -> None:
    endurance.associated()
    assert [endurance.wait_after_failure(is_temporary=False) for _ in range(3)] == [1.0, 2.0, None]


def test_associations_in_a_row_may_be_lost_but_so_often(endurance: Endurance) -> None:
    assert [endurance.may_follow_loss() for _ in range(MAX_LOST + 1)] == [True] * MAX_LOST + [False]


def test_each_delivery_begins_anew(endurance: Endurance, clock: Clock) -> None:
    endurance.associated()
    for _ in range(20):
        clock.now += 299
        assert endurance.may_follow_loss()
        assert endurance.wait_after_failure(is_temporary=False) == 1.0
        endurance.delivered()


def test_one_that_does_not_move_is_given_up(endurance: Endurance, clock: Clock) -> None:
    endurance.associated()
    clock.now = 299.0
    assert endurance.may_follow_loss()
    clock.now = 300.0
    assert not endurance.may_follow_loss()
    assert endurance.wait_after_failure(is_temporary=True) is None
