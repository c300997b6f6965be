"""What the service manager is told, by sd_notify(3): one datagram of `NAME=value` lines to $NOTIFY_SOCKET.

Without $NOTIFY_SOCKET (a terminal, another service manager) nothing is sent. A word that cannot be delivered is
said in the log and is no reason to stop: READY=1 missing, systemd ends the start by its own time limit; WATCHDOG=1
missing, it starts the service again, which is what the watchdog is for.
"""

import logging
import os
import socket
import time
from collections.abc import Callable, MutableMapping

from pacsnode.errors import ConfigError

log = logging.getLogger(__name__)

_SEND_SECONDS = 1.0
_STARTING_SECONDS = 15.0
_NAMES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class Notifier:
    """Tells the service manager how the service is. Each call is bounded to a second. One thread calls it."""

    def __init__(
        self,
        address: str = "",
        *,
        watchdog_seconds: float | None = None,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """`address` is a path, or a name after "@" (abstract); empty: nobody listens. Raises `ConfigError`.

        `watchdog_seconds` is how long the manager puts up with silence; None if it does not look.
        """
        if address and address[0] not in "/@":
            raise ConfigError(
                f"NOTIFY_SOCKET: expected an absolute path or a name after @, found {address!r}"
            )
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._watchdog_seconds = watchdog_seconds if address else None
        self._monotonic_ns = monotonic_ns
        self._alive_at_ns = self._starting_at_ns = monotonic_ns()
        self._socket: socket.socket | None = None
        if address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.settimeout(_SEND_SECONDS)

    @classmethod
    def from_environment(
        cls,
        environment: MutableMapping[str, str] = os.environ,
        *,
        pid: int | None = None,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> "Notifier":
        """Return the notifier that the environment names, and remove it from there: children have no say.

        Raises `ConfigError` for an environment that no service manager makes.
        """
        address, usec, watched_pid = (environment.pop(name, "") for name in _NAMES)
        is_watched = watched_pid in ("", str(os.getpid() if pid is None else pid))
        if usec and not (usec.isascii() and usec.isdigit() and int(usec)):
            raise ConfigError(f"WATCHDOG_USEC: expected a number of microseconds, found {usec!r}")
        seconds = int(usec) / 1e6 if usec and is_watched else None
        return cls(address, watchdog_seconds=seconds, monotonic_ns=monotonic_ns)

    @property
    def watchdog_interval_seconds(self) -> float | None:
        """How often the manager is told that the service moves: half of what it waits (sd_watchdog_enabled(3))."""
        return None if self._watchdog_seconds is None else self._watchdog_seconds / 2

    def ready(self, status: str) -> None:
        """Say that the service has started, or that it has taken a new configuration."""
        self._send("READY=1", _status(status))

    def starting(self, status: str) -> float | None:
        """Say that the start goes on, if that is due: it is given more time (EXTEND_TIMEOUT_USEC).

        Returns after how many seconds it is due again, None if nobody listens. For a loop that comes round only while
        the start moves.
        """
        if self._socket is None:
            return None
        now_ns = self._monotonic_ns()
        if now_ns >= self._starting_at_ns:
            self._starting_at_ns = now_ns + int(_STARTING_SECONDS * 1e9)
            self._send(f"EXTEND_TIMEOUT_USEC={int(4 * _STARTING_SECONDS * 1e6)}", _status(status))
        return (self._starting_at_ns - now_ns) / 1e9

    def reloading(self) -> None:
        """Say that a new configuration is being read; `ready` ends that, whether it was taken or not.

        The time stamp is what Type=notify-reload demands.
        """
        self._send("RELOADING=1", f"MONOTONIC_USEC={self._monotonic_ns() // 1000}")

    def stopping(self, status: str) -> None:
        """Say that the service ends."""
        self._send("STOPPING=1", _status(status))

    def status(self, text: str) -> None:
        """Say how the service is, for `systemctl status`."""
        self._send(_status(text))

    def beat(self) -> float | None:
        """Say that the service moves, if that is due; return after how many seconds it is again, None for never.

        For the loop that is to be watched, each time that it comes round.
        """
        if (interval := self.watchdog_interval_seconds) is None:
            return None
        now_ns = self._monotonic_ns()
        if now_ns >= self._alive_at_ns:
            self._alive_at_ns = now_ns + int(interval * 1e9)
            self._send("WATCHDOG=1")
        return (self._alive_at_ns - now_ns) / 1e9

    def close(self) -> None:
        """Say nothing any more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, *lines: str) -> None:
        if self._socket is None:
            return
        try:
            self._socket.sendto("\n".join(lines).encode("utf-8", "replace"), self._address)
        except OSError as error:
            log.warning("the service manager does not hear %s: %s", lines[0], error.strerror or error)


def _status(text: str) -> str:
    """Return the line for a text; further lines in it would be assignments of their own."""
    return "STATUS=" + " ".join(text.split())
