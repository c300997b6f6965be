"""Turns of several processes at many things, each of which one of them does at a time.

One file of locks: each thing has a byte of it, by a digest of its name, and the lock of a byte is that of whoever has
the file open (`F_OFD_SETLKW`, fcntl(2)). The file has no bytes; the kernel gives back the locks of a process that dies,
and a process that hangs is killed by its supervisor. Within a process others wait otherwise.
"""

import fcntl
import hashlib
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FLOCK = struct.Struct("@hhqqi4x")  # struct flock of a 64-bit system: type, whence, start, length, process
_DIGEST_BYTES = 7  # an offset has to be positive


class Turns:
    """The file. Any thread may call any method; of one process one at a time takes the turn of a name."""

    def __init__(self, path: Path) -> None:
        """Open or create it; raises `OSError`."""
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Wait for our turn, for as long as another process has it, and have it; raises `OSError`."""
        byte = int.from_bytes(hashlib.sha256(name.encode()).digest()[:_DIGEST_BYTES], "big")
        self._set(fcntl.F_WRLCK, byte)
        try:
            yield
        finally:
            self._set(fcntl.F_UNLCK, byte)

    def _set(self, kind: int, byte: int) -> None:
        fcntl.fcntl(self._descriptor, fcntl.F_OFD_SETLKW, _FLOCK.pack(kind, os.SEEK_SET, byte, 1, 0))

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)
