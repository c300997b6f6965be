"""Objects that are put into a bucket, and read back whole."""

import os

import google_crc32c

from pacsnode.storage.base import ObjectFacts, Storage
from pacsnode.storage.memory import BytesReadable
from pacsnode.storage.reading import chunks_of
from tests.buckets.fixtures import TestBucket

NAME = "1.2/1.2.3/1.2.3.4.dcm"
METADATA = {"pacsnode-calling-ae-title": "CT1", "pacsnode-node": "archive"}
SMALL = os.urandom(3000)
LONG = os.urandom(1_500_000)


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
