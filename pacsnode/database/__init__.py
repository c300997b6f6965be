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
import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from pacsnode.database.connection import (
    NO_FUNCTIONS,
    Functions,
    Migration,
    Synchronous,
    connect,
    migrate,
    version_of,
)
from pacsnode.database.lock import FileLock
from pacsnode.database.readers import Check, ReaderPool
from pacsnode.database.reporting import reporting, resources
from pacsnode.database.writer import Writer
from pacsnode.errors import ConfigError, OutOfResources, TemporaryError
from pacsnode.mounts import file_system_of

__all__ = ["LOCK_WAIT_SECONDS", "Database", "Migration", "version_of"]

T = TypeVar("T")
CheckpointMode = Literal["PASSIVE", "FULL", "RESTART", "TRUNCATE"]

# A foreign lock of 4 s is waited for (RELIABILITY F4), one of a minute is not.
LOCK_WAIT_SECONDS = 10.0

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
        outdated: Callable[[], None] | None = None,
        functions: Functions = NO_FUNCTIONS,
    ) -> None:
        """`forget` and `outdated` as in `Writer`; without the second the first stands for both.

        `functions` are for the SQL of readers only.
        """
        refuse_network_file_system(path)
        self.path = path
        self._synchronous: Synchronous = synchronous
        self._wait_seconds = wait_seconds
        self._functions = functions
        self._sync_failed = False
        with contextlib.ExitStack() as undo:
            with resources(path):
                _created(path)
                lock = FileLock(path.with_name(path.name + ".lock"))
            undo.callback(lock.close)
            connection = self._prepared(lock, migrations)
            undo.pop_all()
        self._lock = lock
        self._writer = Writer(
            path, connection, lock, wait_seconds=wait_seconds, forget=forget, outdated=outdated or forget
        )
        self.readers = ReaderPool(
            path, lambda: self._connected(query_only=True), limit=readers, wait_seconds=wait_seconds
        )

    def write(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """See `Writer.write`."""
        return self._writer.write(function)

    def read(
        self, statement: str, parameters: Sequence[Any] = (), *, check: Check | None = None
    ) -> list[Any]:
        """See `ReaderPool.read`."""
        return self.readers.read(statement, parameters, check=check)

    def _connected(self, *, query_only: bool) -> sqlite3.Connection:
        return connect(
            self.path,
            synchronous=self._synchronous,
            wait_seconds=self._wait_seconds,
            query_only=query_only,
            functions=self._functions if query_only else NO_FUNCTIONS,
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
                with resources(self.path):
                    _fsynced(self.path.with_name(self.path.name + "-wal"))
        except OutOfResources:
            self._sync_failed = True
            raise

    def close(self) -> None:
        """Close all connections; a commit in flight completes."""
        self.readers.close()
        self._writer.close()
        self._lock.close()


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
