"""D2 and F7: what was acknowledged survives the death of the process, at any moment, and its orderly end."""

import contextlib
import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pacsnode.errors import NetworkError
from tests.checker import Checker, Instance, Ledger, Senders, send_some
from tests.faults import Injection, bounded, pause, require_strace
from tests.prove.conftest import Effort
from tests.served import ServedNode, is_filed

pytestmark = pytest.mark.prove

_LOAD_SECONDS = (0.02, 0.6)
_START_SECONDS = (0.2, 1.0)
_KILLED_WHILE_STARTING = 4  # every so many kills are followed by one before it listens
_STOP_SECONDS = 20.0

# Calls that change what is on the disk or what the peer knows: a quick proof leaves none of them out.
_CHANGING = frozenset(
    (
        "fdatasync",
        "fsync",
        "ftruncate",
        "linkat",
        "mkdirat",
        "openat",
        "pwrite64",
        "sendmsg",
        "unlinkat",
        "writev",
    )
)
# What threads call while they wait; a kill at one of them is a kill at a random moment.
_WAITING = frozenset(("futex", "poll", "ppoll", "select", "pselect6", "restart_syscall", "clock_nanosleep"))


def test_d2_kills_under_load(tmp_path: Path, effort: Effort, summary: Callable[[str], None]) -> None:
    ledger, kills = Ledger(), 0
    with ServedNode(tmp_path / "data", spool__min_free="0") as node:
        checker = Checker(ledger, node.data_dir)
        while kills < effort.of(100, 1_000):
            with Senders(ledger, node.remote, round_number=kills):
                pause(random.uniform(*_LOAD_SECONDS))
                node.kill()
            kills += 1
            if kills % _KILLED_WHILE_STARTING == 0:
                node.launch()
                pause(random.uniform(*_START_SECONDS))
                node.kill()
                kills += 1
            node.start()
            checker.check_new(node.remote).require_clean()
        report = checker.check(node.remote)
    summary(f"D2 under load: {kills} kills, {report.figures()}")
    report.require_clean()
    assert not report.set_aside


def test_d2_kill_at_every_call_of_a_store(
    tmp_path: Path, effort: Effort, summary: Callable[[str], None]
) -> None:
    """Kill on entering each system call that one store makes, in whichever thread, until it is filed."""
    require_strace()
    ledger = Ledger()
    with ServedNode(tmp_path / "data", spool__min_free="0") as node:
        checker = Checker(ledger, node.data_dir)
        points = _points(node, ledger, tmp_path / "calls")
        others = effort.of(10, 1)
        chosen = [point for at, point in enumerate(points) if point[0] in _CHANGING or at % others == 0]
        killed = 0
        for number, (call, count) in enumerate(chosen, start=1):
            inject = f"{call}:signal=KILL:when={count}"
            with Injection(node.pid, trace=call, inject=inject, log=tmp_path / "log"):
                with contextlib.suppress(NetworkError):  # killed before it took the association
                    send_some(ledger, node.remote, [Instance.numbered(number, 1, 1)])
                killed += _ends(node, 1.0)
            node.kill()
            node.start()
            left_over = ledger.taken_in_flight()
            send_some(ledger, node.remote, [left_over] if left_over else [])
            checker.check_new(node.remote).require_clean()
        report = checker.check(node.remote)
    summary(f"D2 at {len(chosen)} of {len(points)} calls of a store: {killed} kills, {report.figures()}")
    report.require_clean()
    assert not report.set_aside
    assert killed >= len(chosen) // 2


def _points(node: ServedNode, ledger: Ledger, log: Path) -> Sequence[tuple[str, int]]:
    """Return each call that a store makes and how many of its kind its thread has made then."""
    with Injection(node.pid, trace="all", inject=None, log=log) as watched:
        send_some(ledger, node.remote, [Instance.numbered(0, 1, 1)])
        assert is_filed(node.data_dir)
        pause(0.5)
        lines = watched.lines()
    counts = Counter[tuple[int, str]]()
    points: dict[tuple[str, int], None] = {}
    for thread, line in lines:
        call = line.partition("(")[0]
        if not call.isidentifier() or call in _WAITING:
            continue
        counts[thread, call] += 1
        points[call, counts[thread, call]] = None
    return list(points)


def _ends(node: ServedNode, seconds: float) -> bool:
    return any(not node.is_running() for _ in bounded(seconds))


def test_f7_sigterm_under_load(tmp_path: Path, summary: Callable[[str], None]) -> None:
    ledger, codes, slowest = Ledger(), Counter[int](), 0.0
    with ServedNode(tmp_path / "data", spool__min_free="0") as node:
        checker = Checker(ledger, node.data_dir)
        for number in range(50):
            with Senders(ledger, node.remote, round_number=number):
                pause(random.uniform(*_LOAD_SECONDS))
                code, seconds = node.terminate()
            codes[code] += 1
            slowest = max(slowest, seconds)
            node.start()
            checker.check_new(node.remote).require_clean()
        report = checker.check(node.remote)
    summary(f"F7: 50 times SIGTERM, exit codes {dict(codes)}, at most {slowest:.1f} s, {report.figures()}")
    report.require_clean()
    assert not report.set_aside
    assert codes == {0: 50}
    assert slowest < _STOP_SECONDS
