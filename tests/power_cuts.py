"""A node on a disk whose power is cut again and again under load."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.checker import Checker, Ledger, Report, Senders
from tests.faults import Disk, disk, pause
from tests.served import PROGRAM, ServedNode

_LOAD_SECONDS = (0.3, 2.0)
_KILLED_FIRST = 5  # every so many cuts follow a killed process: what it left in the page cache is gone too
_WHOLE_CHECKS = 100  # cuts between two checks of everything


@dataclass(slots=True)
class Cuts:
    """How far a series of cuts has come."""

    number: int
    ledger: Ledger
    report: Report


def cut_repeatedly(
    file_system: str,
    *,
    is_enough: Callable[[Cuts], bool],
    program: Sequence[str] = PROGRAM,
    mebibytes: int = 4096,
) -> Cuts:
    """Cut the power until it is enough or something is wrong; return what was found at the last check."""
    ledger = Ledger()
    with disk(file_system, mebibytes=mebibytes) as power:
        data_dir = power.path / "data"
        cuts = Cuts(0, ledger, Report())
        checker = Checker(ledger, data_dir)
        with ServedNode(data_dir, program=program, spool__min_free="0") as node:
            while cuts.report.is_clean and not is_enough(cuts):
                cuts.number += 1
                _cut_once(power, node, ledger, cuts.number)
                is_whole = cuts.number % _WHOLE_CHECKS == 0
                cuts.report = checker.check(node.remote) if is_whole else checker.check_new(node.remote)
            if cuts.report.is_clean:
                cuts.report = checker.check(node.remote)
            if not cuts.report.is_clean:
                print(node.log())
            node.kill()
            power.unmount()
    return cuts


def _cut_once(power: Disk, node: ServedNode, ledger: Ledger, number: int) -> None:
    if number % _KILLED_FIRST == 0:
        with Senders(ledger, node.remote, round_number=2 * number):
            pause(random.uniform(*_LOAD_SECONDS))
            node.kill()
        node.start()
    with Senders(ledger, node.remote, round_number=2 * number + 1):
        pause(random.uniform(*_LOAD_SECONDS))
        power.cut()
        node.kill()
    power.unmount()
    power.power_on()
    node.start()


def set_aside(report: Report) -> str:
    """Return how many damaged files were set aside that nobody was promised, for a line of figures."""
    return f" ({len(report.set_aside)} unacknowledged set aside)" if report.set_aside else ""
