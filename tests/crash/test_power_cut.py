"""Power cuts: a few under load, and those that come after a killed process.

A process that is killed leaves in the page cache what it has not synced. The next start must not build on
that: both cases here were lost before recovery synced what it found.
"""

from pathlib import Path

import pytest

from tests.checker import Checker, Instance, Ledger, Report, send_some
from tests.faults import Disk, Injection, disk, require_strace
from tests.power_cuts import Cuts, cut_repeatedly
from tests.served import ServedNode, has_ended

_CUTS = 2


def test_cuts_under_load_lose_nothing() -> None:
    def is_enough(cuts: Cuts) -> bool:
        return cuts.number >= _CUTS

    cuts = cut_repeatedly("ext4", is_enough=is_enough)
    cuts.report.require_clean()
    assert cuts.report.acknowledged


@pytest.mark.parametrize("file_system", ["ext4", "xfs"])
def test_killed_before_the_sync_then_cut(file_system: str, tmp_path: Path) -> None:
    """What a killed process linked and did not sync is indexed at the next start; a cut must not take it."""
    ledger = Ledger()
    with (
        disk(file_system, mebibytes=512) as power,
        ServedNode(power.path / "data", spool__min_free="0") as node,
    ):
        _store_and_be_killed(node, ledger, "worker", "fsync", tmp_path / "log")
        assert not ledger.acknowledged
        send_some(ledger, node.remote, [Instance.numbered(1, 1, 1)])
        Checker(ledger, node.data_dir).check(node.remote).require_clean()  # waits until it is filed
        report = _cut_and_checked(power, node, ledger)
    report.require_clean()


@pytest.mark.parametrize("file_system", ["ext4", "xfs"])
def test_killed_before_the_index_is_synced_then_cut(file_system: str, tmp_path: Path) -> None:
    """Spool entries that the next start drops as stored already must not outlive their rows."""
    ledger = Ledger()
    with (
        disk(file_system, mebibytes=512) as power,
        ServedNode(power.path / "data", spool__min_free="0") as node,
    ):
        _store_and_be_killed(node, ledger, "jobs", "fdatasync", tmp_path / "log")
        assert ledger.acknowledged
        send_some(
            ledger, node.remote, [Instance.numbered(2, 1, 1)]
        )  # its fsync commits what the start removed
        report = _cut_and_checked(power, node, ledger)
    report.require_clean()


def _store_and_be_killed(node: ServedNode, ledger: Ledger, role: str, call: str, log: Path) -> None:
    """Store one instance, let a process be killed on entering the first such call, and start all again."""
    require_strace()
    victim = node.pid_of(role)
    only = node.newest_thread(role) if role == "jobs" else None
    with Injection(victim, trace=call, inject=f"{call}:signal=KILL:when=1", log=log, only=only):
        send_some(ledger, node.remote, [Instance.numbered(1, 1, 1)])
        assert has_ended(victim)
    node.kill()
    node.start()


def _cut_and_checked(power: Disk, node: ServedNode, ledger: Ledger) -> Report:
    power.cut()
    node.kill()
    power.unmount()
    power.power_on()
    node.start()
    report = Checker(ledger, node.data_dir).check(node.remote)
    node.kill()
    power.unmount()
    return report
