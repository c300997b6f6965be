"""The node is killed at random moments under load, and what it acknowledged is there when it starts again."""

import random
from pathlib import Path

from tests.checker import Checker, Ledger, Senders
from tests.served import ServedNode
from tests.faults import pause

_KILLS = 5


def test_kills_under_load_lose_nothing(tmp_path: Path) -> None:
    ledger, data_dir = Ledger(), tmp_path / "data"
    checker = Checker(ledger, data_dir)
    with ServedNode(data_dir, spool__min_free="0") as node:
        for round_number in range(_KILLS):
            with Senders(ledger, node.remote, round_number=round_number) as senders:
                pause(random.uniform(0.05, 0.8))
                node.kill()
                senders.stop()
            node.start()
            checker.check_new(node.remote).require_clean()
        report = checker.check(node.remote)
    report.require_clean()
    print(report.figures())
    assert not report.set_aside
    assert report.acknowledged
