"""D3: a write, link or sync that fails is never answered with Success."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pacsnode.dimse.status import StorageStatus
from tests.checker import Checker, Instance, Ledger, Report, send_some
from tests.faults import Injection, require_strace
from tests.served import ServedNode, is_filed

pytestmark = pytest.mark.prove

_STORES = 12
_ERRORS = ("EIO", "ENOSPC", "EDQUOT", "EROFS")
_EACH, _SOME = "1+", "2+3"  # strace's when=: each call of a thread; the second, fifth, eighth...


@dataclass(slots=True)
class Tally:
    """Stores in which a call of the association's own thread was made to fail."""

    failed: int = 0
    false_successes: int = 0


@pytest.mark.parametrize(
    ("call", "errors", "some"),
    [
        ("writev", _ERRORS, _SOME),
        ("linkat", _ERRORS, _SOME),
        ("fsync", _ERRORS, _SOME),
        ("fdatasync", _ERRORS, _SOME),
        ("pwrite64", _ERRORS, "3+40"),  # a commit makes a dozen
        ("openat", ("EMFILE", "ENFILE", "ENOSPC", "EROFS"), _SOME),
    ],
)
def test_d3_failing_call(
    call: str, errors: tuple[str, ...], some: str, tmp_path: Path, summary: Callable[[str], None]
) -> None:
    require_strace()
    tally, whole = Tally(), Report()
    runs = [(error, when) for error in errors for when in (_EACH, some)]
    for number, (error, when) in enumerate(runs):
        report = _stored_while_failing(f"{call}:error={error}:when={when}", tmp_path / str(number), tally)
        whole.acknowledged += report.acknowledged
        whole.lost += report.lost
        whole.torn += report.torn
        whole.stray += report.stray
    summary(
        f"D3 {call} ({', '.join(errors)}): failed in {tally.failed} of {_STORES * len(runs)} stores, "
        f"{tally.false_successes} false Success; {whole.figures()}"
    )
    whole.require_clean()
    assert tally.failed, "nothing was made to fail"
    assert tally.false_successes == 0


def _stored_while_failing(inject: str, home: Path, tally: Tally) -> Report:
    """Store while calls fail, then while they work; return what is there after a kill and a start."""
    home.mkdir()
    ledger, first, last = Ledger(), Instance.numbered(1, 1, 1), Instance.numbered(3, 1, 1)
    with ServedNode(home / "data", spool__min_free="0") as node:
        send_some(ledger, node.remote, [first])
        assert is_filed(node.data_dir)
        call = inject.partition(":")[0]
        with Injection(node.pid, trace=call, inject=inject, log=home / "log") as injection:
            send_some(ledger, node.remote, _watched(node, ledger, injection, tally))
        assert set(ledger.refused) <= {StorageStatus.OUT_OF_RESOURCES}, (
            f"{inject}: {ledger.refused}\n{node.log()}"
        )
        assert not ledger.in_flight, f"{inject}: the association did not live on\n{node.log()}"
        send_some(ledger, node.remote, [last])
        assert last.sop_instance_uid in ledger.acknowledged, f"{inject}: no Success afterwards\n{node.log()}"
        node.kill()
        node.start()
        return Checker(ledger, node.data_dir).check(node.remote)


def _watched(node: ServedNode, ledger: Ledger, injection: Injection, tally: Tally) -> Iterator[Instance]:
    """Yield instances to send one after the other, and look behind each whether a call failed for it.

    The association's thread is the newest. The one that files has failures of its own, no reason to refuse.
    """
    thread = node.newest_thread()
    for number in range(1, _STORES + 1):
        instance = Instance.numbered(2, 1, number)
        yield instance
        is_failed = any(tid == thread and "(INJECTED)" in line for tid, line in injection.lines())
        tally.failed += is_failed
        tally.false_successes += is_failed and instance.sop_instance_uid in ledger.acknowledged
