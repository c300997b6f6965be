"""Objects put into a storage as a sender of whole bytes does."""

from collections.abc import Mapping

from pacsnode.storage.base import ObjectFacts, Readable, Storage
from pacsnode.storage.reading import crc32c_of


def put(storage: Storage, name: str, source: Readable, metadata: Mapping[str, str] | None = None) -> None:
    """Put an object with the CRC32C of its source."""
    storage.put(name, source, ObjectFacts(crc32c_of(source), metadata or {}))
