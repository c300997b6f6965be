"""A program that writes a state as fast as it can until it is ended: `python -m tests.state_writer FOLDER FIRST WHAT`.

It records events from two threads. With WHAT `events` it says the number of each once it is durable; with `copies` it
copies the state without a pause and says the name of each copy.
"""

import os
import sys
import threading
from pathlib import Path

from pacsnode.state.base import CustodyEvent, CustodyKind, State
from pacsnode.state.folder import StateFolder


def command(folder: Path, first: int, what: str) -> list[str]:
    """Return the command that runs it."""
    return [sys.executable, "-m", "tests.state_writer", str(folder), str(first), what]


def _record(state: State, numbers: range, *, says: bool) -> None:
    for number in numbers:
        state.record([CustodyEvent(CustodyKind.DAMAGED, 1, "test", str(number), "." * 500)])
        if says:
            _say(str(number))


def _copy(folder: StateFolder, state: State, first: int) -> None:
    for number in range(first, first + 1_000_000):
        unfinished = folder.copies.unfinished()
        revision = state.copy(unfinished, stop=lambda: False)
        assert revision is not None
        _say(folder.copies.publish(unfinished, revision=revision, made_at_ms=number * 1000).name)


def _say(text: str) -> None:
    os.write(1, f"{text}\n".encode())


def _main(path: str, first: int, what: str) -> None:
    folder = StateFolder(Path(path))
    opened = folder.open(holds=lambda: "")
    assert opened.state is not None, opened.trouble
    for thread in range(2):
        numbers = range(first + thread, first + 10_000_000, 2)
        threading.Thread(
            target=_record, args=(opened.state, numbers), kwargs={"says": what == "events"}, daemon=True
        ).start()
    if what == "copies":
        _copy(folder, opened.state, first)
    threading.Event().wait()


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
