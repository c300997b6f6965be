"""One suite over every storage adapter: the contract in `storage.base`."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import google_crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacsnode.errors import DamagedObject, ObjectExists, ObjectNotFound
from pacsnode.storage.base import ObjectFacts, Readable, Storage
from pacsnode.storage.directory import DirectoryStorage
from pacsnode.storage.files import FileReadable
from pacsnode.storage.memory import BytesReadable, MemoryStorage
from pacsnode.storage.metadata import metadata_of
from pacsnode.storage.names import object_name
from pacsnode.storage.retry import Retry, RetryingStorage
from tests.objects import put

NAME = object_name("1.2.3", "1.2.3.4", "1.2.3.4.5")
OTHER = object_name("1.2.3", "1.2.3.4", "1.2.3.4.5", 1)
ELSEWHERE = object_name("1.2.9", "1.2.9.4", "1.2.9.4.5")


@pytest.fixture
def storage(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    match kind:
        case "directory":
            storage: Storage = DirectoryStorage(tmp_path / "objects")
        case "memory":
            storage = MemoryStorage()
        case "gcs":
            storage = request.getfixturevalue("bucket").storage()
        case "gcs-retrying":
            storage = RetryingStorage(request.getfixturevalue("bucket").storage(), Retry())
        case "fake-gcs-server":
            storage = request.getfixturevalue("second_bucket").storage()
        case _:
            storage = request.getfixturevalue("real_bucket")
    yield storage
    storage.close()


@pytest.fixture(params=["bytes", "file"])
def source(request: pytest.FixtureRequest, tmp_path: Path):
    """Sources of both kinds: those that can be linked and those that must be copied."""
    opened: list[Readable] = []

    def source(data: bytes) -> Readable:
        if request.param == "bytes":
            return BytesReadable(data)
        path = tmp_path / f"source-{len(opened)}"
        path.write_bytes(data)
        opened.append(FileReadable(os.open(path, os.O_RDONLY)))
        return opened[-1]

    yield source
    for readable in opened:
        readable.close()


def content(storage: Storage, name: str) -> bytes:
    readable = storage.open(name)
    try:
        buffer = bytearray(readable.length + 1)
        size = readable.read_into(memoryview(buffer), 0)
        assert size == readable.length
        return bytes(buffer[:size])
    finally:
        readable.close()


@pytest.mark.parametrize("size", [0, 1, 2, 1000, (1 << 20) + 1])
def test_an_object_is_read_as_it_was_put(storage: Storage, source, size: int) -> None:
    data = os.urandom(size)
    put(storage, NAME, source(data))
    assert content(storage, NAME) == data
    (info,) = storage.list()
    assert (info.name, info.length) == (NAME, size)
    assert info.crc32c in (None, google_crc32c.value(data))
    storage.sync()
    assert content(storage, NAME) == data


@pytest.mark.parametrize("data", [b"", b"1", b"longer"])
def test_put_creates_and_never_changes(storage: Storage, source, data: bytes) -> None:
    put(storage, NAME, source(data))
    for other in (b"other", data + b"!", bytes(len(data)) or b"!"):
        with pytest.raises(ObjectExists):
            put(storage, NAME, source(other))
    assert content(storage, NAME) == data


def test_the_same_bytes_again_are_our_own_earlier_success(storage: Storage, source) -> None:
    put(storage, NAME, source(b"the same"), {"pacsnode-node": "first"})
    put(storage, NAME, source(b"the same"), {"pacsnode-node": "second"})
    storage.sync()
    assert [info.name for info in storage.list()] == [NAME]
    assert content(storage, NAME) == b"the same"


def test_metadata_are_kept_or_there_are_none(storage: Storage, source) -> None:
    metadata = metadata_of(
        calling_ae_title="CT 1",
        received_at_ms=1_700_000_000_007,
        data_set_crc32c=1,
        file_crc32c=2,
        node="Röntgen",
    )
    put(storage, NAME, source(b"x"), metadata)
    (info,) = storage.list()
    assert info.metadata in ({}, metadata)


def test_bytes_that_are_not_those_of_the_facts_never_become_an_object(storage: Storage) -> None:
    with pytest.raises(DamagedObject):
        storage.put(NAME, BytesReadable(b"flipped"), ObjectFacts(google_crc32c.value(b"fli!ped")))
    assert list(storage.list()) == []


def test_names_do_not_meet(storage: Storage, source) -> None:
    for name in (NAME, OTHER, ELSEWHERE):
        put(storage, name, source(name.encode()))
    assert {name: content(storage, name) for name in (NAME, OTHER, ELSEWHERE)} == {
        name: name.encode() for name in (NAME, OTHER, ELSEWHERE)
    }
    assert sorted(info.name for info in storage.list()) == sorted((NAME, OTHER, ELSEWHERE))


def test_what_is_not_there_is_not_found(storage: Storage) -> None:
    assert list(storage.list()) == []
    with pytest.raises(ObjectNotFound):
        storage.open(NAME)


def test_deleting_twice_is_deleting_once(storage: Storage, source) -> None:
    put(storage, NAME, source(b"x"))
    put(storage, OTHER, source(b"y"))
    storage.delete(NAME)
    storage.delete(NAME)
    storage.delete(ELSEWHERE)
    storage.sync()
    with pytest.raises(ObjectNotFound):
        storage.open(NAME)
    assert [info.name for info in storage.list()] == [OTHER]
    put(storage, NAME, source(b"again"))
    assert content(storage, NAME) == b"again"


def test_an_open_object_stays_readable_when_it_is_deleted(storage: Storage, source) -> None:
    put(storage, NAME, source(b"still here"))
    readable = storage.open(NAME)
    storage.delete(NAME)
    buffer = bytearray(10)
    assert readable.read_into(memoryview(buffer), 0) == 10
    readable.close()
    readable.close()
    assert buffer == b"still here"


class Ending(BytesReadable):
    """A source that has fewer bytes than it says."""

    def __init__(self, data: bytes, length: int) -> None:
        super().__init__(data)
        self.length = length


def test_a_source_that_ends_early_leaves_no_object(storage: Storage) -> None:
    with pytest.raises(DamagedObject):
        storage.put(NAME, Ending(b"half", 8), ObjectFacts(google_crc32c.value(b"half")))
    assert list(storage.list()) == []
    put(storage, NAME, BytesReadable(b"whole"))
    assert content(storage, NAME) == b"whole"


def test_reads_begin_anywhere_and_end_at_the_end(storage: Storage, source) -> None:
    put(storage, NAME, source(b"0123456789"))
    readable = storage.open(NAME)
    try:
        for offset, length, expected in ((0, 4, b"0123"), (8, 4, b"89"), (10, 4, b""), (3, 0, b"")):
            buffer = bytearray(length)
            size = readable.read_into(memoryview(buffer), offset)
            assert bytes(buffer[:size]) == expected
    finally:
        readable.close()


def test_of_many_that_put_one_name_one_wins(storage: Storage) -> None:
    outcomes: list[bytes] = []
    start = threading.Barrier(8)

    def racing(number: int) -> None:
        data = b"%d" % number * 1000
        start.wait()
        try:
            put(storage, NAME, BytesReadable(data))
        except ObjectExists:
            return
        outcomes.append(data)

    threads = [threading.Thread(target=racing, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 1
    assert content(storage, NAME) == outcomes[0]


@given(
    objects=st.dictionaries(
        st.integers(1, 40).map(lambda n: object_name("1.2", f"1.{n % 3}", f"1.{n}")), st.binary(max_size=50)
    )
)
def test_a_storage_is_a_dictionary(
    tmp_path_factory: pytest.TempPathFactory, objects: dict[str, bytes]
) -> None:
    for storage in (MemoryStorage(), DirectoryStorage(tmp_path_factory.mktemp("objects"))):
        try:
            for name, data in objects.items():
                put(storage, name, BytesReadable(data))
            assert {info.name: content(storage, info.name) for info in storage.list()} == objects
        finally:
            storage.close()
