"""SIGKILL while the state is written and while it is copied: what was recorded is there, no copy is torn."""

import contextlib
import os
import random
import signal
import subprocess
from pathlib import Path

import pytest

from pacsnode.state.base import every_event
from pacsnode.state.folder import StateFolder
from tests.state_writer import command

ROOT = Path(__file__).parents[2]


def killed_after(path: Path, first: int, said: int, what: str) -> list[str]:
    """Run the writer until it has said that many, kill it, and return all that it said."""
    writer = subprocess.Popen(
        command(path, first, what),
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
