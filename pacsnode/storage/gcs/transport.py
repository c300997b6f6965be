"""Requests to Google Cloud Storage: credentials, connections, and what may go wrong on the way.

The requests of the JSON API are made here by google-auth's `AuthorizedHttp` over one urllib3 pool, not by
google-cloud-storage's `Blob`, which sends the same ones through `requests`: `Blob` costs 3 times the processor time
(`tests/benchmarks/bench_gcs.py`). The library's `Client` decides what it is good at: where the endpoint is, by
STORAGE_EMULATOR_HOST, API_ENDPOINT_OVERRIDE and the universe of the credentials. Only public names are used.

Nothing is tried twice here but a request that was answered with 401: `AuthorizedHttp` refreshes the credentials
and sends it again. Credentials are looked for at the first request, so that a node without them still starts.
"""

import os
import ssl
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlencode, urlsplit

import google.auth
import google_crc32c
import urllib3
from google.auth.credentials import AnonymousCredentials, Credentials
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, TransportError
from google.auth.transport.urllib3 import AuthorizedHttp
from google.cloud.storage import Client

from pacsnode import __version__
from pacsnode.errors import PacsNodeError, StorageAway, StorageRefused
from pacsnode.storage.gcs.connections import CONNECT_SECONDS, Connections

_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
_LEAST_BYTES_PER_SECOND = 16 << 10
_MAX_DOCUMENT_BYTES = 16 << 20
# What is larger than 128 KiB malloc maps anew each time, which costs more than to copy it.
_READ_BYTES = 96 << 10

_NOT_REACHED = (TransportError, urllib3.exceptions.HTTPError, OSError)
_CLOCK = ("short-lived token", "iat and exp", "not yet valid", "has expired", "clock")


