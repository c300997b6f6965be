"""Downloads in trouble: damaged bytes are never given out to an end, and what was cut goes on (B3)."""

import pytest

from pacsnode.errors import DamagedObject, ObjectNotFound, StorageAway
from pacsnode.storage.gcs.adapter import BucketStorage
from pacsnode.storage.reading import chunks_of
from pacsnode.storage.retry import RetryingStorage
from tests.buckets import faults
from tests.buckets.fixtures import TestBucket
from tests.buckets.objects import LONG, NAME, SMALL, content, put


@pytest.mark.parametrize("place", [0.0, 0.5, 1.0])
def test_a_damaged_download_is_not_given_out(
    bucket: TestBucket, storage: BucketStorage, retrying: RetryingStorage, place: float
) -> None:
    put(storage)
    bucket.proxy.plan(faults.flip_given(place), contains="/download/")
    with pytest.raises(DamagedObject):
        storage.open(NAME)
    bucket.proxy.plan(faults.flip_given(place), contains="/download/")
    assert content(retrying) == SMALL, "it is fetched once more"
    bucket.proxy.plan(faults.flip_given(place), contains="/download/", times=2)
    with pytest.raises(DamagedObject):
        retrying.open(NAME)


@pytest.mark.parametrize("place", [0.0, 0.5, 1.0])
@pytest.mark.usefixtures("_short_limits")
def test_a_damaged_long_download_does_not_come_to_its_end(
    bucket: TestBucket, storage: BucketStorage, place: float
) -> None:
    put(storage, LONG)
    bucket.proxy.plan(faults.flip_given(place), contains="/download/")
    readable = storage.open(NAME)
    given = bytearray()
    with pytest.raises(DamagedObject):
        given.extend(byte for chunk in chunks_of(readable, 0, 64 << 10) for byte in chunk)
    assert len(given) < len(LONG)
    with pytest.raises(DamagedObject):
        readable.read_into(memoryview(bytearray(10)), 0)
    readable.close()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_download_that_is_cut_is_begun_again(
    bucket: TestBucket, storage: BucketStorage, retrying: RetryingStorage, share: float
) -> None:
    put(storage)
    bucket.proxy.plan(faults.cut(share), contains="/download/", times=2)
    with pytest.raises(StorageAway):
        storage.open(NAME)
    assert content(retrying) == SMALL


@pytest.mark.usefixtures("_short_limits")
def test_a_long_download_that_is_cut_goes_on_behind_what_was_read(
    bucket: TestBucket, retrying: RetryingStorage
) -> None:
    put(retrying, LONG)
    bucket.proxy.clear()
    bucket.proxy.plan(faults.cut(0.3), contains="/download/")
    ranges: list[str] = []

    def watched(asked: faults.Asked, ask: faults.Ask) -> faults.Given:
        ranges.append(asked.headers.get("range", ""))
        return ask(asked)

    bucket.proxy.plan(watched, contains="/download/", times=9)
    assert content(retrying) == LONG
    (one,) = ranges
    assert 0 < int(one.removeprefix("bytes=").split("-")[0]) <= len(LONG) * 0.3


@pytest.mark.usefixtures("_short_limits")
def test_parts_of_a_long_object_are_read_in_any_order(bucket: TestBucket, storage: BucketStorage) -> None:
    put(storage, LONG)
    readable = storage.open(NAME)
    for offset, size in ((700_000, 1000), (0, 10), (10, 90_000), (len(LONG) - 5, 100), (len(LONG), 5)):
        buffer = bytearray(size)
        read = readable.read_into(memoryview(buffer), offset)
        assert bytes(buffer[:read]) == LONG[offset : offset + size]
    assert b"".join(chunks_of(readable, 90_010, 1 << 20)) == LONG[90_010:]
    readable.close()
    readable.close()


@pytest.mark.usefixtures("_short_limits")
def test_a_long_object_that_is_replaced_while_it_is_read_is_not_mixed(
    bucket: TestBucket, storage: BucketStorage
) -> None:
    put(storage, LONG)
    readable = storage.open(NAME)
    readable.read_into(memoryview(bytearray(1000)), 0)
    storage.delete(NAME)
    put(storage, LONG[::-1])
    with pytest.raises(ObjectNotFound):
        readable.read_into(memoryview(bytearray(1000)), 5000)
    readable.close()
