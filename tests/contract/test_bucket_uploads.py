"""Uploads in trouble: what is not right is never stored, and what was stored already is a success (B2, B3)."""

from collections.abc import Iterator

import google_crc32c
import pytest

from pacsnode.errors import StorageAway, TemporaryError
from pacsnode.storage.gcs.adapter import BucketStorage
from pacsnode.storage.retry import RetryingStorage
from tests.buckets import faults
from tests.buckets.fixtures import TestBucket
from tests.buckets.objects import LONG, METADATA, NAME, SMALL, content, counted, put

both = pytest.mark.parametrize("data", [SMALL, LONG], ids=["one request", "resumable"])


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
