"""What a file's first bytes tell before SQLite opens it."""

import contextlib
import os
from pathlib import Path

from pacsnode.errors import PermanentError

_HEADER_BYTES = 100
_MAGIC = b"SQLite format 3\0"


def refuse_damaged(path: Path) -> None:
    """Raise `PermanentError` for a file that is no database or lost its end. An empty one is new.

    While there is a WAL the end may be in it, so the length says nothing. A file that is not there is none that
    is damaged; raises `OSError` if it cannot be read.
    """
    has_wal = False
    with contextlib.suppress(FileNotFoundError):
        has_wal = path.with_name(path.name + "-wal").stat().st_size > 0
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
            length = os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        return
    if not length:
        return
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        raise PermanentError(f"{path} is damaged: its header is not that of a database")
    page_size = int.from_bytes(header[16:18], "big")
    pages = int.from_bytes(header[28:32], "big")
    expected = (65536 if page_size == 1 else page_size) * pages
    if length < expected and not has_wal:
        raise PermanentError(f"{path} is damaged: {length} bytes instead of {expected}")
