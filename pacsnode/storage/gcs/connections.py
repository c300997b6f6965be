"""Kept connections, each through the proxy that the environment has for its URL (HTTPS_PROXY, NO_PROXY) or none.

requests looks at the environment, urllib3 does not. The metadata server that knows the credentials of a machine is on
another side of a proxy than the bucket is.
"""

import ssl
import threading
import urllib.request
from typing import Any
from urllib.parse import unquote, urlsplit

import certifi
import urllib3

CONNECT_SECONDS = 10.0


class Connections:
    """Connections by scheme and host of a URL. Any thread may call any method."""

    def __init__(self, count: int, timeout_seconds: float) -> None:
        timeout = urllib3.Timeout(
            connect=CONNECT_SECONDS, read=timeout_seconds
        )  # where a request has none itself
        self._kept: dict[str, Any] = {"maxsize": count, "timeout": timeout, "retries": False}
        self._kept["ssl_context"] = _tls()
        self._ways: dict[tuple[str, str], urllib3.PoolManager] = {}
        self._lock = threading.Lock()

    def urlopen(self, method: str, url: str, **options: Any) -> urllib3.BaseHTTPResponse:
        """Send a request, as `PoolManager.urlopen` does."""
        return self.way_to(url).urlopen(method, url, **options)

    def request(self, method: str, url: str, **options: Any) -> urllib3.BaseHTTPResponse:
        """Send a request, as `PoolManager.request` does: refreshes of credentials are sent so."""
        return self.way_to(url).request(method, url, **options)

    def clear(self) -> None:
        """Close what nobody uses."""
        with self._lock:
            for way in self._ways.values():
                way.clear()

    def way_to(self, url: str) -> urllib3.PoolManager:
        """Return the connections for a URL."""
        parts = urlsplit(url)
        to = (parts.scheme, parts.hostname or "")
        with self._lock:
            if to not in self._ways:
                self._ways[to] = self._new(*to)
            return self._ways[to]

    def _new(self, scheme: str, host: str) -> urllib3.PoolManager:
        proxy = urllib.request.getproxies().get(scheme)
        if not proxy or urllib.request.proxy_bypass(host):
            return urllib3.PoolManager(**self._kept)
        account = urlsplit(proxy)
        headers = None
        if account.username:
            name_and_word = f"{unquote(account.username)}:{unquote(account.password or '')}"
            headers = urllib3.make_headers(proxy_basic_auth=name_and_word)
        return urllib3.ProxyManager(proxy, proxy_headers=headers, **self._kept)


def _tls() -> ssl.SSLContext:
    """Trust what the system trusts (SSL_CERT_FILE, so that a hospital's proxy may look in), else certifi's list."""
    context = ssl.create_default_context()
    if not context.cert_store_stats()["x509_ca"]:
        context.load_verify_locations(certifi.where())
    return context
