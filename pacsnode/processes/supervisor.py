"""The supervisor: starts the children, hears whether they live, replaces those that do not, and ends them.

One loop over one selector: signals (which handlers only record), control sockets, and the next thing that is due. It
does nothing that can hang and imports nothing that could: neither pynetdicom nor SQLite, HTTP or a cloud's library.

- The first start: the process that does the jobs gets its snapshot first, since it brings spool and index together;
  workers load meanwhile and get theirs when it is ready. A child that dies before all are ready ends the node with
  its reason. Later, a child that dies is started again, at once and then with longer waits.
- A child that is silent for 10 s is killed and replaced. Time in which the supervisor itself did not run (a machine
  that was suspended) is not counted, and what a child has said meanwhile is heard before it is judged.
- A snapshot of the configuration has a number. The first gets its from the jobs, which count over restarts in the
  state; SIGHUP waits until there is one. A new snapshot keeps the values of keys that need a restart, so that a child
  that is replaced never runs by other ones than its siblings.
- A stop is bounded, and a second signal changes nothing: what is in flight has its time.
"""

import logging
import os
import selectors
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol

from pacsnode import __version__
from pacsnode.config import Config
from pacsnode.errors import PacsNodeError, PermanentError
from pacsnode.processes.child import HEARTBEAT_SECONDS
from pacsnode.processes.control import (
    Bereaved,
    ControlError,
    Damaged,
    Doorbell,
    Failed,
    Message,
    Ready,
    Snapshot,
    Stop,
    encode,
)
from pacsnode.processes.post import Duty, Post, State
from pacsnode.processes.reloading import merged

log = logging.getLogger(__name__)

# Workers end within 20 s, and cut off what is left within 5 s more (dimse.server).
STOP_SECONDS = 28.0
_LATE_SECONDS = 1.0
_LOOK_SECONDS = 0.1  # between looks, from the end of a child's socket to its own


class SignalSource(Protocol):
    """Signals that have come (`signals.Signals`)."""

    def fileno(self) -> int: ...

    def received(self) -> list[int]: ...


class Events:
    """What the outside hears of the node. Subclasses say it to somebody; here nobody listens."""

    def ready(self) -> None:
        """All children are ready for the first time."""

    def reloading(self) -> None:
        """A new configuration is being read."""

    def reloaded(self, text: str) -> None:
        """A new configuration is in force, or was refused: the text says which."""

    def stopping(self) -> None:
        """The node ends."""

    def child_died(self, pid: int) -> None:
        """A process is gone, whatever it held."""

    def beat(self) -> float | None:
        """The loop came round; return after how many seconds this wants to be called again, None for never."""
        return None


