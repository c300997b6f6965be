"""Which storages the contract suite runs over, and buckets for it."""

from collections.abc import Iterator

import pytest

from pacsnode.storage.gcs import download, upload
from pacsnode.storage.gcs.adapter import BucketStorage
from pacsnode.storage.retry import Retry, RetryingStorage
from tests.buckets.fixtures import (
    TestBucket,
    _emulator_proxy,
    _second_proxy,
    bucket,
    real_bucket,
    second_bucket,
)

__all__ = ["_emulator_proxy", "_second_proxy", "bucket", "real_bucket", "second_bucket"]

_STORAGES = ["directory", "memory", "gcs", "gcs-retrying", "fake-gcs-server"]
_BUCKETS = ["gcs"]  # those that have metagenerations; fake-gcs-server has none


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Add the real bucket if there is one: without it there is nothing to skip."""
    real = ["gcs-bucket"] if metafunc.config.getoption("--gcs-bucket") else []
    for name, kinds in (("kind", _STORAGES), ("bucket_kind", _BUCKETS)):
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, kinds + real)


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
