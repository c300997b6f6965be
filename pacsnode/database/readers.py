"""A pool of connections for reading."""

import contextlib
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pacsnode.database.reporting import reporting
from pacsnode.errors import TemporaryError


class ReaderPool:
    """Connections for reading, each used by one thread at a time and for one page."""

    def __init__(
        self,
        path: Path,
        open_connection: Callable[[], sqlite3.Connection],
        *,
        limit: int,
        wait_seconds: float,
    ) -> None:
        self._path = path
        self._open_connection = open_connection
        self._free = threading.BoundedSemaphore(limit)
        self._idle: deque[sqlite3.Connection] = deque()
        self._wait_seconds = wait_seconds
        self._is_closed = False

    def read(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Return all rows of a statement, which bounds them itself. Raises the errors of our tree."""
        with self.connection() as connection, reporting(self._path):
            return connection.execute(statement, parameters).fetchall()

    @contextlib.contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection; `TemporaryError` if none comes free in time. Fetch all before giving it back."""
        if not self._free.acquire(timeout=self._wait_seconds):
            raise TemporaryError(f"{self._path}: all readers are busy")
        try:
            connection = self._taken()
            try:
                yield connection
            finally:
                self._given_back(connection)
        finally:
            self._free.release()

    def _taken(self) -> sqlite3.Connection:
        if self._is_closed:
            raise TemporaryError(f"{self._path} is closed")
        try:
            return self._idle.pop()
        except IndexError:
            with reporting(self._path):
                return self._open_connection()

    def _given_back(self, connection: sqlite3.Connection) -> None:
        if self._is_closed:
            connection.close()
        else:
            self._idle.append(connection)

    def close(self) -> None:
        """Close the idle connections; those in use close when they are given back."""
        self._is_closed = True
        while self._idle:
            self._idle.pop().close()
