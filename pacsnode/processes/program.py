"""How a child is started: its command line, and what it makes of it."""

import argparse
import ctypes
import faulthandler
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pacsnode.processes.child import Bell, Child, Role
from pacsnode.processes.control import Channel

_PR_SET_PDEATHSIG = 1  # prctl(2)
_PR_SET_NAME = 15
_COMMAND_NAME_BYTES = 15
UMASK = 0o077
GROUP_SIGNALS = (signal.SIGINT, signal.SIGHUP)  # what a terminal sends to all of its group


@dataclass(frozen=True, slots=True)
class Arguments:
    """What a child is told on its command line. Descriptors are inherited; -1 is none."""

    title: str  # for whoever looks at a list of processes
    number: int
    parent: int
    control: int
    listening: int = -1
    turns: int = -1
    admission: int = -1
    with_jobs: bool = False
    take_over: bool = False

    def words(self) -> list[str]:
        """Return the command line's words."""
        words = [
            self.title,
            f"--number={self.number}",
            f"--parent={self.parent}",
            f"--control={self.control}",
        ]
        words += [f"--listening={self.listening}"] * (self.listening >= 0)
        words += [f"--turns={self.turns}"] * (self.turns >= 0)
        words += [f"--admission={self.admission}"] * (self.admission >= 0)
        return words + ["--with-jobs"] * self.with_jobs + ["--take-over"] * self.take_over

    @property
    def descriptors(self) -> tuple[int, ...]:
        """The descriptors that the child is to inherit."""
        return tuple(one for one in (self.control, self.listening, self.turns, self.admission) if one >= 0)

    @classmethod
    def parsed(cls, words: Sequence[str]) -> "Arguments":
        """Read a command line; exits with 2 if it is none."""
        parser = argparse.ArgumentParser(
            description="A process of pacsnode; it is started by pacsnode serve."
        )
        parser.add_argument("title")
        for name in ("--number", "--parent", "--control"):
            parser.add_argument(name, type=int, required=True)
        for name in ("--listening", "--turns", "--admission"):
            parser.add_argument(name, type=int, default=-1)
        parser.add_argument("--with-jobs", action="store_true")
        parser.add_argument("--take-over", action="store_true")
        return cls(**vars(parser.parse_args(words)))


def run(name: str, role: Callable[[Arguments, Bell], Role]) -> None:
    """Be a child of that name, from the command line to the end. Does not return."""
    arguments = Arguments.parsed(sys.argv[1:])
    _die_with(arguments.parent, f"pacsnode-{name[0]}{arguments.number}")
    faulthandler.enable()
    os.umask(UMASK)
    bell, control = Bell(), socket.socket(fileno=arguments.control)
    child = Child(Channel(control), role(arguments, bell), bell, name=name, number=arguments.number)
    child.run(_sigterm())
    control.close()
    os._exit(0)  # threads that are still at work must not hold it back: what matters is done


def _die_with(parent: int, command_name: str) -> None:
    """Let the kernel kill us when the supervisor dies; exits if it has died already."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    prctl(_PR_SET_NAME, command_name.encode()[:_COMMAND_NAME_BYTES], 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _sigterm() -> int:
    """Return a descriptor that becomes readable with SIGTERM; leave the terminal's signals to the supervisor."""
    for number in GROUP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, GROUP_SIGNALS)
    readable, writable = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, lambda *_: None)
    return readable
