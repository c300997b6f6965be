"""Deflated data sets: in pieces, damaged, and bombs."""

import tracemalloc
import zlib
from itertools import pairwise

import pytest

from pacsnode.dicom import deflate
from pacsnode.dicom.nesting import Incomplete
from pacsnode.errors import UnreadableDataSet

MIB = 1 << 20


def deflated(data: bytes) -> bytes:
    compressor = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


def bomb(compressed_bytes: int) -> bytes:
    """Return that many bytes that inflate to about a thousand times as many zeros, and never end."""
    compressor = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    block = compressor.compress(bytes(MIB)) + compressor.flush(zlib.Z_FULL_FLUSH)
    return block * (compressed_bytes // len(block))


def read(data: bytes, size: int, *, is_complete: bool = True) -> bytes:
    """Read the first `size` bytes as a scan would."""

    def ask(prefix: bytearray, is_whole: bool) -> bytes:
        if len(prefix) < size:
            if is_whole:
                raise UnreadableDataSet("too short")
            raise Incomplete(size)
        return bytes(prefix[:size])

    return deflate.first_answer(data, ask, is_complete=is_complete)


DATA = b"".join(n.to_bytes(4) for n in range(300_000))


@pytest.mark.parametrize("size", [0, 1, 70_000, len(DATA)])
def test_the_first_bytes_are_those_that_were_deflated(size: int) -> None:
    assert read(deflated(DATA), size) == DATA[:size]


def test_more_than_there_is_is_refused() -> None:
    with pytest.raises(UnreadableDataSet, match="too short"):
        read(deflated(DATA), len(DATA) + 1)


def test_a_prefix_serves_what_it_holds_and_asks_for_more() -> None:
    prefix = deflated(DATA)[:1000]
    assert read(prefix, 500, is_complete=False) == DATA[:500]
    with pytest.raises(Incomplete) as raised:
        read(prefix, 100_000, is_complete=False)
    assert raised.value.needed_bytes == 1001
    with pytest.raises(UnreadableDataSet, match="before"):
        read(prefix, 100_000)


def test_what_stands_before_the_damage_is_served() -> None:
    compressor = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    damaged = compressor.compress(DATA[:100_000]) + compressor.flush(zlib.Z_FULL_FLUSH) + b"\xff" * 1000
    assert read(damaged, 500) == DATA[:500]
    with pytest.raises(UnreadableDataSet, match="damaged"):
        read(damaged, len(DATA))


@pytest.mark.parametrize("data", [b"", b"\xff" * 100, zlib.compress(DATA)])
def test_what_is_not_deflated_is_unreadable(data: bytes) -> None:
    with pytest.raises(UnreadableDataSet):
        read(data, 1)


def test_padding_behind_the_stream_does_no_harm() -> None:
    assert read(deflated(b"abc") + b"\0", 3) == b"abc"


def test_a_bomb_takes_at_most_five_mib() -> None:
    data = bomb(1_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(UnreadableDataSet, match="longer than"):
            read(data, 1 << 40)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert deflate.INFLATED_LIMIT_BYTES < peak < 5 * MIB


def test_prefixes_grow_by_four_so_that_scanning_each_stays_linear() -> None:
    sizes = [len(prefix) for prefix, _ in deflate.inflated(bomb(100_000), is_complete=True)]
    assert sizes == sorted(sizes)
    assert all(4 * smaller <= larger + (64 << 10) for smaller, larger in pairwise(sizes))
    assert 4 * MIB <= sizes[-1] < 4.1 * MIB
