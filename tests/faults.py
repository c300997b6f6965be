"""Faults that tests cause: a disk that loses its power, system calls that fail or kill, and what they need.

A killed process proves little about a power cut, since the page cache survives it. `Disk` is an image file on
a loop device; `cut` asks its file system to shut down at once (the same ioctl on ext4 and xfs) and not to
flush its log, so that dirty pages and the running transaction are gone as after a power failure. `power_on`
replays the journal.

`Injection` attaches strace to a running process and makes chosen system calls fail, or kills the process on
entering one: the call itself is not executed then.
"""

import fcntl
import os
import re
import select
import shutil
import signal
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import pytest

# _IOR('X', 125, __u32): EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN. 2 is NOLOGFLUSH of both.
_SHUTDOWN = 2 << 30 | 4 << 16 | ord("X") << 8 | 125
_NO_LOG_FLUSH = struct.pack("I", 2)
_POLL_SECONDS = 0.02


def bounded(seconds: float) -> Iterator[float]:
    """Yield the seconds that are left, again and again with a short wait between, until there are none."""
    deadline, never = time.monotonic() + seconds, threading.Event()
    while (left := deadline - time.monotonic()) > 0:
        yield left
        never.wait(min(_POLL_SECONDS, left))


def pause(seconds: float) -> None:
    """Let a load run for a while: for faults that come at any moment, never to wait for an event."""
    threading.Event().wait(seconds)


def require_disks(file_system: str) -> None:
    """Skip the test where disks cannot be mounted."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a disk whose power can be cut")
    for program in (f"mkfs.{file_system}", "mount", "umount", "losetup"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}")
    if subprocess.run(["losetup", "-f"], capture_output=True, check=False).returncode:
        pytest.skip("needs loop devices")


def require_strace() -> None:
    """Skip the test where system calls cannot be made to fail."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    probe = ["strace", "-f", "-qq", "-e", "trace=none", "true"]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("strace may not trace here")


class Disk:
    """A mounted image file. `path` is the mount point, and only there while the power is on."""

    def __init__(self, image: Path, path: Path) -> None:
        self._image = image
        self.path = path

    def power_on(self) -> None:
        """Mount, which replays the journal."""
        subprocess.run(["mount", "-o", "loop", str(self._image), str(self.path)], check=True)

    def cut(self) -> None:
        """Lose all that is not durable; every later access of the file system fails with EIO."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, _NO_LOG_FLUSH)
        finally:
            os.close(descriptor)

    def unmount(self) -> None:
        """Unmount once the last process has let go; raises `OSError` if one does not within 10 s."""
        reason = ""
        for _ in bounded(10):
            ended = subprocess.run(["umount", str(self.path)], capture_output=True, text=True, check=False)
            if ended.returncode == 0:
                return
            reason = ended.stderr.strip()
        raise OSError(f"{self.path} cannot be unmounted: {reason}")


@contextmanager
def disk(file_system: str, *, mebibytes: int) -> Iterator[Disk]:
    """Make a disk, mount it while the context lasts, and leave nothing of it."""
    require_disks(file_system)
    with tempfile.TemporaryDirectory(prefix="pacsnode-disk-") as home:
        image, path = Path(home, "image"), Path(home, "mount")
        path.mkdir()
        with image.open("wb") as file:
            file.truncate(mebibytes << 20)
        subprocess.run([f"mkfs.{file_system}", "-q", str(image)], check=True, capture_output=True)
        made = Disk(image, path)
        made.power_on()
        try:
            yield made
        finally:
            if path.is_mount():
                subprocess.run(["umount", "--lazy", str(path)], check=True)


class Injection:
    """strace on a process, or with `only` on one thread of it.

    `trace` are the calls to watch, `inject` is strace's expression without `-e inject=`. A context manager:
    entering waits until every thread is attached, leaving detaches.
    """

    def __init__(
        self, pid: int, *, trace: str, inject: str | None, log: Path, only: int | None = None
    ) -> None:
        self._log = log
        self._read_to = 0
        self._command = [
            "strace",
            *(["-f"] if only is None else []),
            "-o",
            str(log),
            "-e",
            f"trace={trace}",
            "-e",
            "signal=none",
        ]
        if inject is not None:
            self._command += ["-e", f"inject={inject}"]
        self._command += ["-p", str(only or pid)]

    def __enter__(self) -> Self:
        self._strace = subprocess.Popen(self._command, stderr=subprocess.PIPE, text=True)
        assert self._strace.stderr is not None
        heard, at = "", self._strace.stderr.fileno()
        for left in bounded(10):
            if select.select([at], [], [], left)[0]:
                piece = os.read(at, 4096).decode()
                heard += piece
                if " attached" in heard:
                    return self
                if not piece:
                    break
        self.__exit__()
        pytest.skip(f"strace cannot attach: {heard.strip()}")

    def lines(self) -> list[tuple[int, str]]:
        """Return the calls that were logged since the last time, each with its thread."""
        with self._log.open(errors="replace") as log:
            log.seek(self._read_to)
            text = log.read()
        text = text[: text.rfind("\n") + 1]
        self._read_to += len(text.encode())
        return [(int(tid), call) for tid, call in re.findall(r"^(\d+) +(.*)$", text, re.MULTILINE)]

    def __exit__(self, *_: object) -> None:
        if self._strace.poll() is None:
            self._strace.send_signal(signal.SIGTERM)
        try:
            self._strace.wait(10)
        finally:
            self._strace.kill()
            assert self._strace.stderr is not None
            self._strace.stderr.close()
