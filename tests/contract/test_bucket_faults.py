"""A bucket in trouble, whatever is asked of it: what can be done again is, and the rest is said (B1).

The emulator is real, the way to it is not: `tests.buckets.proxy` loses, cuts, delays and damages. Waits of retries are
recorded and not waited for.
"""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import google_crc32c
import pytest
from google.auth.credentials import Credentials

from pacsnode.errors import ObjectNotFound, StorageAway, StorageRefused, TemporaryError
from pacsnode.storage.gcs import adapter, transport, upload
from pacsnode.storage.gcs.adapter import BucketStorage
from pacsnode.storage.retry import Retry, RetryingStorage
from tests.buckets import faults
from tests.buckets.fixtures import TestBucket
from tests.buckets.objects import METADATA, NAME, SMALL, content, counted, put


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 418])
def test_what_goes_away_is_waited_for_as_long_as_it_says(
    bucket: TestBucket, retrying: RetryingStorage, waits: list[float], status: int
) -> None:
    bucket.proxy.plan(faults.answer(status, "backendError", "try later", retry_after="7"), times=2)
    put(retrying)
    assert waits == [7.0, 7.0]
    for call in (lambda: content(retrying), lambda: list(retrying.list()), lambda: retrying.delete(NAME)):
        bucket.proxy.plan(faults.answer(status))
        call()
    assert waits[2:] == [0.25] * 3


@pytest.mark.parametrize("fault", [faults.reset_before, faults.reset_after, faults.cut(0.5)])
def test_reads_listings_and_deletions_are_done_again(
    bucket: TestBucket, retrying: RetryingStorage, fault: faults.Fault
) -> None:
    put(retrying)
    bucket.proxy.plan(fault)
    assert content(retrying) == SMALL
    bucket.proxy.plan(fault)
    assert [info.name for info in retrying.list()] == [NAME]
    bucket.proxy.plan(fault)
    retrying.delete(NAME)
    assert list(retrying.list()) == []


@pytest.mark.parametrize("call", ["put", "open", "list", "delete"])
def test_a_bucket_that_does_not_answer_is_given_up(bucket: TestBucket, call: str) -> None:
    storage, until = bucket.storage(timeout_seconds=0.3), threading.Event()
    calls = {
        "put": lambda: put(storage),
        "open": lambda: storage.open(NAME),
        "list": lambda: list(storage.list()),
        "delete": lambda: storage.delete(NAME),
    }
    bucket.proxy.plan(faults.hold(until))
    try:
        with pytest.raises(StorageAway, match="timed out"):
            calls[call]()
    finally:
        until.set()
        storage.close()