class Supervisor:
    """One node's supervisor. `run` returns when everything has ended."""

    def __init__(
        self,
        config: Config,
        posts: Sequence[Post],
        *,
        read: Callable[[], Config],
        stop_accepting: Callable[[], None],
        events: Events,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`read` gives the configuration that the file says now; raises `PacsNodeError`."""
        self._config = config
        self._posts = tuple(posts)
        self._read = read
        self._stop_accepting = stop_accepting
        self._events = events
        self._now = now
        self._snapshot = Snapshot(0, config.model_dump(mode="json"))  # the jobs give the first one its number
        self._started_on = datetime.now(UTC).isoformat(timespec="seconds")
        self._is_recovered = False  # the jobs have been ready once
        self._is_reload_due = False
        self._is_ready = False
        self._stop_by: float | None = None
        self._failure: PacsNodeError | None = None
        self._damaged: Damaged | None = None
        self._selector = selectors.DefaultSelector()
        self._came_round_at = now()

    def run(self, signals: SignalSource) -> None:
        """Start the children and look after them until a signal says stop.

        Raises `PacsNodeError` if the first start fails.
        """
        with self._selector:
            self._selector.register(signals, selectors.EVENT_READ, lambda: self._obey(signals.received()))
            self._came_round_at = self._now()
            while self._is_needed():
                self._select(self._seconds_left())
        if self._failure is not None:
            raise self._failure

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self._config

    def watch(self, source: Any, callback: Callable[[], None]) -> None:
        """Call back when a source that has a descriptor is readable."""
        self._selector.register(source, selectors.EVENT_READ, callback)

    def status(self) -> dict[str, Any]:
        """Return how the node is, as JSON has it."""
        return {
            "node": self._config.node.name,
            "version": __version__,
            "pid": os.getpid(),
            "started_at": self._started_on,
            "snapshot": self._snapshot.number,
            "processes": [post.status() for post in self._posts],
        }

    # The loop

    def _is_needed(self) -> bool:
        """Do what is due, and return whether there is more to come."""
        self._attend()
        return self._stop_by is None or any(post.pid is not None for post in self._posts)

    def _select(self, seconds: float | None) -> None:
        for post in self._posts:
            if post.channel is not None and post.channel.is_open:
                self._selector.modify(post.channel, post.channel.events, self._hearing(post))
        ready = self._selector.select(seconds)
        due_at, self._came_round_at = self._came_round_at + (seconds or 0.0), self._now()
        late = self._came_round_at - due_at
        for key, _ in ready:
            key.data()
        if seconds is not None and late > _LATE_SECONDS:
            for post in self._posts:
                post.forgive(late + HEARTBEAT_SECONDS)
                self._hear(post)

    def _seconds_left(self) -> float | None:
        due = [post.silent_until for post in self._posts if self._stop_by is None]
        due += [post.start_at for post in self._posts if self._stop_by is None and post.pid is None]
        due.append(self._stop_by)
        if any(post.channel is not None and not post.channel.is_open for post in self._posts):
            due.append(self._now() + _LOOK_SECONDS)
        if (beat := self._events.beat()) is not None:
            due.append(self._now() + beat)
        times = [at for at in due if at is not None]
        return max(0.0, min(times) - self._now()) if times else None

    def _attend(self) -> None:
        """Do what is due."""
        for post in self._posts:
            if post.has_ended():
                self._bury(post)
        if self._stop_by is None:
            self._keep_alive()
        elif self._now() >= self._stop_by:
            for post in self._posts:
                if post.pid is not None:
                    log.error("%s (process %d) has not ended in time and is killed", post.name, post.pid)
                    post.kill()
            self._stop_by = self._now() + STOP_SECONDS

    def _keep_alive(self) -> None:
        now = self._now()
        for post in self._posts:
            if post.pid is None:
                if now >= post.start_at:
                    self._start(post)
            # Judged by when the loop came round, not by now: time that was lost since is found by the next round.
            elif post.silent_until is not None and self._came_round_at >= post.silent_until:
                log.error("%s (process %d) is silent and is killed", post.name, post.pid)
                post.kill()

    def _start(self, post: Post) -> None:
        try:
            post.start()
        except OSError as error:
            if not self._is_ready:
                self._fail(PermanentError(f"{post.name} cannot be started: {error.strerror}"))
                return
            log.error(
                "%s cannot be started: %s; tried again in %g s", post.name, error.strerror, post.postpone()
            )
            return
        assert post.channel is not None
        self._selector.register(post.channel, selectors.EVENT_READ, self._hearing(post))
        if self._is_recovered or post.duty.does_jobs:
            post.send(self._snapshot)
        if self._damaged is not None:
            post.send(self._damaged)

    def _bury(self, post: Post) -> None:
        self._hear(post)  # its last words
        pid = post.pid
        assert pid is not None
        ended = post.vacate()
        self._events.child_died(pid)
        if self._stop_by is not None:
            post.state = State.ENDED
            return
        if not self._is_ready:
            self._fail(PermanentError(f"{post.name} {ended} before it was ready"))
            return
        wait = max(0.0, post.start_at - self._now())
        when = f"in {wait:.0f} s" if wait else "at once"
        log.error("%s (process %d) %s; it is started again %s", post.name, pid, ended, when)
        self._tell(Bereaved(), lambda duty: duty.does_jobs)

    # What is heard

    def _hearing(self, post: Post) -> Callable[[], None]:
        return lambda: self._hear(post)

    def _hear(self, post: Post) -> None:
        channel = post.channel
        if channel is None or not channel.is_open:
            return
        channel.flush()
        try:
            messages = channel.receive()
        except ControlError as error:
            log.error("%s (process %s) is not understood and is killed: %s", post.name, post.pid, error)
            messages, channel.is_open = [], False
            post.kill()
        for message in messages:
            self._follow(post, message)
        if not channel.is_open:
            self._selector.unregister(channel)
            post.expect_end()  # it ends, or cannot be spoken with any more

    def _follow(self, post: Post, message: Message) -> None:
        post.hear(message)
        match message:
            case Ready():
                self._welcome(post)
            case Doorbell():
                self._tell(message, lambda duty: duty.empties_the_spool)
            case Damaged():
                self._damaged = self._damaged or message
                for other in self._posts:
                    if other is not post:
                        other.send(message)
            case Failed():
                if self._is_ready:
                    log.error("%s cannot start: %s", post.name, message.text)
                else:
                    self._fail(message.error())

    def _welcome(self, post: Post) -> None:
        log.info("%s (process %s) is ready", post.name, post.pid)
        if post.duty.does_jobs and not self._is_recovered:
            self._is_recovered = True
            self._snapshot = replace(self._snapshot, number=post.snapshot)
            for other in self._posts:
                if not other.duty.does_jobs:
                    other.send(self._snapshot)
        if not self._is_ready and all(one.state is State.READY for one in self._posts):
            self._is_ready = True
            self._events.ready()
            if self._is_reload_due:
                self._reload()

    def _tell(self, message: Message, whom: Callable[[Duty], bool]) -> None:
        for post in self._posts:
            if whom(post.duty):
                post.send(message)

    # What is asked for

    def _obey(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            if number in (signal.SIGTERM, signal.SIGINT):
                self._stop()
            elif number == signal.SIGHUP and self._stop_by is None:
                self._reload()

    def _fail(self, error: PacsNodeError) -> None:
        self._failure = self._failure or error
        self._stop()

    def _stop(self) -> None:
        if self._stop_by is not None:
            return
        self._stop_by = self._now() + STOP_SECONDS
        if self._failure is None:
            log.info("the node stops: no new associations, what is under way is finished")
        self._events.stopping()
        self._stop_accepting()
        for post in self._posts:
            post.send(Stop())
            if post.pid is not None:
                post.state = State.ENDING

    def _reload(self) -> None:
        if not self._is_ready:
            self._is_reload_due = True
            return
        self._events.reloading()
        try:
            config, waiting = merged(self._config, self._read())
            snapshot = Snapshot(self._snapshot.number + 1, config.model_dump(mode="json"))
            encode(snapshot)  # raises if it is too long to be handed out
        except PacsNodeError as error:
            for mistake in str(error).splitlines():
                log.error("the configuration is not taken over: %s", mistake)
            self._events.reloaded(f"snapshot {self._snapshot.number}; the changed configuration is wrong")
            return
        for key in waiting:
            log.warning("%s has changed; it is taken over by a restart", key)
        self._config, self._snapshot = config, snapshot
        log.info("the configuration was read again: snapshot %d is in force", self._snapshot.number)
        for post in self._posts:
            post.send(self._snapshot)
        self._events.reloaded(f"snapshot {self._snapshot.number}")
