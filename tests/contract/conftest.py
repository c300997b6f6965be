"""Buckets for the contract suite."""

from tests.buckets.fixtures import _emulator_proxy, _second_proxy, bucket, real_bucket, second_bucket

__all__ = ["_emulator_proxy", "_second_proxy", "bucket", "real_bucket", "second_bucket"]
