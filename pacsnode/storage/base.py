"""The storage port: where objects are kept for good.

The contract that every adapter keeps (`tests/contract/test_storage.py` runs over all of them):

- Names are relative paths of validated components (`storage.names`); an adapter never sees anything else.
- `put` creates: it never changes an object that is there. An object with the very same bytes (length and CRC32C)
  is an earlier success of our own whose answer was lost, and the `put` succeeds; any other is `ObjectExists`. An
  object appears whole or not at all. It is durable once `sync` has returned after the `put`.
- Bytes that are not those of the facts never become an object, except where the source's own file does: the
  directory links it without reading it.
- Reads see an object as soon as `put` has returned. They give the bytes that were put or raise `DamagedObject`
  where the adapter has something to compare with (a bucket); a directory gives what its file holds.
- Every method may be called from any thread. Adapters do not retry: `TemporaryError` says that a wrapper may
  (`storage.retry`). `StorageRefused` is about the storage as a whole, every other `PermanentError` about the object.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

_NONE: Mapping[str, str] = MappingProxyType({})


class Readable(Protocol):
    """Bytes that can be read at any place, from the spool or from a storage."""

    @property
    def length(self) -> int:
        """Length of the whole in bytes."""

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fill the buffer from `offset` on; return the bytes read, fewer than its size only at the end."""

    def close(self) -> None:
        """Let go of it; calling again does nothing."""


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """What is known of an object before it is put: the CRC32C of all its bytes, and what is kept beside it.

    `metadata` is text by name as in `storage.metadata`; a storage that has no place for it leaves it out.
    """

    crc32c: int
    metadata: Mapping[str, str] = field(default_factory=lambda: _NONE)


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object of a listing; `crc32c` is None, and `metadata` empty, where the storage keeps none."""

    name: str
    length: int
    crc32c: int | None = None
    metadata: Mapping[str, str] = field(default_factory=lambda: _NONE)


class Storage(Protocol):
    """Objects by name, created once and never changed."""

    def put(self, name: str, source: Readable, facts: ObjectFacts) -> None:
        """Create an object with all bytes of `source`.

        Raises `ObjectExists`, `DamagedObject` if the source is not what the facts say, `OutOfResources`,
        `StorageAway`, `StorageRefused`.
        """

    def open(self, name: str) -> Readable:
        """Open an object. Raises `ObjectNotFound`, `OutOfResources`, `StorageAway`, `StorageRefused`."""

    def list(self) -> Iterator[ObjectInfo]:
        """Yield all objects, in no order; one that comes or goes meanwhile may be in it or not."""

    def delete(self, name: str) -> None:
        """Remove an object; nothing happens if it is not there."""

    def sync(self) -> None:
        """Make all objects durable whose `put` has returned. Raises `OutOfResources`."""

    def close(self) -> None:
        """Let go of all resources."""
