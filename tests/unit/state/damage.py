"""The ways in which a state is damaged in the tests (RELIABILITY D6b), and what it looks like before."""

import contextlib
import os
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path

from pacsnode.state.base import CustodyEvent, CustodyKind
from pacsnode.state.sqlite import SqliteState

PAGE = 4096


def event(number: int = 1) -> CustodyEvent:
    return CustodyEvent(
        CustodyKind.DAMAGED, 1_700_000_000_000 + number, "test", f"reason {number}" + "." * 300
    )


def fill(path: Path, *, events: int = 2500) -> None:
    """Make a state of a few hundred pages, all of them in the file."""
    with contextlib.closing(SqliteState(path)) as state:
        state.record([event(number) for number in range(events)])
        state.settle()


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def truncate_to_nothing(path: Path) -> None:
    os.truncate(path, 0)


def flip_pages(path: Path) -> None:
    """Turn every bit of 100 pages, the first left out."""
    data = bytearray(path.read_bytes())
    pages = len(data) // PAGE
    assert pages > 150
    for page in random.Random(6).sample(range(1, pages), 100):
        data[page * PAGE : (page + 1) * PAGE] = bytes(
            255 - byte for byte in data[page * PAGE : (page + 1) * PAGE]
        )
    path.write_bytes(data)


def zero_header(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(100))


def delete(path: Path) -> None:
    path.unlink()


def make_newer(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")


def make_unreadable(path: Path) -> None:
    """A folder in its place: what no user, and not even root, reads as a file."""
    path.unlink()
    path.mkdir()


def put_another_program_there(path: Path) -> None:
    path.unlink()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE elsewhere (number)")


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "truncated": (truncate, "damaged: .* bytes instead of"),
    "truncated to nothing": (truncate_to_nothing, "damaged: it is empty"),
    "100 pages flipped": (flip_pages, "damaged"),
    "header zeroed": (zero_header, "damaged: its header"),
    "deleted": (delete, "is missing"),
    "newer schema": (make_newer, "schema version 99.*newer pacsnode"),
    "unreadable": (make_unreadable, "cannot be read|unable to open|is damaged"),
    "another database": (put_another_program_there, "damaged: it has no schema"),
}


def content(folder: Path) -> dict[str, bytes]:
    """Return the bytes of all files below, but of those that any reader of SQLite makes."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not path.name.endswith("-shm")
        and (path.stat().st_size or "-wal" not in path.name)
    }
