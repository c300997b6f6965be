"""`serve`: runs until it is told to stop."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Self

import pytest

from pacsnode.config.model import Config
from pacsnode.errors import OutOfResources
from pacsnode.processes import serve as module
from pacsnode.processes.serve import serve


class FakeNode:
    """A node that only tells what is done with it."""

    ae_title, port = "PACSNODE", 4711

    def __init__(self, config: Config) -> None:
        self.config = config
        made.append(self)
        self.states: list[str] = []

    def __enter__(self) -> Self:
        self.states.append("started")
        if failure:
            raise failure[0]
        return self

    def __exit__(self, *_: object) -> None:
        self.states.append("stopped")


made: list[FakeNode] = []
failure: list[Exception] = []


@pytest.fixture(autouse=True)
def process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What serve sets for its process is set back for the other tests."""
    made.clear()
    failure.clear()
    monkeypatch.setattr(module, "Node", FakeNode)
    interval = sys.getswitchinterval()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    sys.setswitchinterval(interval)
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it(tmp_path: Path, number: signal.Signals) -> None:
    config, told = Config.model_validate({"node": {"data_dir": str(tmp_path)}}), list[tuple[str, int]]()

    def ready(ae_title: str, port: int) -> None:
        told.append((ae_title, port))
        assert made[0].states == ["started"]
        os.kill(os.getpid(), number)

    serve(config, ready=ready)
    assert told == [("PACSNODE", 4711)]
    assert made[0].config is config
    assert made[0].states == ["started", "stopped"]


def test_more_signals_change_nothing(tmp_path: Path) -> None:
    def ready(_: str, __: int) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
            os.kill(os.getpid(), number)

    serve(Config(), ready=ready)
    assert made[0].states == ["started", "stopped"]


def test_threads_are_switched_often(tmp_path: Path) -> None:
    """One that computes would otherwise hold back the others for 5 ms at each system call."""
    intervals: list[float] = []

    def ready(_: str, __: int) -> None:
        intervals.append(sys.getswitchinterval())
        os.kill(os.getpid(), signal.SIGTERM)

    serve(Config(), ready=ready)
    assert intervals[0] <= 0.001


def test_a_node_that_does_not_start_is_told() -> None:
    failure.append(OutOfResources("used by another"))
    with pytest.raises(OutOfResources):
        serve(Config())


def test_it_runs_in_another_thread_without_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Signals belong to the main thread; who runs it elsewhere stops it in another way."""
    before = signal.getsignal(signal.SIGTERM)
    stops: list[SimpleQueue[None]] = []

    class Watched:
        """The queue that is made, where the test can put something into it."""

        def __new__(cls) -> SimpleQueue[None]:
            stops.append(SimpleQueue())
            return stops[-1]

        def __class_getitem__(cls, _: object) -> object:
            return cls

    def run(function: Callable[[], None]) -> None:
        thread = threading.Thread(target=function)
        thread.start()
        thread.join(20)
        assert not thread.is_alive()

    monkeypatch.setattr(module, "SimpleQueue", Watched)
    run(lambda: serve(Config(), ready=lambda *_: stops[0].put(None)))
    assert made[0].states == ["started", "stopped"]
    assert signal.getsignal(signal.SIGTERM) is before
