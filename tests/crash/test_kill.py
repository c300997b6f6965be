"""The node is killed under load and at named points of one store; what it acknowledged is there again."""

import random
from pathlib import Path

import pytest

from tests.checker import Checker, Instance, Ledger, Senders, send_some
from tests.faults import Injection, pause, require_strace
from tests.served import ServedNode, has_ended

_KILLS = 4


def test_kills_under_load_lose_nothing(tmp_path: Path) -> None:
    ledger = Ledger()
    with ServedNode(tmp_path / "data", spool__min_free="0") as node:
        for round_number in range(_KILLS):
            with Senders(ledger, node.remote, round_number=round_number):
                pause(random.uniform(0.1, 0.6))
                node.kill()
            node.start()
        report = Checker(ledger, node.data_dir).check(node.remote)
    report.require_clean()
    assert not report.set_aside
    assert report.acknowledged


@pytest.mark.parametrize("replaced_by", ["the supervisor", "a restart"])
@pytest.mark.parametrize(
    ("call", "count", "role", "is_acknowledged"),
    [
        pytest.param("linkat", 1, "worker", False, id="complete and without a name"),
        pytest.param("fsync", 1, "worker", False, id="named and not durable"),
        pytest.param("pwrite64", 1, "worker", False, id="durable and not indexed"),
        pytest.param("sendmsg", 2, "worker", False, id="indexed and not acknowledged"),
        pytest.param("linkat", 1, "jobs", True, id="acknowledged and not in the storage"),
        pytest.param("pwrite64", 1, "jobs", True, id="in the storage and not recorded"),
        pytest.param("unlinkat", 1, "jobs", True, id="recorded and still in the spool"),
    ],
)
def test_kill_on_entering_a_call(
    call: str, count: int, role: str, is_acknowledged: bool, replaced_by: str, tmp_path: Path
) -> None:
    """The call that is named is the first that is not made, by the process of that role."""
    require_strace()
    ledger, instance = Ledger(), Instance.numbered(1, 1, 1)
    with ServedNode(tmp_path / "data", spool__min_free="0") as node:
        victim, inject = node.pid_of(role), f"{call}:signal=KILL:when={count}"
        only = node.newest_thread(role) if role == "jobs" else None
        with Injection(victim, trace=call, inject=inject, log=tmp_path / "log", only=only):
            send_some(ledger, node.remote, [instance])
            assert has_ended(victim)
        assert bool(ledger.acknowledged) == is_acknowledged
        if replaced_by == "a restart":
            node.kill()
            node.start()
        send_some(ledger, node.remote, [instance])  # as a modality does that had no answer
        report = Checker(ledger, node.data_dir).check(node.remote)
    report.require_clean()
    assert not report.set_aside
    assert report.acknowledged == 1
