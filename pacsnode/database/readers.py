"""A pool of connections for reading, whose statements can be ended from outside."""

import contextlib
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pacsnode.database.reporting import reporting
from pacsnode.errors import TemporaryError

# Of SQLite's virtual machine between two looks at the clock: some 1 to 2 ms. Each look takes the GIL.
_OPERATIONS = 20_000
_CHECK_SECONDS = 0.02

Check = Callable[[], None]  # raises where the work is to end


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

    def read(
        self, statement: str, parameters: Sequence[Any] = (), *, check: Check | None = None
    ) -> list[Any]:
        """Return all rows of a statement, which bounds them itself. Raises the errors of our tree.

        `check` is called some fifty times a second while the statement runs, on this thread; what it raises ends the
        statement and is raised here.
        """
        with self.connection() as connection:
            if check is None:
                return self._all(connection, statement, parameters)
            with _Checked(connection, check):
                return self._all(connection, statement, parameters)

    def _all(self, connection: sqlite3.Connection, statement: str, parameters: Sequence[Any]) -> list[Any]:
        with reporting(self._path):
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


class _Checked:
    """Within it, what a connection runs is ended by a `check` that raises."""

    def __init__(self, connection: sqlite3.Connection, check: Check) -> None:
        self._connection = connection
        self._check = check
        self._next = time.monotonic() + _CHECK_SECONDS
        self._raised: BaseException | None = None

    def __enter__(self) -> None:
        self._connection.set_progress_handler(self._is_over, _OPERATIONS)

    def __exit__(self, *_: object) -> None:
        self._connection.set_progress_handler(None, 0)
        if self._raised is not None:
            raise self._raised from None

    def _is_over(self) -> bool:
        """Answer SQLite, which lets no exception through."""
        if time.monotonic() < self._next:
            return False
        try:
            self._check()
        except BaseException as error:  # noqa: BLE001 - raised again once SQLite has given the thread back
            self._raised = error
            return True
        self._next = time.monotonic() + _CHECK_SECONDS
        return False
