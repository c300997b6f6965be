"""The Priority of retrieves: who waits for whom, and never for long (PS3.7 9.1.3.1)."""

import threading
import time

import pytest

from pacsnode.archive.precedence import Precedence

HIGH, MEDIUM, LOW, NONE_OF_THEM = 1, 0, 2, 77


@pytest.mark.parametrize(
    ("active", "asking", "waits"),
    [
        (HIGH, MEDIUM, True),
        (HIGH, LOW, True),
        (MEDIUM, LOW, True),
        (NONE_OF_THEM, LOW, True),
        (HIGH, NONE_OF_THEM, True),
        (HIGH, HIGH, False),
        (MEDIUM, MEDIUM, False),
        (MEDIUM, HIGH, False),
        (LOW, MEDIUM, False),
        (LOW, LOW, False),
    ],
)
def test_the_less_urgent_wait_a_little(active: int, asking: int, waits: bool) -> None:
    precedence = Precedence(wait_seconds=0.05)
    with precedence.active(active), precedence.active(asking):
        started = time.monotonic()
        precedence.give_way(asking)
        assert (time.monotonic() - started >= 0.04) is waits
    precedence.give_way(asking)


def test_who_waits_goes_on_when_the_urgent_one_ends() -> None:
    precedence, has_gone_on = Precedence(wait_seconds=60), threading.Event()

    def wait() -> None:
        precedence.give_way(LOW)
        has_gone_on.set()

    with precedence.active(HIGH):
        thread = threading.Thread(target=wait)
        thread.start()
        assert not has_gone_on.is_set()
    assert has_gone_on.wait(20)
    thread.join(20)


def test_one_that_fails_is_not_waited_for() -> None:
    precedence = Precedence(wait_seconds=60)
    with pytest.raises(ValueError, match="bug"), precedence.active(HIGH):
        raise ValueError("bug")
    precedence.give_way(LOW)
