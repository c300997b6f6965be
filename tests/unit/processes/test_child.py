"""A child's loop: what it does with what it hears, and what it says of itself."""

import os
import queue
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pacsnode.config import Config
from pacsnode.errors import OutOfResources
from pacsnode.processes import child as module
from pacsnode.processes.child import Bell, Child
from pacsnode.processes.control import (
    Bereaved,
    Damaged,
    Decoder,
    Doorbell,
    Failed,
    Heartbeat,
    Message,
    Ready,
    Snapshot,
    Stop,
    encode,
)
from tests.faults import bounded

BOUND = 20.0
FIRST = 41


class FakeRole:
    """Tells what is done with it."""

    def __init__(self) -> None:
        self.done: queue.Queue[tuple[str, Any]] = queue.Queue()
        self.may_start, self.may_stop = threading.Event(), threading.Event()
        self.may_start.set()
        self.may_stop.set()
        self.failure: Exception | None = None
        self.is_moving = True
        self.found: str | None = None

    def start(self, config: Config, number: int) -> int:
        assert self.may_start.wait(BOUND)
        if self.failure is not None:
            raise self.failure
        self.done.put(("start", number))
        return number or FIRST

    def adopt(self, config: Config, number: int) -> None:
        self.done.put(("adopt", (number, config.limits.per_ip)))

    def look(self) -> None:
        self.done.put(("look", None))

    def reconcile(self) -> None:
        self.done.put(("reconcile", None))

    def receive_only(self, trouble: str) -> None:
        self.done.put(("receive only", trouble))

    def trouble(self) -> str | None:
        return self.found

    def moves(self) -> bool:
        return self.is_moving

    def report(self) -> dict[str, object]:
        return {"well": True}

    def stop(self) -> None:
        assert self.may_stop.wait(BOUND)
        self.done.put(("stop", None))

    def did(self) -> tuple[str, Any]:
        return self.done.get(timeout=BOUND)


class Upstairs:
    """The supervisor's end."""

    def __init__(self) -> None:
        self.socket, theirs = socket.socketpair()
        self.role, self.bell = FakeRole(), Bell()
        self.terminate, self._terminated = socket.socketpair()
        channel = module.Channel(theirs)
        child = Child(channel, self.role, self.bell, name="worker", number=1)
        self._theirs = theirs
        self._decoder, self._heard = Decoder(), list[Message]()
        self.thread = threading.Thread(target=child.run, args=(self._terminated.fileno(),))
        self.thread.start()

    def say(self, *messages: Message) -> None:
        self.socket.sendall(b"".join(map(encode, messages)))

    def hear(self, kind: type[Message]) -> Any:
        """Return the next message of a kind."""
        deadline = time.monotonic() + BOUND
        while True:
            for at, message in enumerate(self._heard):
                if isinstance(message, kind):
                    del self._heard[: at + 1]
                    return message
            left = deadline - time.monotonic()
            assert select.select([self.socket], [], [], max(0.0, left))[0], (
                f"no {kind.__name__}: {self._heard}"
            )
            piece = self.socket.recv(1 << 16)
            assert piece, f"it has ended without {kind.__name__}"
            self._heard += self._decoder.feed(piece)

    def begin(self) -> None:
        self.say(snapshot(1))
        assert self.hear(Ready) == Ready(1)
        assert self.role.did() == ("start", 1)

    def ends(self) -> bool:
        self.thread.join(BOUND)
        return not self.thread.is_alive()

    def close(self) -> None:
        self.role.may_start.set()
        self.role.may_stop.set()
        self.socket.close()
        assert self.ends()
        for one in (self._theirs, self.terminate, self._terminated):
            one.close()


def snapshot(number: int, per_ip: int = 0) -> Snapshot:
    config = Config.model_validate({"limits": {"per_ip": per_ip}, "logging": {"level": "error"}})
    return Snapshot(number, config.model_dump(mode="json"))


@pytest.fixture
def upstairs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Upstairs]:
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr(module.logs, "configure", lambda *_, **__: None)
    made = Upstairs()
    yield made
    made.close()


def test_it_begins_with_its_first_snapshot(upstairs: Upstairs) -> None:
    assert upstairs.hear(Heartbeat) == Heartbeat(0)
    upstairs.begin()
    assert upstairs.hear(Heartbeat) == Heartbeat(1, {"well": True})


def test_a_first_snapshot_without_a_number_is_given_one(upstairs: Upstairs) -> None:
    upstairs.say(snapshot(0))
    assert upstairs.hear(Ready) == Ready(FIRST)
    assert upstairs.hear(Heartbeat).snapshot == FIRST
    upstairs.say(snapshot(FIRST + 1, per_ip=2))
    assert [upstairs.role.did(), upstairs.role.did()] == [("start", 0), ("adopt", (FIRST + 1, 2))]


def test_it_follows_and_ends(upstairs: Upstairs) -> None:
    upstairs.begin()
    upstairs.say(Doorbell(), Bereaved(), Damaged("gone"), snapshot(2, per_ip=5), Stop())
    assert [upstairs.role.did() for _ in range(5)] == [
        ("look", None),
        ("reconcile", None),
        ("receive only", "gone"),
        ("adopt", (2, 5)),
        ("stop", None),
    ]
    assert upstairs.ends()