class Body(Protocol):
    """What is sent: its bytes in pieces, from the beginning each time it is asked."""

    @property
    def length(self) -> int:
        """Length in bytes."""

    def pieces(self) -> Iterator[bytes]:
        """Yield all bytes."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. Header names are in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Arriving:
    """An answer whose body is still to be read. Not thread-safe."""

    def __init__(self, response: urllib3.BaseHTTPResponse, doing: str, timeout_seconds: float) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._doing = doing
        self._timeout_seconds = timeout_seconds

    def fill(self, buffer: memoryview, crc32c: int = 0) -> int:
        """Fill the buffer, and return a CRC32C that goes on with its bytes.

        Raises `StorageAway` if they do not come, in time or at all.
        """
        at = 0
        deadline = _deadline(self._timeout_seconds, len(buffer))
        try:
            while at < len(buffer):
                piece = self._response.read1(min(len(buffer) - at, _READ_BYTES))
                if not piece:
                    raise StorageAway(f"{self._doing}: the answer ended {len(buffer) - at} bytes early")
                buffer[at : at + len(piece)] = piece
                crc32c = google_crc32c.extend(crc32c, piece)
                at += len(piece)
                _check(deadline, self._doing)
        except BaseException as error:
            self.close()
            raise _sorted(error, self._doing) from error
        return crc32c

    def whole(self) -> Answer:
        """Return the answer with all of its body, which has to be a document."""
        pieces, size = list[bytes](), 0
        deadline = _deadline(self._timeout_seconds, 0)
        try:
            while piece := self._response.read1(_READ_BYTES):
                pieces.append(piece)
                size += len(piece)
                _check(deadline, self._doing)
                if size > _MAX_DOCUMENT_BYTES:
                    raise StorageAway(f"{self._doing}: the answer does not end")
        except BaseException as error:
            self.close()
            raise _sorted(error, self._doing) from error
        self.finish()
        return Answer(self.status, self.headers, b"".join(pieces))

    def finish(self) -> None:
        """Give the connection back: all was read, but where that was nothing nobody has noticed its end."""
        self._response.drain_conn()
        self._response.release_conn()

    def close(self) -> None:
        """Close the connection, whatever is still on it."""
        self._response.close()
        self._response.release_conn()


class Transport:
    """Sends requests. Any thread may call any method."""

    def __init__(self, *, connections: int, timeout_seconds: float) -> None:
        """Keep as many connections open; nothing takes longer than the time-out without a byte."""
        self._connections = connections
        self._timeout_seconds = timeout_seconds
        self._timeout = urllib3.Timeout(connect=min(CONNECT_SECONDS, timeout_seconds), read=timeout_seconds)
        self._lock = threading.Lock()
        self._ready: tuple[AuthorizedHttp, str] | None = None

    def send(
        self,
        method: str,
        place: str,
        doing: str,
        *,
        query: Mapping[str, str | Sequence[str]] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
    ) -> Arriving:
        """Send a request to a path of the API or a whole URL; `doing` begins the messages of its errors.

        Raises `StorageAway`, `StorageRefused`; an answer with whatever status is returned.
        """
        http, endpoint = self._opened()
        url = place if "://" in place else endpoint + place
        if query:
            url += "?" + urlencode(query, doseq=True)
        sent = {"user-agent": f"pacsnode/{__version__}", **(headers or {})}
        if body is not None:
            sent["content-length"] = str(body.length)
        try:
            response = http.urlopen(
                method,
                url,
                body=_Sending(body, doing, self._timeout_seconds) if body is not None else None,
                headers=sent,
                timeout=self._timeout,
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
        except Exception as error:
            raise _sorted(error, doing) from error
        return Arriving(response, doing, self._timeout_seconds)

    def ask(
        self,
        method: str,
        place: str,
        doing: str,
        *,
        query: Mapping[str, str | Sequence[str]] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
    ) -> Answer:
        """Send a request as `send` does, and wait for all of a document."""
        return self.send(method, place, doing, query=query, headers=headers, body=body).whole()

    def close(self) -> None:
        """Close the connections that nobody uses."""
        with self._lock:
            if self._ready is not None:
                self._ready[0].http.clear()

    def _opened(self) -> tuple[AuthorizedHttp, str]:
        with self._lock:
            if self._ready is None:
                self._ready = self._open()
            return self._ready

    def _open(self) -> tuple[AuthorizedHttp, str]:
        try:
            credentials = _credentials()
            # The project is asked for only where buckets are made, which a node never does.
            endpoint = str(Client(project="none", credentials=credentials).api_endpoint)
        except DefaultCredentialsError as error:
            raise StorageRefused(
                f"no credentials for Google Cloud: {_one_line(error)}; run where a service account is attached, or "
                "name a key file in GOOGLE_APPLICATION_CREDENTIALS"
            ) from error
        except (GoogleAuthError, ValueError, OSError) as error:
            raise StorageRefused(
                f"the credentials for Google Cloud cannot be used: {_one_line(error)}"
            ) from error
        if urlsplit(endpoint).scheme not in ("http", "https"):
            raise StorageRefused(
                f"{endpoint!r} is no address of Google Cloud Storage: STORAGE_EMULATOR_HOST and API_ENDPOINT_OVERRIDE "
                "are URLs, as http://127.0.0.1:9023"
            )
        connections = Connections(self._connections, self._timeout_seconds)
        return AuthorizedHttp(credentials, http=connections), endpoint


def _credentials() -> Credentials:
    if os.environ.get("STORAGE_EMULATOR_HOST"):
        return AnonymousCredentials()
    credentials, _ = google.auth.default(scopes=[_SCOPE])
    return credentials


class _Sending:
    """A body as urllib3 takes it; sent again from the beginning when the credentials had to be refreshed."""

    def __init__(self, body: Body, doing: str, timeout_seconds: float) -> None:
        self._body = body
        self._doing = doing
        self._timeout_seconds = timeout_seconds

    def __iter__(self) -> Iterator[bytes]:
        deadline = _deadline(self._timeout_seconds, self._body.length)
        for piece in self._body.pieces():
            _check(deadline, self._doing)
            yield piece


def _deadline(timeout_seconds: float, size: int) -> float:
    """Return when all has to be there: the time-out is for each read and write, and a peer may only drip."""
    return time.monotonic() + timeout_seconds + size / _LEAST_BYTES_PER_SECOND


def _check(deadline: float, doing: str) -> None:
    if time.monotonic() > deadline:
        raise StorageAway(f"{doing}: slower than {_LEAST_BYTES_PER_SECOND >> 10} KiB a second")


def _sorted(error: BaseException, doing: str) -> BaseException:
    """Return the error that says what went wrong on the way; what is not about it stays as it is."""
    if isinstance(error, PacsNodeError):
        return error
    text = _one_line(error)
    if isinstance(error, urllib3.exceptions.SSLError | ssl.SSLError) and "certificate" in text.lower():
        return StorageRefused(
            f"{doing}: no secure connection: {text}; look at this machine's clock and at the "
            "certificates that it trusts (SSL_CERT_FILE)"
        )
    if isinstance(error, GoogleAuthError):
        return _credentials_error(error, doing)
    if isinstance(error, urllib3.exceptions.HTTPError | OSError):
        return StorageAway(f"{doing}: no answer from Google Cloud Storage: {text}")
    return error


def _credentials_error(error: GoogleAuthError, doing: str) -> PacsNodeError:
    text = _one_line(error)
    if error.retryable or any(isinstance(cause, _NOT_REACHED) for cause in _causes(error)):
        return StorageAway(f"{doing}: the credentials could not be refreshed: {text}")
    if any(sign in text.lower() for sign in _CLOCK):
        return StorageRefused(
            f"{doing}: the credentials are refused: {text}; if this machine's clock is wrong, set it (NTP)"
        )
    return StorageRefused(
        f"{doing}: the credentials are refused: {text}; the service account or its key may be disabled or deleted"
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
