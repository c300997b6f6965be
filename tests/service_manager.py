"""A stand-in for the service manager's end of sd_notify(3): a datagram socket that remembers what it was told."""

import os
import socket
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

_SECONDS = 10.0


class ServiceManager:
    """Listens on $NOTIFY_SOCKET, as a path or in the abstract name space. A context manager."""

    def __init__(self, *, abstract: bool = False) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="notify-")
        path = str(Path(self._folder.name, "notify"))
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + path if abstract else path)
        self.address = "@" + path if abstract else path

    def environment(self, *, watchdog_usec: int | None = None) -> dict[str, str]:
        """Return what a service's process gets; $WATCHDOG_PID names the process of the test."""
        watchdog = {"WATCHDOG_USEC": str(watchdog_usec), "WATCHDOG_PID": str(os.getpid())}
        return {"NOTIFY_SOCKET": self.address, **(watchdog if watchdog_usec else {})}

    def told(self, seconds: float = _SECONDS) -> dict[str, str]:
        """Return the next message as its assignments; fails if there is none for so long."""
        self._socket.settimeout(seconds)
        lines = self._socket.recv(65536).decode().split("\n")
        return dict(line.split("=", 1) for line in lines)

    def wait_for(self, assignment: str) -> dict[str, str]:
        """Return the next message with this assignment, as READY=1, and leave out those before it."""
        name, _, value = assignment.partition("=")
        while True:
            if (told := self.told()).get(name) == value:
                return told

    def is_silent(self) -> bool:
        """Whether nothing has come that was not asked for."""
        self._socket.settimeout(0)
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        return False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()
        self._folder.cleanup()
