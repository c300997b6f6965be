"""A file as a `Readable`."""

import errno
import os
from pathlib import Path

import pytest

from pacsnode.errors import DamagedObject
from pacsnode.storage.files import FileReadable


@pytest.fixture
def readable(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"0123456789")
    readable = FileReadable(os.open(tmp_path / "a", os.O_RDONLY))
    yield readable
    readable.close()


def test_short_reads_are_gone_on_with(readable: FileReadable, monkeypatch: pytest.MonkeyPatch) -> None:
    preadv = os.preadv
    monkeypatch.setattr(os, "preadv", lambda d, buffers, offset: preadv(d, [buffers[0][:3]], offset))
    buffer = bytearray(20)
    assert readable.read_into(memoryview(buffer), 1) == 9
    assert buffer[:9] == b"123456789"


def test_a_disk_that_cannot_read_is_a_damaged_object(
    readable: FileReadable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "preadv", fail)
    with pytest.raises(DamagedObject, match="at 4"):
        readable.read_into(memoryview(bytearray(2)), 4)


def test_it_is_closed_once(readable: FileReadable) -> None:
    descriptor = readable.descriptor
    readable.close()
    replacement = os.open("/dev/null", os.O_RDONLY)  # gets the same number
    readable.close()
    os.fstat(replacement)
    assert replacement == descriptor
    os.close(replacement)
