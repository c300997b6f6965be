"""Copies of the state, beside it in `copies/`: names that tell whether they are whole, and which of them are kept.

`<time>-<revision>-<length>-<crc32c>.db`: when it was made (UTC), the revision that it holds, and what its bytes must
be. A copy appears whole and durable or not at all, and is never changed. The storage holds the same copies under
`_state/<name>`, for the day on which the whole data folder is gone.

Kept are the newest `KEPT_HOURLY`, and the newest one of each of the last `KEPT_DAILY` days that have one: since
nothing is copied when nothing has changed, an idle node does not lose its past.
"""

import os
import re
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pacsnode.durable import DurableFolder, write_all
from pacsnode.errors import DamagedObject, ObjectExists, ObjectNotFound, OutOfResources
from pacsnode.state.checks import examined
from pacsnode.storage.base import Readable, Storage
from pacsnode.storage.files import FileReadable
from pacsnode.storage.names import parse_state_copy, state_copy_name
from pacsnode.storage.reading import chunks_of, crc32c_of

KEPT_HOURLY = 24
KEPT_DAILY = 14

_TIME = "%Y%m%dT%H%M%SZ"
_NAME = re.compile(r"([0-9]{8}T[0-9]{6}Z)-([1-9][0-9]{0,17})-([1-9][0-9]{0,17})-([0-9a-f]{8})\.db", re.ASCII)
_UNFINISHED = "unfinished"  # a folder: SQLite puts files of its own beside the one that it writes


@dataclass(frozen=True, slots=True)
class Copy:
    """One copy, as its name tells."""

    made_at_ms: int
    revision: int
    length: int
    crc32c: int

    @property
    def name(self) -> str:
        """The file's name."""
        made = datetime.fromtimestamp(self.made_at_ms / 1000, UTC)
        return f"{made:{_TIME}}-{self.revision}-{self.length}-{self.crc32c:08x}.db"

    @classmethod
    def parse(cls, name: str) -> "Copy | None":
        """Return the copy of a file name, None if it is none."""
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        try:
            made = datetime.strptime(match[1], _TIME).replace(tzinfo=UTC)
        except ValueError:
            return None
        return cls(int(made.timestamp()) * 1000, int(match[2]), int(match[3]), int(match[4], 16))


def newest_first(copies: Iterable[Copy]) -> list[Copy]:
    """Return copies by their revisions: the clock may have been set back between two of them."""
    return sorted(copies, key=lambda copy: (copy.revision, copy.made_at_ms), reverse=True)


def kept(copies: Iterable[Copy]) -> set[Copy]:
    """Return those that are not to be removed."""
    ordered = newest_first(copies)
    of_day: dict[int, Copy] = {}
    for copy in ordered:
        of_day.setdefault(copy.made_at_ms // 86_400_000, copy)
    return {*ordered[:KEPT_HOURLY], *list(of_day.values())[:KEPT_DAILY]}


class Copies:
    """The folder of copies. One thread at a time may make them; any may read."""

    def __init__(self, path: Path) -> None:
        """Open or create the folder (0700); raises `PermanentError` if its file system cannot serve."""
        self.path = path
        self._folder = DurableFolder(path)

    def list(self) -> list[Copy]:
        """Return all copies, the newest first."""
        return newest_first(copy for name in self._folder.names() if (copy := Copy.parse(name)))

    def open(self, copy: Copy) -> FileReadable:
        """Open a copy; raises `ObjectNotFound`, `OutOfResources`."""
        try:
            return FileReadable(self._folder.open(copy.name))
        except FileNotFoundError as error:
            raise ObjectNotFound(f"copy {copy.name} is not there") from error
        except OSError as error:
            raise OutOfResources(f"copy {copy.name} could not be opened: {error.strerror}") from error

    def unfinished(self) -> Path:
        """Return the path of a new file to copy into; what an earlier run left there is gone."""
        folder = self.path / _UNFINISHED
        try:
            with suppress(FileNotFoundError):
                shutil.rmtree(folder)
            folder.mkdir(mode=0o700)
            path = folder / "state.db"
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise OutOfResources(f"{folder}: {error.strerror}") from error
        return path

    def discard_unfinished(self) -> None:
        """Remove what was not published."""
        shutil.rmtree(self.path / _UNFINISHED, ignore_errors=True)

    def publish(self, unfinished: Path, *, revision: int, made_at_ms: int) -> Copy:
        """Make a whole file durable under its name, and return it as it is read back.

        Raises `DamagedObject` if it is not in order, `OutOfResources` if the disk does not keep it.
        """
        found = examined(unfinished, everything=True, alone=True)
        if found.trouble is not None:
            raise DamagedObject(found.trouble)
        try:
            source = FileReadable(os.open(unfinished, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            raise OutOfResources(f"{unfinished}: {error.strerror}") from error
        try:
            copy = Copy(made_at_ms // 1000 * 1000, revision, source.length, crc32c_of(source))
            with suppress(ObjectExists):  # the same bytes at the same second
                published(self._folder, source, copy.name)
        finally:
            source.close()
        self.check(copy)
        return copy

    def check(self, copy: Copy) -> None:
        """Read a copy; raises `DamagedObject` if it is not what its name says or not in order."""
        readable = self.open(copy)
        try:
            check_bytes(readable, copy)
        finally:
            readable.close()
        found = examined(self.path / copy.name, everything=True, alone=True)
        if found.trouble is not None:
            raise DamagedObject(found.trouble)

    def remove(self, copy: Copy) -> None:
        """Remove a copy if it is there."""
        self._folder.remove(copy.name)

    def close(self) -> None:
        """Let go of the folder."""
        self._folder.close()


def copies_in(storage: Storage) -> list[Copy]:
    """Return the copies that the storage holds, the newest first. It looks at every name in the storage."""
    names = (parse_state_copy(info.name) for info in storage.list())
    return newest_first(copy for name in names if name and (copy := Copy.parse(name)))


def opened_in(storage: Storage, copy: Copy) -> Readable:
    """Open a copy in the storage; raises `ObjectNotFound`, `OutOfResources`."""
    return storage.open(state_copy_name(copy.name))


def check_bytes(readable: Readable, copy: Copy) -> None:
    """Compare length and CRC32C with those in the name; raises `DamagedObject`."""
    if readable.length != copy.length:
        raise DamagedObject(f"copy {copy.name}: {readable.length} bytes, not {copy.length}")
    if crc32c_of(readable) != copy.crc32c:
        raise DamagedObject(f"copy {copy.name}: its bytes are not those that were written")


def published(folder: DurableFolder, source: Readable, name: str) -> None:
    """Copy all bytes into a new durable file; raises `ObjectExists`, `OutOfResources`, `DamagedObject`."""
    try:
        target = folder.unnamed_file()
        try:
            for chunk in chunks_of(source):
                write_all(target, [chunk])
            folder.publish(target, name)
        finally:
            os.close(target)
    except OSError as error:
        raise OutOfResources(f"{folder.path / name} could not be written: {error.strerror}") from error
