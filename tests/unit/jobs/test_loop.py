"""The loop of a job: called when it wants to be, when rung, and whatever it raises."""

import logging
import queue
import threading
from collections.abc import Iterator

import pytest

from pacsnode.jobs import loop as module
from pacsnode.jobs.loop import Loop

NEVER = 3600.0
BOUND = 10.0


class Job:
    """A step that tells of each call and answers what the test has set."""

    def __init__(self) -> None:
        self.calls: queue.Queue[int] = queue.Queue()
        self.answers: queue.Queue[float | Exception] = queue.Queue()
        self.number = 0

    def __call__(self) -> float:
        self.number += 1
        self.calls.put(self.number)
        answer = self.answers.get(timeout=BOUND)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def next_call(self) -> int:
        return self.calls.get(timeout=BOUND)


@pytest.fixture
def job() -> Job:
    return Job()


@pytest.fixture
def loop(job: Job, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loop]:
    monkeypatch.setattr(module, "_GATHER_SECONDS", 0.01)
    loop = Loop("test", job)
    yield loop
    job.answers.put(NEVER)
    loop.stop()


def test_it_is_called_again_at_once_as_long_as_there_is_more(loop: Loop, job: Job) -> None:
    loop.start()
    for expected in (1, 2, 3):
        assert job.next_call() == expected
        job.answers.put(0.0)
    assert job.next_call() == 4


def test_it_is_called_again_after_the_time_that_it_wants(loop: Loop, job: Job) -> None:
    loop.start()
    job.next_call()
    job.answers.put(0.01)
    assert job.next_call() == 2


def test_a_ring_wakes_it(loop: Loop, job: Job) -> None:
    loop.start()
    job.next_call()
    job.answers.put(NEVER)
    loop.ring()
    assert job.next_call() == 2


def test_a_ring_while_it_works_is_not_lost(loop: Loop, job: Job) -> None:
    loop.start()
    job.next_call()
    for _ in range(5):
        loop.ring()
    job.answers.put(NEVER)
    assert job.next_call() == 2
    job.answers.put(NEVER)
    with pytest.raises(queue.Empty):
        job.calls.get(timeout=0.1)  # five rings, one call


def test_an_unexpected_error_is_logged_and_it_goes_on(
    loop: Loop, job: Job, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_AFTER_UNEXPECTED_SECONDS", 0.01)
    loop.start()
    job.next_call()
    with caplog.at_level(logging.ERROR):
        job.answers.put(ValueError("bug"))
        assert job.next_call() == 2
    (record,) = caplog.records
    assert "test" in record.getMessage()
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ValueError)


def test_stop_waits_for_the_step_that_runs(loop: Loop, job: Job) -> None:
    loop.start()
    job.next_call()
    stopping = threading.Thread(target=loop.stop)
    stopping.start()
    stopping.join(0.05)
    assert stopping.is_alive()
    job.answers.put(0.0)
    stopping.join(BOUND)
    assert not stopping.is_alive()
    assert job.number == 1
    assert not loop._thread.is_alive()


def test_one_that_waits_is_stopped_at_once(loop: Loop, job: Job) -> None:
    loop.start()
    job.next_call()
    job.answers.put(NEVER)
    loop.stop()
    assert not loop._thread.is_alive()
    loop.stop()


def test_one_that_never_started_stops(loop: Loop) -> None:
    loop.ring()
    loop.stop()
