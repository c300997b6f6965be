"""Whether a file can be trusted as the state: asked before it is opened for writing, and changing nothing.

Looked at are, in this order: that it is there and not empty, its header and length, its schema version, and its
pages (`PRAGMA quick_check` reads all of them) up to `CHECKED_BYTES`; above that, only who asks for everything
gets everything read. A single flipped bit within a text is not found by SQLite; copies have a CRC32C for that.

The file is opened read-only: SQLite, opened for writing, would move a WAL into a damaged file.
"""

import contextlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from pacsnode.database.header import refuse_damaged
from pacsnode.database.reporting import reporting
from pacsnode.errors import OutOfResources, PermanentError
from pacsnode.state.schema import VERSION

CHECKED_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class Examined:
    """What was found: `trouble` is a sentence, or None for a file that is in order."""

    trouble: str | None
    revision: int = 0


def examined(path: Path, *, everything: bool, alone: bool = False) -> Examined:
    """Look at a file.

    `alone` is for one that nobody has open and that has no WAL. Raises `TemporaryError` if it is locked.
    """
    try:
        length = path.stat().st_size
        if not length:
            return Examined(f"{path} is damaged: it is empty")
        refuse_damaged(path)
        uri = f"file:{quote(str(path))}?{'immutable=1' if alone else 'mode=ro'}"
        with (
            reporting(path),
            contextlib.closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection,
        ):
            return _read(connection, path, everything=everything or length <= CHECKED_BYTES)
    except FileNotFoundError:
        return Examined(f"{path} is missing")
    except OSError as error:
        return Examined(f"{path} cannot be read: {error.strerror}")
    except (PermanentError, OutOfResources) as error:
        return Examined(str(error))


def _read(connection: sqlite3.Connection, path: Path, *, everything: bool) -> Examined:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        return Examined(
            f"{path} has schema version {version}, this program knows up to {VERSION}: run the newer pacsnode"
        )
    if version < 1:
        return Examined(f"{path} is damaged: it has no schema")
    if everything:
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            return Examined(f"{path} is damaged: {str(found).splitlines()[0]}")
    row = connection.execute("SELECT revision FROM node").fetchone()
    if row is None:
        return Examined(f"{path} is damaged: it has no revision")
    return Examined(None, row[0])
