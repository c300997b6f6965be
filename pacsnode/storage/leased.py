"""A storage that is written to only while the lease is ours, and read from always."""

from collections.abc import Callable, Iterator

from pacsnode.storage.base import ObjectFacts, ObjectInfo, Readable, Storage


class LeasedStorage:
    """A storage with a look at the lease before each write.

    What has begun when the lease ends comes to its end: that is a matter of a request's time, and objects are only
    ever created.
    """

    def __init__(self, storage: Storage, check: Callable[[], None]) -> None:
        """`check` returns if this node may write now; else it raises `StorageAway` or `StorageRefused`."""
        self._storage = storage
        self._check = check

    def put(self, name: str, source: Readable, facts: ObjectFacts) -> None:
        """Create an object."""
        self._check()
        self._storage.put(name, source, facts)

    def open(self, name: str) -> Readable:
        """Open an object."""
        return self._storage.open(name)

    def list(self) -> Iterator[ObjectInfo]:
        """Yield all objects."""
        return self._storage.list()

    def delete(self, name: str) -> None:
        """Remove an object if it is there."""
        self._check()
        self._storage.delete(name)

    def sync(self) -> None:
        """Make durable what was put."""
        self._storage.sync()

    def close(self) -> None:
        """Let go of all resources."""
        self._storage.close()