def test_a_bucket_that_only_drips_is_given_up(
    storage: BucketStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(storage)
    seconds = iter(range(0, 100_000, 50))
    monkeypatch.setattr(transport.time, "monotonic", lambda: float(next(seconds)))
    with pytest.raises(StorageAway, match="slower than 16 KiB a second"):
        storage.open(NAME)


def test_nobody_listens(monkeypatch: pytest.MonkeyPatch, bucket: TestBucket) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:1")
    storage = bucket.storage()
    for call in (lambda: put(storage), lambda: storage.open(NAME), lambda: list(storage.list())):
        with pytest.raises(StorageAway, match="no answer from Google Cloud Storage"):
            call()
    storage.close()


class Expiring(Credentials):
    """Credentials whose token the bucket does not take before they are refreshed."""

    def __init__(self) -> None:
        super().__init__()
        self.token = "old"
        self.refreshed = 0

    def refresh(self, _: object) -> None:
        self.refreshed += 1
        self.token = "new"


def test_credentials_that_expire_are_refreshed_and_the_same_bytes_sent_again(
    bucket: TestBucket, storage: BucketStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials = Expiring()
    monkeypatch.setattr(transport, "_credentials", lambda: credentials)
    bucket.proxy.plan(faults.answer(401, "authError", "Invalid Credentials"))
    put(storage)
    assert credentials.refreshed == 1
    assert content(storage) == SMALL


def test_a_bucket_that_is_not_there_is_refused_with_what_to_do(bucket: TestBucket) -> None:
    storage = TestBucket("no-such-bucket", bucket.proxy).storage()
    calls = (
        lambda: put(storage),
        lambda: put(storage, bytes(upload.ONE_REQUEST_BYTES + 1)),
        lambda: storage.open(NAME),
        lambda: list(storage.list()),
        lambda: storage.delete(NAME),
        storage.check,
    )
    for call in calls:
        with pytest.raises(StorageRefused, match=r"create the bucket, or correct storage\.url"):
            call()
    storage.close()


def test_an_object_that_is_not_there_is_no_bucket_that_is_not(
    bucket: TestBucket, storage: BucketStorage
) -> None:
    missing = faults.answer(404, "notFound", "No such object: bucket/the-bucket-does-not-matter")
    bucket.proxy.plan(missing)
    with pytest.raises(ObjectNotFound):
        storage.open(NAME)
    bucket.proxy.plan(missing)
    storage.delete(NAME)


def test_a_bucket_is_checked_for_what_a_node_does(bucket: TestBucket, storage: BucketStorage) -> None:
    storage.check()
    bucket.proxy.plan(
        lambda *_: faults.Given(200, body=b'{"permissions": ["storage.objects.get", "storage.objects.list"]}')
    )
    with pytest.raises(
        StorageRefused,
        match=r"storage\.objects\.create, storage\.objects\.delete, storage\.objects\.update missing: "
        r"grant roles/storage\.objectUser",
    ):
        storage.check()


def test_options_are_said_with_each_object(bucket: TestBucket) -> None:
    key = "projects/p/locations/l/keyRings/r/cryptoKeys/k"
    storage = bucket.storage(storage_class="NEARLINE", kms_key=key, user_project="payer")
    said: list[faults.Asked] = []

    def watched(asked: faults.Asked, ask: faults.Ask) -> faults.Given:
        said.append(asked)
        return ask(asked)

    bucket.proxy.plan(watched, times=9)
    put(storage)
    put(storage)
    assert content(storage) == SMALL
    list(storage.list())
    storage.delete(NAME)
    storage.check()
    assert {asked.query["userProject"] for asked in said} == {"payer"}
    assert said[0].query["kmsKeyName"] == key
    assert b'"storageClass": "NEARLINE"' in said[0].body
    assert b'"contentType": "application/dicom"' in said[0].body
    storage.close()


# Listing


@pytest.mark.parametrize("server", ["bucket", "second_bucket"])
def test_pages(server: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both emulators agree on pages; nothing outside of the prefix is in them."""
    monkeypatch.setattr(adapter, "_PAGE", 7)
    bucket: TestBucket = request.getfixturevalue(server)
    storage, elsewhere = bucket.storage(), bucket.storage("pre/fixed")
    names = [f"1.2/1.{number % 3}/1.{number}.dcm" for number in range(30)]
    for name in names:
        put(storage, SMALL[:10], name)
        put(elsewhere, SMALL[:10], name)
    bucket.proxy.clear()
    found = list(storage.list())
    assert sorted(info.name for info in found) == sorted(names)
    assert {info.crc32c for info in found} == {google_crc32c.value(SMALL[:10])}
    assert all(info.metadata == METADATA for info in found)
    assert counted(bucket, "GET") == 5
    everything = bucket.storage("")
    assert len(list(everything.list())) == 60
    for one in (storage, elsewhere, everything):
        one.close()


def test_a_page_that_fails_is_asked_for_again_and_gives_nothing_twice(
    bucket: TestBucket, retrying: RetryingStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "_PAGE", 3)
    names = sorted(f"1.2/1.3/1.{number}.dcm" for number in range(10))
    for name in names:
        put(retrying, b"x", name)
    bucket.proxy.plan(faults.answer(503), contains="pageToken", times=3)
    assert sorted(info.name for info in retrying.list()) == names


# Under load


def test_connections_are_kept(
    bucket: TestBucket, storage: BucketStorage, caplog: pytest.LogCaptureFixture
) -> None:
    before = bucket.proxy.connections
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: put(storage, SMALL, f"{NAME}{number}"), range(40)))
        assert all(data == SMALL for data in threads.map(lambda n: content(storage, f"{NAME}{n}"), range(40)))
    assert bucket.proxy.connections - before <= 8
    assert "pool is full" not in caplog.text


def test_an_empty_object_takes_no_connection_with_it(bucket: TestBucket, storage: BucketStorage) -> None:
    put(storage, b"")
    before = bucket.proxy.connections
    for _ in range(3):
        assert content(storage) == b""
        storage.delete("1.2/none.dcm")
    assert bucket.proxy.connections == before


def test_of_many_uploads_over_a_bad_way_each_is_there_once_and_right(
    bucket: TestBucket, storage: BucketStorage
) -> None:
    """RELIABILITY B2, B3: a tenth of the answers lost, a twentieth of the bodies flipped, some refused and cut."""
    retrying = RetryingStorage(storage, Retry(wait=lambda _: False, budget_seconds=3600.0))
    for seed, (fault, share) in enumerate(
        (
            (faults.reset_after, 0.1),
            (faults.flip_sent(0.7), 0.05),
            (faults.flip_given(0.5), 0.05),
            (faults.answer(503), 0.05),
            (faults.cut(0.6), 0.05),
        )
    ):
        bucket.proxy.plan(fault, times=1_000_000, share=share, seed=seed, method="POST")
    objects = {f"1.2/1.3/1.{number}.dcm": os.urandom(5000 + number) for number in range(150)}

    def until_it_is_stored(name: str) -> None:
        for _ in range(20):
            try:
                put(retrying, objects[name], name)
            except TemporaryError:
                continue
            return
        raise AssertionError(name)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(until_it_is_stored, objects))
    bucket.proxy.clear()
    assert {info.name: info.crc32c for info in storage.list()} == {
        name: google_crc32c.value(data) for name, data in objects.items()
    }
    assert all(content(storage, name) == data for name, data in objects.items())
