import struct
from io import BytesIO
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacsnode.dicom import convertible
from pacsnode.errors import CannotConvert
from pacsnode.transcode.frames import find_fragments, frame_starts, items, read_frames

J2K = convertible.JPEG_2000_LOSSLESS
MANY = 20_000


def encapsulated(fragments: list[bytes], table: bytes = b"", *, is_ended: bool = True) -> BytesIO:
    parts = [struct.pack("<HHI", 0xFFFE, 0xE000, len(part)) + part for part in (table, *fragments)]
    return BytesIO(b"".join(parts) + (struct.pack("<HHI", 0xFFFE, 0xE0DD, 0) if is_ended else b""))


def frames_of(source: BytesIO, frames: int, syntax: str = J2K, max_bytes: int = 1 << 20) -> list[bytes]:
    fragments = find_fragments(source, 0)
    return list(read_frames(source, fragments, frame_starts(source, fragments, frames, syntax), max_bytes))


@given(st.lists(st.lists(st.binary(min_size=1, max_size=5), min_size=1, max_size=4), min_size=1, max_size=6))
def test_the_offset_table_tells_the_frames(frames: list[list[bytes]]) -> None:
    ends = [0]
    for frame in frames:
        ends.append(ends[-1] + sum(8 + len(fragment) for fragment in frame))
    table = struct.pack(f"<{len(frames)}I", *ends[:-1])
    source = encapsulated([fragment for frame in frames for fragment in frame], table)
    assert frames_of(source, len(frames)) == [b"".join(frame) for frame in frames]


def test_one_frame_has_all_fragments() -> None:
    assert frames_of(encapsulated([b"\xff\x4f\xff\x51", b"abc"]), 1) == [b"\xff\x4f\xff\x51abc"]


def test_thousands_of_fragments_are_one_frame() -> None:
    source = encapsulated([b"\xff\xd8", *[b"abcd"] * MANY])
    assert frames_of(source, 1) == [b"\xff\xd8" + b"abcd" * MANY]


def test_a_marker_in_the_middle_is_no_start() -> None:
    source = encapsulated([b"\xff\xd8aa", b"\xff\xd8bb\xff\xd9", b"\xff\xd8cc", b"dd\xff\xd9\0"])
    assert frames_of(source, 2) == [b"\xff\xd8aa\xff\xd8bb\xff\xd9", b"\xff\xd8ccdd\xff\xd9\0"]


@pytest.mark.parametrize("table", [[0, 3], [4, 12], [0, 0], [0, 9999]])
def test_a_wrong_offset_table_is_not_believed(table: list[int]) -> None:
    source = encapsulated([b"\xff\xd8", b"\xff\xd9", b"\xff\xd8\xff\xd9"], struct.pack("<2I", *table))
    assert frames_of(source, 2) == [b"\xff\xd8\xff\xd9", b"\xff\xd8\xff\xd9"]


def test_a_missing_delimiter_is_let_pass() -> None:
    assert frames_of(encapsulated([b"ab"], is_ended=False), 1) == [b"ab"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (encapsulated([b"abcd"]).getvalue()[:-10], "within a fragment"),
        (encapsulated([b"abcd"]).getvalue()[:12], "within the header"),
        (encapsulated([b"abcd"], is_ended=False).getvalue() + bytes(8), "something else"),
        (struct.pack("<HHI", 0xFFFE, 0xE0DD, 0), "no items"),
        (struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF), "something else"),
    ],
)
def test_what_are_no_fragments_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(CannotConvert, match=reason):
        find_fragments(BytesIO(data), 0)


def test_a_frame_over_the_limit_is_not_read() -> None:
    with pytest.raises(CannotConvert, match="frame 1 has 8 coded bytes; 7 are allowed"):
        frames_of(encapsulated([b"abcd", b"abcd"]), 1, max_bytes=7)


@given(st.lists(st.binary(min_size=1, max_size=9), min_size=1, max_size=5))
def test_what_is_written_is_read(frames: list[bytes]) -> None:
    source = BytesIO(b"".join(items(iter(frames))))
    padded = [frame + b"\0" * (len(frame) % 2) for frame in frames]
    assert frames_of(source, len(frames), convertible.RLE_LOSSLESS) == padded
    fragments = find_fragments(source, 0)
    assert fragments.end == len(source.getvalue())
    assert all(after > before for before, after in pairwise(fragments.offsets))
