"""The state in SQLite: the port's methods over the database, each commit forced to the disk.

After each write the WAL is moved into the file: it is a handful of writes a day, and what is only in a WAL goes
unnoticed when the WAL does. The copy is SQLite's online backup in steps of `STEP_PAGES`. A write between two
steps makes it begin again; after `RESTARTS` of them it is made in one step, which a writer does not wait for
either (WAL) but which keeps the WAL from being reused meanwhile.
"""

import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from pacsnode.database import Database
from pacsnode.database.reporting import reporting
from pacsnode.errors import TemporaryError
from pacsnode.state.base import CustodyEvent, CustodyKind, Recorded, Revision, Run
from pacsnode.state.schema import MIGRATIONS

T = TypeVar("T")

STEP_PAGES = 256
RESTARTS = 5
# A C-STORE may wait for it, and is as safe without: a lock that is held for longer is a fault to be logged.
WAIT_SECONDS = 2.0

_RECORD = """INSERT INTO custody
    (kind, at_ms, process, association_id, sop_instance_uid, name, detail, last_at_ms)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (kind, sop_instance_uid, name, process, detail)
    DO UPDATE SET times = times + 1, last_at_ms = max(last_at_ms, excluded.last_at_ms)"""
_EVENTS = """SELECT number, kind, at_ms, process, detail, name, sop_instance_uid, association_id,
    times, last_at_ms FROM custody WHERE number > ? ORDER BY number LIMIT ?"""
_RUNS = "SELECT number, version, started_at_ms, ended_at_ms FROM run ORDER BY number DESC LIMIT 2"


class SqliteState:
    """`state.base.State` in one SQLite file, which several processes may have open.

    Creates the file if need be; whoever opens one that may be damaged asks `state.checks` before.
    """

    def __init__(self, path: Path, *, wait_seconds: float = WAIT_SECONDS) -> None:
        self.path = path
        self._database = Database(path, MIGRATIONS, synchronous="FULL", readers=2, wait_seconds=wait_seconds)

    def close(self) -> None:
        """Close the file; a commit in flight completes."""
        self._database.close()

    def record(self, events: Sequence[CustodyEvent]) -> None:
        """See `State.record`."""
        rows = [
            (
                event.kind.value,
                event.at_ms,
                event.process,
                event.association_id,
                event.sop_instance_uid,
                event.name,
                event.detail,
                event.at_ms,
            )
            for event in events
        ]
        self._write(lambda connection: connection.executemany(_RECORD, rows))

    def events(self, *, after: int = 0, limit: int) -> list[Recorded]:
        """See `State.events`."""
        return [
            Recorded(number, CustodyEvent(CustodyKind(kind), *event), times, last_at_ms)
            for number, kind, *event, times, last_at_ms in self._database.read(_EVENTS, (after, limit))
        ]

    def begin_run(self, version: str, at_ms: int) -> tuple[Run, Run | None]:
        """See `State.begin_run`."""

        def begin(connection: sqlite3.Connection) -> list[Run]:
            connection.execute("INSERT INTO run (version, started_at_ms) VALUES (?, ?)", (version, at_ms))
            return [Run(*row) for row in connection.execute(_RUNS)]

        this, *before = self._write(begin)
        return this, before[0] if before else None

    def last_run(self) -> Run | None:
        """See `State.last_run`."""
        return next((Run(*row) for row in self._database.read(_RUNS)), None)

    def end_run(self, number: int, at_ms: int) -> None:
        """See `State.end_run`."""
        self._write(
            lambda connection: connection.execute(
                "UPDATE run SET ended_at_ms = ? WHERE number = ?", (at_ms, number)
            )
        )

    def add_snapshot(self, digest: str, reason: str, at_ms: int, *, number: int = 0) -> int:
        """See `State.add_snapshot`."""

        def add(connection: sqlite3.Connection) -> int:
            insert = "INSERT OR IGNORE INTO snapshot (number, digest, reason, at_ms) VALUES (?, ?, ?, ?)"
            added = connection.execute(insert, (number or None, digest, reason, at_ms))
            return number or added.lastrowid or 0

        return self._write(add)

    def revision(self) -> Revision:
        """See `State.revision`."""
        return Revision(*self._database.read("SELECT revision, created_at_ms FROM node")[0])

    def raise_revision(self, above: int) -> None:
        """Make the revision higher than `above`: those of an earlier file are taken."""
        self._write(
            lambda connection: connection.execute("UPDATE node SET revision = max(revision, ?)", (above,))
        )

    def settle(self) -> None:
        """Have all that is written in the file itself, on the disk; raises `TemporaryError`."""
        if not self._database.checkpoint():
            raise TemporaryError(f"{self.path}: another process holds it back")

    def copy(self, target: Path, *, stop: Callable[[], bool]) -> int | None:
        """See `State.copy`."""
        with (
            contextlib.closing(sqlite3.connect(target, isolation_level=None)) as copied,
            self._database.readers.connection() as source,
            reporting(target),
        ):
            copied.execute("PRAGMA journal_mode = OFF")  # of use only when it is whole
            copied.execute("PRAGMA synchronous = OFF")
            try:
                _backup(source, copied, stop)
            except _Stopped:
                return None
            (revision,) = copied.execute("SELECT revision FROM node").fetchone()
        return int(revision)

    def _write(self, function: Callable[[sqlite3.Connection], T]) -> T:
        def raising(connection: sqlite3.Connection) -> T:
            connection.execute("UPDATE node SET revision = revision + 1")
            return function(connection)

        written = self._database.write(raising)
        # Committed is durable already; what stays in the WAL goes with the next write.
        with contextlib.suppress(TemporaryError):
            self._database.checkpoint()
        return written


class _Stopped(Exception):
    """Leaves a copy."""


class _BegunAgain(Exception):
    """Leaves a copy that writers made begin again too often."""


def _backup(source: sqlite3.Connection, target: sqlite3.Connection, stop: Callable[[], bool]) -> None:
    least, restarts = -1, 0

    def progress(_: int, remaining: int, __: int) -> None:
        nonlocal least, restarts
        if stop():
            raise _Stopped
        restarts += 0 <= least < remaining
        least = remaining
        if restarts > RESTARTS:
            raise _BegunAgain

    try:
        source.backup(target, pages=STEP_PAGES, progress=progress)
    except _BegunAgain:
        source.backup(target)
