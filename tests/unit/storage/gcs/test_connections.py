"""Which way a URL is reached."""

import ssl
from pathlib import Path

import pytest

from pacsnode.storage.gcs import connections as module
from pacsnode.storage.gcs.connections import Connections


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize(
    ("surroundings", "proxied", "authorization"),
    [
        ({}, None, None),
        ({"HTTPS_PROXY": "http://proxy.hospital:3128"}, "proxy.hospital", None),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": ".googleapis.com"}, None, None),
        ({"HTTPS_PROXY": "http://user:w%6Frd@proxy:3128"}, "proxy", "Basic dXNlcjp3b3Jk"),
    ],
)
def test_the_proxy_of_the_environment_is_used(
    monkeypatch: pytest.MonkeyPatch,
    surroundings: dict[str, str],
    proxied: str | None,
    authorization: str | None,
) -> None:
    for name, text in surroundings.items():
        monkeypatch.setenv(name, text)
    connections = Connections(3, 1.0)
    pool = connections.way_to("https://storage.googleapis.com/upload")
    assert connections.way_to("https://storage.googleapis.com/download") is pool
    assert connections.way_to("http://metadata.google.internal").proxy is None
    assert pool.connection_pool_kw["maxsize"] == 3
    retries = pool.connection_pool_kw["retries"]  # urllib3 2.8 has made an object of it
    assert getattr(retries, "total", retries) is False
    assert (pool.proxy.host if pool.proxy else None) == proxied
    headers = getattr(pool, "proxy_headers", {})
    assert headers.get("proxy-authorization") == authorization


def test_what_the_system_trusts_is_trusted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """SSL_CERT_FILE is the one list then; where the system has none, certifi's is taken."""
    made: list[ssl.SSLContext] = []

    def empty() -> ssl.SSLContext:
        made.append(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        return made[-1]

    monkeypatch.setattr(ssl, "create_default_context", empty)
    context = module._tls()
    assert context is made[0]
    assert context.cert_store_stats()["x509_ca"] > 50
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_connections_are_let_go() -> None:
    connections = Connections(3, 1.0)
    connections.way_to("http://127.0.0.1:1")
    connections.clear()
    connections.clear()
