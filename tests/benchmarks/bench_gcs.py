"""Processor time of a put and a get: the node's way, google-cloud-storage's `Blob`, and the same through `requests`.

usage: bench_gcs.py [--rounds N] [--count N] [--latency-seconds S]

The bucket answers at once from a process of its own (bucket_server.py), so that what is measured is the client. One
thread; median of the rounds, in which the ways take turns. Then the node's way with 8 threads: objects a second.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import google_crc32c
from google.auth.credentials import AnonymousCredentials
from google.auth.transport.requests import AuthorizedSession
from google.cloud.storage import Client

from pacsnode.storage.base import ObjectFacts
from pacsnode.storage.files import FileReadable
from pacsnode.storage.gcs.adapter import BucketStorage
from pacsnode.storage.gcs.answers import encoded_crc32c
from pacsnode.storage.gcs.upload import BucketOptions
from pacsnode.storage.metadata import metadata_of
from pacsnode.storage.reading import crc32c_of
from tests.benchmarks.bucket_server import bucket_server

SIZES = (10_000, 530_000)
THREADS = 8
BOUNDARY = "between-the-parts"
METADATA = metadata_of(
    calling_ae_title="CT1",
    received_at_ms=1_700_000_000_000,
    data_set_crc32c=1,
    file_crc32c=2,
    node="pacsnode",
)

Way = tuple[Callable[[str, int], None], Callable[[str, int], None]]


class Sources:
    """One file of each size, as the spool has them."""

    def __init__(self) -> None:
        self.files = {size: self._file(size) for size in SIZES}
        self.facts = {
            size: ObjectFacts(crc32c_of(readable), METADATA) for size, readable in self.files.items()
        }

    def _file(self, size: int) -> FileReadable:
        descriptor = os.memfd_create("object")
        os.write(descriptor, os.urandom(size))
        return FileReadable(descriptor)

    def bytes(self, size: int) -> bytes:
        return self.files[size].read(size, 0)


def node(sources: Sources) -> Way:
    """The node's way."""
    storage = BucketStorage(BucketOptions("bucket", "node"), connections=THREADS)

    def put(name: str, size: int) -> None:
        storage.put(name, sources.files[size], sources.facts[size])

    def get(name: str, size: int) -> None:
        readable = storage.open(name)
        assert readable.length == size  # and all of it is here, and compared
        readable.close()

    return put, get


def blob(sources: Sources) -> Way:
    """google-cloud-storage's objects, with the checksum known already and no retries."""
    bucket = Client(project="none", credentials=AnonymousCredentials()).bucket("bucket")

    def put(name: str, size: int) -> None:
        one = bucket.blob(f"blob/{name}")
        one.metadata = METADATA
        one.upload_from_string(
            sources.bytes(size),
            content_type="application/dicom",
            if_generation_match=0,
            checksum=None,
            crc32c_checksum_value=encoded_crc32c(sources.facts[size].crc32c),
            retry=None,
        )

    def get(name: str, size: int) -> None:
        assert len(bucket.blob(f"blob/{name}").download_as_bytes(checksum="crc32c", retry=None)) == size

    return put, get


def session(sources: Sources) -> Way:
    """The node's requests through google-auth's session over `requests`."""
    requests, endpoint = AuthorizedSession(AnonymousCredentials()), os.environ["STORAGE_EMULATOR_HOST"]

    def put(name: str, size: int) -> None:
        crc32c = encoded_crc32c(sources.facts[size].crc32c)
        document = json.dumps({"crc32c": crc32c, "metadata": METADATA}).encode()
        line = b"--" + BOUNDARY.encode()
        body = b"\r\n".join((line, b"", document, line, b"", sources.bytes(size), line + b"--"))
        answer = requests.post(
            f"{endpoint}/upload/storage/v1/b/bucket/o?uploadType=multipart&ifGenerationMatch=0"
            f"&name={quote('session/' + name, safe='')}",
            data=body,
            headers={"content-type": f"multipart/related; boundary={BOUNDARY}"},
        )
        assert answer.json()["crc32c"] == crc32c

    def get(name: str, size: int) -> None:
        place = quote(f"session/{name}", safe="")
        content = requests.get(f"{endpoint}/download/storage/v1/b/bucket/o/{place}?alt=media").content
        assert google_crc32c.value(content) == sources.facts[size].crc32c

    return put, get


def processor_ms(call: Callable[[str, int], None], names: list[str], size: int) -> float:
    """Return milliseconds of this process's processor time for each call."""
    started = time.process_time()
    for name in names:
        call(name, size)
    return (time.process_time() - started) / len(names) * 1000


def main() -> None:
    """Print a table of processor times, and rates with threads."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--latency-seconds", type=float, default=0.0)
    arguments = parser.parse_args()
    with bucket_server(arguments.latency_seconds) as url:
        os.environ["STORAGE_EMULATOR_HOST"] = url
        sources = Sources()
        ways = {"node": node(sources), "Blob": blob(sources), "session": session(sources)}
        taken: dict[tuple[str, str, int], list[float]] = {}
        for turn in range(arguments.rounds):
            for size in SIZES:
                names = [f"{turn}-{size}-{number}.dcm" for number in range(arguments.count)]
                for way, calls in ways.items():
                    for what, call in zip(("put", "get"), calls, strict=True):
                        taken.setdefault((way, what, size), []).append(processor_ms(call, names, size))
        for (way, what, size), values in taken.items():
            print(f"{statistics.median(values):7.3f} ms  {what} {size // 1000:3} kB  {way}")
        put, get = ways["node"]
        with ThreadPoolExecutor(THREADS) as threads:
            for size in SIZES:
                names = [f"threads-{size}-{number}.dcm" for number in range(5 * arguments.count)]
                for what, call in (("put", put), ("get", get)):
                    started, used = time.monotonic(), time.process_time()
                    list(threads.map(call, names, [size] * len(names)))
                    rate = len(names) / (time.monotonic() - started)
                    each = (time.process_time() - used) / len(names) * 1000
                    print(
                        f"{rate:7.0f} /s  {what} {size // 1000:3} kB  node, {THREADS} threads, {each:.3f} ms each"
                    )


if __name__ == "__main__":
    main()
