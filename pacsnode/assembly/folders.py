"""The folders of a node, and the lock that says whose they are. Imports nothing heavy: the supervisor uses it."""

import fcntl
import os
from pathlib import Path

from pacsnode.errors import ConfigError, OutOfResources

LOCK_FILE = "lock"


def make_folder(path: Path, key: str) -> None:
    """Create a folder that only we can enter; raises `ConfigError`, which names the key, if that cannot be."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError as error:
        raise ConfigError(f"{key}: {path} is a file and no folder") from error
    except OSError as error:
        raise ConfigError(f"{key}: the folder {path} cannot be made: {error.strerror}") from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise ConfigError(f"{key}: the folder {path} cannot be written by this user")


def locked(data_dir: Path) -> int:
    """Return a descriptor that holds the data folder for us; raises `OutOfResources` if another node does.

    It is not inherited: a node that was killed can be started again at once, though a process of it may still be
    dying in a system call. What such a one has in hand is safe, see `archive.recovery`.
    """
    make_folder(data_dir, "node.data_dir")
    try:
        descriptor = os.open(data_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(f"node.data_dir: {data_dir / LOCK_FILE}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise OutOfResources(
            f"{data_dir} is used by another pacsnode that runs; one node has one data folder"
        ) from error
    return descriptor
