"""Which file is the state, and the refusal to guess.

    state/state-1.db         a file, with -wal, -shm and .lock beside it
    state/state-1.in-use     says that state-1.db is the state; the highest number counts
    state/copies/            see `copies`
    state/lock               held while a process finds out or changes which file it is

A file becomes the state when it is whole: its marker is the last that is written, and nothing is received before.
So a marker without its file is a loss, and a data folder that holds something without any marker is one too. What
is damaged stays as it is: a restored file gets the next number, and none is ever renamed or written over (the WAL
of the old one would be applied to the new one).

A file that is older than its newest copy has lost its end or was put there: that is damage as well.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pacsnode.database import LOCK_WAIT_SECONDS, refuse_network_file_system
from pacsnode.database.lock import FileLock
from pacsnode.database.reporting import resources
from pacsnode.durable import DurableFolder
from pacsnode.errors import DamagedObject, PacsNodeError, TemporaryError
from pacsnode.state.base import CustodyEvent
from pacsnode.state.checks import Examined, examined
from pacsnode.state.copies import Copies, published
from pacsnode.state.sqlite import SqliteState
from pacsnode.storage.base import Readable

_MARKER = re.compile(r"state-([1-9][0-9]{0,8})\.in-use", re.ASCII)
_FILE = re.compile(r"state-([1-9][0-9]{0,8})\.(?:db|db-wal|in-use)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Opened:
    """The state, or why there is none: `trouble` is a sentence that names the file."""

    state: SqliteState | None
    trouble: str | None = None


class StateFolder:
    """The folder of the state. A context manager; what was opened stays open."""

    def __init__(self, path: Path) -> None:
        """Open or create the folder (0700). Raises `PermanentError`, `ConfigError` for a network file system."""
        refuse_network_file_system(path)
        self.path = path
        self._folder = DurableFolder(path)
        self.copies = Copies(path / "copies")

    def close(self) -> None:
        """Let go of the folder."""
        self.copies.close()
        self._folder.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def file(self) -> Path | None:
        """Return the file that is the state, which may be missing; None if none ever was."""
        numbers = [int(match[1]) for name in self._folder.names() if (match := _MARKER.fullmatch(name))]
        return self._file(max(numbers)) if numbers else None

    def _file(self, number: int) -> Path:
        return self.path / f"state-{number}.db"

    def examined(self, path: Path, *, everything: bool) -> Examined:
        """Look at what `file` returned, without changing anything."""
        found = examined(path, everything=everything)
        newest = next(iter(self.copies.list()), None)
        if found.trouble is None and newest is not None and found.revision < newest.revision:
            return Examined(
                f"{path} is damaged: it has revision {found.revision}, its newest copy {newest.revision}",
                found.revision,
            )
        return found

    def open(self, *, holds: Callable[[], str]) -> Opened:
        """Open the state, or begin one in a data folder that is new.

        `holds` is asked if there is none: it says what the data folder holds, nothing if it is new. Raises
        `TemporaryError` if another process holds the lock.
        """
        with self._locked():
            path = self.file()
            if path is not None:
                return self._checked(path)
            if held := holds():
                return Opened(None, f"the state in {self.path} is missing, while {held}")
            return self._begun()

    def _checked(self, path: Path) -> Opened:
        found = self.examined(path, everything=False)
        return self._opened(path) if found.trouble is None else Opened(None, found.trouble)

    def _opened(self, path: Path) -> Opened:
        try:
            return Opened(SqliteState(path))
        except PacsNodeError as error:
            if type(error) is TemporaryError:  # locked by another process: it may be in order
                raise
            return Opened(None, str(error))

    def _begun(self) -> Opened:
        number = self._next_number()
        with ExitStack() as undo:
            state = SqliteState(self._file(number))
            undo.callback(state.close)
            state.settle()
            self._mark(number)
            undo.pop_all()
        return Opened(state)

    def existing(self) -> Opened:
        """Open the state if there is one, for a program that looks into a node's data."""
        with self._locked():
            path = self.file()
            return Opened(None) if path is None else self._checked(path)

    def begin(self, source: Readable | None, event: CustodyEvent, *, revision: int) -> Path:
        """Make a new file the state, of the bytes of a copy or empty, and leave the one before as it lies.

        `event` is recorded in it; its revision will be higher than `revision`. The caller holds the data folder.
        Raises `DamagedObject` if the bytes are no state in order, `OutOfResources`.
        """
        with self._locked():
            number = self._next_number()
            path = self._file(number)
            if source is not None:
                self._write(source, path)
            state = SqliteState(path)
            try:
                state.raise_revision(revision)
                state.record([event])
                state.settle()
            finally:
                state.close()
            self._mark(number)
            return path

    def _write(self, source: Readable, path: Path) -> None:
        published(self._folder, source, path.name)
        found = examined(path, everything=True, alone=True)
        if found.trouble is not None:
            self._folder.remove(path.name)
            raise DamagedObject(f"the copy cannot be used: {found.trouble}")

    def _next_number(self) -> int:
        found = (_FILE.fullmatch(name) for name in self._folder.names())
        return max((int(match[1]) for match in found if match), default=0) + 1

    def _mark(self, number: int) -> None:
        with resources(self.path):
            marker = self._folder.unnamed_file()
            try:
                os.write(marker, f"state-{number}.db is the state of this node\n".encode())
                self._folder.publish(marker, f"state-{number}.in-use")
            finally:
                os.close(marker)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with resources(self.path):
            lock = FileLock(self.path / "lock")
        try:
            if not lock.acquire(LOCK_WAIT_SECONDS):
                raise TemporaryError(f"{self.path} is locked by another process")
            try:
                yield
            finally:
                lock.release()
        finally:
            lock.close()
