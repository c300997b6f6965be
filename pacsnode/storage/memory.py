"""Objects in memory: for tests and demonstrations; all is gone with the process."""

import threading
from collections.abc import Iterator

from pacsnode.errors import ObjectExists, ObjectNotFound, OutOfResources
from pacsnode.storage.base import ObjectInfo, Readable


class BytesReadable:
    """Bytes as a `Readable`."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self.length = len(data)

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fill the buffer from `offset` on; return the bytes read."""
        part = self._data[offset : offset + len(buffer)]
        buffer[: len(part)] = part
        return len(part)

    def close(self) -> None:
        """Do nothing."""


class MemoryStorage:
    """The storage port over a dictionary."""

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def put(self, name: str, source: Readable) -> None:
        """Create an object; raises `ObjectExists`, `OutOfResources`."""
        data = bytearray(source.length)
        size = source.read_into(memoryview(data), 0)
        if size != source.length:
            raise OutOfResources(f"object {name}: its source ended at {size} of {source.length} bytes")
        with self._lock:
            if name in self._objects:
                raise ObjectExists(f"object {name} exists already")
            self._objects[name] = bytes(data)

    def open(self, name: str) -> Readable:
        """Open an object; raises `ObjectNotFound`."""
        data = self._objects.get(name)
        if data is None:
            raise ObjectNotFound(f"object {name} is not there")
        return BytesReadable(data)

    def list(self) -> Iterator[ObjectInfo]:
        """Yield all objects."""
        for name, data in list(self._objects.items()):
            yield ObjectInfo(name, len(data))

    def delete(self, name: str) -> None:
        """Remove an object if it is there."""
        self._objects.pop(name, None)

    def sync(self) -> None:
        """Do nothing: memory is never durable."""

    def close(self) -> None:
        """Do nothing."""
