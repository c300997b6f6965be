"""A file is there whole and durable, or not at all."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacsnode import durable
from pacsnode.durable import DurableFolder, write_all
from pacsnode.errors import ObjectExists, OutOfResources, PermanentError


@pytest.fixture
def folder(tmp_path: Path):
    folder = DurableFolder(tmp_path / "ready")
    yield folder
    folder.close()


def filled(folder: DurableFolder, data: bytes) -> int:
    descriptor = folder.unnamed_file()
    os.write(descriptor, data)
    return descriptor


def failing(code: int) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


def test_a_file_has_no_name_before_it_is_published(folder: DurableFolder) -> None:
    descriptor = filled(folder, b"whole")
    try:
        assert folder.names() == []
        folder.publish(descriptor, "a")
    finally:
        os.close(descriptor)
    assert folder.names() == ["a"]
    assert (folder.path / "a").read_bytes() == b"whole"


def test_only_the_owner_reads_files_and_folder(folder: DurableFolder) -> None:
    descriptor = filled(folder, b"whole")
    folder.publish(descriptor, "a")
    os.close(descriptor)
    assert (folder.path / "a").stat().st_mode & 0o777 == 0o600
    assert folder.path.stat().st_mode & 0o777 == 0o700


def test_the_name_comes_before_the_fsync_and_nothing_after(
    folder: DurableFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One fsync makes both durable only in this order (see the module's opening)."""
    calls: list[str] = []
    link, fsync = os.link, os.fsync
    monkeypatch.setattr(os, "link", lambda *a, **k: (calls.append("link"), link(*a, **k)))
    monkeypatch.setattr(
        os, "fsync", lambda d: (calls.append("folder" if d == folder.descriptor else "file"), fsync(d))
    )
    descriptor = filled(folder, b"whole")
    for is_proven, expected in ((True, ["link", "file"]), (False, ["link", "file", "folder"])):
        calls.clear()
        folder._syncs_folder = not is_proven
        folder.publish(descriptor, f"proven-{is_proven}")
        assert calls == expected
    os.close(descriptor)


def test_a_taken_name_is_refused_and_stays(folder: DurableFolder) -> None:
    for data in (b"first", b"second"):
        descriptor = filled(folder, data)
        try:
            if data == b"first":
                folder.publish(descriptor, "a")
            else:
                with pytest.raises(ObjectExists):
                    folder.publish(descriptor, "a")
        finally:
            os.close(descriptor)
    assert (folder.path / "a").read_bytes() == b"first"


@pytest.mark.parametrize("call", ["link", "fsync"])
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_a_disk_that_does_not_keep_a_file_leaves_no_name(
    folder: DurableFolder, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    descriptor = filled(folder, b"whole")
    monkeypatch.setattr(os, call, failing(code))
    with pytest.raises(OutOfResources):
        folder.publish(descriptor, "a")
    os.close(descriptor)
    assert folder.names() == []


def test_a_folder_that_cannot_be_synced_leaves_no_name(
    folder: DurableFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder._syncs_folder = True
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda d: failing(errno.EIO)() if d == folder.descriptor else fsync(d))
    descriptor = filled(folder, b"whole")
    with pytest.raises(OutOfResources):
        folder.publish(descriptor, "a")
    os.close(descriptor)
    assert folder.names() == []


def test_removing_twice_is_removing_once(folder: DurableFolder) -> None:
    descriptor = filled(folder, b"whole")
    folder.publish(descriptor, "a")
    os.close(descriptor)
    folder.remove("a")
    folder.remove("a")
    assert folder.names() == []
    with pytest.raises(FileNotFoundError):
        folder.open("a")


def test_free_bytes_are_those_of_the_file_system(folder: DurableFolder) -> None:
    status = os.statvfs(folder.path)
    assert abs(folder.free_bytes() - status.f_bavail * status.f_frsize) < 1 << 30


@pytest.mark.parametrize(
    ("code", "says"), [(errno.EOPNOTSUPP, "O_TMPFILE"), (errno.EISDIR, "O_TMPFILE"), (errno.EROFS, "written")]
)
def test_a_file_system_that_cannot_serve_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, says: str
) -> None:
    monkeypatch.setattr(DurableFolder, "unnamed_file", failing(code))
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(PermanentError, match=says):
        DurableFolder(tmp_path / "ready")
    assert len(os.listdir("/proc/self/fd")) == before


@given(chunks=st.lists(st.binary(max_size=20), max_size=30), most=st.integers(1, 50))
def test_short_writes_lose_nothing(chunks: list[bytes], most: int) -> None:
    """The kernel may take less than it is given, in the middle of any chunk."""
    written = bytearray()

    def writev(_: int, parts: list[bytes]) -> int:
        data = b"".join(parts)[:most]
        written.extend(data)
        return len(data)

    def write(_: int, data: memoryview) -> int:
        written.extend(data[:most])
        return min(len(data), most)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "writev", writev)
        patch.setattr(os, "write", write)
        write_all(3, chunks)
    assert bytes(written) == b"".join(chunks)


def test_more_chunks_than_the_kernel_takes_at_once_are_written(folder: DurableFolder) -> None:
    descriptor = folder.unnamed_file()
    chunks = [bytes([n % 256]) for n in range(durable._MAX_GATHERED * 3 + 1)]
    write_all(descriptor, chunks)
    assert os.pread(descriptor, 1 << 16, 0) == b"".join(chunks)
    os.close(descriptor)
