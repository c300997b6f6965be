"""A bucket in trouble: what is not whole and right is never accepted, and what can be done again is (B1 to B3).

The emulator is real, the way to it is not: `tests.buckets.proxy` loses, cuts, delays and damages. Waits of retries are
recorded and not waited for.
"""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import google_crc32c
import pytest
from google.auth.credentials import Credentials

from pacsnode.errors import DamagedObject, ObjectNotFound, StorageAway, StorageRefused, TemporaryError
from pacsnode.storage.base import ObjectFacts, Storage
from pacsnode.storage.gcs import adapter, download, transport, upload
from pacsnode.storage.gcs.adapter import BucketStorage
from pacsnode.storage.memory import BytesReadable
from pacsnode.storage.reading import chunks_of
from pacsnode.storage.retry import Retry, RetryingStorage
from tests.buckets import proxy as faults
from tests.buckets.fixtures import TestBucket

NAME = "1.2/1.2.3/1.2.3.4.dcm"
METADATA = {"pacsnode-calling-ae-title": "CT1", "pacsnode-node": "archive"}
SMALL = os.urandom(3000)
LONG = os.urandom(1_500_000)


@pytest.fixture
def storage(bucket: TestBucket) -> Iterator[BucketStorage]:
    storage = bucket.storage()
    yield storage
    storage.close()


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def retrying(storage: BucketStorage, waits: list[float]) -> RetryingStorage:
    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return False

    return RetryingStorage(storage, Retry(wait=wait, chance=lambda: 1.0))


@pytest.fixture
def _short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make what is long short enough for tests: resumable above 100 kB, in parts of 256 KiB."""
    monkeypatch.setattr(upload, "ONE_REQUEST_BYTES", 100_000)
    monkeypatch.setattr(upload, "_PART_BYTES", 256 << 10)
    monkeypatch.setattr(download, "WHOLE_BYTES", 100_000)


def put(storage: Storage, data: bytes = SMALL, name: str = NAME) -> None:
    storage.put(name, BytesReadable(data), ObjectFacts(google_crc32c.value(data), METADATA))


def content(storage: Storage, name: str = NAME) -> bytes:
    readable = storage.open(name)
    try:
        return b"".join(chunks_of(readable, 0, 64 << 10))
    finally:
        readable.close()


def counted(bucket: TestBucket, method: str) -> int:
    return sum(asked[0] == method for asked in bucket.proxy.asked)


both = pytest.mark.parametrize("data", [SMALL, LONG], ids=["one request", "resumable"])


# Uploads


@both
@pytest.mark.usefixtures("_short_limits")
def test_an_answer_that_is_lost_after_the_commit_was_a_success(
    bucket: TestBucket, storage: BucketStorage, data: bytes
) -> None:
    bucket.proxy.plan(
        faults.reset_after, contains="uploadType", method="PUT" if data is LONG else "POST", times=6
    )
    with pytest.raises(StorageAway):
        put(storage, data)
    for _ in range(6):
        try:
            put(storage, data)
        except StorageAway:
            continue
        break
    assert [(info.name, info.length) for info in storage.list()] == [(NAME, len(data))]
    assert content(storage) == data


@both
@pytest.mark.parametrize("fault", [faults.reset_before, faults.reset_after, faults.cut(0.5)])
@pytest.mark.usefixtures("_short_limits")
def test_resets_and_cuts_at_every_request_of_an_upload(
    bucket: TestBucket, retrying: RetryingStorage, waits: list[float], data: bytes, fault: faults.Fault
) -> None:
    put(retrying, data, "count")
    requests = len(bucket.proxy.asked)
    for at in range(requests):
        name = f"{NAME}{at}"
        passed = iter(range(at))

        def only_this(asked: faults.Asked, ask: faults.Ask, passed: Iterator[int] = passed) -> faults.Given:
            return ask(asked) if next(passed, None) is not None else fault(asked, ask)

        bucket.proxy.plan(only_this, times=at + 1)
        put(retrying, data, name)
        assert content(retrying, name) == data
    assert len(waits) <= requests
    assert len(list(retrying.list())) == requests + 1


@pytest.mark.parametrize("tenth", range(11))
def test_a_flipped_bit_is_never_stored(
    bucket: TestBucket, storage: BucketStorage, tenth: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Wherever it is: in the document about the object, in its bytes, or in what separates them."""
    short = SMALL[:400]  # so that the document is half of what is sent
    for step in range(5):
        bucket.proxy.plan(faults.flip_sent((tenth + step / 5) / 10), method="POST")
        try:
            put(storage, short)
        except TemporaryError:
            assert list(storage.list()) == []
            put(storage, short)
        (info,) = storage.list()
        assert info.crc32c == google_crc32c.value(short)
        assert info.metadata == METADATA or "keeps other metadata than was sent" in caplog.text
        assert content(storage) == short
        storage.delete(NAME)


