"""The way to Google Cloud Storage: credentials, endpoints, and what goes wrong before there is an answer."""

import json
import ssl
from collections.abc import Callable
from pathlib import Path

import google.auth
import pytest
import urllib3
from google.auth.credentials import AnonymousCredentials, Credentials
from google.auth.exceptions import RefreshError, TransportError

from pacsnode.errors import StorageAway, StorageRefused
from pacsnode.storage.gcs import transport as module
from pacsnode.storage.gcs.transport import Transport
from tests.buckets.faults import Given as Said
from tests.buckets.faults import answer
from tests.buckets.proxy import Proxy, proxy


@pytest.fixture
def transport() -> Transport:
    return Transport(connections=2, timeout_seconds=5.0)


@pytest.fixture(autouse=True)
def _no_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (
        "STORAGE_EMULATOR_HOST",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "HTTPS_PROXY",
        "https_proxy",
        "NO_PROXY",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")


class Given(Credentials):
    """Credentials whose refresh does what it is told."""

    def __init__(self, refreshing: Callable[[], None]) -> None:
        super().__init__()
        self._refreshing = refreshing

    def refresh(self, _: object) -> None:
        self._refreshing()


def raising(error: Exception) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


def test_without_credentials_it_is_refused_and_looked_for_again(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        with pytest.raises(
            StorageRefused, match=r"no credentials for Google Cloud.*GOOGLE_APPLICATION_CREDENTIALS"
        ):
            transport.ask("GET", "/", "bucket b")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:1")
    with pytest.raises(StorageAway):
        transport.ask("GET", "/", "bucket b")
    transport.close()


@pytest.mark.parametrize("content", [None, "", "{}", '{"type": "service_account"}'])
def test_a_key_file_that_is_none_is_named(
    transport: Transport, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "key.json"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    with pytest.raises(StorageRefused, match="credentials for Google Cloud") as raised:
        transport.ask("GET", "/", "bucket b")
    assert "key.json" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (
            RefreshError("invalid_grant: Invalid JWT: Token must be a short-lived token (60 minutes)"),
            StorageRefused,
            "if this machine's clock is wrong, set it",
        ),
        (
            RefreshError("invalid_grant: Invalid JWT Signature."),
            StorageRefused,
            "the service account or its key may be disabled or deleted",
        ),
        (RefreshError("internal_failure", retryable=True), StorageAway, "could not be refreshed"),
        (TransportError("metadata server is away", retryable=True), StorageAway, "could not be refreshed"),
    ],
)
def test_credentials_that_cannot_be_refreshed(
    transport: Transport,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    kind: type[Exception],
    said: str,
) -> None:
    monkeypatch.setattr(google.auth, "default", lambda **_: (Given(raising(error)), None))
    with pytest.raises(kind, match=said):
        transport.ask("GET", "/", "object a")


def test_a_token_that_is_not_to_be_had_now_is_tried_again(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> None:
        raise RefreshError("metadata server is away") from TransportError("reset")

    monkeypatch.setattr(google.auth, "default", lambda **_: (Given(away), None))
    with pytest.raises(StorageAway, match="could not be refreshed"):
        transport.ask("GET", "/", "object a")


def test_a_certificate_that_is_not_trusted_is_not_waited_out(transport: Transport) -> None:
    error = urllib3.exceptions.SSLError(ssl.SSLCertVerificationError("certificate is not yet valid"))
    sorted_error = module._sorted(error, "object a")
    assert isinstance(sorted_error, StorageRefused)
    assert "look at this machine's clock and at the certificates" in str(sorted_error)


def test_a_secure_connection_that_breaks_is_tried_again() -> None:
    for error in (
        urllib3.exceptions.SSLError(ssl.SSLEOFError("EOF occurred in violation of protocol")),
        ssl.SSLError("record layer failure"),
    ):
        assert isinstance(module._sorted(error, "object a"), StorageAway)


def test_what_is_no_trouble_of_the_way_stays_what_it_is() -> None:
    for error in (ValueError("bug"), KeyboardInterrupt()):
        assert module._sorted(error, "object a") is error


def endpoint(transport: Transport) -> str:
    return transport._opened()[1]


def test_the_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(google.auth, "default", lambda **_: (AnonymousCredentials(), None))
    assert endpoint(Transport(connections=1, timeout_seconds=1)) == "https://storage.googleapis.com"
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9023")
    assert endpoint(Transport(connections=1, timeout_seconds=1)) == "http://127.0.0.1:9023"


def test_an_endpoint_that_is_no_url_is_said(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "localhost:9023")
    with pytest.raises(StorageRefused, match=r"'localhost:9023' is no address.*are URLs"):
        transport.ask("GET", "/", "bucket b")


def test_scopes_are_those_of_objects(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def default(**options: object) -> tuple[Credentials, None]:
        asked.append(options["scopes"])
        return AnonymousCredentials(), None

    monkeypatch.setattr(google.auth, "default", default)
    endpoint(transport)
    assert asked == [["https://www.googleapis.com/auth/devstorage.read_write"]]


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch):
    """A server that answers by itself: nothing is asked of what would be behind it."""
    with proxy("127.0.0.1:1") as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        yield server


def test_a_redirect_is_not_followed(transport: Transport, answering: Proxy) -> None:

    answering.plan(answer(308, Location=f"{answering.url}/elsewhere"))
    assert transport.ask("GET", "/here", "object a").status == 308
    assert len(answering.asked) == 1
    transport.close()


def test_a_document_that_does_not_end_is_not_kept(
    transport: Transport, answering: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:

    monkeypatch.setattr(module, "_MAX_DOCUMENT_BYTES", 1000)
    answering.plan(lambda *_: Said(200, body=bytes(1_000_000)))
    with pytest.raises(StorageAway, match="does not end"):
        transport.ask("GET", "/", "bucket b")
    transport.close()


def test_who_asks(transport: Transport, answering: Proxy) -> None:

    agents: list[str] = []

    def fault(asked, _):
        agents.append(asked.headers["user-agent"])
        return Said(200, body=json.dumps({}).encode())

    answering.plan(fault)
    transport.ask("GET", "/", "bucket b", query={"permissions": ["a", "b"]})
    assert agents[0].startswith("pacsnode/")
    assert answering.asked[0][1] == "/?permissions=a&permissions=b"
    transport.close()
