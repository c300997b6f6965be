"""SQLite files as pacsnode uses them: one group-committing writer per process, a pool of readers, migrations.

Several processes write one file. Left to themselves they are starved by SQLite's back-off, so a writer takes
an `flock` on `<file>.lock` before BEGIN IMMEDIATE; SQLite's own lock stays the one that counts, and a
foreign program that holds it is waited for within the same bound.

Within a process there is no writer thread. `Writer.write` queues its job and takes a lock; whoever holds
that lock commits everything that is queued, and the others find their job done when the lock comes to them.
Under the GIL that saves two thread switches for a lone store, and groups commits exactly when there is
something to group.

Readers see the last commit (WAL) and hold no transaction between two uses of a connection. mmap stays off:
it turns an I/O error into SIGBUS.
"""

import contextlib
import fcntl
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from pacsnode.errors import ConfigError, OutOfResources, PacsNodeError, PermanentError, TemporaryError
from pacsnode.mounts import file_system_of

if TYPE_CHECKING:
    import sqlite_utils

T = TypeVar("T")
Synchronous = Literal["OFF", "NORMAL", "FULL"]
CheckpointMode = Literal["PASSIVE", "FULL", "RESTART", "TRUNCATE"]

MAX_BATCH = 64
# A foreign lock of 4 s is waited for (RELIABILITY F4), one of a minute is not.
LOCK_WAIT_SECONDS = 10.0
CACHE_KIB = 8192
CACHED_STATEMENTS = 512
# Checkpoints are a job's; this is the net for the time when no job runs (40 MB of WAL).
AUTOCHECKPOINT_PAGES = 10_000
WAL_SIZE_LIMIT_BYTES = 64 << 20

# Their locks or shared memory do not hold what SQLite's WAL needs (https://www.sqlite.org/wal.html).
NETWORK_FILE_SYSTEMS = frozenset(
    {
        "9p", "acfs", "afpfs", "afs", "beegfs", "ceph", "cifs", "coda", "fuse.ceph", "fuse.gcsfuse",
        "fuse.glusterfs", "fuse.juicefs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs", "glusterfs", "gpfs",
        "lustre", "ncpfs", "nfs", "nfs3", "nfs4", "orangefs", "pvfs2", "smb", "smb2", "smb3", "smbfs",
    }
)  # fmt: skip


def refuse_network_file_system(path: Path) -> None:
    """Raise `ConfigError` if the path lies on a file system that SQLite's WAL does not work on."""
    found = file_system_of(path.parent)
    if found in NETWORK_FILE_SYSTEMS:
        raise ConfigError(f"{path} lies on {found}, where SQLite is not safe: put it on a local disk")


_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_RESOURCES = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
    }
)


def translated(error: sqlite3.Error, path: Path) -> PacsNodeError:
    """Return the error of our tree for one of SQLite's; what is unknown is temporary."""
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if isinstance(code, int) else None
    if primary in _DAMAGED:
        return PermanentError(f"{path} is damaged: {error}")
    if primary in _RESOURCES:
        return OutOfResources(f"{path}: {error}")
    return TemporaryError(f"{path}: {error}")


@contextlib.contextmanager
def reporting(path: Path) -> Iterator[None]:
    """Turn the `sqlite3.Error`s of the block into those of our tree."""
    try:
        yield
    except sqlite3.Error as error:
        raise translated(error, path) from error


def connect(
    path: Path, *, synchronous: Synchronous, wait_seconds: float, query_only: bool
) -> sqlite3.Connection:
    """Open a connection with our pragmas. It may move between threads, one at a time."""
    connection = sqlite3.connect(
        path,
        timeout=wait_seconds,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=CACHED_STATEMENTS,
    )
    try:
        for pragma in (
            f"synchronous = {synchronous}",
            f"cache_size = -{CACHE_KIB}",
            "mmap_size = 0",
            "temp_store = MEMORY",
            "foreign_keys = OFF",  # held by the code that writes; the check would cost a lookup a row
            f"wal_autocheckpoint = {AUTOCHECKPOINT_PAGES}",
            f"journal_size_limit = {WAL_SIZE_LIMIT_BYTES}",
            f"query_only = {int(query_only)}",
        ):
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection


@dataclass(frozen=True, slots=True)
class Migration:
    """What leads from version - 1 to `version`: statements or a function, all in one transaction.

    A function gets a `sqlite_utils.Database`; it must not use those of its methods that open a transaction of
    their own (insert, transform).
    """

    version: int
    change: "tuple[str, ...] | Callable[[sqlite_utils.Database], None]"


