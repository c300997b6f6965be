"""A child's main loop: what it hears from its supervisor, and that it lives.

    first Snapshot -> role.start -> Ready -> snapshots, doorbells, heartbeats -> Stop -> role.stop -> end

The loop does nothing that can take long: start and stop of the role run on a thread beside it, so that a heartbeat
means that the loop woke and nothing else. A role that must be seen to move says so (`Role.moves`): a worker whose
connections are not looked after any more sends no heartbeats, and is replaced.

A child never outlives its supervisor: the kernel kills it when that dies (PR_SET_PDEATHSIG), and the end of the
control socket ends it in any case, at once, as a crash would; what it had in hand is safe as in any crash. SIGTERM to
a child alone lets it finish, as Stop does. SIGINT and SIGHUP, which a terminal sends to the whole group, are the
supervisor's affair.
"""

import logging
import os
import selectors
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Protocol, TypeVar

from pacsnode.config import Config
from pacsnode.errors import ConfigError, PacsNodeError, PermanentError, TemporaryError
from pacsnode.processes import logs
from pacsnode.processes.control import (
    Bereaved,
    Channel,
    ControlError,
    Damaged,
    Doorbell,
    Failed,
    Heartbeat,
    Message,
    Ready,
    Snapshot,
    Stop,
)

log = logging.getLogger(__name__)

_Result = TypeVar("_Result")

HEARTBEAT_SECONDS = 3.0
_RING_SECONDS = 0.25


class Role(Protocol):
    """What a child is there for. `start` and `stop` may take long, and are called once; the others must not."""

    def start(self, config: Config, number: int) -> int:
        """Begin to work by the snapshot of that number, and return that; the jobs number a snapshot 0.

        Raises `PacsNodeError` or `OSError`.
        """

    def adopt(self, config: Config, number: int) -> None:
        """Follow another snapshot as far as that can change."""

    def look(self) -> None:
        """Look whether something waits."""

    def reconcile(self) -> None:
        """Look at what a process that has died may have left."""

    def receive_only(self, trouble: str) -> None:
        """Take the state for damaged, as another process has found it."""

    def trouble(self) -> str | None:
        """Return what is wrong with the state, so that the node receives only; None if nothing is."""

    def moves(self) -> bool:
        """Return whether it has moved since this was asked last."""

    def report(self) -> dict[str, object]:
        """Return how it is, for `status`, as JSON has it."""

    def stop(self) -> None:
        """Finish what is under way, and close everything."""


class Bell:
    """Rung by any thread, heard by the loop, which it wakes once for many rings. `ring` never blocks."""

    def __init__(self) -> None:
        self.descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._is_rung = False
        self._is_minded = False  # the loop is going to ask by itself

    def ring(self) -> None:
        """Say that something waits."""
        self._is_rung = True
        if not self._is_minded:
            self._is_minded = True
            os.eventfd_write(self.descriptor, 1)

    def is_heard(self) -> bool:
        """Return whether it was rung since this was asked last; if so the loop has to ask again in a while."""
        is_rung, self._is_rung = self._is_rung, False
        if not is_rung:
            self._is_minded = False
            is_rung, self._is_rung = self._is_rung, False  # by a thread that still saw the loop mind it
            self._is_minded |= is_rung
        return is_rung


