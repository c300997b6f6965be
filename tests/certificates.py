"""Certificates for tests, made by the openssl program: two authorities, servers, a client."""

import os
import shutil
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

_CONFIG = """
[req]
distinguished_name = dn
prompt = no
[dn]
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[leaf]
basicConstraints = CA:FALSE
keyUsage = critical, digitalSignature
subjectAltName = DNS:localhost, IP:127.0.0.1
[other_host]
basicConstraints = CA:FALSE
keyUsage = critical, digitalSignature
subjectAltName = DNS:elsewhere.example.org, IP:192.0.2.1
[only_alternative]
basicConstraints = CA:FALSE
keyUsage = critical, digitalSignature
subjectAltName = DNS:Device.example.org, IP:192.0.2.2
"""


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key."""

    certificate: Path
    private_key: Path


class Certificates:
    """Files in a folder: `authority` signs the rest but `stranger`, whom `other_authority` signed.

    `nameless` has no Common Name.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._config = folder / "openssl.cnf"
        self._config.write_text(_CONFIG, encoding="ascii")
        self.authority = self._signed("authority", "ca", signed_by=None)
        self.other_authority = self._signed("other-authority", "ca", signed_by=None)
        self.server = self._signed("server", "leaf", signed_by=self.authority)
        self.elsewhere = self._signed("elsewhere", "other_host", signed_by=self.authority)
        self.nameless = self._signed("", "only_alternative", signed_by=self.authority)
        self.expired = self._signed("expired", "leaf", signed_by=self.authority, days=-1)
        self.stranger = self._signed("stranger", "leaf", signed_by=self.other_authority)
        self.client = self._signed("client", "leaf", signed_by=self.authority)

    @property
    def ca(self) -> Path:
        """The file of the authority to trust."""
        return self.authority.certificate

    def locked(self, password: str = "secret") -> Path:
        """Return the client's private key with a password."""
        path = self.folder / "locked.key"
        options = ("-aes128", "-passout", f"pass:{password}", "-out", str(path))
        _openssl("pkey", "-in", str(self.client.private_key), *options)
        path.chmod(0o600)
        return path

    def serving(self, pair: Pair, *, ca: Path | None = None) -> ssl.SSLContext:
        """Return a context of a server, which asks for a certificate if it is given an authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.private_key)
        if ca is not None:
            context.load_verify_locations(ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def _signed(self, name: str, extensions: str, *, signed_by: Pair | None, days: int = 2) -> Pair:
        stem, subject = (name, f"/O=Tests/CN={name}") if name else ("nameless", "/O=Tests")
        key, request, certificate = (self.folder / f"{stem}.{kind}" for kind in ("key", "csr", "pem"))
        config = ("-config", str(self._config))
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        _openssl("req", *config, *curve, "-subj", subject, "-keyout", str(key), "-out", str(request))
        key.chmod(0o600)
        signer = ("-signkey", str(key))
        if signed_by is not None:
            signer = (
                "-CA",
                str(signed_by.certificate),
                "-CAkey",
                str(signed_by.private_key),
                "-CAcreateserial",
            )
        _openssl(
            "x509", "-req", "-in", str(request), "-out", str(certificate), "-days", str(days), "-sha256",
            "-extfile", str(self._config), "-extensions", extensions, *signer,
        )  # fmt: skip
        return Pair(certificate, key)


def _openssl(*arguments: str) -> None:
    program = shutil.which("openssl")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("openssl is missing: in CI it is not optional")
        pytest.skip("needs openssl on PATH")
    done = subprocess.run([program, *arguments], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode("latin-1")


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates, made once."""
    return Certificates(tmp_path_factory.mktemp("certificates"))
