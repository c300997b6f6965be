import google_crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacsnode.errors import DamagedObject
from pacsnode.storage import reading as module
from pacsnode.storage.memory import BytesReadable
from pacsnode.storage.reading import chunks_of, crc32c_of


@given(st.binary(max_size=300), st.integers(0, 310), st.integers(1, 40))
def test_chunks_are_the_bytes_from_the_offset_on(data: bytes, offset: int, size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_CHUNK_BYTES", size)
        chunks = list(chunks_of(BytesReadable(data), offset))
    assert b"".join(chunks) == data[offset:]
    assert all(0 < len(chunk) <= size for chunk in chunks)
    assert crc32c_of(BytesReadable(data), offset) == google_crc32c.value(data[offset:])


def test_a_file_that_ends_early_is_damaged() -> None:
    readable = BytesReadable(b"half")
    readable.length = 8
    with pytest.raises(DamagedObject, match="4 of 8"):
        list(chunks_of(readable))
