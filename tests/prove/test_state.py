"""D6b: what the state has taken survives a power cut, no copy is torn, and a full disk costs no image."""

import contextlib
import os
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pacsnode.errors import TemporaryError
from pacsnode.state.base import CustodyEvent, CustodyKind, State, every_event
from pacsnode.state.folder import StateFolder
from tests.faults import Disk, disk, pause
from tests.prove.conftest import Effort
from tests.served import ROOT
from tests.state_writer import command

pytestmark = pytest.mark.prove


@pytest.mark.parametrize("file_system", ["ext4", "xfs"])
def test_d6b_power_cut(file_system: str, effort: Effort, summary: Callable[[str], None]) -> None:
    recorded, copied, cuts = set[str](), set[str](), effort.of(10, 100)
    with disk(file_system, mebibytes=1024) as power:
        for number in range(cuts):
            what = ("events", "copies")[number % 2]
            said = _cut_while_writing(power, number * 100_000_000 + 1, what)
            (recorded if what == "events" else copied).update(said)
            with StateFolder(power.path / "state") as folder:
                opened = folder.open(holds=lambda: "something")
                assert opened.state is not None, opened.trouble
                with contextlib.closing(opened.state) as state:
                    kept = {one.event.detail for one in every_event(state)}
                assert folder.examined(opened.state.path, everything=True).trouble is None
                copies = folder.copies.list()
                for copy in copies:
                    folder.copies.check(copy)
            assert recorded <= kept, f"cut {number}: {len(recorded - kept)} events lost"
            assert copied <= {copy.name for copy in copies}, f"cut {number}: a copy is lost"
        power.unmount()
    assert recorded
    assert copied
    summary(
        f"D6b {file_system}: {cuts} cuts, {len(recorded)} events and {len(copied)} copies said durable, 0 lost, 0 torn"
    )


def _cut_while_writing(power: Disk, first: int, what: str) -> set[str]:
    """Return what a writer has said until the power went."""
    with subprocess.Popen(
        command(power.path / "state", first, what),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as writer:
        assert writer.stdout is not None
        said = writer.stdout.readline()
        pause(random.uniform(0.1, 1.0))
        power.cut()
        writer.kill()
        said += writer.stdout.read()
    power.unmount()
    power.power_on()
    return {line.decode() for line in said.split(b"\n")[:-1]}


@pytest.mark.parametrize("file_system", ["ext4", "xfs"])
def test_d6b_full_disk(file_system: str, summary: Callable[[str], None]) -> None:
    """Events are refused and none is half there; with space again the same file takes them."""
    with disk(file_system, mebibytes=384) as power, StateFolder(power.path / "state") as folder:
        opened = folder.open(holds=lambda: "")
        assert opened.state is not None, opened.trouble
        with contextlib.closing(opened.state) as state:
            state.record([_event("before")])
            _fill(power.path / "ballast")
            taken = _record_until_refused(state)
            kept = {one.event.detail for one in every_event(state)}
            assert kept == {"before", *(f"{number}-{part}" for number in range(taken) for part in range(20))}
            os.unlink(power.path / "ballast")
            state.record([_event("after")])
            assert "after" in {one.event.detail for one in every_event(state)}
        assert folder.examined(opened.state.path, everything=True).trouble is None
    summary(
        f"D6b {file_system}: a full disk refused events after {taken * 20}, and took them with space again"
    )


def _record_until_refused(state: State) -> int:
    """Record twenty events at a time; return how often that went well."""
    for number in range(100_000):
        try:
            state.record([_event(f"{number}-{part}") for part in range(20)])
        except TemporaryError:
            return number
    raise AssertionError("the disk does not get full")


def _event(detail: str) -> CustodyEvent:
    return CustodyEvent(CustodyKind.DAMAGED, 1, "test", detail, "." * 500)


def _fill(path: Path) -> None:
    """Take all space that there is, in smaller and smaller pieces."""
    with path.open("wb") as file:
        length, piece = 0, 64 << 20
        while piece >= 4096:
            try:
                os.posix_fallocate(file.fileno(), length, piece)
            except OSError:
                piece //= 2
            else:
                length += piece
