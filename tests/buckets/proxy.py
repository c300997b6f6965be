"""A proxy before an emulator of Google Cloud Storage: what the emulator leaves out, and faults by script.

It speaks HTTP/1.1 to its clients, keeps their connections, and asks the emulator anew each time. What is added, as
the JSON API describes it: preconditions on the generation (also when a resumable upload ends) and the metageneration,
the time of a change of metadata, listings in pages, the generation of a download, and words in a 404. Everything else
is what the emulator says.

A fault is done to the requests that match it, so many times, in the order in which they were added. `share` does it
to some of them only, by a random number of a fixed seed. All are done to whole requests and answers, which is what
a network does in the end: it loses, cuts, delays and damages.
"""

import argparse
import base64
import http.client
import json
import os
import random
import re
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote, urlsplit

from tests.buckets.faults import PRECONDITION_FAILED, WAIT_SECONDS, Asked, Cut, Fault, Given, Lost, said

_OBJECT = re.compile(r"(?:/download)?/storage/v1/b/([^/]+)/o/([^/]+)")
_UPLOAD = re.compile(r"/upload/storage/v1/b/([^/]+)/o")
_LISTING = re.compile(r"/storage/v1/b/([^/]+)/o")
_LAST_PART = re.compile(r"bytes (?:\*|[0-9]+-([0-9]+))/([0-9]+)")
_HOP = frozenset(("connection", "transfer-encoding", "content-length", "server", "date", "keep-alive"))


@dataclass
class _Planned:
    fault: Fault
    method: str
    contains: str
    times: int
    share: float
    random: random.Random


