"""The group-committing writer of one process."""

import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

from pacsnode.database.lock import FileLock
from pacsnode.database.reporting import reporting, translated
from pacsnode.errors import PacsNodeError, TemporaryError

T = TypeVar("T")

MAX_BATCH = 64


class _Job(Generic[T]):
    """One function that waits for its transaction, and what became of it."""

    __slots__ = ("error", "function", "is_settled", "value")

    def __init__(self, function: Callable[[sqlite3.Connection], T]) -> None:
        self.function = function
        self.is_settled = False
        self.error: Exception | None = None
        self.value: T | None = None

    def run(self, connection: sqlite3.Connection) -> None:
        try:
            value = self.function(connection)
            if isinstance(value, sqlite3.Cursor):
                value.close()  # dropped later, by its own thread, it would reset a statement that another one runs
            else:
                self.value = value
        except Exception as error:  # noqa: BLE001 - it belongs to the thread that queued the job, not to the leader
            self.error = error


class Writer:
    """Commits the jobs of all threads in groups; see the module's opening.

    `forget` is called, within the transaction, whenever rows that jobs have seen may be other ones now:
    after a rollback, and when another connection has committed since our last transaction.
    """

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        lock: FileLock,
        *,
        wait_seconds: float,
        forget: Callable[[], None],
    ) -> None:
        self._path = path
        self._connection = connection
        self._lock = lock
        self._wait_seconds = wait_seconds
        self._forget = forget
        self._leader = threading.Lock()
        self._queue: deque[_Job[Any]] = deque()
        self._data_version = -1
        self._is_closed = False

    def write(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run a function in a transaction and return its result once it is committed.

        The function runs on any thread, beside others' in one transaction but undone alone if it raises. A cursor is no
        result: it is closed.
        Raises what it raised, `TemporaryError` if the lock can't be had in time, or what the commit met.
        """
        job = _Job(function)
        self._queue.append(job)
        with self._leader:
            while not job.is_settled:
                self._lead()
        if job.error is None:
            return job.value  # type: ignore[return-value]
        if isinstance(job.error, sqlite3.Error):
            raise translated(job.error, self._path) from job.error
        raise job.error

    def close(self) -> None:
        """Wait for the commit in flight; later writes raise `TemporaryError`."""
        with self._leader:
            self._is_closed = True
            self._connection.close()

    def _lead(self) -> None:
        try:
            self._begin()
        except PacsNodeError as error:
            # All of them have waited; were each to wait again for itself, the last would wait for the sum.
            self._settle(self._taken(len(self._queue)), error)
            return
        batch, is_committed = self._taken(MAX_BATCH), False
        failure: PacsNodeError = TemporaryError(f"{self._path}: the transaction was abandoned")
        try:
            self._run(batch)
            if any(job.error is None for job in batch):
                self._connection.execute("COMMIT")
                is_committed = True
        except sqlite3.Error as error:
            failure = translated(error, self._path)
        finally:
            self._end(is_committed=is_committed)
            self._settle(batch, None if is_committed else failure)

    def _begin(self) -> None:
        if self._is_closed:
            raise TemporaryError(f"{self._path} is closed")
        if not self._lock.acquire(self._wait_seconds):
            raise TemporaryError(f"{self._path} is locked by another process for {self._wait_seconds:g} s")
        try:
            with reporting(self._path):
                self._connection.execute("BEGIN IMMEDIATE")
        except BaseException:
            self._lock.release()
            raise

    def _end(self, *, is_committed: bool) -> None:
        """Undo what is not committed and give the lock back."""
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            pass  # the next BEGIN fails, and says so to whoever waits for it
        finally:
            self._lock.release()
            if not is_committed:
                self._forget()

    def _run(self, batch: list[_Job[Any]]) -> None:
        """Run the jobs; a lone one needs no savepoint, since its failure leaves nothing to keep."""
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        if version != self._data_version:
            self._data_version = version
            self._forget()
        if len(batch) == 1:
            batch[0].run(self._connection)
            return
        for job in batch:
            self._connection.execute("SAVEPOINT job")
            job.run(self._connection)
            if job.error is not None:
                self._undo(job.error)
            self._connection.execute("RELEASE job")

    def _undo(self, error: Exception) -> None:
        if not self._connection.in_transaction:
            raise error  # a full disk and the like end the whole transaction, so all jobs have failed
        self._forget()
        self._connection.execute("ROLLBACK TO job")

    def _taken(self, limit: int) -> list[_Job[Any]]:
        return [self._queue.popleft() for _ in range(min(limit, len(self._queue)))]

    @staticmethod
    def _settle(batch: list[_Job[Any]], failure: PacsNodeError | None) -> None:
        for job in batch:
            if failure is not None and job.error is None:
                job.error = type(failure)(*failure.args)  # each thread raises an exception of its own
            job.is_settled = True
