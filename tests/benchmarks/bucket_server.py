"""A bucket in memory that answers at once, or after a latency: for figures, where an emulator would be measured.

usage: bucket_server.py [--latency-seconds S]

It has what a node uses of the JSON API: creations in one request and resumable, downloads and parts of them,
listings in pages, deletions, changes of metadata, preconditions and checksums. It prints its port, and ends when its
standard input does. What it does in trouble is not tested here: `tests.buckets` stands emulators of others behind a
proxy.
"""

import argparse
import asyncio
import base64
import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import google_crc32c

_OBJECT = re.compile(r"(?:/download)?/storage/v1/b/[^/]+/o/([^/]+)")
_RANGE = re.compile(r"bytes=([0-9]+)-([0-9]*)")
_PART = re.compile(r"bytes (?:\*|([0-9]+)-([0-9]+))/([0-9]+)")


@dataclass
class Stored:
    """One object."""

    data: bytes
    document: dict[str, object]


@dataclass
class Unfinished:
    """One resumable upload."""

    name: str
    described: dict[str, object]
    data: bytearray = field(default_factory=bytearray)


@dataclass
class Request:
    """One request, whole."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


Answer = tuple[int, dict[str, str], bytes]


class Bucket:
    """All buckets are one."""

    def __init__(self, url: str = "") -> None:
        self.url = url
        self._objects: dict[str, Stored] = {}
        self._unfinished: dict[str, Unfinished] = {}
        self._count = 0

    def answer(self, request: Request) -> Answer:
        """Do what is asked."""
        if request.path.startswith("/upload/"):
            return self._upload(request)
        if match := _OBJECT.fullmatch(request.path):
            return self._object(request, unquote(match[1]))
        if request.path.endswith("/o"):
            return self._listing(request)
        if request.path.endswith("/testPermissions"):
            permissions = parse_qs(request.query["all"])["permissions"]
            return 200, {}, json.dumps({"permissions": permissions}).encode()
        return 200, {}, b"{}"

    def _upload(self, request: Request) -> Answer:
        if "upload_id" in request.query:
            return self._part(request)
        if request.query["uploadType"] == "resumable":
            described, content = json.loads(request.body), b""
        else:
            described, content = _parts(request)
        name = str(request.query.get("name") or described["name"])
        if request.query.get("ifGenerationMatch") == "0" and name in self._objects:
            return 412, {}, b"{}"
        if request.query["uploadType"] == "multipart":
            return self._store(name, described, content)
        self._count += 1
        self._unfinished[str(self._count)] = Unfinished(name, described)
        return 200, {"Location": f"{self.url}{request.path}?upload_id={self._count}"}, b""

    def _part(self, request: Request) -> Answer:
        unfinished = self._unfinished.get(request.query["upload_id"])
        match = _PART.fullmatch(request.headers.get("content-range", ""))
        if unfinished is None or match is None:
            return 404, {}, b""
        if match[1] is not None and int(match[1]) == len(unfinished.data):
            unfinished.data += request.body
        if len(unfinished.data) == int(match[3]):
            return self._store(unfinished.name, unfinished.described, bytes(unfinished.data))
        return 308, {"Range": f"bytes=0-{len(unfinished.data) - 1}"} if unfinished.data else {}, b""

    def _store(self, name: str, described: dict[str, object], data: bytes) -> Answer:
        crc32c = base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()
        if described.get("crc32c", crc32c) != crc32c:
            return 400, {}, b'{"error": {"message": "Provided CRC32C doesn\'t match calculated CRC32C"}}'
        self._count += 1
        sizes = {"name": name, "size": str(len(data)), "crc32c": crc32c, "generation": str(self._count)}
        sizes |= {"metageneration": "1", "updated": _now().isoformat()}
        self._objects[name] = Stored(data, {**described, **sizes})
        return 200, {}, json.dumps(self._objects[name].document).encode()

    def _object(self, request: Request, name: str) -> Answer:
        stored = self._objects.get(name)
        if stored is None:
            return 404, {}, b'{"error": {"message": "No such object"}}'
        for condition, key in (
            ("ifGenerationMatch", "generation"),
            ("ifMetagenerationMatch", "metageneration"),
        ):
            if request.query.get(condition, stored.document[key]) != stored.document[key]:
                return 412, {}, b"{}"
        if request.method == "PATCH":
            count = int(str(stored.document["metageneration"])) + 1
            stored.document |= {
                **json.loads(request.body),
                "metageneration": str(count),
                "updated": _now().isoformat(),
            }
        if request.method == "DELETE":
            del self._objects[name]
            return 204, {}, b""
        if request.query.get("alt") != "media":
            return 200, {}, json.dumps(stored.document).encode()
        headers = {
            "X-Goog-Hash": f"crc32c={stored.document['crc32c']}",
            "X-Goog-Generation": str(stored.document["generation"]),
        }
        match = _RANGE.fullmatch(request.headers.get("range", ""))
        if match is None:
            return 200, headers, stored.data
        begin, end = int(match[1]), int(match[2] or len(stored.data) - 1) + 1
        part = stored.data[begin:end]
        headers["Content-Range"] = f"bytes {begin}-{begin + len(part) - 1}/{len(stored.data)}"
        return 206, headers, part

    def _listing(self, request: Request) -> Answer:
        after, prefix = request.query.get("pageToken", ""), request.query.get("prefix", "")
        names = sorted(name for name in self._objects if name.startswith(prefix) and name > after)
        most = int(request.query.get("maxResults", "1000"))
        page: dict[str, object] = {"items": [self._objects[name].document for name in names[:most]]}
        if len(names) > most:
            page["nextPageToken"] = names[most - 1]
        return 200, {}, json.dumps(page).encode()


def _now() -> datetime:
    return datetime.now(UTC)


def _parts(request: Request) -> tuple[dict[str, object], bytes]:
    """Return the two parts of a multipart/related body."""
    boundary = request.headers["content-type"].split("boundary=")[1].strip("\"'").encode()
    _, described, content, *_ = request.body.split(b"--" + boundary)
    document = json.loads(described.split(b"\r\n\r\n", 1)[1])
    return document, content.split(b"\r\n\r\n", 1)[1][:-2]


async def _serve(
    bucket: Bucket, latency_seconds: float, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError), contextlib.closing(writer):
        while True:
            request = await _request(reader)
            if latency_seconds:
                await asyncio.sleep(latency_seconds)
            status, headers, body = bucket.answer(request)
            lines = [f"HTTP/1.1 {status} Said", f"Date: {format_datetime(_now(), usegmt=True)}"]
            lines += (f"{name}: {text}" for name, text in headers.items())
            if status != 204:
                lines.append(f"Content-Length: {len(body)}")
            writer.write("\r\n".join((*lines, "", "")).encode() + body)
            await writer.drain()


async def _request(reader: asyncio.StreamReader) -> Request:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
    headers = {name.lower(): text.strip() for name, _, text in (line.partition(":") for line in lines)}
    method, target, _ = first.split()
    parts = urlsplit(target)
    query = {name: texts[0] for name, texts in parse_qs(parts.query).items()}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, parts.path, {**query, "all": parts.query}, headers, body)


async def _run(latency_seconds: float) -> None:
    bucket = Bucket()
    server = await asyncio.start_server(
        lambda reader, writer: _serve(bucket, latency_seconds, reader, writer), "127.0.0.1", 0, limit=1 << 20
    )
    port = server.sockets[0].getsockname()[1]
    bucket.url = f"http://127.0.0.1:{port}"
    print(port, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.close()


@contextlib.contextmanager
def bucket_server(latency_seconds: float = 0.0) -> Iterator[str]:
    """Run it as a process; yield its URL for STORAGE_EMULATOR_HOST."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.bucket_server", "--latency-seconds", str(latency_seconds)],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.wait(10)
        process.stdin.close()
        process.stdout.close()


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--latency-seconds", type=float, default=0.0)
    asyncio.run(_run(parser.parse_args().latency_seconds))


if __name__ == "__main__":
    main()