class Proxy(ThreadingHTTPServer):
    """Listens on a free port of loopback. Faults may be added by any thread."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(
        self,
        upstream: str,
        *,
        pages: bool = True,
        latency_seconds: float = 0.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Cut listings into pages unless upstream does; each request waits for the latency."""
        super().__init__(("127.0.0.1", 0), _Handler)
        self._tls = tls
        self.upstream = upstream
        self.pages = pages
        self.latency_seconds = latency_seconds
        self.asked: list[tuple[str, str, int]] = []
        self.connections = 0
        self._planned: list[_Planned] = []
        self._open: set[socket.socket] = set()
        self._creations: dict[str, str] = {}
        self._changed_at: dict[tuple[str, str, str], str] = {}  # by name and both generations
        self._lock = threading.Lock()
        self._creating = threading.RLock()

    @property
    def url(self) -> str:
        """For STORAGE_EMULATOR_HOST."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.server_address[1]}"

    def plan(
        self,
        fault: Fault,
        *,
        method: str = "",
        contains: str = "",
        times: int = 1,
        share: float = 1.0,
        seed: int = 0,
    ) -> None:
        """Do this to requests of a method, any if empty, whose target contains a text."""
        with self._lock:
            self._planned.append(_Planned(fault, method, contains, times, share, random.Random(seed)))

    def clear(self) -> None:
        """Forget the faults that are left, and what was asked."""
        with self._lock:
            self._planned.clear()
            self.asked.clear()

    def answers(self, asked: Asked) -> Given:
        """Return the answer to a request; raises `Lost`, `Cut`."""
        if self.latency_seconds:
            threading.Event().wait(self.latency_seconds)
        fault = self._fault_of(asked)
        status = 0
        try:
            given = fault(asked, self._as_described) if fault else self._as_described(asked)
            status = given.status
        finally:
            with self._lock:
                self.asked.append((asked.method, asked.target, status))
        return given

    def _fault_of(self, asked: Asked) -> Fault | None:
        with self._lock:
            for planned in self._planned:
                if planned.method not in ("", asked.method) or planned.contains not in asked.target:
                    continue
                if planned.share < 1.0 and planned.random.random() >= planned.share:
                    continue
                planned.times -= 1
                if not planned.times:
                    self._planned.remove(planned)
                return planned.fault
        return None

    def _as_described(self, asked: Asked) -> Given:
        if _UPLOAD.fullmatch(asked.path):
            return self._upload(asked)
        if match := _OBJECT.fullmatch(asked.path):
            bucket, name = unquote(match[1]), unquote(match[2])
            return (
                self._change(asked, bucket, name)
                if asked.method == "PATCH"
                else self._object(asked, bucket, name)
            )
        given = self._ask(asked)
        if self.pages and asked.method == "GET" and _LISTING.fullmatch(asked.path) and given.status == 200:
            return self._paged(asked, given)
        return given

    def _upload(self, asked: Asked) -> Given:
        with self._creating:
            name = self._created_by(asked)
            if name and self._generation(_bucket(asked), name):
                return PRECONDITION_FAILED
            given = self._ask(asked)
            if "Location" in given.headers:
                place = urlsplit(given.headers["Location"])
                given.headers["Location"] = f"{self.url}{place.path}?{place.query}"
                self._creations[parse_qs(place.query)["upload_id"][0]] = asked.query.get("name", "")
            if given.status == 308 and given.headers.get("Range") == "bytes=0-0":
                del given.headers["Range"]  # what the emulator says where it has nothing yet
            return given

    def _created_by(self, asked: Asked) -> str:
        """Return the name that a request may only create now, empty if it is none of those."""
        if upload_id := asked.query.get("upload_id"):
            return self._creations.get(upload_id, "") if _is_last_part(asked) else ""
        return asked.query["name"] if asked.query.get("ifGenerationMatch") == "0" else ""

    def _object(self, asked: Asked, bucket: str, name: str) -> Given:
        wanted = asked.query.get("ifGenerationMatch")
        is_download = asked.query.get("alt") == "media"
        generation = self._generation(bucket, name) if wanted is not None or is_download else ""
        if wanted is not None and generation and wanted != generation:
            return PRECONDITION_FAILED
        given = self._ask(asked)
        if given.status in (200, 206) and is_download:
            given.headers["X-Goog-Generation"] = generation
        elif given.status == 200 and asked.method == "GET":
            self._say_when(given, name)
        return self._missing(bucket, name) if given.status == 404 else given

    def _missing(self, bucket: str, name: str) -> Given:
        there = self._ask(Asked("GET", f"/storage/v1/b/{quote(bucket)}", {}, b"")).status == 200
        missing = f"No such object: {bucket}/{name}" if there else "The specified bucket does not exist."
        return said(404, "notFound", missing)

    def _change(self, asked: Asked, bucket: str, name: str) -> Given:
        """Change metadata, if they are those that were meant."""
        with self._creating:
            found = self._document(bucket, name)
            if not found:
                return self._missing(bucket, name)
            for condition, key in (
                ("ifGenerationMatch", "generation"),
                ("ifMetagenerationMatch", "metageneration"),
            ):
                if asked.query.get(condition, str(found[key])) != str(found[key]):
                    return PRECONDITION_FAILED
            given = self._ask(asked)
            if given.status == 200:
                changed = json.loads(given.body)
                key = name, str(changed["generation"]), str(changed["metageneration"])
                self._changed_at[key] = datetime.now(UTC).isoformat()
                self._say_when(given, name)
            return given

    def _say_when(self, given: Given, name: str) -> None:
        found = json.loads(given.body)
        changed_at = self._changed_at.get(
            (name, str(found.get("generation")), str(found.get("metageneration")))
        )
        if changed_at is not None:
            given.body = json.dumps({**found, "updated": changed_at}).encode()

    def _generation(self, bucket: str, name: str) -> str:
        return str(self._document(bucket, name).get("generation", ""))

    def _document(self, bucket: str, name: str) -> dict[str, object]:
        target = f"/storage/v1/b/{quote(bucket, safe='')}/o/{quote(name, safe='')}"
        given = self._ask(Asked("GET", target, {}, b""))
        return dict(json.loads(given.body)) if given.status == 200 else {}

    def _paged(self, asked: Asked, given: Given) -> Given:
        listing = json.loads(given.body)
        after = base64.urlsafe_b64decode(asked.query.get("pageToken", "")).decode()
        items = sorted(listing.get("items", []), key=lambda item: str(item["name"]))
        items = [item for item in items if item["name"] > after]
        page = items[: int(asked.query.get("maxResults", "1000"))]
        listing["items"] = page
        if len(page) < len(items):
            listing["nextPageToken"] = base64.urlsafe_b64encode(page[-1]["name"].encode()).decode()
        if not page:
            del listing["items"]
        return Given(200, given.headers, json.dumps(listing).encode())

    def _ask(self, asked: Asked) -> Given:
        connection = http.client.HTTPConnection(self.upstream, timeout=WAIT_SECONDS)
        try:
            headers = {name: text for name, text in asked.headers.items() if name.lower() not in _HOP}
            connection.request(asked.method, asked.target, asked.body or b"", headers)
            response = connection.getresponse()
            kept = {name: text for name, text in response.getheaders() if name.lower() not in _HOP}
            return Given(response.status, kept, response.read())
        except (http.client.HTTPException, OSError):
            raise Lost from None
        finally:
            connection.close()

    def finish_request(self, request: socket.socket, client_address: object) -> None:  # type: ignore[override]
        if self._tls is None:
            super().finish_request(request, client_address)  # type: ignore[arg-type]
            return
        request.settimeout(WAIT_SECONDS)
        with self._tls.wrap_socket(request, server_side=True) as secured:
            super().finish_request(secured, client_address)  # type: ignore[arg-type]

    def process_request(self, request: socket.socket, client_address: object) -> None:  # type: ignore[override]
        with self._lock:
            self._open.add(request)
            self.connections += 1
        super().process_request(request, client_address)  # type: ignore[arg-type]

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, *_: object) -> None:
        """Say nothing: clients go while they are answered."""

    def end(self) -> None:
        """Stop listening and close all connections."""
        self.shutdown()
        self.server_close()
        with self._lock:
            left = list(self._open)
        for connection in left:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


@contextmanager
def proxy(
    upstream: str, *, pages: bool = True, latency_seconds: float = 0.0, tls: ssl.SSLContext | None = None
) -> Iterator[Proxy]:
    """Run a proxy in threads of this process."""
    server = Proxy(upstream, pages=pages, latency_seconds=latency_seconds, tls=tls)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.end()
        thread.join(WAIT_SECONDS)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Proxy

    def _handle(self) -> None:
        try:
            asked = Asked(self.command, self.path, dict(self.headers.items()), self._body())
            given = self.server.answers(asked)
            self._send(given, len(given.body))
        except Cut as fault:
            self._send(fault.given, fault.sent)
            self.close_connection = True
        except Lost:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(self.connection.detach())
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _handle  # noqa: N815

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding", "").lower() != "chunked":
            length = int(self.headers.get("content-length", "0"))
            body = self.rfile.read(length)
            if len(body) < length:
                raise Lost
            return body
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _send(self, given: Given, size: int) -> None:
        self.send_response(given.status)
        for name, text in given.headers.items():
            self.send_header(name, text)
        if given.status != 204:
            self.send_header("Content-Length", str(len(given.body)))
        self.end_headers()
        self.wfile.write(given.body[:size])

    def log_message(self, *_: object) -> None:
        pass


def _bucket(asked: Asked) -> str:
    match = _UPLOAD.fullmatch(asked.path)
    assert match is not None
    return unquote(match[1])


def _is_last_part(asked: Asked) -> bool:
    match = _LAST_PART.fullmatch(asked.headers.get("content-range", ""))
    return match is not None and match[1] is not None and int(match[1]) + 1 == int(match[2])


def main() -> None:
    """Print the port and serve until standard input ends: a latency that costs the tests' process nothing."""
    parser = argparse.ArgumentParser()
    parser.add_argument("upstream")
    parser.add_argument("--latency-seconds", type=float, default=0.0)
    arguments = parser.parse_args()
    with proxy(arguments.upstream, latency_seconds=arguments.latency_seconds) as server:
        print(server.server_address[1], flush=True)
        while os.read(0, 1024):
            pass


if __name__ == "__main__":
    main()
