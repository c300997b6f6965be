"""The database: file systems, migrations, group commit, locks between processes, readers, sync."""

import contextlib
import fcntl
import os
import sqlite3
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pacsnode import database
from pacsnode.database import Database, Migration
from pacsnode.database.connection import CACHE_KIB, READER_STATEMENTS, WRITER_STATEMENTS, connect
from pacsnode.database.lock import FileLock
from pacsnode.database.reporting import translated
from pacsnode.errors import ConfigError, OutOfResources, PermanentError, ProgramFault, TemporaryError

NUMBERS = (Migration(1, ("CREATE TABLE number (value INTEGER PRIMARY KEY)",)),)
INSERT = "INSERT INTO number VALUES (?)"


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph", "lustre"])
def test_a_network_file_system_is_refused(kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(database, "file_system_of", lambda path: kind)
    with pytest.raises(ConfigError, match=f"{kind}.*local disk"):
        Database(tmp_path / "a.db", NUMBERS, synchronous="OFF")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def numbers(tmp_path: Path) -> Iterator[Database]:
    opened = opening(tmp_path / "numbers.db")
    yield opened
    opened.close()


def opening(path: Path, wait_seconds: float = 10.0, readers: int = 2) -> Database:
    return Database(path, NUMBERS, synchronous="NORMAL", wait_seconds=wait_seconds, readers=readers)


def insert(numbers: Database, value: int) -> None:
    numbers.write(lambda connection: connection.execute(INSERT, (value,)) and None)


def stored(numbers: Database) -> list[int]:
    return [value for (value,) in numbers.read("SELECT value FROM number ORDER BY value")]


def test_what_is_written_is_read_here_and_by_the_next_who_opens(numbers: Database) -> None:
    assert numbers.write(lambda connection: connection.execute(INSERT, (7,)).lastrowid) == 7
    assert stored(numbers) == [7]
    with contextlib.closing(opening(numbers.path)) as again:
        assert stored(again) == [7]


def test_a_cursor_is_closed_before_another_thread_has_the_connection(numbers: Database) -> None:
    """Else its end, whenever that comes, resets a statement that another thread runs."""
    made: list[sqlite3.Cursor] = []

    def function(connection: sqlite3.Connection) -> sqlite3.Cursor:
        made.append(connection.execute(INSERT, (7,)))
        return made[0]

    assert numbers.write(function) is None
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        made[0].fetchone()


def test_files_are_for_their_owner_only(numbers: Database) -> None:
    insert(numbers, 1)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in numbers.path.parent.iterdir()}
    assert modes == dict.fromkeys(
        ("numbers.db", "numbers.db-wal", "numbers.db-shm", "numbers.db.lock"), 0o600
    )


def test_the_pragmas_hold(numbers: Database) -> None:
    with numbers.readers.connection() as connection:
        values = {
            name: connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "query_only", "mmap_size", "cache_size")
        }
    assert values == {
        "journal_mode": "wal",
        "synchronous": 1,
        "query_only": 1,
        "mmap_size": 0,
        "cache_size": -CACHE_KIB,
    }


def test_full_synchronous_is_passed_on(tmp_path: Path) -> None:
    with contextlib.closing(Database(tmp_path / "a.db", NUMBERS, synchronous="FULL")) as opened:
        assert opened.write(lambda connection: connection.execute("PRAGMA synchronous").fetchone()[0]) == 2


def test_readers_cannot_write(numbers: Database) -> None:
    with pytest.raises(OutOfResources, match="readonly"):
        numbers.read(INSERT, (1,))


