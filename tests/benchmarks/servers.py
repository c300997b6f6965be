"""The servers that are measured, the node and the bare receiver, and what the kernel counts of them."""

import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
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
        self.pid = self._process.pid
        assert self._process.stdout is not None
        self.remote = Remote("BARE", "127.0.0.1", int(self._process.stdout.readline()))
        return self

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
    def of(cls, pid: int) -> "Cpu":
        """Return what a process, all its threads, has used (in steps of 10 ms)."""
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks = os.sysconf("SC_CLK_TCK")
        return cls(int(fields[11]) / ticks, int(fields[12]) / ticks)


def resident_mb(pid: int, *, peak: bool = False) -> float:
    """Return the resident memory of a process, now or at most since `forget_peak`, in MB of 2**20."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(rf"{'VmHWM' if peak else 'VmRSS'}:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


def forget_peak(pid: int) -> None:
    """Let the peak begin with what is resident now (proc(5), clear_refs)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def wake_ups(pid: int) -> int:
    """Return how often threads of a process went to sleep so far, each of which woke up again."""
    count = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        found = re.search(r"^voluntary_ctxt_switches:\s+(\d+)", status.read_text(), re.MULTILINE)
        assert found is not None
        count += int(found[1])
    return count


class SystemCalls:
    """Counts the system calls of a running process with strace, which slows it many times. A context manager."""

    def __init__(self, pid: int, report: Path) -> None:
        self._pid, self._report = pid, report

    @staticmethod
    def can_count() -> bool:
        """Whether strace is there."""
        return shutil.which("strace") is not None

    def __enter__(self) -> Self:
        command = ["strace", "-f", "-c", "-o", str(self._report), "-p", str(self._pid)]
        self._strace = subprocess.Popen(command, stderr=subprocess.PIPE)
        assert self._strace.stderr is not None
        said, deadline = b"", time.monotonic() + _START_SECONDS
        while b"attached" not in said:
            if not select.select([self._strace.stderr], [], [], max(0.0, deadline - time.monotonic()))[0]:
                break
            piece = os.read(self._strace.stderr.fileno(), 4096)
            if not piece:
                break
            said += piece
        if b"attached" not in said:
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
