"""The addresses of the host names that peers may call from, looked up beside the associations.

A resolver may take its time, or for ever, and cannot be interrupted: each look-up has a thread of its own, at most one
a name, and whoever needs the answer waits for it at most `wait_seconds`. What was found is used again, and looked up
again once it is old; while that takes too long or fails, what was found before still counts. A name that was never
found has no addresses, and is looked up again some time later.

The associations' threads ask, never the lobby. One instance belongs to one snapshot of the configuration.
"""

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from pacsnode.access.addresses import IPAddress, ip_address

log = logging.getLogger(__name__)

_WAIT_SECONDS = 2.0
_OLD_SECONDS = 300.0
_FAILED_SECONDS = 30.0


def resolved(name: str) -> frozenset[IPAddress]:
    """Return the addresses of a host name; raises `OSError` or `UnicodeError`."""
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return frozenset(ip_address(str(address[0])) for *_, address in found)


@dataclass(slots=True)
class _Known:
    """What is known of a name. `answered` is set while no look-up is under way."""

    addresses: frozenset[IPAddress] = frozenset()
    due: float = 0.0
    answered: threading.Event = field(default_factory=threading.Event)


class HostNames:
    """Names and their addresses. Any thread may call any method."""

    def __init__(
        self,
        resolve: Callable[[str], frozenset[IPAddress]] = resolved,
        *,
        wait_seconds: float = _WAIT_SECONDS,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`resolve` is called in threads of its own; `now` is a monotonic clock in seconds."""
        self._resolve = resolve
        self._wait_seconds = wait_seconds
        self._now = now
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}

    def look_up(self, names: Iterable[str]) -> None:
        """Begin to look up what is not known or old, without waiting for it."""
        for name in names:
            self._begun(name)

    def addresses(self, names: Iterable[str]) -> Mapping[str, frozenset[IPAddress]]:
        """Return the addresses of names, waiting for those that are being looked up, for all of them once."""
        known = {name: self._begun(name) for name in names}
        deadline = time.monotonic() + self._wait_seconds
        for one in known.values():
            one.answered.wait(max(0.0, deadline - time.monotonic()))
        return {name: one.addresses for name, one in known.items()}

    def _begun(self, name: str) -> _Known:
        with self._lock:
            known = self._known.setdefault(name, _Known())
            if known.due > self._now():
                return known
            known.due = float("inf")  # until the look-up that begins now is over
            known.answered.clear()
        thread = threading.Thread(target=self._look_up, args=(name, known), name=f"name-{name}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no thread to be had
            self._answered(known, known.addresses, _FAILED_SECONDS)
        return known

    def _look_up(self, name: str, known: _Known) -> None:
        try:
            found = self._resolve(name)
        except (OSError, ValueError) as error:
            log.warning(
                "the host name %s of a peer is not found, who calls from it is refused: %s", name, error
            )
            self._answered(known, known.addresses, _FAILED_SECONDS)
            return
        self._answered(known, found, _OLD_SECONDS)

    def _answered(self, known: _Known, addresses: frozenset[IPAddress], seconds: float) -> None:
        known.addresses, known.due = addresses, self._now() + seconds
        known.answered.set()
