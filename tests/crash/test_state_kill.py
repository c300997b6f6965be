"""SIGKILL while the state is written and while it is copied: what was recorded is there, no copy is torn."""

import contextlib
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pacsnode.state.base import every_event
from pacsnode.state.folder import StateFolder

ROOT = Path(__file__).parents[2]

# Records from two threads and says each event once it is durable; or copies without a pause, and says each copy.
WRITER = """
import os, sys, threading
from pathlib import Path
from pacsnode.state.base import CustodyEvent, CustodyKind
from pacsnode.state.folder import StateFolder

folder, first, copies = StateFolder(Path(sys.argv[1])), int(sys.argv[2]), sys.argv[3] == "copies"
state, lock = folder.open(holds=lambda: "").state, threading.Lock()

def say(text):
    with lock:
        os.write(1, f"{text}\\n".encode())

def record(thread):
    for number in range(1_000_000):
        detail = f"{first + number * 2 + thread}"
        state.record([CustodyEvent(CustodyKind.DAMAGED, 1, "test", detail, "." * 500)])
        if not copies:
            say(detail)

def copy():
    for number in range(1_000_000):
        unfinished = folder.copies.unfinished()
        revision = state.copy(unfinished, stop=lambda: False)
        say(folder.copies.publish(unfinished, revision=revision, made_at_ms=(first + number) * 1000).name)

for thread in range(2):
    threading.Thread(target=record, args=(thread,)).start()
if copies:
    copy()
"""


def killed_after(path: Path, first: int, said: int, what: str) -> list[str]:
    """Run the writer until it has said that many, kill it, and return all that it said."""
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(first), what],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env=os.environ,
    )
    assert writer.stdout is not None
    lines = [writer.stdout.readline() for _ in range(said)]
    os.kill(writer.pid, signal.SIGKILL)
    lines += writer.stdout.readlines()
    writer.stdout.close()
    assert writer.wait(10) == -signal.SIGKILL
    return [line.decode().strip() for line in lines if line.endswith(b"\n")]


@pytest.mark.parametrize("seed", range(3))
def test_what_was_recorded_survives_sigkill(tmp_path: Path, seed: int) -> None:
    recorded: list[str] = []
    for round_ in range(3):
        count = random.Random(seed * 100 + round_).randrange(1, 200)
        recorded += killed_after(tmp_path / "state", 1 + round_ * 10_000_000, count, "events")
        with StateFolder(tmp_path / "state") as folder:
            opened = folder.open(holds=lambda: "something")
            assert opened.state is not None, opened.trouble
            with contextlib.closing(opened.state) as state:
                kept = [one.event.detail for one in every_event(state)]
            assert folder.examined(opened.state.path, everything=True).trouble is None
        assert set(recorded) <= set(kept)
        assert len(kept) - len(recorded) <= 2 * (round_ + 1)


@pytest.mark.parametrize("seed", range(3))
def test_copies_that_are_there_are_whole_after_sigkill(tmp_path: Path, seed: int) -> None:
    said: list[str] = []
    for round_ in range(3):
        count = random.Random(seed * 100 + round_).randrange(1, 8)
        said += killed_after(tmp_path / "state", 1 + round_ * 10_000_000, count, "copies")
        with StateFolder(tmp_path / "state") as folder:
            opened = folder.open(holds=lambda: "something")
            assert opened.state is not None, opened.trouble
            opened.state.close()
            copies = folder.copies.list()
            for copy in copies:
                folder.copies.check(copy)
            assert set(said) <= {copy.name for copy in copies}
            assert len(copies) - len(said) <= round_ + 1
            assert {path.name for path in folder.copies.path.iterdir()} <= {
                "unfinished",
                *(copy.name for copy in copies),
            }
