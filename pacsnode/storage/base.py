"""The storage port: where objects are kept for good.

The contract that every adapter keeps (`tests/contract/test_storage.py` runs over all of them):

- Names are relative paths of validated components (`storage.names`); an adapter never sees anything else.
- `put` creates: it never changes an object that is there, but raises `ObjectExists`. An object appears whole
  or not at all. It is durable once `sync` has returned after the `put`.
- Reads see an object as soon as `put` has returned.
- Every method may be called from any thread. Adapters do not retry: `TemporaryError` says that a wrapper may.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol


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
class ObjectInfo:
    """One object of a listing."""

    name: str
    length: int


class Storage(Protocol):
    """Objects by name, created once and never changed."""

    def put(self, name: str, source: Readable) -> None:
        """Create an object with all bytes of `source`. Raises `ObjectExists`, `OutOfResources`."""

    def open(self, name: str) -> Readable:
        """Open an object. Raises `ObjectNotFound`."""

    def list(self) -> Iterator[ObjectInfo]:
        """Yield all objects, in no order; one that comes or goes meanwhile may be in it or not."""

    def delete(self, name: str) -> None:
        """Remove an object; nothing happens if it is not there."""

    def sync(self) -> None:
        """Make all objects durable whose `put` has returned. Raises `OutOfResources`."""

    def close(self) -> None:
        """Let go of all resources."""