class Child:
    """The loop of one child. `run` returns when it is over."""

    def __init__(self, channel: Channel, role: Role, bell: Bell, *, name: str, number: int) -> None:
        """`name` and `number` are those of the role, for the log. Rings of `bell` go up as doorbells."""
        self._channel = channel
        self._role = role
        self._bell = bell
        self._name = name
        self._number = number
        self._snapshot = self._started_by = 0
        self._config: Config | None = None
        self._is_ready = self._is_ending = self._is_over = False
        self._is_bereaved = False
        self._trouble: str | None = None  # with the state, that the supervisor knows of
        self._beat_at = time.monotonic()
        self._ring_at: float | None = None
        self._results: SimpleQueue[Callable[[], None]] = SimpleQueue()  # of the threads beside the loop
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def run(self, signals: int | None = None) -> None:
        """Serve until told to stop. `signals` is a descriptor that is readable when SIGTERM has come."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._channel, selectors.EVENT_READ, self._hear)
            selector.register(self._bell.descriptor, selectors.EVENT_READ, self._hear_bell)
            selector.register(self._wake, selectors.EVENT_READ, self._take_results)
            if signals is not None:
                selector.register(signals, selectors.EVENT_READ, lambda: self._hear_signal(signals))
            while not self._is_over:
                self._keep_time()
                selector.modify(self._channel, self._channel.events, self._hear)
                for key, _ in selector.select(self._seconds_left()):
                    key.data()

    def _seconds_left(self) -> float:
        due = self._beat_at if self._ring_at is None else min(self._beat_at, self._ring_at)
        return max(0.0, due - time.monotonic())

    def _keep_time(self) -> None:
        now = time.monotonic()
        if now >= self._beat_at:
            self._beat_at = now + HEARTBEAT_SECONDS
            self._beat()
        if self._ring_at is not None and now >= self._ring_at:
            self._listen()

    def _beat(self) -> None:
        is_serving = self._is_ready and not self._is_ending
        if is_serving and not self._role.moves():
            log.error("%s does not move: no heartbeat", self._name)
            return
        report = self._role.report() if is_serving else {}
        self._channel.send(Heartbeat(self._snapshot, report))
        if is_serving and self._trouble is None and (trouble := self._role.trouble()) is not None:
            self._trouble = trouble
            self._channel.send(Damaged(trouble))

    # What wakes the loop

    def _hear(self) -> None:
        self._channel.flush()
        try:
            messages = self._channel.receive()
        except ControlError as error:
            log.error("the supervisor is not understood: %s", error)
            messages, self._is_over = [], True
        for message in messages:
            self._follow(message)
        if not self._channel.is_open:
            self._is_over = True

    def _follow(self, message: Message) -> None:
        match message:
            case Snapshot():
                self._take(message)
            case Doorbell():
                if self._is_ready:
                    self._role.look()
            case Bereaved():
                self._is_bereaved = not self._is_ready
                if self._is_ready:
                    self._role.reconcile()
            case Damaged():
                self._trouble = message.text
                if self._is_ready:
                    self._role.receive_only(message.text)
            case Stop():
                self._end()
            case _:
                log.error("the supervisor says what it should not: %s", message)

    def _hear_bell(self) -> None:
        os.eventfd_read(self._bell.descriptor)
        self._listen()

    def _listen(self) -> None:
        self._ring_at = None
        if self._bell.is_heard():
            self._ring_at = time.monotonic() + _RING_SECONDS
            self._channel.send(Doorbell())

    def _hear_signal(self, descriptor: int) -> None:
        os.read(descriptor, 64)
        self._end()

    def _take_results(self) -> None:
        os.eventfd_read(self._wake)
        while not self._results.empty():
            self._results.get()()

    # What the loop does

    def _take(self, snapshot: Snapshot) -> None:
        config = Config.model_validate(snapshot.config)
        logs.configure(
            config.node.name,
            config.logging.level.value,
            config.logging.format.value,
            self._name,
            number=self._number if self._name == "worker" else None,
            patient_data=config.logging.patient_data,
        )
        is_first, self._config, self._snapshot = self._config is None, config, snapshot.number
        if is_first:
            self._started_by = snapshot.number
            self._beside(lambda: self._role.start(config, snapshot.number), self._started)
        elif self._is_ready:
            self._role.adopt(config, snapshot.number)
            self._beat_at = time.monotonic()  # so that `status` shows the number

    def _started(self, number: int | None, error: PacsNodeError | None) -> None:
        if error is not None:
            self._channel.send(Failed.because_of(error))
            self._is_over = True
            return
        assert number is not None
        self._is_ready = True
        if self._snapshot == self._started_by:
            self._snapshot = number
        elif self._config is not None:
            self._role.adopt(self._config, self._snapshot)
        if self._is_bereaved:
            self._role.reconcile()
        if self._trouble is not None:
            self._role.receive_only(self._trouble)
        self._channel.send(Ready(self._snapshot))

    def _end(self) -> None:
        """Let the role finish; one that has not begun has nothing to finish."""
        if self._is_ending:
            return
        self._is_ending = True
        if self._is_ready:
            self._beside(self._role.stop, self._ended)
        else:
            self._is_over = True

    def _ended(self, _: None, error: PacsNodeError | None) -> None:
        if error is not None:
            log.error("%s did not end well: %s", self._name, error)
        self._is_over = True

    def _beside(
        self, work: Callable[[], _Result], then: Callable[[_Result | None, PacsNodeError | None], None]
    ) -> None:
        """Run what takes long on a thread, and `then` on the loop, with its result or error."""

        def run() -> None:
            result, error = None, None
            try:
                result = work()
            except PacsNodeError as known:
                error = known
            except OSError as failed:
                error = _told(failed)
            except Exception as unexpected:  # the named boundary of a child's start and stop
                log.exception("unexpected error")
                error = PermanentError(f"unexpected {type(unexpected).__name__}; the log has it")
            self._results.put(lambda: then(result, error))
            os.eventfd_write(self._wake, 1)

        threading.Thread(target=run, name="beside", daemon=True).start()


def _told(error: OSError) -> PacsNodeError:
    """Return an error of the operating system as one of our tree: what is forbidden is so by configuration."""
    where = f"{error.filename}: " if error.filename is not None else ""
    kind = ConfigError if isinstance(error, PermissionError | FileNotFoundError) else TemporaryError
    return kind(f"{where}{error.strerror or error}")
