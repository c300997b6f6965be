"""`pacsnode serve` as a process of its own, started and ended by a test."""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from pacsnode.dimse.scu import Remote
from tests.canary import assert_no_patient
from tests.faults import bounded

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = (sys.executable, "-m", "pacsnode")

_FILED_SECONDS = 60.0
_START_SECONDS = 60.0
_END_SECONDS = 60.0


def has_ended(pid: int) -> bool:
    """Wait until a child of a node has ended and its supervisor knows it; false if that takes too long."""
    return any(not Path(f"/proc/{pid}").exists() for _ in bounded(_END_SECONDS))


def is_filed(data_dir: Path) -> bool:
    """Wait until nothing is left in the spool; false if that takes too long."""
    return any(not any((data_dir / "spool" / "ready").iterdir()) for _ in bounded(_FILED_SECONDS))


class ServedNode:
    """A node that runs on a data folder, with all its processes in one process group. A context manager.

    `settings` are configuration keys as `spool__min_free`; `program` is what is run in place of pacsnode,
    `options` are further ones of `serve`.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        program: Sequence[str] = PROGRAM,
        options: Sequence[str] = (),
        **settings: str,
    ) -> None:
        self.data_dir = data_dir
        self._command = [
            *program,
            "serve",
            "--data-dir",
            str(data_dir),
            "--port",
            "0",
            "--allow-all",
            "--json",
            *options,
        ]
        overrides = {f"PACSNODE_{key.upper()}": value for key, value in settings.items()}
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("PACSNODE_")}
        self._environment = {**inherited, **overrides, "PACSNODE_CONFIG": os.devnull}
        self.inherits: tuple[int, ...] = ()  # descriptors
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__

    def launch(self) -> None:
        """Start the process, and do not wait until it listens."""
        self.process = subprocess.Popen(
            self._command,
            cwd=ROOT,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,
            pass_fds=self.inherits,
        )

    def start(self) -> Self:
        """Start the process and wait until it listens."""
        self.launch()
        started, said = time.monotonic(), b""
        assert self.process.stdout is not None
        while b"\n" not in said:
            left = started + _START_SECONDS - time.monotonic()
            piece = b""
            if left > 0 and select.select([self.process.stdout], [], [], left)[0]:
                piece = os.read(self.process.stdout.fileno(), 4096)
            if not piece:
                self.kill()
                raise AssertionError(f"the node does not listen; it said:\n{said.decode()}{self.log()}")
            said += piece
        listening = json.loads(said.splitlines()[0])["listening"]
        self.remote = Remote(listening["ae_title"], "127.0.0.1", listening["port"])
        return self

    @property
    def pid(self) -> int:
        """The process that was started, the supervisor, which is also its process group."""
        return self.process.pid

    def pids(self) -> list[int]:
        """All processes: the supervisor, and its children in the order of their start."""
        with suppress(OSError):
            children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
            return [self.pid, *map(int, children)]
        return [self.pid]

    def pid_of(self, role: str, number: int = 0) -> int:
        """The process that is the jobs, or the worker of that number, once there is one."""
        title = role if role == "jobs" else f"{role}-{number}"
        for _ in bounded(_START_SECONDS):
            for pid in self.pids():
                with suppress(OSError):
                    if f"pacsnode-{title}".encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                        return pid
        raise AssertionError(f"there is no {role} {number}\n{self.log()}")

    def newest_thread(self, role: str = "worker") -> int:
        """The thread of a process that was started last: an association's if there is one, or the one that files."""
        return max(map(int, os.listdir(f"/proc/{self.pid_of(role)}/task")))

    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self.process.poll() is None

    def kill(self) -> None:
        """SIGKILL to the whole process group; nothing happens if it was waited for."""
        if self.process.returncode is None:  # until then the number belongs to this process and no other
            os.killpg(self.process.pid, signal.SIGKILL)
        self.wait()

    def terminate(self) -> tuple[int, float]:
        """SIGTERM, as from a service manager; return the exit code and the seconds that the end took."""
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        return self.wait(), time.monotonic() - started

    def wait(self) -> int:
        """Wait until it has ended, and return the exit code."""
        code = self.process.wait(_END_SECONDS)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def log(self) -> str:
        """What it has written to standard error so far, from all its starts."""
        descriptor = self._log.fileno()  # the process writes where we would seek to
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode(errors="replace")

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, kind: type[BaseException] | None = None, *_: object) -> None:
        if hasattr(self, "process"):
            self.kill()
        written = self.log()
        self._log.close()
        if kind is None:
            assert_no_patient(written)
