"""SIGKILL in the middle of adds: what was acknowledged is there, and the kept counts are true."""

import contextlib
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pacsnode.index.sqlite import SqliteIndex
from tests.index_checks import inconsistencies

ROOT = Path(__file__).parents[2]

# Adds from four threads with duplicates under `replace`, and says each token once it is acknowledged.
ADDER = """
import os, sys, threading
from pathlib import Path
from pacsnode.duplicates import DuplicatePolicy
from pacsnode.index.base import Adding
from pacsnode.index.sqlite import SqliteIndex
from tests.unit.index.arriving import arrival

index, first, lock = SqliteIndex(Path(sys.argv[1])), int(sys.argv[2]), threading.Lock()

def adds(thread):
    for number in range(1_000_000):
        token = first + number * 4 + thread
        uid = f"1.2.{token % 7}.{token % 3}.{token % 500}"
        one = arrival(token, uid, Modality=("CT", "MR")[token % 2], PatientID=f"P{token % 5}")
        added = index.add(one, DuplicatePolicy.REPLACE)
        if added.adding is Adding.COMPARE:
            known = frozenset(version.instance_id for version in added.versions)
            added = index.add(one, DuplicatePolicy.REPLACE, known_different=known)
        if added.adding is not Adding.COMPARE:
            with lock:
                os.write(1, f"{token}\\n".encode())

for thread in range(4):
    threading.Thread(target=adds, args=(thread,)).start()
"""


def killed_after(path: Path, first: int, acknowledged: int) -> list[int]:
    """Run the adder until it has acknowledged that many, kill it, and return all that it acknowledged."""
    adder = subprocess.Popen(
        [sys.executable, "-c", ADDER, str(path), str(first)], stdout=subprocess.PIPE, cwd=ROOT, env=os.environ
    )
    assert adder.stdout is not None
    lines = [adder.stdout.readline() for _ in range(acknowledged)]
    os.kill(adder.pid, signal.SIGKILL)
    lines += adder.stdout.readlines()
    adder.stdout.close()
    assert adder.wait(10) == -signal.SIGKILL
    return [int(line) for line in lines if line.endswith(b"\n")]


@pytest.mark.parametrize("seed", range(3))
def test_what_was_acknowledged_survives_sigkill(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "index.db"
    acknowledged: list[int] = []
    for round_number in range(3):
        count = random.Random(seed * 100 + round_number).randrange(1, 400)
        acknowledged += killed_after(path, 1 + round_number * 10_000_000, count)
        with contextlib.closing(SqliteIndex(path)) as index:
            assert inconsistencies(index) == {}
            assert index.verify() == []
            kept = {one.token for page in index.everything() for one in page}
            assert set(acknowledged) <= kept
            assert len(kept) - len(acknowledged) <= 4 * (round_number + 1)
