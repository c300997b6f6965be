"""The one durable write: a file that is there whole, or not at all, after a power cut.

Data go into an unnamed file (`O_TMPFILE`), so that nothing stray can exist. When they are complete, `linkat`
gives the file its name (failing if the name is taken) and one `fsync` of the file makes both durable: on ext4
and xfs the new directory entry is part of the log up to the file's last change, which `fsync` forces out. The
power-cut proof (`.ci/prove quick D1`) runs on both; elsewhere the folder is synced as well.

The order matters: linked before the data are complete, a torn file would have a name; acknowledged before the
`fsync`, a whole one might not. A failed `fsync` is never tried again on the same descriptor, since the kernel
may have dropped the dirty pages: the file is given up.
"""

import errno
import os
import re
from pathlib import Path

from pacsnode.errors import ObjectExists, OutOfResources, PermanentError
from pacsnode.mounts import file_system_of

PROVEN_FILE_SYSTEMS = frozenset({"ext4", "xfs"})  # one fsync of the file also makes its name durable

_DESCRIPTORS = "/proc/self/fd"
_MAX_GATHERED = 512  # IOV_MAX is 1,024
_OCTAL = re.compile(r"\\([0-7]{3})")  # how mountinfo writes spaces, tabs, newlines and backslashes


class DurableFolder:
    """A folder in which files appear whole and durable. Any thread may call any method."""

    def __init__(self, path: Path) -> None:
        """Create the folder (0700) if need be; raises `PermanentError` if its file system cannot serve."""
        self.path = path
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        self._descriptors = os.open(_DESCRIPTORS, os.O_RDONLY | os.O_DIRECTORY)
        self._syncs_folder = file_system_of(path) not in PROVEN_FILE_SYSTEMS
        try:
            os.close(self.unnamed_file())
        except OSError as error:
            self.close()
            if error.errno in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT):
                raise PermanentError(
                    f"{path}: its file system has no unnamed files (O_TMPFILE): use ext4, xfs, btrfs or tmpfs"
                ) from error
            raise PermanentError(f"{path}: cannot be written: {error.strerror}") from error

    def unnamed_file(self) -> int:
        """Return the descriptor of a new file without a name (0600), open for reading and writing."""
        return os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600, dir_fd=self.descriptor)

    def publish(self, descriptor: int, name: str) -> None:
        """Give a complete unnamed file its name and make both durable.

        Raises `ObjectExists` if the name is taken and `OutOfResources` if the disk does not keep the file; in
        both cases the name does not stand for this file afterwards.
        """
        try:
            self.link(descriptor, name)
        except FileExistsError as error:
            raise ObjectExists(f"{name} exists already in {self.path}") from error
        except OSError as error:
            raise OutOfResources(f"{name} could not be linked in {self.path}: {error.strerror}") from error
        try:
            self.sync(descriptor, name)
        except OutOfResources:
            self.remove(name)
            raise

    def sync(self, descriptor: int, name: str) -> None:
        """Make an open file and its name durable; raises `OutOfResources`."""
        try:
            os.fsync(descriptor)
            if self._syncs_folder:
                os.fsync(self.descriptor)
        except OSError as error:
            raise OutOfResources(
                f"{name} could not be made durable in {self.path}: {error.strerror}"
            ) from error

    def link(self, descriptor: int, name: str) -> None:
        """Give a file a name here, without making it durable; raises `OSError`."""
        # src_dir_fd is what makes Python call linkat with AT_SYMLINK_FOLLOW, which an unnamed file needs.
        os.link(
            str(descriptor),
            name,
            src_dir_fd=self._descriptors,
            dst_dir_fd=self.descriptor,
            follow_symlinks=True,
        )

    def open(self, name: str) -> int:
        """Return a descriptor to read a file; raises `FileNotFoundError`."""
        return os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self.descriptor)

    def remove(self, name: str) -> None:
        """Remove a file if it is there; a disk that refuses keeps it, and the next start finds it again."""
        try:
            os.unlink(name, dir_fd=self.descriptor)
        except OSError:
            return

    def names(self) -> list[str]:
        """Return the names of all files, in no order."""
        return os.listdir(self.descriptor)

    def free_bytes(self) -> int:
        """Return how many bytes an unprivileged process can still write on this file system."""
        status = os.fstatvfs(self.descriptor)
        return status.f_bavail * status.f_frsize

    def close(self) -> None:
        """Close the folder; files open in it stay usable."""
        os.close(self.descriptor)
        os.close(self._descriptors)


def write_all(descriptor: int, chunks: list[bytes]) -> None:
    """Write all chunks in order with as few calls as the kernel allows; raises `OSError`."""
    if len(chunks) > _MAX_GATHERED:
        chunks = [b"".join(chunks)]
    written, total = os.writev(descriptor, chunks), sum(map(len, chunks))
    if written == total:
        return
    rest = memoryview(b"".join(chunks))[written:]
    while rest:
        rest = rest[os.write(descriptor, rest) :]
