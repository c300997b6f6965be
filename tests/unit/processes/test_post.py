"""A post: when it is taken again, and what is known of who holds it."""

import signal
import sys
from pathlib import Path

import pytest

from pacsnode.processes import post as module
from pacsnode.processes.control import Doorbell, Heartbeat, Ready
from pacsnode.processes.post import BACK_OFF_SECONDS, FIRST_WORD_SECONDS, SILENCE_SECONDS, Duty, Post, State
from tests.faults import bounded


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def ended(post: Post) -> Post:
    assert any(post.has_ended() for _ in bounded(20))
    return post


def post_of(code: str, clock: Clock, duty: Duty = Duty("worker", 1)) -> Post:  # noqa: B008 - frozen
    return Post(duty, command=lambda _: [sys.executable, "-c", code], now=clock)


def test_deaths_in_a_row_wait_longer_and_a_long_life_forgives() -> None:
    clock = Clock()
    post, waits = post_of("", clock), []
    for _ in range(8):
        post.start()
        ended(post).vacate()
        waits.append(post.start_at - clock.now)
    assert waits == [*BACK_OFF_SECONDS, BACK_OFF_SECONDS[-1], BACK_OFF_SECONDS[-1]]
    post.start()
    clock.now += module.SETTLED_SECONDS
    ended(post).vacate()
    assert post.start_at == clock.now


@pytest.mark.parametrize(
    ("code", "how"),
    [
        ("raise SystemExit(3)", "ended with 3"),
        ("import os; os.kill(os.getpid(), 9)", "was ended by SIGKILL"),
        ("import os; os.kill(os.getpid(), 11)", "was ended by SIGSEGV"),
        ("import os; os.kill(os.getpid(), 40)", "was ended by signal 40"),
    ],
)
def test_how_it_ended_is_told(code: str, how: str) -> None:
    post = post_of(code, Clock())
    post.start()
    assert ended(post).vacate() == how
    assert post.state is State.VACANT


def test_silence_is_counted_from_the_last_word() -> None:
    clock = Clock()
    post = post_of("input()", clock)
    assert post.silent_until is None
    post.start()
    assert post.silent_until == clock.now + FIRST_WORD_SECONDS
    clock.now += 5
    post.hear(Heartbeat(0))
    assert post.silent_until == clock.now + SILENCE_SECONDS
    clock.now += 2.5
    assert post.status()["heartbeat_age_seconds"] == 2.5
    post.kill()
    ended(post).vacate()
    assert post.silent_until is None
    assert post.status()["heartbeat_age_seconds"] is None


def test_what_is_said_is_kept() -> None:
    post = post_of("input()", Clock())
    post.start()
    assert (post.state, post.status()["restarts"]) == (State.STARTING, 0)
    post.hear(Ready(3))
    post.hear(Heartbeat(4, {"associations": {}}))
    assert post.state is State.READY
    assert {key: post.status()[key] for key in ("role", "number", "state", "snapshot", "report")} == {
        "role": "worker",
        "number": 1,
        "state": "ready",
        "snapshot": 4,
        "report": {"associations": {}},
    }
    post.kill()
    ended(post).vacate()


def test_a_program_that_is_not_there() -> None:
    clock = Clock()
    post = Post(Duty("jobs"), command=lambda _: ["/no/such/program"], now=clock)
    with pytest.raises(OSError, match="No such file"):
        post.start()
    assert post.pid is None
    assert post.postpone() == BACK_OFF_SECONDS[1]
    assert post.start_at == clock.now + BACK_OFF_SECONDS[1]


def test_children_go_by_their_names(tmp_path: Path) -> None:
    said = tmp_path / "said"
    code = f"import sys; open({str(said)!r}, 'w').write(' '.join(sys.argv[1:]))"
    post = post_of(code, Clock(), Duty("worker", 2))
    post.start()
    ended(post).vacate()
    assert said.read_text().startswith("pacsnode-worker-2 --number=2 ")
    assert (Duty("jobs").name, Duty("worker", 2).name) == ("jobs", "worker 2")
    assert [duty.does_jobs for duty in (Duty("jobs"), Duty("worker"), Duty("worker", with_jobs=True))] == [
        True,
        False,
        True,
    ]


def test_only_a_heartbeat_is_a_sign_of_life() -> None:
    """A thread that stores rings, though the loop may hang."""
    clock = Clock()
    post = post_of("input()", clock)
    post.start()
    post.hear(Ready(1))
    clock.now += 5
    post.hear(Doorbell())
    assert post.silent_until == clock.now - 5 + SILENCE_SECONDS
    post.kill()
    ended(post).vacate()


def test_one_that_was_killed_is_not_judged_again_and_its_life_counts() -> None:
    clock = Clock()
    post = post_of("input()", clock)
    post.start()
    post.hear(Heartbeat(1))
    clock.now += module.SETTLED_SECONDS
    post.kill()
    assert post.silent_until is None
    ended(post).vacate()
    assert post.start_at == clock.now


def test_the_terminals_signals_are_held_back_until_the_child_can_ignore_them() -> None:
    code = "import signal; raise SystemExit(sum(signal.pthread_sigmask(signal.SIG_BLOCK, ())))"
    post = post_of(code, Clock())
    post.start()
    assert ended(post).vacate() == f"ended with {signal.SIGINT + signal.SIGHUP}"
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())