def test_migrations_run_once_and_in_order(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    opening(path).close()
    later = (*NUMBERS, Migration(2, lambda db: db["number"].add_column("name", str)))
    for _ in range(2):
        with contextlib.closing(Database(path, later, synchronous="OFF")) as opened:
            assert opened.read("SELECT name FROM pragma_table_info('number')") == [("value",), ("name",)]
            assert opened.read("PRAGMA user_version") == [(2,)]


def test_a_migration_that_fails_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    opening(path).close()
    failing = (*NUMBERS, Migration(2, ("CREATE TABLE other (a)", "CREATE TABLE number (a)")))
    with pytest.raises(ProgramFault, match="already exists"):
        Database(path, failing, synchronous="OFF")
    with contextlib.closing(opening(path)) as opened:
        assert opened.read("SELECT name FROM sqlite_schema") == [("number",)]


def test_a_newer_schema_is_refused_with_both_versions(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    Database(path, (*NUMBERS, Migration(12, ("CREATE TABLE a (b)",))), synchronous="OFF").close()
    with pytest.raises(ConfigError, match="version 12, this program knows up to 1"):
        opening(path)


def test_a_file_that_is_no_database_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(b"no database " * 1000)
    with pytest.raises(PermanentError, match=r"a\.db is damaged"):
        opening(path)


def test_a_folder_that_is_missing_is_no_resource(tmp_path: Path) -> None:
    with pytest.raises(OutOfResources, match="No such file"):
        opening(tmp_path / "missing" / "a.db")


class Announcing(deque[object]):
    """A queue that says when something came."""

    def __init__(self) -> None:
        super().__init__()
        self.came = threading.Semaphore(0)

    def append(self, item: object) -> None:
        super().append(item)
        self.came.release()


class Group:
    """Holds the leader inside a first job until others have queued, so that those are one batch."""

    def __init__(self, numbers: Database) -> None:
        self.numbers = numbers
        self.queue = numbers._writer._queue = Announcing()  # type: ignore[assignment]
        self.entered, self.go = threading.Event(), threading.Event()
        self.outcomes: dict[int, object] = {}

    def _first(self, connection: sqlite3.Connection) -> int:
        self.entered.set()
        assert self.go.wait(10)
        return 0

    def _write(self, value: int, instead: Callable[[sqlite3.Connection], None] | None) -> None:
        def job(connection: sqlite3.Connection) -> int:
            connection.execute(INSERT, (value,))
            if value < 0:
                raise ValueError(value)
            return value

        try:
            self.outcomes[value] = self.numbers.write(instead or (job if value else self._first))
        except Exception as error:
            self.outcomes[value] = error

    def run(
        self, values: list[int], instead: dict[int, Callable[[sqlite3.Connection], None]] | None = None
    ) -> None:
        jobs = instead or {}
        threads = [
            threading.Thread(target=self._write, args=(value, jobs.get(value))) for value in (0, *values)
        ]
        threads[0].start()
        assert self.entered.wait(10)
        for thread in threads[1:]:
            thread.start()
        for _ in threads:
            assert self.queue.came.acquire(timeout=10)
        self.go.set()
        for thread in threads:
            thread.join(10)


def commits(numbers: Database) -> list[str]:
    statements: list[str] = []
    numbers._writer._connection.set_trace_callback(statements.append)
    return statements


def test_what_waits_is_committed_together(numbers: Database) -> None:
    statements = commits(numbers)
    group = Group(numbers)
    group.run(list(range(1, 101)))
    assert group.outcomes == {value: value for value in range(101)}
    assert stored(numbers) == list(range(1, 101))
    assert statements.count("COMMIT") == 3  # the first, 64, the rest
    assert statements.count("SAVEPOINT job") == 100


def test_a_job_that_fails_hurts_no_other(numbers: Database) -> None:
    group = Group(numbers)
    group.run([1, -2, 3, -4])
    assert stored(numbers) == [1, 3]
    assert group.outcomes[1] == 1
    assert group.outcomes[3] == 3
    assert isinstance(group.outcomes[-2], ValueError)
    assert group.outcomes[-2].args == (-2,)
    assert isinstance(group.outcomes[-4], ValueError)


def test_a_commit_that_fails_fails_all_of_its_jobs(numbers: Database) -> None:
    class Failing(sqlite3.Connection):
        def execute(self, statement: str, *parameters: object) -> sqlite3.Cursor:  # type: ignore[override]
            if statement == "COMMIT":
                error = sqlite3.OperationalError("disk I/O error")
                error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
                raise error
            return super().execute(statement, *parameters)

    group = Group(numbers)
    healthy = numbers._writer._connection
    numbers._writer._connection = sqlite3.connect(
        numbers.path, isolation_level=None, check_same_thread=False, factory=Failing
    )
    group.run([1, 2])
    numbers._writer._connection.close()
    numbers._writer._connection = healthy
    assert {type(outcome) for outcome in group.outcomes.values()} == {OutOfResources}
    assert group.outcomes[1] is not group.outcomes[2]
    assert stored(numbers) == []
    insert(numbers, 3)
    assert stored(numbers) == [3]


def test_a_full_disk_in_a_job_is_out_of_resources_for_all_and_passes(numbers: Database) -> None:
    pages = numbers.read("PRAGMA page_count")[0][0]
    numbers._writer._connection.execute(f"PRAGMA max_page_count = {pages + 10}")

    def fill(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE blob (a)")
        connection.execute("INSERT INTO blob VALUES (zeroblob(1000000))")

    with pytest.raises(OutOfResources, match="full"):
        numbers.write(fill)
    insert(numbers, 1)
    assert stored(numbers) == [1]


def test_an_error_of_sqlite_in_a_job_is_one_of_ours(numbers: Database) -> None:
    insert(numbers, 1)
    with pytest.raises(ProgramFault, match="UNIQUE"):
        insert(numbers, 1)


def test_an_interrupted_leader_leaves_nobody_waiting(numbers: Database) -> None:
    def interrupt(connection: sqlite3.Connection) -> None:
        connection.execute(INSERT, (5,))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        numbers.write(interrupt)
    insert(numbers, 1)
    assert stored(numbers) == [1]


def test_the_writer_says_when_rows_may_have_changed(tmp_path: Path) -> None:
    forgotten: list[int] = []
    path = tmp_path / "a.db"
    with (
        contextlib.closing(
            Database(path, NUMBERS, synchronous="OFF", forget=lambda: forgotten.append(1))
        ) as ours,
        contextlib.closing(opening(path)) as theirs,
    ):
        insert(ours, 1)
        forgotten.clear()
        insert(ours, 2)
        assert forgotten == []
        insert(theirs, 3)
        insert(ours, 4)
        assert forgotten == [1]
        with pytest.raises(ProgramFault):
            insert(ours, 4)
        assert forgotten == [1, 1]
        insert(ours, 5)
        assert forgotten == [1, 1]
        with pytest.raises(TemporaryError):
            ours.write(end_the_transaction)
        assert forgotten == [1, 1, 1]


def end_the_transaction(connection: sqlite3.Connection) -> None:
    """Do as SQLite does with a transaction when the disk is full."""
    connection.execute(INSERT, (99,))
    connection.execute("ROLLBACK")
    raise sqlite3.OperationalError


def test_a_job_that_ends_the_transaction_fails_all(numbers: Database) -> None:
    group = Group(numbers)
    group.run([1, 2], {2: end_the_transaction})
    assert {type(outcome) for outcome in group.outcomes.values()} == {int, TemporaryError}
    committed = [value for value, outcome in group.outcomes.items() if value and outcome == value]
    assert stored(numbers) == committed


@contextlib.contextmanager
def foreign_transaction(path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as foreign:
        foreign.execute("BEGIN IMMEDIATE")
        yield foreign


def test_a_short_foreign_lock_is_waited_for(numbers: Database) -> None:
    with foreign_transaction(numbers.path) as foreign:
        timer = threading.Timer(0.3, lambda: foreign.execute("COMMIT"))
        timer.start()
        insert(numbers, 1)
        timer.join()
    assert stored(numbers) == [1]


def test_a_long_foreign_lock_is_temporary_and_passes(tmp_path: Path) -> None:
    with contextlib.closing(opening(tmp_path / "a.db", wait_seconds=0.2)) as numbers:
        with foreign_transaction(numbers.path), pytest.raises(TemporaryError, match="locked"):
            insert(numbers, 1)
        insert(numbers, 2)
        assert stored(numbers) == [2]


def test_all_who_wait_for_a_long_foreign_lock_wait_once(tmp_path: Path) -> None:
    with contextlib.closing(opening(tmp_path / "a.db", wait_seconds=0.5)) as numbers:
        errors: list[TemporaryError] = []

        def attempt(value: int) -> None:
            try:
                insert(numbers, value)
            except TemporaryError as error:
                errors.append(error)

        threads = [threading.Thread(target=attempt, args=(value,)) for value in range(20)]
        started = time.monotonic()
        with foreign_transaction(numbers.path):
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(20)
        assert time.monotonic() - started < 5  # one after the other they would take 10 s
        assert len(errors) == 20
        assert len(set(map(id, errors))) == 20


def test_the_file_lock_of_another_is_waited_for_within_bounds(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with contextlib.closing(opening(path, wait_seconds=0.2)) as numbers:
        descriptor = os.open(f"{path}.lock", os.O_RDWR)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        for value in (1, 2):
            with pytest.raises(TemporaryError, match="locked by another process"):
                insert(numbers, value)
        os.close(descriptor)
        numbers._writer._wait_seconds = 10.0
        insert(numbers, 3)
        assert stored(numbers) == [3]


def test_a_file_lock_that_comes_too_late_is_given_back(tmp_path: Path) -> None:
    first, second = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    assert first.acquire(0)
    assert not second.acquire(0.05)
    first.release()
    assert first.acquire(10)
    first.release()
    assert second.acquire(10)
    assert not first.acquire(0.05)
    second.close()
    assert first.acquire(10)
    first.close()


def test_a_file_lock_closed_while_it_waits_is_nobodys(tmp_path: Path) -> None:
    first, second, third = (FileLock(tmp_path / "lock") for _ in range(3))
    assert first.acquire(0)
    assert not second.acquire(0.01)
    second.close()
    first.close()
    assert third.acquire(10)
    third.close()


def test_two_who_open_the_same_file_write_in_turn(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with contextlib.closing(opening(path)) as first, contextlib.closing(opening(path)) as second:
        threads = [
            threading.Thread(
                target=lambda one=one, start=start: [insert(one, start + at) for at in range(50)]
            )
            for start, one in ((0, first), (100, second))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert stored(first) == [*range(50), *range(100, 150)]


def test_readers_are_bounded_and_waited_for(tmp_path: Path) -> None:
    with contextlib.closing(opening(tmp_path / "a.db", wait_seconds=0.1, readers=1)) as numbers:
        with numbers.readers.connection(), pytest.raises(TemporaryError, match="readers are busy"):
            numbers.read("SELECT 1")
        assert numbers.read("SELECT 1") == [(1,)]


def test_a_reader_is_used_again(numbers: Database) -> None:
    with numbers.readers.connection() as first:
        pass
    with numbers.readers.connection() as second:
        assert second is first


def test_after_close_nothing_is_done(tmp_path: Path) -> None:
    numbers = opening(tmp_path / "a.db")
    with numbers.readers.connection() as lent:
        numbers.close()
        assert lent.execute("SELECT 1").fetchone() == (1,)
    with pytest.raises(sqlite3.ProgrammingError):
        lent.execute("SELECT 1")
    with pytest.raises(TemporaryError, match="closed"):
        insert(numbers, 1)
    with pytest.raises(TemporaryError, match="closed"):
        numbers.read("SELECT 1")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.db", "a.db.lock"]


def test_a_checkpoint_says_whether_all_was_moved(numbers: Database) -> None:
    insert(numbers, 1)
    with contextlib.closing(sqlite3.connect(numbers.path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM number").fetchall()
        insert(numbers, 2)
        assert not numbers.checkpoint()
        reader.execute("COMMIT")
        assert numbers.checkpoint("TRUNCATE")
    assert numbers.path.with_name("numbers.db-wal").stat().st_size == 0


def test_sync_syncs_the_wal_that_a_reader_keeps(numbers: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    )
    insert(numbers, 1)
    numbers.sync()
    assert synced == []
    with contextlib.closing(sqlite3.connect(numbers.path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM number").fetchall()
        insert(numbers, 2)
        numbers.sync()
    assert synced == [f"{numbers.path.resolve()}-wal"]


def test_a_sync_that_failed_is_not_believed_again(numbers: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(database, "_fsynced", fail)
        patched.setattr(Database, "checkpoint", lambda self, mode: False)
        with pytest.raises(OutOfResources, match="Input/output error"):
            numbers.sync()
    with pytest.raises(OutOfResources, match="earlier sync failed"):
        numbers.sync()


class EnoughError(Exception):
    """Ends a statement."""


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


def test_a_statement_is_ended_by_what_its_check_raises(numbers: Database) -> None:
    asked: list[float] = []

    def check() -> None:
        asked.append(time.monotonic())
        if len(asked) == 3:
            raise EnoughError("enough")

    started = time.monotonic()
    with pytest.raises(EnoughError, match="enough"):
        numbers.read(ENDLESS, check=check)
    assert len(asked) == 3
    assert time.monotonic() - started < 5  # ten times the promise
    assert numbers.read("SELECT 1") == [(1,)]  # the connection is as good as before, and asks nobody
    assert len(asked) == 3


def test_a_short_statement_is_not_checked(numbers: Database) -> None:
    def check() -> None:
        raise AssertionError

    assert numbers.read("SELECT 1", check=check) == [(1,)]


def test_an_error_within_a_checked_statement_is_one_of_our_tree(numbers: Database) -> None:
    with pytest.raises(ProgramFault, match="no such table"):
        numbers.read("SELECT * FROM elsewhere", check=lambda: None)


@pytest.mark.parametrize(
    "statement",
    ["SELECT * FROM elsewhere", "SELECT " + " OR ".join(["1"] * 2000)],
    ids=["unknown table", "too large"],
)
def test_a_statement_that_cannot_be_prepared_is_a_fault_of_ours(
    numbers: Database, statement: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ProgramFault):
        numbers.read(statement)
    assert "a fault of this program" in caplog.text


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_BUSY, TemporaryError),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, TemporaryError),
        (sqlite3.SQLITE_LOCKED, TemporaryError),
        (sqlite3.SQLITE_INTERRUPT, TemporaryError),
        (sqlite3.SQLITE_FULL, OutOfResources),
        (sqlite3.SQLITE_IOERR_READ, OutOfResources),
        (sqlite3.SQLITE_NOMEM, OutOfResources),
        (sqlite3.SQLITE_CORRUPT, PermanentError),
        (sqlite3.SQLITE_ERROR, ProgramFault),
        (sqlite3.SQLITE_TOOBIG, ProgramFault),
        (None, TemporaryError),
    ],
)
def test_only_what_may_pass_is_temporary(code: int | None, kind: type[Exception]) -> None:
    error = sqlite3.OperationalError("so")
    if code is not None:
        error.sqlite_errorcode = code
    assert type(translated(error, Path("a.db"))) is kind


def test_a_reader_keeps_few_statements(tmp_path: Path) -> None:
    """Each form of a query is a statement of its own, and a kept one is memory."""
    kept: list[int] = []

    class Connection(sqlite3.Connection):
        def __init__(self, *arguments: Any, cached_statements: int, **more: Any) -> None:
            kept.append(cached_statements)
            super().__init__(*arguments, cached_statements=cached_statements, **more)

    original = sqlite3.connect
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite3, "connect", lambda *a, **b: original(*a, factory=Connection, **b))
        for query_only in (True, False):
            connect(tmp_path / "a.db", synchronous="OFF", wait_seconds=1, query_only=query_only).close()
    assert kept == [READER_STATEMENTS, WRITER_STATEMENTS]
    assert READER_STATEMENTS <= 16
