"""D4: a full disk costs an 0xA700 for each instance, and nothing else; it works again when there is space."""

import os
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from pacsnode.dimse.scu import echo
from pacsnode.dimse.status import StorageStatus
from pacsnode.spool import Entry
from tests.checker import CALLER, Checker, Instance, Ledger, send_some
from tests.faults import bounded, disk
from tests.served import ServedNode

pytestmark = pytest.mark.prove

_REFUSED = 20  # instances to send to a disk that is full
_RECOVERED_SECONDS = 5.0


@pytest.mark.parametrize("file_system", ["ext4", "xfs"])
@pytest.mark.parametrize("min_free", ["0", "32 MiB"])
def test_d4_disk_full(file_system: str, min_free: str, summary: Callable[[str], None]) -> None:
    """With `spool.min_free` a store is refused before space runs out; without, any write may fail."""
    ledger = Ledger()
    with disk(file_system, mebibytes=384) as power:
        with ServedNode(power.path / "data", spool__min_free=min_free) as node:
            _ballast(power.path, leave=48 << 20)
            _send_until_refused(node, ledger)
            refused = _refused(node, ledger)
            _require_whole_entries(node.data_dir / "spool")
            os.unlink(power.path / "ballast")
            seconds = _seconds_to_success(node, ledger)
            node.kill()
            node.start()
            report = Checker(ledger, node.data_dir).check(node.remote)
        power.unmount()
    summary(
        f"D4 {file_system}, min_free {min_free}: {refused} of {_REFUSED} refused with 0xA700, "
        f"Success {seconds:.2f} s after space came back, {report.figures()}"
    )
    report.require_clean()
    assert not report.set_aside
    assert seconds < _RECOVERED_SECONDS


def _ballast(folder: Path, *, leave: int) -> None:
    status = os.statvfs(folder)
    with open(folder / "ballast", "wb") as file:
        os.posix_fallocate(file.fileno(), 0, status.f_bavail * status.f_frsize - leave)


def _send_until_refused(node: ServedNode, ledger: Ledger) -> None:
    numbers = count(1)
    for _ in bounded(120):
        send_some(ledger, node.remote, [Instance.numbered(1, 1, next(numbers)) for _ in range(20)])
        if ledger.refused:
            return
    raise AssertionError("the disk does not get full")


def _refused(node: ServedNode, ledger: Ledger) -> int:
    """Send more over one association, which must live on; return how many of them were refused."""
    before = ledger.refused.total()
    send_some(ledger, node.remote, [Instance.numbered(2, 1, number) for number in range(1, _REFUSED + 1)])
    assert not ledger.in_flight, node.log()
    assert set(ledger.refused) == {StorageStatus.OUT_OF_RESOURCES}, node.log()
    echo(CALLER, node.remote)
    return ledger.refused.total() - before


def _require_whole_entries(spool: Path) -> None:
    """What was refused has left nothing: each file of the spool is as long as its name says."""
    for path in (spool / "ready").iterdir():
        entry = Entry.parse(path.name)
        assert entry is not None, f"a stray file {path.name}"
        assert entry.length == path.stat().st_size, f"a partial file {path.name}"


def _seconds_to_success(node: ServedNode, ledger: Ledger) -> float:
    started, numbers = time.monotonic(), count(1)
    for _ in bounded(60):
        instance = Instance.numbered(3, 1, next(numbers))
        send_some(ledger, node.remote, [instance])
        if instance.sop_instance_uid in ledger.acknowledged:
            return time.monotonic() - started
    raise AssertionError(f"no Success after space came back\n{node.log()}")
