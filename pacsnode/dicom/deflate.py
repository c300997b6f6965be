"""Deflated data sets (PS3.5 A.5), read as far as needed and never further.

Compressed bytes go in by small pieces and the output is bounded, so that a bomb of any size costs the time
and the memory of `INFLATED_LIMIT_BYTES`.
"""

import zlib
from collections.abc import Callable, Iterator
from typing import TypeVar

from pacsnode.dicom.nesting import Incomplete, ended_early
from pacsnode.errors import UnreadableDataSet

INFLATED_LIMIT_BYTES = 4 << 20  # what is wanted of a data set begins within; with all buffers below 5 MiB

_FIRST_BYTES = 16 << 10  # then four times as much, and again
_PIECE_BYTES = 4 << 10
_OUTPUT_BYTES = 16 << 10

Answer = TypeVar("Answer")


def first_answer(data: bytes, ask: Callable[[bytearray, bool], Answer], *, is_complete: bool) -> Answer:
    """Return what `ask(prefix, is_whole)` answers, offering more and more as long as it raises `Incomplete`.

    Raises `UnreadableDataSet` where the stream is damaged or longer than the limit, and `Incomplete` where
    `data` are a prefix and the rest is needed.
    """
    for prefix, is_whole in inflated(data, is_complete=is_complete):
        try:
            return ask(prefix, is_whole)
        except Incomplete:
            pass
    raise UnreadableDataSet(f"the inflated header is longer than {INFLATED_LIMIT_BYTES} bytes")


def inflated(data: bytes, *, is_complete: bool) -> Iterator[tuple[bytearray, bool]]:
    """Yield growing prefixes of the inflated data set, one and the same object, and with each whether it is
    all.

    Raises as `first_answer`, when all that there is has been yielded.
    """
    inflater, prefix, wanted = zlib.decompressobj(-zlib.MAX_WBITS), bytearray(), _FIRST_BYTES
    failure: Exception = ended_early(len(data) + 1, is_complete=is_complete)
    try:
        for piece in _pieces(inflater, data):
            prefix += piece
            if len(prefix) >= INFLATED_LIMIT_BYTES:
                yield prefix, False
                return
            if len(prefix) >= wanted:
                yield prefix, False
                wanted *= 4
    except zlib.error as error:
        failure = UnreadableDataSet(f"the deflated data set is damaged: {error}")
    yield prefix, inflater.eof
    if not inflater.eof:
        raise failure


def _pieces(inflater: "zlib._Decompress", data: bytes) -> Iterator[bytes]:
    for at in range(0, len(data), _PIECE_BYTES):
        piece = data[at : at + _PIECE_BYTES]
        while piece and not inflater.eof:
            yield inflater.decompress(piece, _OUTPUT_BYTES)
            piece = inflater.unconsumed_tail
    while rest := inflater.decompress(b"", _OUTPUT_BYTES):
        yield rest
