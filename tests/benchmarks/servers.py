"""The servers that are measured, the node and the bare receiver, and what the kernel counts of them."""

import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Self

from pacsnode.dimse.scu import Remote
from tests.served import ROOT, ServedNode, is_filed

_FLUSHES = frozenset(("fsync", "fdatasync", "sync_file_range", "syncfs", "msync"))
_START_SECONDS = 60.0


class BareReceiver:
    """`bare_receiver.py` as a process. A context manager."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.bare_receiver", "0", str(self.data_dir)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
        )
        self._pids = [self._process.pid]
        assert self._process.stdout is not None
        self.remote = Remote("BARE", "127.0.0.1", int(self._process.stdout.readline()))
        return self

    def pids(self) -> list[int]:
        """All its processes."""
        return self._pids

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


def settle(server: BareReceiver | ServedNode) -> None:
    """Wait until nothing of what was sent remains to be done, so that the next one measured does not pay for it."""
    if isinstance(server, ServedNode) and not is_filed(server.data_dir):
        raise RuntimeError("the node does not file what is in its spool")


@dataclass(frozen=True)
class Cpu:
    """Seconds of processor time in the program and in the kernel."""

    user: float
    system: float

    @classmethod
    def of(cls, pids: Iterable[int]) -> "Cpu":
        """Return what processes, all their threads, have used (in steps of 10 ms)."""
        fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
        ticks = os.sysconf("SC_CLK_TCK")
        return cls(*(sum(int(one[at]) for one in fields) / ticks for at in (11, 12)))


def resident_mb(pid: int, *, peak: bool = False) -> float:
    """Return the resident memory of a process, now or at most since `forget_peak`, in MB of 2**20."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(rf"{'VmHWM' if peak else 'VmRSS'}:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


def forget_peak(pid: int) -> None:
    """Let the peak begin with what is resident now (proc(5), clear_refs)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def wake_ups(pids: Iterable[int]) -> int:
    """Return how often threads of processes went to sleep so far, each of which woke up again."""
    count = 0
    for status in chain.from_iterable(Path(f"/proc/{pid}/task").glob("*/status") for pid in pids):
        found = re.search(r"^voluntary_ctxt_switches:\s+(\d+)", status.read_text(), re.MULTILINE)
        assert found is not None
        count += int(found[1])
    return count


class SystemCalls:
    """Counts the system calls of running processes with strace, which slows them many times. A context manager."""

    def __init__(self, pids: Iterable[int], report: Path) -> None:
        self._pids, self._report = list(pids), report

    @staticmethod
    def can_count() -> bool:
        """Whether strace is there."""
        return shutil.which("strace") is not None

    def __enter__(self) -> Self:
        attached = [word for pid in self._pids for word in ("-p", str(pid))]
        command = ["strace", "-f", "-c", "-o", str(self._report), *attached]
        self._strace = subprocess.Popen(command, stderr=subprocess.PIPE)
        assert self._strace.stderr is not None
        said, deadline = b"", time.monotonic() + _START_SECONDS
        while said.count(b" attached") < len(self._pids):
            if not select.select([self._strace.stderr], [], [], max(0.0, deadline - time.monotonic()))[0]:
                break
            piece = os.read(self._strace.stderr.fileno(), 4096)
            if not piece:
                break
            said += piece
        if said.count(b" attached") < len(self._pids):
            self._strace.kill()
            raise RuntimeError(f"strace does not attach: {said!r}")
        return self

    def __exit__(self, *_: object) -> None:
        self._strace.send_signal(signal.SIGINT)
        self._strace.communicate()
        self.calls: dict[str, int] = {}
        for line in self._report.read_text().splitlines():
            words = line.split()
            if len(words) >= 5 and words[3].isdigit() and words[-1] != "total":
                self.calls[words[-1]] = int(words[3])

    @property
    def flushes(self) -> int:
        """How many of them wait for the disk or start writing to it."""
        return sum(self.calls.get(name, 0) for name in _FLUSHES)

    @property
    def total(self) -> int:
        """How many there were."""
        return sum(self.calls.values())