@pytest.mark.usefixtures("_short_limits")
def test_a_flipped_bit_of_a_long_object_is_never_stored(
    bucket: TestBucket, retrying: RetryingStorage
) -> None:
    for number, place in enumerate((0.0, 0.3, 0.999)):
        bucket.proxy.plan(faults.flip_sent(place), method="PUT")
        put(retrying, LONG, f"{NAME}{number}")
        assert content(retrying, f"{NAME}{number}") == LONG


@pytest.mark.parametrize("place", [0.0, 0.2, 0.5, 0.9])
def test_what_a_flipped_answer_says_is_not_believed(
    bucket: TestBucket, retrying: RetryingStorage, place: float
) -> None:
    bucket.proxy.plan(faults.flip_given(place), method="POST")
    put(retrying)
    bucket.proxy.plan(faults.flip_given(place), contains="fields=name%2Csize")  # the comparison after a 412
    put(retrying)
    assert content(retrying) == SMALL


@pytest.mark.usefixtures("_short_limits")
def test_a_long_upload_goes_on_where_it_ended(bucket: TestBucket, storage: BucketStorage) -> None:
    passed = iter(range(3))
    bucket.proxy.plan(
        lambda asked, ask: ask(asked) if next(passed, None) is not None else faults.reset_before(asked, ask),
        method="PUT",
        times=4,
    )
    with pytest.raises(StorageAway):
        put(storage, LONG)
    bucket.proxy.clear()
    put(storage, LONG)
    assert counted(bucket, "POST") == 0, "it does not begin again"
    assert counted(bucket, "PUT") == 1 + 3, "how far it is, and the parts that were not sent"
    assert content(storage) == LONG


@pytest.mark.parametrize("status", [404, 410, 400, 416])
@pytest.mark.parametrize("asked_before", [False, True])
@pytest.mark.usefixtures("_short_limits")
def test_an_upload_that_the_bucket_cannot_go_on_with_begins_again(
    bucket: TestBucket, storage: BucketStorage, status: int, asked_before: bool
) -> None:
    if asked_before:
        bucket.proxy.plan(faults.answer(503), method="PUT")
        with pytest.raises(StorageAway):
            put(storage, LONG)
    bucket.proxy.plan(faults.answer(status), method="PUT")
    if not (asked_before and status in (404, 410)):  # which is noticed before anything is sent
        with pytest.raises(StorageAway):
            put(storage, LONG)
    bucket.proxy.asked.clear()
    put(storage, LONG)
    assert counted(bucket, "POST") == 1
    assert content(storage) == LONG


@pytest.mark.parametrize("status", [408, 429, 503])
@pytest.mark.usefixtures("_short_limits")
def test_an_upload_of_a_busy_bucket_goes_on(bucket: TestBucket, storage: BucketStorage, status: int) -> None:
    bucket.proxy.plan(faults.answer(status), method="PUT")
    with pytest.raises(StorageAway):
        put(storage, LONG)
    bucket.proxy.clear()
    put(storage, LONG)
    assert counted(bucket, "POST") == 0
    assert content(storage) == LONG


@pytest.mark.usefixtures("_short_limits")
def test_a_bucket_that_keeps_nothing_of_a_part_is_not_sent_to_for_ever(
    bucket: TestBucket, storage: BucketStorage
) -> None:
    bucket.proxy.plan(lambda *_: faults.Given(308), method="PUT", times=50)
    for _ in range(3):
        with pytest.raises(StorageAway, match="0 bytes after"):
            put(storage, LONG)
    assert counted(bucket, "PUT") < 10


# Downloads


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


# Everything


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
        match=r"storage\.objects\.create, storage\.objects\.delete missing: grant roles/storage\.objectUser",
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
