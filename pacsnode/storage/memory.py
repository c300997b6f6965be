"""Objects in memory: for tests and demonstrations; all is gone with the process."""

import threading
from collections.abc import Iterator

import google_crc32c

from pacsnode.errors import DamagedObject, ObjectExists, ObjectNotFound
from pacsnode.storage.base import ObjectFacts, ObjectInfo, Readable


class BytesReadable:
    """Bytes as a `Readable`."""

    def __init__(self, data: bytes | bytearray) -> None:
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
        self._objects: dict[str, tuple[bytes, ObjectFacts]] = {}
        self._lock = threading.Lock()

    def put(self, name: str, source: Readable, facts: ObjectFacts) -> None:
        """Create an object; raises `ObjectExists`, `DamagedObject`."""
        data = bytearray(source.length)
        size = source.read_into(memoryview(data), 0)
        if size != source.length:
            raise DamagedObject(f"object {name}: its source ended at {size} of {source.length} bytes")
        if google_crc32c.value(bytes(data)) != facts.crc32c:
            raise DamagedObject(f"object {name}: its source's bytes are not those that were received")
        with self._lock:
            if self._objects.setdefault(name, (bytes(data), facts))[0] != data:
                raise ObjectExists(f"object {name} exists already with other bytes")

    def open(self, name: str) -> Readable:
        """Open an object; raises `ObjectNotFound`."""
        found = self._objects.get(name)
        if found is None:
            raise ObjectNotFound(f"object {name} is not there")
        return BytesReadable(found[0])

    def list(self) -> Iterator[ObjectInfo]:
        """Yield all objects."""
        for name, (data, facts) in list(self._objects.items()):
            yield ObjectInfo(name, len(data), facts.crc32c, facts.metadata)

    def delete(self, name: str) -> None:
        """Remove an object if it is there."""
        self._objects.pop(name, None)

    def sync(self) -> None:
        """Do nothing: memory is never durable."""

    def close(self) -> None:
        """Do nothing."""
