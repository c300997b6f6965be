"""SQLite's errors, and the operating system's, as those of our tree."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from pacsnode.errors import OutOfResources, PacsNodeError, PermanentError, TemporaryError

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


@contextlib.contextmanager
def resources(path: Path) -> Iterator[None]:
    """Turn the `OSError`s of the block into `OutOfResources`."""
    try:
        yield
    except OSError as error:
        raise OutOfResources(f"{path}: {error.strerror}") from error
