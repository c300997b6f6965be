"""Sockets that the service manager opened for us, by sd_listen_fds(3): how port 104 is had without privileges.

$LISTEN_FDS descriptors from 3 on are meant for the process $LISTEN_PID, with names in $LISTEN_FDNAMES.
"""

import fcntl
import logging
import os
import socket
from collections.abc import MutableMapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from pacsnode.errors import ConfigError

log = logging.getLogger(__name__)

_FIRST_DESCRIPTOR = 3
_MOST_SOCKETS = 64
_NAMES = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")
_EXPECTED = "expected listening TCP sockets (in the .socket unit: ListenStream= with a port, Accept=no)"


@dataclass(frozen=True, slots=True)
class InheritedSocket:
    """A listening TCP socket and its name (FileDescriptorName=, else the name of the .socket unit)."""

    name: str
    socket: socket.socket

    @property
    def port(self) -> int:
        """The TCP port that it listens on."""
        return int(self.socket.getsockname()[1])


def inherited_socket(environment: MutableMapping[str, str] = os.environ) -> socket.socket | None:
    """Return the one socket to accept associations on, None to make one; as `inherited_sockets`."""
    inherited = inherited_sockets(environment)
    if len(inherited) > 1:
        for one in inherited:
            one.socket.close()
        raise ConfigError(
            f"LISTEN_FDS: {len(inherited)} sockets, and the node listens on one; in the .socket unit: one ListenStream="
        )
    return inherited[0].socket if inherited else None


def inherited_sockets(
    environment: MutableMapping[str, str] = os.environ,
    *,
    pid: int | None = None,
    first_descriptor: int = _FIRST_DESCRIPTOR,
) -> tuple[InheritedSocket, ...]:
    """Return the sockets that are meant for this process, and remove them from the environment.

    From then on no program that we start inherits them unless it is handed over on purpose (FD_CLOEXEC). Raises
    `ConfigError` if a descriptor is anything else than a listening TCP socket.
    """
    count, owner, names = (environment.pop(name, "") for name in _NAMES)
    if not count:
        return ()
    if owner != str(os.getpid() if pid is None else pid):
        log.warning("LISTEN_FDS is meant for process %r, not for this one: its sockets are not used", owner)
        return ()
    if not (count.isascii() and count.isdigit() and int(count) <= _MOST_SOCKETS):
        raise ConfigError(f"LISTEN_FDS: expected 0 to {_MOST_SOCKETS} sockets, found {count!r}")
    descriptors = range(first_descriptor, first_descriptor + int(count))
    return _opened(descriptors, _names(names, len(descriptors)))


def _names(text: str, count: int) -> Sequence[str]:
    names = text.split(":") if text else [""] * count
    if len(names) != count:
        raise ConfigError(f"LISTEN_FDNAMES: expected {count} names with colons between them, found {text!r}")
    return names


def _opened(descriptors: Sequence[int], names: Sequence[str]) -> tuple[InheritedSocket, ...]:
    _protect(descriptors)
    found: list[InheritedSocket] = []
    try:
        for descriptor, name in zip(descriptors, names, strict=True):
            found.append(InheritedSocket(name, _listening(descriptor, name)))
    except ConfigError:
        for inherited in found:
            inherited.socket.close()
        raise
    return tuple(found)


def _protect(descriptors: Sequence[int]) -> None:
    """Keep children from inheriting any of them, the wrong ones included."""
    for descriptor in descriptors:
        with suppress(OSError):  # not open, which is said when it is looked at
            fcntl.fcntl(descriptor, fcntl.F_SETFD, fcntl.fcntl(descriptor, fcntl.F_GETFD) | fcntl.FD_CLOEXEC)


def _listening(descriptor: int, name: str) -> socket.socket:
    which = f"LISTEN_FDS: descriptor {descriptor}" + (f" ({name})" if name else "")
    try:
        opened = socket.socket(fileno=descriptor)
    except OSError as error:
        raise ConfigError(f"{which} is no socket ({error.strerror}); {_EXPECTED}") from error
    problem = _problem(opened)
    if problem is not None:
        opened.detach()  # not ours to close
        raise ConfigError(f"{which} is {problem}; {_EXPECTED}")
    return opened


def _problem(opened: socket.socket) -> str | None:
    """Return what a socket is, if it is not a listening TCP socket."""
    if opened.family not in (socket.AF_INET, socket.AF_INET6):
        return "not an Internet socket"
    if opened.type != socket.SOCK_STREAM:
        return "not a stream socket"
    if not opened.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return "a socket that does not listen"
    return None
