"""The bytes of a data set read forward, in bounded memory; inflated, and deflated again (PS3.5 A.5)."""

import zlib
from collections.abc import Iterator
from typing import BinaryIO

from pacsnode.dicom.encoding import ByteOrder, odd_header
from pacsnode.errors import UnreadableDataSet

_CHUNK_BYTES = 256 << 10
_ODD_BYTES = 128 << 10  # how far behind an element with an unknown VR the next one is looked for
_NULS = bytes(_CHUNK_BYTES)


class Forward:
    """Reads a file from its position to its end. `position` counts from there, in inflated bytes."""

    def __init__(self, source: BinaryIO, *, is_deflated: bool = False, limit_bytes: int = 4 << 30) -> None:
        """More than `limit_bytes` are not inflated."""
        self._source = source
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS) if is_deflated else None
        self._inflated_left = limit_bytes
        self._rest = b""  # compressed, and not inflated yet
        self._data, self._at = b"", 0
        self._before = 0  # bytes in front of `_data`

    @property
    def position(self) -> int:
        """How many bytes were read."""
        return self._before + self._at

    def is_at_end(self) -> bool:
        """Return whether there is nothing more to read; raises `UnreadableDataSet`."""
        return not self.peek(1)

    def has_only_nuls(self) -> bool:
        """Return whether NULs are all that is left, which some devices put behind a data set.

        They are read then, unless they are more than a chunk, which nobody has reason to write.
        """
        head = self.peek(8)
        if any(head):
            return False
        rest = self.peek(_CHUNK_BYTES)
        return len(rest) < _CHUNK_BYTES and rest == _NULS[: len(rest)]

    def peek(self, length: int) -> bytes:
        """Return the next bytes, fewer only at the end; they are read again."""
        if len(self._data) - self._at < length:
            self._fill(length)
        return self._data[self._at : self._at + length]

    def read(self, length: int) -> bytes:
        """Return the next bytes, all of them; raises `UnreadableDataSet` if the data set ends before."""
        at = self._at
        if len(self._data) - at < length:
            self._fill(length)
            at = self._at
            if len(self._data) - at < length:
                raise self._ended()
        self._at = at + length
        return self._data[at : at + length]

    def pieces(self, length: int, piece_bytes: int) -> Iterator[bytes]:
        """Yield so many bytes in pieces of a size; raises as `read`."""
        while length:
            piece = self.read(min(length, piece_bytes))
            length -= len(piece)
            yield piece

    def skip(self, length: int) -> None:
        """Step over bytes, without reading them where that can be; raises as `read`."""
        held = min(length, len(self._data) - self._at)
        self._at += held
        length -= held
        if self._inflater is None and length > _CHUNK_BYTES:
            self._seek(length)
        else:
            for _ in self.pieces(length, _CHUNK_BYTES):
                pass

    def odd_length(self, head: bytes, order: ByteOrder) -> int:
        """Read on to the value of an element with an unknown VR, whose first 8 bytes were read; return its length."""
        start, length = odd_header(head + self.peek(_ODD_BYTES), 0, order)
        self.skip(start - len(head))
        return length

    def _seek(self, length: int) -> None:
        here = self._source.tell()
        end = self._source.seek(0, 2)
        if here + length > end:
            raise self._ended()
        self._source.seek(here + length)
        self._before, self._data, self._at = self.position + length, b"", 0

    def _ended(self) -> UnreadableDataSet:
        return UnreadableDataSet(
            f"the data set ends within an element, at byte {self._before + len(self._data)}"
        )

    def _fill(self, length: int) -> None:
        """Hold at least so many bytes from here on, if there are so many."""
        parts, held = [self._data[self._at :]], len(self._data) - self._at
        while held < length:
            chunk = self._chunk(max(_CHUNK_BYTES, length - held))
            if not chunk:
                break
            parts.append(chunk)
            held += len(chunk)
        self._before, self._data, self._at = self.position, b"".join(parts), 0

    def _chunk(self, length: int) -> bytes:
        """Return some bytes, none at the end."""
        if self._inflater is None:
            return self._source.read(length)
        while not self._inflater.eof:
            deflated = self._rest or self._source.read(_CHUNK_BYTES)
            try:
                piece = self._inflater.decompress(deflated, length)
            except zlib.error as error:
                raise UnreadableDataSet(f"the deflated data set is damaged: {error}") from error
            self._rest = self._inflater.unconsumed_tail
            self._inflated_left -= len(piece)
            if self._inflated_left < 0:
                raise UnreadableDataSet("the data set inflates to more than what is taken")
            if piece:
                return piece
            if not deflated and not self._inflater.eof:  # nor did it hold anything back
                raise UnreadableDataSet("the deflated data set ends early")
        return b""


class Deflating:
    """Writes a deflated data set. `finish` once, at the end."""

    def __init__(self, sink: BinaryIO) -> None:
        self._sink = sink
        self._deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        self._length = 0

    def write(self, data: bytes) -> None:
        """Deflate some bytes."""
        self._put(self._deflater.compress(data))

    def finish(self) -> None:
        """Write what is left, padded to an even length (PS3.5 A.5)."""
        self._put(self._deflater.flush())
        self._put(b"\0" * (self._length & 1))

    def _put(self, data: bytes) -> None:
        self._length += len(data)
        self._sink.write(data)