def test_what_comes_while_it_starts_is_not_lost(upstairs: Upstairs) -> None:
    upstairs.role.may_start.clear()
    upstairs.say(snapshot(1), Bereaved(), Damaged("gone"), snapshot(2, per_ip=7))
    upstairs.hear(Heartbeat)  # it beats all the while
    upstairs.hear(Heartbeat)
    upstairs.role.may_start.set()
    assert [upstairs.role.did() for _ in range(4)] == [
        ("start", 1),
        ("adopt", (2, 7)),
        ("reconcile", None),
        ("receive only", "gone"),
    ]
    assert upstairs.hear(Ready) == Ready(2)


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (OutOfResources("the disk is full"), Failed("TemporaryError", "the disk is full")),
        (PermissionError(13, "Permission denied", "/x"), Failed("ConfigError", "/x: Permission denied")),
        (OSError(24, "Too many open files"), Failed("TemporaryError", "Too many open files")),
        (ValueError("bug"), Failed("PermanentError", "unexpected ValueError; the log has it")),
    ],
)
def test_one_that_cannot_start_says_why_and_ends(
    upstairs: Upstairs, failure: Exception, said: Failed
) -> None:
    upstairs.role.failure = failure
    upstairs.say(snapshot(1))
    assert upstairs.hear(Failed) == said
    assert upstairs.ends()


def test_it_beats_while_it_finishes_what_is_under_way(upstairs: Upstairs) -> None:
    upstairs.begin()
    upstairs.role.may_stop.clear()
    upstairs.role.is_moving = False  # nobody looks after connections any more, which is right now
    upstairs.say(Stop())
    for _ in range(3):
        upstairs.hear(Heartbeat)
    assert upstairs.thread.is_alive()
    upstairs.role.may_stop.set()
    assert upstairs.ends()


def test_a_role_that_does_not_move_sends_no_heartbeat(upstairs: Upstairs) -> None:
    upstairs.begin()
    upstairs.role.is_moving = False
    for _ in bounded(0.3):
        pass
    while select.select([upstairs.socket], [], [], 0)[0]:
        upstairs.socket.recv(1 << 16)
    assert not select.select([upstairs.socket], [], [], 0.3)[0]


def test_damage_that_it_finds_is_told_once(upstairs: Upstairs) -> None:
    upstairs.begin()
    upstairs.role.found = "state-1.db is damaged"
    assert upstairs.hear(Damaged) == Damaged("state-1.db is damaged")
    upstairs.hear(Heartbeat)
    upstairs.hear(Heartbeat)
    assert not any(isinstance(message, Damaged) for message in upstairs._heard)


@pytest.mark.parametrize("is_ready", [True, False])
def test_sigterm_lets_it_finish(upstairs: Upstairs, is_ready: bool) -> None:
    if is_ready:
        upstairs.begin()
    upstairs.terminate.send(bytes([signal.SIGTERM]))
    assert upstairs.ends()
    assert upstairs.role.done.empty() != is_ready


def test_without_its_supervisor_it_ends_at_once(upstairs: Upstairs) -> None:
    upstairs.begin()
    upstairs.role.may_stop.clear()
    upstairs.socket.close()
    assert upstairs.ends()
    assert upstairs.role.done.empty()


def test_nonsense_ends_it(upstairs: Upstairs) -> None:
    upstairs.socket.sendall(b"\xff" * 8)
    assert upstairs.ends()


def test_rings_go_up_as_few_doorbells_and_none_is_lost(upstairs: Upstairs) -> None:
    upstairs.begin()
    for _ in range(1000):
        upstairs.bell.ring()
    upstairs.hear(Doorbell)
    upstairs.bell.ring()
    upstairs.hear(Doorbell)
    for _ in bounded(2 * module._RING_SECONDS):
        pass
    assert not any(isinstance(message, Doorbell) for message in upstairs._heard)


def test_a_bell_is_heard_after_each_ring_whenever_it_comes() -> None:
    """The loop asks when it is woken, and a while after each time that it heard something."""
    bell = Bell()
    assert not bell.is_heard()
    bell.ring()
    assert os.eventfd_read(bell.descriptor) == 1
    bell.ring()  # it is minded: no second waking
    assert not select.select([bell.descriptor], [], [], 0)[0]
    assert bell.is_heard()
    bell.ring()
    assert not select.select([bell.descriptor], [], [], 0)[0]
    assert bell.is_heard()
    assert not bell.is_heard()
    bell.ring()
    assert select.select([bell.descriptor], [], [], 0)[0]
    os.close(bell.descriptor)


def test_rings_from_many_threads_are_never_lost() -> None:
    bell, rounds = Bell(), 200
    heard = 0

    def loop(until: Callable[[], bool]) -> None:
        nonlocal heard
        while not until():
            if select.select([bell.descriptor], [], [], 0.01)[0]:
                os.eventfd_read(bell.descriptor)
            while bell.is_heard():
                heard += 1

    for _ in range(rounds):
        before = heard
        ringing = threading.Thread(target=bell.ring)
        ringing.start()
        deadline = time.monotonic() + BOUND
        loop(lambda before=before, deadline=deadline: heard > before or time.monotonic() > deadline)
        ringing.join()
        assert heard > before
    os.close(bell.descriptor)
