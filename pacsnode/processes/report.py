"""`<data_dir>/status.sock`: the node says how it is to whoever may enter the data folder.

Each connection gets one JSON document, ended by a newline, and is closed; nothing is read from it. The node
writes without waiting, into a buffer that holds the whole document, so a reader that does not read costs it
nothing. The socket is addressed through a descriptor of its folder, since an address has only 108 bytes
(unix(7)).
"""

import json
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pacsnode.errors import ConfigError, TemporaryError

log = logging.getLogger(__name__)

NAME = "status.sock"
ANSWER_SECONDS = 5.0

_BACKLOG = 16
_PIECE_BYTES = 1 << 16
_MOST_BYTES = 4 << 20


class NotAnswering(TemporaryError):
    """A node runs there and says nothing, or nothing that can be read."""


class ReportSocket:
    """The node's end, for one loop that waits for `fileno` to be readable. Whoever makes it holds the data folder."""

    def __init__(self, data_dir: Path, report: Callable[[], Mapping[str, object]]) -> None:
        """Listen (0600), in place of what a node that died has left; raises `OSError`."""
        self._report = report
        self._folder = os.open(data_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            self._socket.settimeout(0)
            os.fchmod(self._socket.fileno(), 0o600)  # the name is made with it: no moment with another mode
            self._unlink()
            self._socket.bind(_address(self._folder))
            self._socket.listen(_BACKLOG)
        except BaseException:
            self._socket.close()
            os.close(self._folder)
            raise

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self._socket.fileno()

    def accept_one(self) -> None:
        """Answer one connection, if there is one. Never waits, and a peer that has gone is no error."""
        try:
            connection, _ = self._socket.accept()
        except OSError:
            return  # gone again, or no descriptor left: it stays readable and is tried again
        with connection:
            document = self._document()
            connection.settimeout(0)
            if len(document) > connection.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) // 2:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, len(document) * 2)
            with suppress(OSError):
                connection.sendall(document)

    def _document(self) -> bytes:
        try:
            return json.dumps(self._report(), ensure_ascii=False).encode() + b"\n"
        except Exception:  # the named boundary of a report: that somebody asks must not end the node
            log.exception("unexpected error, the report is not given")
            return b""

    def close(self) -> None:
        """Listen no more, and remove the name."""
        self._unlink()
        self._socket.close()
        os.close(self._folder)

    def _unlink(self) -> None:
        with suppress(FileNotFoundError):
            os.unlink(NAME, dir_fd=self._folder)


def read(data_dir: Path, *, seconds: float = ANSWER_SECONDS) -> dict[str, Any]:
    """Return the report of the node that runs on a data folder.

    Raises `TemporaryError` if none does, `NotAnswering` if it is silent for that long, and `ConfigError` if the
    folder is not for us to enter.
    """
    deadline = time.monotonic() + seconds
    with _connected(data_dir, seconds) as connection:
        text = _document(connection, deadline, data_dir)
    try:
        report = json.loads(text)
    except ValueError:
        report = None
    if not text.endswith(b"\n") or not isinstance(report, dict):
        raise NotAnswering(f"the node on {data_dir} broke off its answer")
    return report


@contextmanager
def _connected(data_dir: Path, seconds: float) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as connection:
        connection.settimeout(seconds)
        try:
            folder = os.open(data_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                connection.connect(_address(folder))
            finally:
                os.close(folder)
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError) as error:
            raise TemporaryError(f"no node runs on {data_dir}") from error
        except PermissionError as error:
            raise ConfigError(
                f"{data_dir} belongs to another user: ask as the user that the node runs as, or as root"
            ) from error
        except BlockingIOError as error:  # its queue is full of those that it has not answered
            raise NotAnswering(f"the node on {data_dir} accepts no connection: it hangs") from error
        yield connection


def _document(connection: socket.socket, deadline: float, data_dir: Path) -> bytes:
    """Read to the end, until the deadline."""
    text = bytearray()
    try:
        while len(text) < _MOST_BYTES:
            connection.settimeout(max(deadline - time.monotonic(), 0.001))
            piece = connection.recv(_PIECE_BYTES)
            if not piece:
                break
            text += piece
    except TimeoutError as error:
        raise NotAnswering(f"the node on {data_dir} does not answer: it hangs, or is very busy") from error
    except OSError as error:
        raise NotAnswering(f"the node on {data_dir} broke off its answer: {error.strerror}") from error
    return bytes(text)


def _address(folder: int) -> str:
    return f"/proc/self/fd/{folder}/{NAME}"
