"""A connection with our pragmas, and the migrations that bring a file to the newest schema."""

import contextlib
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from pacsnode.database.reporting import reporting
from pacsnode.errors import ConfigError

if TYPE_CHECKING:
    import sqlite_utils

Synchronous = Literal["OFF", "NORMAL", "FULL"]

CACHE_KIB = 8192
# A writer has a fixed set of statements. Those of readers are as many as there are forms of queries, and each stays in
# memory while it is kept: what the few forms have that a peer asks again and again.
WRITER_STATEMENTS = 512
READER_STATEMENTS = 16
# Checkpoints are a job's; this is the net for the time when no job runs (40 MB of WAL).
AUTOCHECKPOINT_PAGES = 10_000
WAL_SIZE_LIMIT_BYTES = 64 << 20

# Deterministic functions for SQL by name, with the number of their parameters.
Functions = Mapping[str, tuple[int, Callable[..., str | int | float | bytes | None]]]
NO_FUNCTIONS: Functions = MappingProxyType({})


def connect(
    path: Path,
    *,
    synchronous: Synchronous,
    wait_seconds: float,
    query_only: bool,
    functions: Functions = NO_FUNCTIONS,
) -> sqlite3.Connection:
    """Open a connection with our pragmas. It may move between threads, one at a time."""
    connection = sqlite3.connect(
        path,
        timeout=wait_seconds,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=READER_STATEMENTS if query_only else WRITER_STATEMENTS,
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
        for name, (parameters, function) in functions.items():
            connection.create_function(name, parameters, function, deterministic=True)
    except BaseException:
        connection.close()
        raise
    return connection


def version_of(path: Path) -> int:
    """Return the schema version of a file, which is only read; 0 for one that nobody has finished making.

    Raises `PacsNodeError` if it cannot be read.
    """
    with (
        reporting(path),
        contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection,
    ):
        version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


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
