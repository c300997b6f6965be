"""Buckets for tests: emulators run once for a whole session, each behind a fault proxy, and are wiped between tests."""

import itertools
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import pytest

from pacsnode.errors import PacsNodeError
from pacsnode.storage.gcs.adapter import BucketStorage
from pacsnode.storage.gcs.upload import BucketOptions
from tests.buckets.emulator import emulator, fake_gcs_server, make_bucket, wipe
from tests.buckets.proxy import Proxy, proxy


@dataclass(frozen=True)
class TestBucket:
    """An empty bucket behind a proxy that has no faults yet."""

    __test__ = False

    name: str
    proxy: Proxy

    def storage(
        self, prefix: str = "pre/fix", *, timeout_seconds: float = 30.0, **options: str
    ) -> BucketStorage:
        """Open it; the caller closes."""
        return BucketStorage(
            BucketOptions(self.name, prefix, **options), connections=8, timeout_seconds=timeout_seconds
        )


@pytest.fixture(scope="session")
def _emulator_proxy() -> Iterator[Proxy]:
    with emulator() as server, proxy(server) as before:
        make_bucket(server, "tests")
        yield before


@pytest.fixture
def bucket(_emulator_proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestBucket]:
    """A bucket of gcp-storage-emulator."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", _emulator_proxy.url)
    yield TestBucket("tests", _emulator_proxy)
    _emulator_proxy.clear()
    wipe(_emulator_proxy.upstream)


@pytest.fixture(scope="session")
def _second_proxy() -> Iterator[tuple[Proxy, Iterator[int]]]:
    with fake_gcs_server() as server, proxy(server, pages=False) as before:
        yield before, itertools.count()


@pytest.fixture
def second_bucket(
    _second_proxy: tuple[Proxy, Iterator[int]], monkeypatch: pytest.MonkeyPatch
) -> Iterator[TestBucket]:
    """A bucket of fake-gcs-server."""
    before, numbers = _second_proxy
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", before.url)
    name = f"tests-{next(numbers)}"
    make_bucket(before.upstream, name)
    yield TestBucket(name, before)
    before.clear()


@pytest.fixture
def real_bucket(request: pytest.FixtureRequest) -> Iterator[BucketStorage]:
    """The bucket of `--gcs-bucket`, below a prefix of its own that is emptied afterwards."""
    url = str(request.config.getoption("--gcs-bucket"))
    name, _, prefix = url.removeprefix("gs://").strip("/").partition("/")
    storage = BucketStorage(BucketOptions(name, f"{prefix}/{uuid.uuid4().hex}".strip("/")))
    yield storage
    for info in list(storage.list()):
        with suppress(PacsNodeError):
            storage.delete(info.name)
    storage.close()
