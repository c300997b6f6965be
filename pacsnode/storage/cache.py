"""Objects of a storage that is far away, kept nearby: what was uploaded or fetched of late.

One folder of files, each named by what must be in it, so that no path and no other object can be meant:
`<SHA-256 of the object's name>-<length>-<crc32c>`. What is in a file is compared before it has a name; whoever sends
an instance compares once more, since a power cut may tear what was never synced, and has a torn file dropped.

An object that several ask for at once is fetched once; the others wait for it, in other processes too (`turns`). When
room is needed the files go that were used least recently (`trim`, called by one process); one that goes while it is
read stays readable.
"""

import hashlib
import os
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import google_crc32c

from pacsnode.durable import DurableFolder, write_all
from pacsnode.errors import DamagedObject, PermanentError
from pacsnode.storage.base import Readable
from pacsnode.storage.files import FileReadable
from pacsnode.storage.reading import chunks_of
from pacsnode.storage.turns import Turns

_TOUCH_SECONDS = 60.0  # how exactly it is known when a file was used last
_WAIT_SECONDS = 120.0  # for somebody else's download
_TURNS_FILE = ".turns"
_LEFT_SHARE = 0.9  # of the limit, after a trim


@dataclass(frozen=True, slots=True)
class Wanted:
    """An object and what is known of it: length and CRC32C of its whole."""

    name: str
    length: int
    crc32c: int

    @property
    def file_name(self) -> str:
        """The name of its file in the cache."""
        digest = hashlib.sha256(self.name.encode("ascii")).hexdigest()
        return f"{digest}-{self.length}-{self.crc32c:08x}"


@dataclass(slots=True)
class _Download:
    """One that is under way."""

    is_over: threading.Event = field(default_factory=threading.Event)
    error: Exception | None = None


class Cache:
    """The folder. Any thread may call any method."""

    def __init__(self, path: Path, *, max_bytes: int, reserve_bytes: int = 0) -> None:
        """Create the folder (0700) if need be; raises `PermanentError`. So much of the disk is left to others."""
        self._folder = DurableFolder(path)
        try:
            self._turns = Turns(path / _TURNS_FILE)
        except OSError as error:
            self._folder.close()
            raise PermanentError(f"cache {path}: {error.strerror}") from error
        self._max_bytes = max_bytes
        self._reserve_bytes = reserve_bytes
        self._downloads: dict[str, _Download] = {}
        self._lock = threading.Lock()
        self._reads = self._fetches = 0

    def open(self, wanted: Wanted, fetch: Callable[[], Readable], *, is_ahead: bool = False) -> Readable:
        """Open an object, fetched if it is not here; raises what `fetch` raises, and `DamagedObject`.

        One that is opened `is_ahead` of being read is not counted as a read.
        """
        with self._lock:
            self._reads += not is_ahead
        for _ in range(2):
            if (found := self._found(wanted)) is not None:
                return found
            download, is_ours = self._joined(wanted.file_name)
            if is_ours:
                return self._fetched(wanted, fetch, download)
            if not download.is_over.wait(_WAIT_SECONDS):
                break  # it is large, or hangs
            if download.error is not None:
                raise download.error
        return fetch()  # or it had to make room at once

    def keep(self, wanted: Wanted, source: FileReadable) -> None:
        """Keep a file that holds an object already, if it is on the same disk: then nothing is copied."""
        try:
            self._folder.link(source.descriptor, wanted.file_name)
        except OSError:
            return

    def drop(self, wanted: Wanted) -> bool:
        """Remove a file that is not what its name says; false if there was none."""
        try:
            os.unlink(wanted.file_name, dir_fd=self._folder.descriptor)
        except OSError:
            return False
        return True

    def trim(self) -> int:
        """Remove files until the limit and the reserve are kept; return the bytes removed."""
        files = self._files()
        held = sum(size for _, size, _ in files)
        excess = held - int(self._max_bytes * _LEFT_SHARE) if held > self._max_bytes else 0
        excess = max(excess, self._reserve_bytes - self._folder.free_bytes())
        removed = 0
        for _, size, name in sorted(files):
            if removed >= excess:
                break
            self._folder.remove(name)
            removed += size
        return removed

    def use(self) -> dict[str, int]:
        """Return how much is in it."""
        files = self._files()
        return {
            "files": len(files),
            "bytes": sum(size for _, size, _ in files),
            "max_bytes": self._max_bytes,
        }

    def counts(self) -> dict[str, int]:
        """Return how many objects were read in this process, and how many of those had to be fetched."""
        with self._lock:
            return {"instances": self._reads, "fetched": self._fetches}

    def close(self) -> None:
        """Let go of the folder; open files stay readable."""
        self._turns.close()
        self._folder.close()

    def _found(self, wanted: Wanted) -> FileReadable | None:
        try:
            found = FileReadable(self._folder.open(wanted.file_name))
        except OSError:
            return None
        if found.length != wanted.length:
            found.close()
            self.drop(wanted)
            return None
        with suppress(OSError):  # a disk that takes no notes still gives what it has
            if time.time() - os.fstat(found.descriptor).st_mtime > _TOUCH_SECONDS:
                os.utime(found.descriptor)
        return found

    def _joined(self, file_name: str) -> tuple[_Download, bool]:
        """Return the download of a file, and whether it is the caller's to do."""
        with self._lock:
            download = self._downloads.get(file_name)
            if download is not None:
                return download, False
            download = self._downloads[file_name] = _Download()
            return download, True

    def _fetched(self, wanted: Wanted, fetch: Callable[[], Readable], download: _Download) -> Readable:
        try:
            with ExitStack() as turn:
                with suppress(OSError):  # without turns it is fetched twice at worst
                    turn.enter_context(self._turns.of(wanted.file_name))
                if (found := self._found(wanted)) is not None:
                    return found
                with self._lock:
                    self._fetches += 1
                return self._written(wanted, fetch)
        except Exception as error:
            download.error = error
            raise
        finally:
            with self._lock:
                del self._downloads[wanted.file_name]
            download.is_over.set()

    def _written(self, wanted: Wanted, fetch: Callable[[], Readable]) -> Readable:
        source = fetch()
        if self._folder.free_bytes() - wanted.length < self._reserve_bytes:
            return source
        try:
            descriptor = self._copied(wanted, source)
        except OSError:  # no room: it is sent without being kept
            source.close()
            return fetch()
        except BaseException:
            source.close()
            raise
        source.close()
        return FileReadable(descriptor)

    def _copied(self, wanted: Wanted, source: Readable) -> int:
        descriptor = self._folder.unnamed_file()
        try:
            crc32c = 0
            for chunk in chunks_of(source):
                crc32c = google_crc32c.extend(crc32c, chunk)
                write_all(descriptor, [chunk])
            if source.length != wanted.length or crc32c != wanted.crc32c:
                raise DamagedObject(f"object {wanted.name} is not what was stored")
            try:
                self._folder.link(descriptor, wanted.file_name)
            except FileExistsError:
                pass
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _files(self) -> list[tuple[float, int, str]]:
        """Return when each file was used last, its size and its name."""
        found = []
        with os.scandir(self._folder.descriptor) as entries:
            for entry in entries:
                if entry.name == _TURNS_FILE:
                    continue
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                found.append((status.st_mtime, status.st_size, entry.name))
        return found
