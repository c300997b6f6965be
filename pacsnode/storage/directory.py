"""Objects as files below a folder: the embedded default.

An object from the same file system is linked (no byte is copied, and the spool's durable file becomes the
object); one from elsewhere is copied into an unnamed file first. `put` leaves folders to be synced; `sync`
syncs each of them once, children before parents, so that a batch of a series costs one flush.
"""

import errno
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import google_crc32c

from pacsnode.errors import DamagedObject, ObjectExists, ObjectNotFound, OutOfResources, PermanentError
from pacsnode.storage.base import ObjectFacts, ObjectInfo, Readable
from pacsnode.storage.files import FileReadable
from pacsnode.storage.reading import chunks_of, crc32c_of


class DirectoryStorage:
    """The storage port over a local file system."""

    def __init__(self, path: Path) -> None:
        """Create the folder (0700) if need be; raises `PermanentError`."""
        self.path = path
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise PermanentError(f"storage {path}: {error.strerror}") from error
        self._descriptors = os.open("/proc/self/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._unsynced: set[str] = set()
        self._lock = threading.Lock()

    def put(self, name: str, source: Readable, facts: ObjectFacts) -> None:
        """Create an object by linking or copying; raises `ObjectExists`, `DamagedObject`, `OutOfResources`."""
        try:
            self._create_folders(name)
            if not (isinstance(source, FileReadable) and self._link(source.descriptor, name)):
                self._copy(source, name, facts.crc32c)
        except FileExistsError as error:
            self._mark_unsynced(name)
            if not self._holds(name, source.length, facts.crc32c):
                raise ObjectExists(f"object {name} exists already with other bytes") from error
        except OSError as error:
            raise OutOfResources(f"object {name} could not be written: {error.strerror}") from error
        with self._lock:
            self._unsynced.add(name.rpartition("/")[0])

    def _holds(self, name: str, length: int, crc32c: int) -> bool:
        """Tell whether an object has these bytes: then it is what an earlier run put."""
        try:
            readable = self.open(name)
        except ObjectNotFound as error:
            raise OutOfResources(f"object {name} was there and went while it was compared") from error
        try:
            return readable.length == length and crc32c_of(readable) == crc32c
        finally:
            readable.close()

    def _mark_unsynced(self, name: str) -> None:
        """Sync all folders above an object that is met: a run that ended before `sync` may have put it."""
        components = name.split("/")
        with self._lock:
            self._unsynced.update("/".join(components[:depth]) for depth in range(len(components)))

    def _create_folders(self, name: str) -> None:
        parent = ""
        for component in name.split("/")[:-1]:
            folder = f"{parent}/{component}" if parent else component
            try:
                os.mkdir(folder, 0o700, dir_fd=self._root)
            except FileExistsError:
                pass
            else:
                with self._lock:
                    self._unsynced.add(parent)
            parent = folder

    def _link(self, descriptor: int, name: str) -> bool:
        try:
            os.link(
                str(descriptor),
                name,
                src_dir_fd=self._descriptors,
                dst_dir_fd=self._root,
                follow_symlinks=True,
            )
        except OSError as error:
            # EMLINK, EPERM: a file system without (further) hard links; ENOENT: the name was removed
            # meanwhile.
            if error.errno in (errno.EXDEV, errno.EMLINK, errno.EPERM, errno.ENOENT):
                return False
            raise
        return True

    def _copy(self, source: Readable, name: str, crc32c: int) -> None:
        folder = name.rpartition("/")[0] or "."
        target = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600, dir_fd=self._root)
        try:
            written_crc32c = 0
            for chunk in chunks_of(source):
                written_crc32c = google_crc32c.extend(written_crc32c, chunk)
                part = memoryview(chunk)
                while part:
                    part = part[os.write(target, part) :]
            if written_crc32c != crc32c:
                raise DamagedObject(f"object {name}: its source's bytes are not those that were received")
            os.fsync(target)
            os.link(
                str(target), name, src_dir_fd=self._descriptors, dst_dir_fd=self._root, follow_symlinks=True
            )
        finally:
            os.close(target)

    def open(self, name: str) -> Readable:
        """Open an object; raises `ObjectNotFound`."""
        try:
            return FileReadable(os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._root))
        except FileNotFoundError as error:
            raise ObjectNotFound(f"object {name} is not there") from error
        except OSError as error:
            raise OutOfResources(f"object {name} could not be opened: {error.strerror}") from error

    def list(self) -> Iterator[ObjectInfo]:
        """Yield all objects; links and other things that are no files are left out."""
        for folder, _, files, descriptor in os.fwalk(".", dir_fd=self._root):
            for file in files:
                try:
                    status = os.stat(file, dir_fd=descriptor, follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if stat.S_ISREG(status.st_mode):
                    yield ObjectInfo(os.path.normpath(f"{folder}/{file}"), status.st_size)

    def delete(self, name: str) -> None:
        """Remove an object if it is there; raises `OutOfResources`."""
        try:
            os.unlink(name, dir_fd=self._root)
        except FileNotFoundError:
            return
        except OSError as error:
            raise OutOfResources(f"object {name} could not be removed: {error.strerror}") from error
        with self._lock:
            self._unsynced.add(name.rpartition("/")[0])

    def sync(self) -> None:
        """Sync each folder that changed since, children before parents; raises `OutOfResources`."""
        with self._lock:
            folders, self._unsynced = self._unsynced, set()
        try:
            for folder in sorted(folders, key=len, reverse=True):
                descriptor = os.open(
                    folder or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._root
                )
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
        except OSError as error:
            with self._lock:
                self._unsynced |= folders
            raise OutOfResources(f"storage {self.path} could not be synced: {error.strerror}") from error

    def close(self) -> None:
        """Close the folder; open objects stay readable."""
        os.close(self._root)
        os.close(self._descriptors)
