"""D3: a write, link or sync that fails is never answered with Success."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from pacsnode.dimse.association.requestor import associate
from pacsnode.dimse.association.sender import Sender
from pacsnode.dimse.status import StorageStatus
from tests.checker import CALLER, CONTEXTS, Checker, Instance, Ledger, send_one, send_some
from tests.faults import Injection, require_strace
from tests.served import ServedNode

pytestmark = pytest.mark.prove

_STORES = 12

# Calls of the way from the socket to the acknowledgement, and how they can fail (write(2), fsync(2), link(2)).
_FAILURES = (
    ("writev", "EIO"),
    ("writev", "ENOSPC"),
    ("writev", "EDQUOT"),
    ("writev", "EROFS"),
    ("linkat", "EIO"),
    ("linkat", "ENOSPC"),
    ("linkat", "EDQUOT"),
    ("linkat", "EROFS"),
    ("fsync", "EIO"),
    ("fsync", "ENOSPC"),
    ("fsync", "EDQUOT"),
    ("fsync", "EROFS"),
    ("pwrite64", "EIO"),
    ("pwrite64", "ENOSPC"),
    ("pwrite64", "EDQUOT"),
    ("pwrite64", "EROFS"),
    ("fdatasync", "EIO"),
    ("openat", "EROFS"),
    ("openat", "EMFILE"),
)


@dataclass(slots=True)
class _Tally:
    """Stores with a failed call of the association's own thread, and what was answered."""

    failed: int = 0
    false_successes: int = 0
    successes: int = 0


@pytest.mark.parametrize("when", ["1+", "2+3"], ids=["each", "every-third"])
@pytest.mark.parametrize(("call", "error"), _FAILURES)
def test_d3_failing_call(
    call: str, error: str, when: str, tmp_path: Path, summary: Callable[[str], None]
) -> None:
    require_strace()
    ledger, tally = Ledger(), _Tally()
    with ServedNode(tmp_path / "data", spool__min_free="0") as node:
        checker = Checker(ledger, node.data_dir)
        inject = f"{call}:error={error}:when={when}"
        with Injection(node.pid, trace=call, inject=inject, log=tmp_path / "log") as injection:
            _store_one_after_the_other(node, ledger, injection, tally)
        send_some(ledger, node.remote, [Instance.numbered(2, 1, 1), Instance.numbered(2, 1, 2)])
        recovered = Instance.numbered(2, 1, 2).sop_instance_uid in ledger.acknowledged
        node.kill()
        node.start()
        report = checker.check(node.remote)
    summary(
        f"D3 {call} {error} {when}: {tally.failed} of {_STORES} stores had a failed call, "
        f"{tally.false_successes} false Success, {report.figures()}"
    )
    report.require_clean()
    assert tally.false_successes == 0
    assert set(ledger.refused) <= {StorageStatus.OUT_OF_RESOURCES}
    assert recovered, "no Success after the calls work again"
    assert tally.failed or call in ("fdatasync", "openat"), "nothing was made to fail"


def _store_one_after_the_other(
    node: ServedNode, ledger: Ledger, injection: Injection, tally: _Tally
) -> None:
    before = _threads(node)
    conversation = associate(CALLER, node.remote, CONTEXTS)
    (thread,) = _threads(node) - before
    sender = Sender(conversation)
    for number in range(1, _STORES + 1):
        status = send_one(ledger, conversation, sender, Instance.numbered(1, 1, number))
        is_failed = any(tid == thread and "(INJECTED)" in line for tid, line in injection.lines())
        tally.failed += is_failed
        tally.false_successes += is_failed and status == StorageStatus.SUCCESS
    conversation.release()


def _threads(node: ServedNode) -> set[int]:
    return set(map(int, os.listdir(f"/proc/{node.pid}/task")))
