"""A post: what one child is there for, and the children that hold it one after the other."""

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from pacsnode.processes.control import Channel, Heartbeat, Message, Ready
from pacsnode.processes.program import GROUP_SIGNALS, Arguments
from pacsnode.processes.summary import READY

log = logging.getLogger(__name__)

SILENCE_SECONDS = 10.0
# Until a child has said its first word: its imports on a slow and busy machine.
FIRST_WORD_SECONDS = 60.0
LAST_BREATH_SECONDS = 1.0
BACK_OFF_SECONDS = (0.0, 1.0, 2.0, 5.0, 15.0, 30.0)
SETTLED_SECONDS = 60.0  # a life that long, and the next death is the first one again


class State(Enum):
    """How a post is held."""

    VACANT = "waiting to be started again"
    ENDED = "ended"
    STARTING = "starting"
    READY = READY
    ENDING = "ending"


@dataclass(frozen=True, slots=True)
class Duty:
    """What is started to hold a post. Its number tells several of one role apart."""

    role: str
    number: int = 0
    listening: int = -1
    turns: int = -1
    admission: int = -1
    with_jobs: bool = False
    take_over: bool = False  # by the first child that holds it

    @property
    def name(self) -> str:
        """What the log calls it."""
        return self.role if self.role == "jobs" else f"{self.role} {self.number}"

    @property
    def does_jobs(self) -> bool:
        """Whether recovery and filing are its duty."""
        return self.role == "jobs" or self.with_jobs

    @property
    def empties_the_spool(self) -> bool:
        """Whether it is to look when something waits in the spool."""
        return self.does_jobs or self.role == "uploader"


def command(role: str) -> list[str]:
    """Return what runs a child of a role, without its arguments."""
    return [sys.executable, "-m", f"pacsnode.processes.{role}"]


class Post:
    """One post. The supervisor's loop is the only one to call."""

    def __init__(
        self,
        duty: Duty,
        *,
        command: Callable[[str], list[str]],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`command` returns what runs a child of a role, without its arguments."""
        self.duty = duty
        self.name = duty.name
        self._command = command
        self._now = now
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._started_on = ""
        self._heard_at: float | None = None
        self._failures = 0
        self._is_killed = False
        self.channel: Channel | None = None
        self.state = State.VACANT
        self.start_at = 0.0
        self.starts = 0
        self.snapshot = 0
        self.report: dict[str, Any] = {}

    @property
    def pid(self) -> int | None:
        """The process that holds the post now."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start a child; raises `OSError` if no process can be had."""
        ours, theirs = socket.socketpair()
        duty = self.duty
        arguments = Arguments(
            title=f"pacsnode-{self.name.replace(' ', '-')}",
            number=duty.number,
            parent=os.getpid(),
            control=theirs.fileno(),
            listening=duty.listening,
            turns=duty.turns,
            admission=duty.admission,
            with_jobs=duty.with_jobs,
            take_over=duty.take_over and not self.starts,
        )
        try:
            with _held_back(GROUP_SIGNALS):  # the child lets them through once it can ignore them
                self._process = subprocess.Popen(
                    [*self._command(duty.role), *arguments.words()],
                    stdin=subprocess.DEVNULL,
                    stdout=sys.stderr.fileno(),  # standard output is the supervisor's
                    pass_fds=arguments.descriptors,
                )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        self.channel = Channel(ours)
        self.state, self.starts, self._is_killed = State.STARTING, self.starts + 1, False
        self.snapshot, self.report = 0, {}
        self._started_at, self._heard_at = self._now(), None
        self._started_on = datetime.now(UTC).isoformat(timespec="seconds")

    def send(self, message: Message) -> None:
        """Send a message to the child, if there is one."""
        if self.channel is not None:
            self.channel.send(message)

    def hear(self, message: Message) -> None:
        """Note what the child says of itself. Only a heartbeat is a sign of life: a ring may come from any thread."""
        if self._heard_at is None or isinstance(message, Ready | Heartbeat):
            self._heard_at = self._now()
        match message:
            case Ready():
                self.state = State.READY if self.state is State.STARTING else self.state
                self.snapshot = message.snapshot
            case Heartbeat():
                self.snapshot, self.report = message.snapshot, message.report

    @property
    def silent_until(self) -> float | None:
        """When the child has been silent for too long; None without one, and for one that was killed."""
        if self._process is None or self._is_killed:
            return None
        if self._heard_at is None:
            return self._started_at + FIRST_WORD_SECONDS
        return self._heard_at + SILENCE_SECONDS

    def forgive(self, seconds: float) -> None:
        """Do not count time in which nobody could be heard."""
        self._started_at += seconds
        if self._heard_at is not None:
            self._heard_at += seconds

    def expect_end(self) -> None:
        """Leave the child, whose socket has ended, no more time than it takes to end."""
        self._heard_at = self._now() - SILENCE_SECONDS + LAST_BREATH_SECONDS

    def kill(self) -> None:
        """End the child at once."""
        if self._process is not None:
            self._is_killed = True
            self._process.kill()

    def has_ended(self) -> bool:
        """Return whether the child has ended, without waiting for it."""
        return self._process is not None and self._process.poll() is not None

    def vacate(self) -> str:
        """Let go of a child that has ended, and return how it did; `start_at` tells when to start the next one."""
        assert self._process is not None
        assert self.channel is not None
        ended = _how(self._process.returncode)
        self.channel.close()
        if self._now() - self._started_at >= SETTLED_SECONDS:
            self._failures = 0
        self.start_at = self._now() + BACK_OFF_SECONDS[min(self._failures, len(BACK_OFF_SECONDS) - 1)]
        self._failures += 1
        self._process = self.channel = None
        self.state = State.VACANT
        return ended

    def postpone(self) -> float:
        """Wait with the next start as after a death; return for how many seconds."""
        seconds = BACK_OFF_SECONDS[min(max(self._failures, 1), len(BACK_OFF_SECONDS) - 1)]
        self._failures += 1
        self.start_at = self._now() + seconds
        return seconds

    def status(self) -> dict[str, Any]:
        """Return how the post is held, for `status`."""
        age = None if self._heard_at is None or self._process is None else self._now() - self._heard_at
        return {
            "role": self.duty.role,
            "number": self.duty.number,
            "pid": self.pid,
            "state": self.state.value,
            "snapshot": self.snapshot,
            "started_at": self._started_on,
            "restarts": max(0, self.starts - 1),
            "heartbeat_age_seconds": None if age is None else round(age, 3),
            "report": self.report,
        }


@contextmanager
def _held_back(numbers: Iterable[int]) -> Iterator[None]:
    """Block signals, in this thread and in what is started meanwhile; here they come afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _how(code: int) -> str:
    """Return how a process ended, for the log."""
    if code >= 0:
        return f"ended with {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
