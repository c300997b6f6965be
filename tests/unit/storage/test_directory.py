"""Objects as files: links, copies, and which folders are synced when."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pacsnode.errors import OutOfResources, PermanentError
from pacsnode.storage.directory import DirectoryStorage
from pacsnode.storage.files import FileReadable
from pacsnode.storage.memory import BytesReadable
from tests.objects import put

NAME = "1.2/1.3/1.4.dcm"


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[DirectoryStorage]:
    storage = DirectoryStorage(tmp_path / "objects")
    yield storage
    storage.close()


@pytest.fixture
def source(tmp_path: Path) -> Iterator[FileReadable]:
    (tmp_path / "spooled").write_bytes(b"durable")
    readable = FileReadable(os.open(tmp_path / "spooled", os.O_RDONLY))
    yield readable
    readable.close()


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record the paths that are synced, in order."""
    paths: list[str] = []
    fsync = os.fsync

    def recording(descriptor: int) -> None:
        paths.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", recording)
    return paths


def test_a_file_on_the_same_file_system_is_linked(storage: DirectoryStorage, source: FileReadable) -> None:
    put(storage, NAME, source)
    assert os.stat(storage.path / NAME).st_ino == os.fstat(source.descriptor).st_ino


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EMLINK, errno.EPERM])
def test_where_it_cannot_be_linked_it_is_copied_durably(
    storage: DirectoryStorage,
    source: FileReadable,
    synced: list[str],
    monkeypatch: pytest.MonkeyPatch,
    code: int,
) -> None:
    link, tried = os.link, list[str]()

    def once(*arguments: object, **options: object) -> None:
        tried.append(str(arguments[0]))
        if len(tried) == 1:
            raise OSError(code, os.strerror(code))
        assert synced, "linked before it was synced"
        link(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "link", once)
    put(storage, NAME, source)
    assert (storage.path / NAME).read_bytes() == b"durable"
    assert (storage.path / NAME).stat().st_mode & 0o777 == 0o600
    assert os.stat(storage.path / NAME).st_ino != os.fstat(source.descriptor).st_ino


def test_a_source_without_a_name_any_more_is_copied(
    storage: DirectoryStorage, source: FileReadable, tmp_path: Path
) -> None:
    (tmp_path / "spooled").unlink()
    put(storage, NAME, source)
    assert (storage.path / NAME).read_bytes() == b"durable"


def test_each_changed_folder_is_synced_once_children_first(
    storage: DirectoryStorage, source: FileReadable, synced: list[str]
) -> None:
    for number in range(3):
        put(storage, f"1.2/1.3/1.4.{number}.dcm", source)
    storage.sync()
    root = str(storage.path)
    assert synced == [f"{root}/1.2/1.3", f"{root}/1.2", root]
    synced.clear()
    storage.sync()
    assert synced == []
    put(storage, "1.2/1.3/1.4.9.dcm", source)
    storage.sync()
    assert synced == [f"{root}/1.2/1.3"]


def test_a_deleted_object_stays_deleted(
    storage: DirectoryStorage, source: FileReadable, synced: list[str]
) -> None:
    put(storage, NAME, source)
    storage.sync()
    synced.clear()
    storage.delete(NAME)
    storage.sync()
    assert synced == [f"{storage.path}/1.2/1.3"]


def test_an_object_that_goes_while_it_is_compared_is_put_later(
    storage: DirectoryStorage, source: FileReadable, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(storage, NAME, source)
    opened = storage.open
    with monkeypatch.context() as patch:
        patch.setattr(storage, "open", lambda name: (storage.delete(name), opened(name))[1])
        with pytest.raises(OutOfResources, match="went while it was compared"):
            put(storage, NAME, source)
    put(storage, NAME, source)
    assert (storage.path / NAME).read_bytes() == b"durable"


def test_an_object_of_an_earlier_run_is_synced_when_it_is_met_again(
    storage: DirectoryStorage, source: FileReadable, synced: list[str]
) -> None:
    """A process that died between `put` and `sync` left an object whose name may not be durable."""
    put(storage, NAME, source)
    restarted = DirectoryStorage(storage.path)
    try:
        put(restarted, NAME, source)
        restarted.sync()
    finally:
        restarted.close()
    root = str(storage.path)
    assert synced == [f"{root}/1.2/1.3", f"{root}/1.2", root]


def test_a_sync_that_failed_is_done_again(
    storage: DirectoryStorage, source: FileReadable, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(storage, NAME, source)
    calls: list[int] = []

    def failing(descriptor: int) -> None:
        calls.append(descriptor)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing)
        for _ in range(2):
            with pytest.raises(OutOfResources):
                storage.sync()
    assert len(calls) == 2
    storage.sync()


def test_a_full_disk_leaves_no_half_object(
    storage: DirectoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, written = os.write, list[int]()

    def filling(descriptor: int, data: memoryview) -> int:
        if written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(write(descriptor, data[:5]))
        return written[0]

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", filling)
        with pytest.raises(OutOfResources):
            put(storage, NAME, BytesReadable(b"longer than five"))
    assert list(storage.list()) == []
    assert [path for path in storage.path.rglob("*") if path.is_file()] == []


def test_links_and_folders_are_no_objects(storage: DirectoryStorage, source: FileReadable) -> None:
    put(storage, NAME, source)
    (storage.path / "1.2/outside.dcm").symlink_to("/etc/passwd")
    assert [info.name for info in storage.list()] == [NAME]


def test_objects_and_folders_are_the_owners(storage: DirectoryStorage) -> None:
    put(storage, NAME, BytesReadable(b"x"))
    assert storage.path.stat().st_mode & 0o777 == 0o700
    assert (storage.path / "1.2").stat().st_mode & 0o777 == 0o700
    assert (storage.path / NAME).stat().st_mode & 0o777 == 0o600


def test_a_path_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "objects").write_text("in the way")
    with pytest.raises(PermanentError):
        DirectoryStorage(tmp_path / "objects")


def test_open_objects_outlive_the_storage(tmp_path: Path) -> None:
    storage = DirectoryStorage(tmp_path / "objects")
    put(storage, NAME, BytesReadable(b"x"))
    readable = storage.open(NAME)
    storage.close()
    buffer = bytearray(1)
    assert readable.read_into(memoryview(buffer), 0) == 1
    readable.close()
