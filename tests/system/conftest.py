"""Buckets for the tests of this folder."""

from tests.buckets.fixtures import _emulator_proxy, bucket

__all__ = ["_emulator_proxy", "bucket"]