def migrate(connection: sqlite3.Connection, migrations: Sequence[Migration], path: Path) -> None:
    """Bring the file to the newest version, or raise `ConfigError` if it is newer than we know."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        newest = migrations[-1].version
        if version > newest:
            raise ConfigError(
                f"{path} has schema version {version}, this program knows up to {newest}: "
                "run the newer pacsnode"
            )
        for migration in migrations:
            if migration.version > version:
                _apply(connection, migration)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _apply(connection: sqlite3.Connection, migration: Migration) -> None:
    if callable(migration.change):
        import sqlite_utils  # 0.1 s to import, and only a file's first opening needs it

        migration.change(sqlite_utils.Database(connection))
    else:
        for statement in migration.change:
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {migration.version:d}")


class FileLock:
    """An exclusive `flock` that can be waited for with a deadline.

    flock has no time-out of its own. If the lock is not free at once, a thread waits for it; one that comes
    too late gives it back. One thread of the process at a time may use it.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._state = threading.Condition()
        self._is_waiting = False
        self._is_wanted = False
        self._is_granted = False
        self._is_closed = False

    def acquire(self, timeout_seconds: float) -> bool:
        """Return whether the lock is ours within the time."""
        with self._state:
            if not self._is_waiting:
                try:
                    fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    self._is_waiting = True
                    threading.Thread(target=self._wait, name="database-lock", daemon=True).start()
                else:
                    return True
            self._is_wanted = True
            granted = self._state.wait_for(lambda: self._is_granted, timeout_seconds)
            self._is_wanted = self._is_granted = False
            return granted

    def _wait(self) -> None:
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        with self._state:
            self._is_waiting = False
            if self._is_closed:
                return  # the descriptor may be another file's by now; the lock went with the last reference
            if self._is_wanted:
                self._is_granted = True
                self._state.notify_all()
            else:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def release(self) -> None:
        """Give the lock back."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give everything back; the lock is not to be used again."""
        with self._state:
            if not self._is_closed:
                self._is_closed = True
                os.close(self._descriptor)


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
            self.value = self.function(connection)
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

        The function runs on any thread, beside others' in one transaction but undone alone if it raises.
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


class Database:
    """One SQLite file, opened for this process: created with mode 0600 and migrated if need be.

    Raises `ConfigError` for a network file system or a newer schema, `PermanentError` for a damaged file.
    """

    def __init__(
        self,
        path: Path,
        migrations: Sequence[Migration],
        *,
        synchronous: Synchronous,
        readers: int = 4,
        wait_seconds: float = LOCK_WAIT_SECONDS,
        forget: Callable[[], None] = lambda: None,
    ) -> None:
        refuse_network_file_system(path)
        self.path = path
        self._synchronous: Synchronous = synchronous
        self._wait_seconds = wait_seconds
        self._sync_failed = False
        with contextlib.ExitStack() as undo:
            with _resources(path):
                _created(path)
                lock = FileLock(path.with_name(path.name + ".lock"))
            undo.callback(lock.close)
            connection = self._prepared(lock, migrations)
            undo.pop_all()
        self._lock = lock
        self._writer = Writer(path, connection, lock, wait_seconds=wait_seconds, forget=forget)
        self.readers = ReaderPool(
            path, lambda: self._connected(query_only=True), limit=readers, wait_seconds=wait_seconds
        )

    def write(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """See `Writer.write`."""
        return self._writer.write(function)

    def read(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """See `ReaderPool.read`."""
        return self.readers.read(statement, parameters)

    def _connected(self, *, query_only: bool) -> sqlite3.Connection:
        return connect(
            self.path, synchronous=self._synchronous, wait_seconds=self._wait_seconds, query_only=query_only
        )

    def _prepared(self, lock: FileLock, migrations: Sequence[Migration]) -> sqlite3.Connection:
        """Return the writer's connection, made under the lock: the change to WAL does not wait for others."""
        if not lock.acquire(self._wait_seconds):
            raise TemporaryError(f"{self.path} is locked by another process for {self._wait_seconds:g} s")
        try:
            with reporting(self.path):
                connection = self._connected(query_only=False)
                try:
                    connection.execute("PRAGMA journal_mode = WAL")
                    migrate(connection, migrations, self.path)
                except BaseException:
                    connection.close()
                    raise
                return connection
        finally:
            lock.release()

    def checkpoint(self, mode: CheckpointMode = "PASSIVE") -> bool:
        """Move the WAL into the file; return whether all was moved, and so synced. PASSIVE never waits."""
        with reporting(self.path), contextlib.closing(self._connected(query_only=False)) as connection:
            busy, frames, moved = connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        return not busy and frames == moved

    def sync(self) -> None:
        """Make all that is committed survive a power cut, whatever readers and other writers do meanwhile.

        A WAL that is synced is enough: recovery replays it. Raises `OutOfResources` when the disk fails, and
        ever after: the kernel reports a lost page once only (https://wiki.postgresql.org/wiki/Fsync_Errors).
        """
        if self._sync_failed:
            raise OutOfResources(
                f"{self.path}: an earlier sync failed, what it covered may not be on the disk"
            )
        try:
            if not self.checkpoint("PASSIVE"):
                with _resources(self.path):
                    _fsynced(self.path.with_name(self.path.name + "-wal"))
        except OutOfResources:
            self._sync_failed = True
            raise

    def close(self) -> None:
        """Close all connections; a commit in flight completes."""
        self.readers.close()
        self._writer.close()
        self._lock.close()


@contextlib.contextmanager
def _resources(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutOfResources(f"{path}: {error.strerror}") from error


def _created(path: Path) -> None:
    """Create the file, since SQLite would give it the umask's mode; -wal and -shm follow the file's."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return
    _fsynced(path.parent)


def _fsynced(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
