"""The lease in a bucket: what one node writes no other one overwrites, and the bucket tells when."""

import os
import threading
from collections.abc import Iterator

import pytest

from pacsnode.errors import StorageAway, StorageRefused
from pacsnode.storage.gcs.lease import BucketLease
from pacsnode.storage.gcs.upload import BucketOptions
from pacsnode.storage.lease import Holding, LeaseChanged
from tests.buckets import faults
from tests.buckets.fixtures import TestBucket

ONE, OTHER = {"node": "one"}, {"node": "other"}


@pytest.fixture
def options(request: pytest.FixtureRequest, bucket_kind: str) -> BucketOptions:
    if bucket_kind == "gcs-bucket":
        options: BucketOptions = request.getfixturevalue("real_bucket")._options
        return options
    bucket: TestBucket = request.getfixturevalue("bucket")
    return BucketOptions(bucket.name, "pre/fix", storage_class="COLDLINE")


@pytest.fixture
def place(options: BucketOptions) -> Iterator[BucketLease]:
    place = BucketLease(options, timeout_seconds=10.0)
    yield place
    place.close()


def read(place: BucketLease) -> Holding:
    holding = place.read().holding
    assert holding is not None
    return holding


def test_what_is_written_is_read_with_its_age(place: BucketLease) -> None:
    assert place.read().holding is None
    first = place.write(ONE, over=None)
    second = place.write(OTHER, over=first)
    assert second.version != first.version
    found = read(place)
    assert (found.version, dict(found.fields)) == (second.version, OTHER)
    assert 0.0 <= found.age_seconds < 60.0


def test_only_what_was_read_is_written_over(place: BucketLease) -> None:
    first = place.write(ONE, over=None)
    with pytest.raises(LeaseChanged):
        place.write(OTHER, over=None)
    place.write(ONE, over=first)
    with pytest.raises(LeaseChanged):
        place.write(OTHER, over=first)
    assert dict(read(place).fields) == ONE


def test_of_many_that_write_at_once_one_wins(options: BucketOptions) -> None:
    places = [BucketLease(options, timeout_seconds=30.0) for _ in range(6)]
    first, start, won = places[0].write(ONE, over=None), threading.Barrier(6), []

    def write(at: int) -> None:
        start.wait()
        try:
            places[at].write({"node": f"{at}"}, over=first)
        except LeaseChanged:
            return
        won.append(f"{at}")

    threads = [threading.Thread(target=write, args=(at,)) for at in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [dict(read(places[0]).fields)["node"]] == won
    for place in places:
        place.close()


def test_one_that_was_removed_is_not_written_over(bucket: TestBucket) -> None:
    place, storage = BucketLease(BucketOptions("tests"), timeout_seconds=10.0), bucket.storage("")
    first = place.write(ONE, over=None)
    storage.delete("_node.json")
    with pytest.raises(LeaseChanged, match="removed"):
        place.write(ONE, over=first)
    assert place.write(ONE, over=None).version != first.version
    place.close()
    storage.close()


def test_trouble_is_told_as_what_it_is(bucket: TestBucket) -> None:
    place = BucketLease(BucketOptions("tests"), timeout_seconds=10.0)
    first = place.write(ONE, over=None)
    for call in (place.read, lambda: place.write(ONE, over=first)):
        bucket.proxy.plan(faults.answer(503, "backendError", "away"))
        with pytest.raises(StorageAway, match=r"_node\.json: 503"):
            call()
        bucket.proxy.plan(faults.answer(403, "forbidden", "no access"))
        with pytest.raises(StorageRefused, match=r"storage\.objects\.(get|update) is missing: grant roles/"):
            call()
    for body in (b"", b"{}", b'{"generation": "1", "metageneration": "1", "updated": "soon"}'):
        bucket.proxy.plan(lambda *_, body=body: faults.Given(200, body=body))  # type: ignore[misc]
        with pytest.raises(StorageAway, match="cannot be read"):
            place.read()
    place.close()
    nowhere = BucketLease(BucketOptions(f"no-{os.getpid()}"), timeout_seconds=10.0)
    with pytest.raises(StorageRefused, match="create the bucket"):
        nowhere.read()
    nowhere.close()
