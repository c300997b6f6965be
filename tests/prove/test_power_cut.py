"""D1: what was acknowledged survives a power cut, on each file system that one fsync is trusted on."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.checker import Checker, Instance, Ledger, send_some
from tests.faults import Injection, disk, require_strace
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
    require_strace()
    ledger = Ledger()
    with disk(file_system, mebibytes=512) as power, ServedNode(power.path / "data", spool__min_free="0") as node:
        with Injection(node.pid, trace="fsync", inject="fsync:signal=KILL:when=1", log=tmp_path / "log"):
            send_some(ledger, node.remote, [Instance.numbered(1, 1, 1)])
            node.wait()
        assert not ledger.acknowledged
        node.start()
        send_some(ledger, node.remote, [Instance.numbered(1, 1, 1)])
        report = Checker(ledger, node.data_dir).check(node.remote)  # waits until it is filed
        report.require_clean()
        power.cut()
        node.kill()
        power.unmount()
        power.power_on()
        node.start()
        report = Checker(ledger, node.data_dir).check(node.remote)
        node.kill()
        power.unmount()
    summary(f"D1 {file_system}, killed before the fsync, then cut: {report.figures()}")
    report.require_clean()
    assert report.acknowledged == 1
