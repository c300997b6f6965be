"""Over TLS: who is trusted, and what is said about who is not."""

import datetime as dt
import ipaddress
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from google.auth.credentials import AnonymousCredentials

from pacsnode.errors import StorageRefused
from pacsnode.storage.gcs import transport as module
from pacsnode.storage.gcs.transport import Transport
from tests.buckets.faults import Given
from tests.buckets.proxy import Proxy, proxy

NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)


def certificate(folder: Path, begins: dt.datetime) -> Path:
    """Write a certificate of 127.0.0.1 with its key, which it signs itself, valid for a day."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + DAY)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "certificate.pem"
    file.write_bytes(
        signed.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return file


@pytest.fixture
def begins() -> dt.datetime:
    return NOW - DAY / 2


@pytest.fixture
def file(tmp_path: Path, begins: dt.datetime) -> Path:
    return certificate(tmp_path, begins)


@pytest.fixture
def server(file: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    with proxy("127.0.0.1:1", tls=context) as server:
        monkeypatch.setattr(module, "_credentials", AnonymousCredentials)
        monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
        monkeypatch.setenv("API_ENDPOINT_OVERRIDE", server.url)
        yield server


def asked(server: Proxy) -> int:
    server.plan(lambda *_: Given(200, body=b"{}"))
    transport = Transport(connections=1, timeout_seconds=10.0)
    try:
        return transport.ask("GET", "/", "bucket b").status
    finally:
        transport.close()


def test_who_is_in_the_systems_list_is_trusted(
    server: Proxy, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    assert asked(server) == 200


def test_who_is_not_is_not_waited_out(server: Proxy) -> None:
    with pytest.raises(StorageRefused, match=r"no secure connection.*certificates that it trusts"):
        asked(server)


@pytest.mark.parametrize("begins", [NOW + DAY, NOW - 2 * DAY], ids=["clock behind", "clock ahead"])
def test_a_clock_that_is_wrong_is_thought_of(
    server: Proxy, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with pytest.raises(StorageRefused, match=r"certificate.*look at this machine's clock"):
        asked(server)
