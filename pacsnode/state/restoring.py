"""A copy becomes the state again, on the word of an administrator and while no node runs."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pacsnode.errors import DamagedObject, ObjectNotFound, OutOfResources
from pacsnode.state.base import CustodyEvent, CustodyKind
from pacsnode.state.copies import Copy, check_bytes, copies_in, opened_in
from pacsnode.state.folder import StateFolder
from pacsnode.storage.base import Readable, Storage
from pacsnode.storage.files import FileReadable

PROCESS = "state restore"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a copy lies that may be restored: `place` is "copies", "storage" or "file"."""

    name: str
    place: str
    open: Callable[[], Readable]
    copy: Copy | None


@dataclass(frozen=True, slots=True)
class Restored:
    """What became the state, and why newer sources were passed over."""

    path: Path
    source: Source | None
    passed_over: tuple[str, ...] = ()


def sources(folder: StateFolder, storage: Storage) -> Iterator[Source]:
    """Yield every copy, those beside the state before those of the storage, the newest first."""
    for copy in folder.copies.list():
        yield Source(copy.name, "copies", lambda copy=copy: folder.copies.open(copy), copy)  # type: ignore[misc]
    for copy in copies_in(storage):
        yield Source(copy.name, "storage", lambda copy=copy: opened_in(storage, copy), copy)  # type: ignore[misc]


def source_named(text: str, folder: StateFolder, storage: Storage) -> Source:
    """Return the copy with this name, or the file at this path; raises `ObjectNotFound`."""
    copy = Copy.parse(text)
    if copy is not None:
        if copy in folder.copies.list():
            return Source(text, "copies", lambda: folder.copies.open(copy), copy)
        opened_in(storage, copy).close()
        return Source(text, "storage", lambda: opened_in(storage, copy), copy)
    path = Path(text)
    if not path.is_file():
        raise ObjectNotFound(f"{text} is neither a copy of the state nor a file")
    return Source(text, "file", lambda: _file(path), Copy.parse(path.name))


def _file(path: Path) -> Readable:
    try:
        return FileReadable(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        raise OutOfResources(f"{path}: {error.strerror}") from error


def restore(folder: StateFolder, candidates: Iterator[Source], *, now_ms: int) -> Restored:
    """Make the first candidate that is in order the state.

    Raises `DamagedObject` if none is. The caller holds the data folder: no node may run.
    """
    passed_over: list[str] = []
    for source in candidates:
        try:
            path = _restored(folder, source, now_ms)
        except (DamagedObject, ObjectNotFound) as error:
            passed_over.append(str(error))
        else:
            return Restored(path, source, tuple(passed_over))
    raise DamagedObject(passed_over[0] if passed_over else "there is no copy of the state")


def _restored(folder: StateFolder, source: Source, now_ms: int) -> Path:
    readable = source.open()
    try:
        if source.copy is not None:
            check_bytes(readable, source.copy)
        detail = f"restored from {source.name} ({source.place})"
        event = CustodyEvent(CustodyKind.STATE_RESTORED, now_ms, PROCESS, detail, name=source.name)
        return folder.begin(readable, event, revision=_highest(folder))
    finally:
        readable.close()


def begin_empty(folder: StateFolder, *, now_ms: int) -> Restored:
    """Begin an empty state in place of one that is given up."""
    before = folder.file()
    detail = "begun empty" if before is None else f"begun empty in place of {before.name}"
    event = CustodyEvent(CustodyKind.STATE_BEGUN, now_ms, PROCESS, detail)
    return Restored(folder.begin(None, event, revision=_highest(folder)), None)


def _highest(folder: StateFolder) -> int:
    return max((copy.revision for copy in folder.copies.list()), default=0)
