"""D1: what was acknowledged survives a power cut, on each file system that one fsync is trusted on."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.checker import Checker, Instance, Ledger, Report, send_some
from tests.faults import Disk, Injection, disk, require_strace
from tests.prove.conftest import Effort
from tests.prove.power_cuts import Cuts, cut_repeatedly, set_aside
from tests.served import ServedNode

pytestmark = pytest.mark.prove


@pytest.mark.parametrize("file_system", ["ext4", "xfs"])
def test_d1_power_cut(file_system: str, effort: Effort, summary: Callable[[str], None]) -> None:
    least_cuts, least_acknowledged = effort.of(20, 300), effort.of(2_000, 50_000)

    def is_enough(cuts: Cuts) -> bool:
        return cuts.number >= least_cuts and len(cuts.ledger.acknowledged) >= least_acknowledged

    cuts = cut_repeatedly(file_system, is_enough=is_enough, mebibytes=effort.of(1024, 16_384))
    summary(f"D1 {file_system}: {cuts.number} cuts, {cuts.report.figures()}{set_aside(cuts.report)}")
    cuts.report.require_clean()


@pytest.mark.parametrize("file_system", ["ext4", "xfs"])
def test_d1_killed_before_the_sync_then_cut(
    file_system: str, tmp_path: Path, summary: Callable[[str], None]
) -> None:
    """What a killed process linked and did not sync is indexed at the next start, and must survive a cut then."""
    ledger = Ledger()
    with disk(file_system, mebibytes=512) as power, ServedNode(power.path / "data", spool__min_free="0") as node:
        _store_and_be_killed(node, ledger, "fsync", tmp_path / "log")
        assert not ledger.acknowledged
        send_some(ledger, node.remote, [Instance.numbered(1, 1, 1)])
        Checker(ledger, node.data_dir).check(node.remote).require_clean()  # waits until it is filed
        report = _cut_and_checked(power, node, ledger)
    summary(f"D1 {file_system}, killed before the fsync, then cut: {report.figures()}")
    report.require_clean()


@pytest.mark.parametrize("file_system", ["ext4", "xfs"])
def test_d1_killed_before_the_index_is_synced_then_cut(
    file_system: str, tmp_path: Path, summary: Callable[[str], None]
) -> None:
    """Spool entries that the next start drops as stored already must not outlive their rows."""
    ledger = Ledger()
    with disk(file_system, mebibytes=512) as power, ServedNode(power.path / "data", spool__min_free="0") as node:
        _store_and_be_killed(node, ledger, "fdatasync", tmp_path / "log", only=node.newest_thread())
        assert ledger.acknowledged
        send_some(ledger, node.remote, [Instance.numbered(2, 1, 1)])  # its fsync commits what the start removed
        report = _cut_and_checked(power, node, ledger)
    summary(f"D1 {file_system}, killed before the index is synced, then cut: {report.figures()}")
    report.require_clean()


def _store_and_be_killed(node: ServedNode, ledger: Ledger, call: str, log: Path, only: int | None = None) -> None:
    """Store one instance, be killed on entering the first such call, and start again."""
    require_strace()
    with Injection(node.pid, trace=call, inject=f"{call}:signal=KILL:when=1", log=log, only=only):
        send_some(ledger, node.remote, [Instance.numbered(1, 1, 1)])
        node.wait()
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
