"""Objects on their way out of the bucket: never to an end with bytes that are not those that were put.

Up to 8 MiB an object is fetched whole when it is opened and compared with the bucket's CRC32C before anybody reads
it. A longer one is a stream: the checksum runs along as it is read from its beginning, and the bytes at its end are
given out only if it matches. A read elsewhere in a longer object is a request of its own, for bytes of the same
generation, and not compared with anything.
"""

import threading

from pacsnode.errors import DamagedObject, ObjectNotFound, StorageAway
from pacsnode.storage.base import Readable
from pacsnode.storage.gcs.answers import error_of, stored_crc32c, whole_number
from pacsnode.storage.gcs.transport import Arriving, Transport
from pacsnode.storage.gcs.upload import BucketOptions
from pacsnode.storage.memory import BytesReadable

WHOLE_BYTES = 8 << 20
_NEEDS = "storage.objects.get"


class Downloads:
    """Opens objects. Any thread may call any method."""

    def __init__(self, transport: Transport, options: BucketOptions) -> None:
        self._transport = transport
        self._options = options

    def open(self, full_name: str) -> Readable:
        """Open an object; raises `ObjectNotFound`, `DamagedObject`, `StorageAway`, `StorageRefused`."""
        arriving = self.request(full_name, {}, {})
        length, crc32c = whole_number(arriving.headers.get("content-length")), stored_crc32c(arriving.headers)
        if length is None or crc32c is None:
            arriving.close()
            raise StorageAway(f"object {full_name}: the answer does not say how long it is, or its CRC32C")
        if length > WHOLE_BYTES:
            return _Stream(self, full_name, arriving, length, crc32c)
        content = bytearray(length)
        arrived_crc32c = arriving.fill(memoryview(content))
        arriving.finish()
        if arrived_crc32c != crc32c:
            raise _damaged(full_name)
        return BytesReadable(content)

    def request(self, full_name: str, query: dict[str, str], headers: dict[str, str]) -> Arriving:
        """Begin a download; raises what the answer says if that is no object."""
        doing = f"object {full_name}"
        arriving = self._transport.send(
            "GET",
            f"/download{self._options.object_path(full_name)}",
            doing,
            query={"alt": "media", **query, **self._options.common_query},
            headers=headers,
        )
        if arriving.status == 412:
            arriving.close()
            raise ObjectNotFound(f"{doing} was replaced while it was read")
        if arriving.status not in (200, 206):
            raise error_of(arriving.whole(), doing, needs=_NEEDS)
        return arriving


class _Stream:
    """A long object. Any thread may read, one at a time."""

    def __init__(
        self, downloads: Downloads, full_name: str, arriving: Arriving, length: int, crc32c: int
    ) -> None:
        self.length = length
        self._downloads = downloads
        self._full_name = full_name
        self._generation = arriving.headers.get("x-goog-generation", "")
        self._crc32c = crc32c
        self._arriving: Arriving | None = arriving
        self._at = 0  # up to here it was read from the beginning, with the checksum `_so_far`
        self._so_far = 0
        self._is_damaged = False
        self._lock = threading.Lock()

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fill the buffer from `offset` on; return the bytes read. Raises `DamagedObject`, `StorageAway`."""
        size = max(0, min(len(buffer), self.length - offset))
        if size == 0:
            return 0
        with self._lock:
            if self._is_damaged:
                raise _damaged(self._full_name)
            if offset == self._at:
                self._next(buffer[:size])
            else:
                self._elsewhere(buffer[:size], offset)
        return size

    def close(self) -> None:
        """Let go of the connection."""
        with self._lock:
            if self._arriving is not None:
                self._arriving.close()
                self._arriving = None

    def _next(self, buffer: memoryview) -> None:
        if self._arriving is None:
            self._arriving = self._from(self._at, self.length)
        arriving, self._arriving = self._arriving, None  # gone if the read fails: the next begins behind it
        self._so_far = arriving.fill(buffer, self._so_far)
        self._at += len(buffer)
        if self._at < self.length:
            self._arriving = arriving
            return
        arriving.finish()
        if self._so_far != self._crc32c:
            self._is_damaged = True
            raise _damaged(self._full_name)

    def _elsewhere(self, buffer: memoryview, offset: int) -> None:
        arriving = self._from(offset, offset + len(buffer))
        arriving.fill(buffer)
        arriving.finish()

    def _from(self, begin: int, end: int) -> Arriving:
        same = {"ifGenerationMatch": self._generation} if self._generation else {}
        arriving = self._downloads.request(self._full_name, same, {"range": f"bytes={begin}-{end - 1}"})
        given = arriving.headers.get("content-range", "")
        if arriving.status != 206 or given != f"bytes {begin}-{end - 1}/{self.length}":
            arriving.close()
            raise StorageAway(f"object {self._full_name}: bytes {begin}-{end - 1} asked for, {given!r} given")
        return arriving


def _damaged(full_name: str) -> DamagedObject:
    return DamagedObject(f"object {full_name}: its bytes are not those that were stored, on the way or there")
