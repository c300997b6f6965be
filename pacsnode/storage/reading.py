"""All bytes of a `Readable`, in bounded chunks, and their checksum."""

from collections.abc import Iterator

import google_crc32c

from pacsnode.errors import DamagedObject
from pacsnode.storage.base import Readable
from pacsnode.storage.files import FileReadable

_CHUNK_BYTES = 1 << 20


def chunks_of(readable: Readable, offset: int = 0, chunk_bytes: int = 0) -> Iterator[bytes]:
    """Yield the bytes from `offset` on in chunks of a MiB, or of `chunk_bytes`.

    Raises `DamagedObject` if they end early.
    """
    while offset < readable.length:
        chunk = bytes_of(readable, min(chunk_bytes or _CHUNK_BYTES, readable.length - offset), offset)
        if not chunk:
            raise DamagedObject(f"a stored file ends at {offset} of {readable.length} bytes")
        offset += len(chunk)
        yield chunk


def bytes_of(readable: Readable, size: int, offset: int) -> bytes:
    """Return the bytes from `offset` on, fewer than the size only at the end.

    A checksum wants bytes, and a local file gives them without a copy.
    """
    if isinstance(readable, FileReadable):
        return readable.read(size, offset)
    buffer = memoryview(bytearray(size))
    return bytes(buffer[: readable.read_into(buffer, offset)])


def crc32c_of(readable: Readable, offset: int = 0) -> int:
    """Return the CRC32C of the bytes from `offset` on; raises `DamagedObject` if they end early."""
    crc = 0
    for chunk in chunks_of(readable, offset):
        crc = google_crc32c.extend(crc, chunk)
    return crc
