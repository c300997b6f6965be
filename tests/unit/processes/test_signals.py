"""Signals as something to select on."""

import os
import select
import signal
from collections.abc import Iterator

import pytest

from pacsnode.processes.signals import SIGNALS, Signals


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """They stay after a `Signals`; other tests want them as they were."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_each_signal_is_read_once_and_in_order() -> None:
    with Signals() as signals:
        assert signals.received() == []
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGTERM):
            os.kill(os.getpid(), number)
        assert select.select([signals], [], [], 20)[0]
        assert signals.received() == [signal.SIGHUP, signal.SIGTERM, signal.SIGTERM]
        assert signals.received() == []


def test_what_woke_before_wakes_again_and_the_handlers_stay() -> None:
    with Signals():
        pass
    assert signal.set_wakeup_fd(-1) == -1
    os.kill(os.getpid(), signal.SIGTERM)  # and nothing happens
