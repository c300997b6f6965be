"""SQLite's errors, and the operating system's, as those of our tree."""

import contextlib
import logging
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from pacsnode.errors import OutOfResources, PacsNodeError, PermanentError, ProgramFault, TemporaryError

log = logging.getLogger(__name__)

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
# What another connection does, or a `check`.
_PASSING = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_SCHEMA,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_ABORT,
    }
)


def translated(error: sqlite3.Error, path: Path) -> PacsNodeError:
    """Return the error of our tree for one of SQLite's.

    What has no code is not SQLite's but the module's, of a connection that is closed, and is temporary. A statement
    that cannot be prepared or breaks a constraint is a fault of ours, which nothing but another program mends.
    """
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if isinstance(code, int) else None
    if primary in _DAMAGED:
        return PermanentError(f"{path} is damaged: {error}")
    if primary in _RESOURCES:
        return OutOfResources(f"{path}: {error}")
    if primary is None or primary in _PASSING:
        return TemporaryError(f"{path}: {error}")
    # Logged here: a peer is told nothing of it, and it may reach nobody else.
    log.error("%s: a fault of this program: %s", path, error, extra={"limit_by": (str(error),)})
    return ProgramFault(f"{path}: {error}")


@contextlib.contextmanager
def reporting(path: Path) -> Iterator[None]:
    """Turn the `sqlite3.Error`s of the block into those of our tree."""
    try:
        yield
    except sqlite3.Error as error:
        raise translated(error, path) from error


@contextlib.contextmanager
def resources(path: Path) -> Iterator[None]:
    """Turn the `OSError`s of the block into `OutOfResources`."""
    try:
        yield
    except OSError as error:
        raise OutOfResources(f"{path}: {error.strerror}") from error
