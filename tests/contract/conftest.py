"""Which storages the contract suite runs over."""

import pytest

from tests.buckets.fixtures import _emulator_proxy, _second_proxy, bucket, real_bucket, second_bucket

__all__ = ["_emulator_proxy", "_second_proxy", "bucket", "real_bucket", "second_bucket"]

_STORAGES = ["directory", "memory", "gcs", "gcs-retrying", "fake-gcs-server"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Add the real bucket if there is one: without it there is nothing to skip."""
    if "kind" in metafunc.fixturenames:
        real = ["gcs-bucket"] if metafunc.config.getoption("--gcs-bucket") else []
        metafunc.parametrize("kind", _STORAGES + real)
