"""Names of peers are looked up beside the associations, within a time, and not again and again."""

import logging
import socket
import threading
import time

import pytest

from pacsnode.access.addresses import IPAddress, ip_address
from pacsnode.dimse.host_names import HostNames, resolved

TEN = frozenset({ip_address("10.0.0.1")})
ELEVEN = frozenset({ip_address("10.0.0.11")})


class Resolver:
    """Answers what it is told, when it is told."""

    def __init__(self, answer: frozenset[IPAddress] | Exception = TEN) -> None:
        self.answer = answer
        self.asked: list[str] = []
        self.may_answer = threading.Event()
        self.may_answer.set()

    def __call__(self, name: str) -> frozenset[IPAddress]:
        self.asked.append(name)
        assert self.may_answer.wait(20)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_name_is_looked_up_once(clock: Clock) -> None:
    resolver = Resolver()
    names = HostNames(resolver, now=clock)
    names.look_up(["scanner"])
    for _ in range(3):
        assert names.addresses(["scanner"]) == {"scanner": TEN}
    assert names.addresses([]) == {}
    assert resolver.asked == ["scanner"]


def test_an_old_answer_is_looked_up_again(clock: Clock) -> None:
    resolver = Resolver()
    names = HostNames(resolver, now=clock)
    names.addresses(["scanner"])
    resolver.answer = ELEVEN
    clock.now = 299.0
    assert names.addresses(["scanner"]) == {"scanner": TEN}
    clock.now = 301.0
    assert names.addresses(["scanner"]) == {"scanner": ELEVEN}
    assert len(resolver.asked) == 2


@pytest.mark.parametrize(
    "error", [socket.gaierror(-2, "Name or service not known"), UnicodeError("label too long")]
)
def test_a_name_that_is_not_found_is_nobodys_and_said_so(
    clock: Clock, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    resolver = Resolver(error)
    names = HostNames(resolver, now=clock)
    with caplog.at_level(logging.WARNING):
        assert names.addresses(["scanner"]) == {"scanner": frozenset()}
        assert names.addresses(["scanner"]) == {"scanner": frozenset()}
    (line,) = caplog.messages
    assert "scanner" in line
    assert "refused" in line
    resolver.answer = TEN
    clock.now = 31.0
    assert names.addresses(["scanner"]) == {"scanner": TEN}


def test_what_was_found_before_counts_while_the_resolver_fails(clock: Clock) -> None:
    resolver = Resolver()
    names = HostNames(resolver, now=clock)
    names.addresses(["scanner"])
    resolver.answer = OSError("no network")
    clock.now = 1000.0
    assert names.addresses(["scanner"]) == {"scanner": TEN}


def test_a_resolver_that_does_not_answer_is_not_waited_for_and_not_asked_twice(clock: Clock) -> None:
    resolver = Resolver()
    resolver.may_answer.clear()
    names = HostNames(resolver, wait_seconds=0.05, now=clock)
    started = time.monotonic()
    assert names.addresses(["one", "two"]) == {"one": frozenset(), "two": frozenset()}
    clock.now = 1e9
    assert names.addresses(["one"]) == {"one": frozenset()}
    assert 0.1 <= time.monotonic() - started < 2
    assert sorted(resolver.asked) == ["one", "two"]
    resolver.may_answer.set()
    assert HostNames(resolver).addresses(["one"]) == {"one": TEN}
    for thread in threading.enumerate():
        if thread.name.startswith("name-"):
            thread.join(20)


def test_no_thread_to_be_had_is_no_answer(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    names = HostNames(Resolver(), now=clock)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start)
        assert names.addresses(["scanner"]) == {"scanner": frozenset()}
    clock.now = 31.0
    assert names.addresses(["scanner"]) == {"scanner": TEN}


def test_this_machines_name_resolves() -> None:
    assert ip_address("127.0.0.1") in resolved("localhost") or ip_address("::1") in resolved("localhost")
    with pytest.raises((OSError, UnicodeError)):
        resolved("a..b")
