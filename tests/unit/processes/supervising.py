"""A supervisor over fake children, on a thread of the test."""

import queue
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from pacsnode.config import Config
from pacsnode.errors import PacsNodeError
from pacsnode.processes.post import Duty, Post
from pacsnode.processes.supervisor import Events, Supervisor
from tests.faults import bounded

FAKE = str(Path(__file__).with_name("fake_child.py"))
BOUND = 20.0


class FakeSignals:
    """Signals that a test sends without sending any."""

    def __init__(self) -> None:
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)

    def send(self, number: int) -> None:
        self._theirs.send(bytes([number]))

    def fileno(self) -> int:
        return self._ours.fileno()

    def received(self) -> list[int]:
        with suppress(BlockingIOError):
            return list(self._ours.recv(64))
        return []

    def close(self) -> None:
        self._ours.close()
        self._theirs.close()


class Told(Events):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.said: queue.Queue[tuple[str, Any]] = queue.Queue()

    def ready(self) -> None:
        self.said.put(("ready", None))

    def reloading(self) -> None:
        self.said.put(("reloading", None))

    def reloaded(self, text: str) -> None:
        self.said.put(("reloaded", text))

    def stopping(self) -> None:
        self.said.put(("stopping", None))

    def child_died(self, pid: int) -> None:
        self.said.put(("died", pid))


class Running:
    """A supervisor that runs. A context manager: leaving stops it. `behaviours` are one for each start of a role."""

    def __init__(
        self,
        *,
        jobs: list[str] | None = None,
        worker: list[str] | None = None,
        workers: int = 1,
        read: Callable[[], Config] = Config,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.behaviours = {"jobs": jobs or [], "worker": worker or []}
        self.told, self.signals = Told(), FakeSignals()
        self.accepting = socket.create_server(("127.0.0.1", 0))
        self.error: PacsNodeError | None = None
        duties = [Duty("jobs"), *(Duty("worker", n, self.accepting.fileno()) for n in range(workers))]
        self.posts = [Post(duty, command=self._command, now=now) for duty in duties]
        self.supervisor = Supervisor(
            Config(), self.posts, read=read, stop_accepting=self.accepting.close, events=self.told, now=now
        )
        self.thread = threading.Thread(target=self._run)

    def _command(self, role: str) -> list[str]:
        behaviours = self.behaviours[role]
        return [sys.executable, FAKE, behaviours.pop(0) if behaviours else "good"]

    def _run(self) -> None:
        try:
            self.supervisor.run(self.signals)
        except PacsNodeError as error:
            self.error = error

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.signals.send(15)
        self.ended()
        self.signals.close()
        self.accepting.close()

    def ended(self) -> PacsNodeError | None:
        """Wait for the end, and return what it was."""
        self.thread.join(BOUND)
        assert not self.thread.is_alive(), "the supervisor does not end"
        return self.error

    def hears(self, what: str) -> Any:
        """Wait until the outside is told of something."""
        deadline = time.monotonic() + BOUND
        while True:
            said, value = self.told.said.get(timeout=max(0.0, deadline - time.monotonic()))
            if said == what:
                return value

    def until(self, condition: Callable[[dict[str, Any]], bool], name: str) -> dict[str, Any]:
        """Wait until what is known of a process is as expected, and return it."""
        process: dict[str, Any] = {}
        for _ in bounded(BOUND):
            (process,) = (one for one in self.supervisor.status()["processes"] if name_of(one) == name)
            if condition(process):
                return process
        raise AssertionError(f"it did not happen: {process}")

    def until_heard(self, message: str, name: str, times: int = 1) -> dict[str, Any]:
        """Wait until a child has heard a message."""
        return self.until(lambda process: process["report"].get("heard", []).count(message) >= times, name)


def name_of(process: dict[str, Any]) -> str:
    return process["role"] if process["role"] == "jobs" else f"worker {process['number']}"
