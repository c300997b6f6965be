"""What TLS needs on the side of the one who calls: files of the administrator, and the context made from them.

PS3.15 B.9 to B.12 leave TLS to BCP 195 (RFC 8996 and 9325): version 1.2 at least, and of its cipher suites those with
forward secrecy and authenticated encryption; those of 1.3 all are. The chain of the peer's certificate is always
verified; so is its name, but where the administrator says which subject it has.
"""

import ssl
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pacsnode.errors import ConfigError

# RFC 9325 4.2, in OpenSSL's words; ChaCha20 (RFC 7905) is for machines without AES instructions.
_CIPHER_SUITES_1_2 = "ECDHE+AESGCM:ECDHE+CHACHA20"

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_OTHERS_OF_ROOT = (
    _OTHERS & ~stat.S_IRGRP
)  # as /etc/ssl/private has them on Debian, and systemd its credentials


@dataclass(frozen=True, slots=True)
class ClientTLS:
    """How a peer is called with TLS. Without `ca` the authorities of the system count.

    `certificate` and `private_key` are ours, PEM, both or none, for peers that want to know who calls. `subject` is a
    name that the peer's certificate has, in place of the host that it is called at.
    """

    ca: Path | None = None
    certificate: Path | None = None
    private_key: Path | None = None
    subject: str = ""


class UnusableFile(ConfigError):
    """A file that TLS cannot do with; `key` is the field of `ClientTLS` that names it."""

    def __init__(self, key: str, path: Path, problem: str) -> None:
        super().__init__(f"{key}: {path}: {problem}")
        self.key = key


def client_context(tls: ClientTLS) -> ssl.SSLContext:
    """Return a context made from the files as they are now; raises `UnusableFile`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHER_SUITES_1_2)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.check_hostname = not tls.subject
    if tls.ca is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        _load_authorities(context, tls.ca)
    if tls.certificate is not None:
        _load_own(context, tls.certificate, tls.private_key)
    elif tls.private_key is not None:
        raise UnusableFile("private_key", tls.private_key, "needs certificate beside it")
    return context


def _load_authorities(context: ssl.SSLContext, path: Path) -> None:
    _read("ca", path)
    try:
        context.load_verify_locations(path)
        # What the administrator trusts need not be a root: a device's own certificate, whoever issued it, will do.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    except ssl.SSLError:
        raise UnusableFile("ca", path, "holds no certificates in PEM") from None


def _load_own(context: ssl.SSLContext, certificate: Path, private_key: Path | None) -> None:
    if "BEGIN CERTIFICATE" not in _read("certificate", certificate):
        raise UnusableFile("certificate", certificate, "holds no certificate in PEM")
    if private_key is None:
        raise UnusableFile("certificate", certificate, "needs private_key beside it")
    if "PRIVATE KEY" not in _read("private_key", private_key):
        raise UnusableFile("private_key", private_key, "holds no private key in PEM")
    _check_mode(private_key)
    try:
        context.load_cert_chain(certificate, private_key, password=_refusal_of_password(private_key))
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            problem = f"is not the key of the certificate in {certificate}"
        else:
            problem = f"cannot be used with the certificate in {certificate} ({error.reason or error})"
        raise UnusableFile("private_key", private_key, problem) from None
    except OSError as error:
        raise UnusableFile("private_key", private_key, f"cannot be read: {error.strerror}") from None


def _refusal_of_password(private_key: Path) -> Callable[[], str]:
    """Return what is called for a key with a password, which would be asked for at the terminal."""

    def refuse() -> str:
        raise UnusableFile(
            "private_key",
            private_key,
            "has a password; a node needs one without: openssl pkey -in OLD -out NEW",
        )

    return refuse


def _check_mode(private_key: Path) -> None:
    found = private_key.stat()
    if stat.S_IMODE(found.st_mode) & (_OTHERS if found.st_uid else _OTHERS_OF_ROOT):
        problem = f"is open to others (mode {stat.S_IMODE(found.st_mode):04o}); chmod 0600 {private_key}"
        raise UnusableFile("private_key", private_key, problem)


def _read(key: str, path: Path) -> str:
    try:
        return path.read_text(encoding="latin-1")  # what stands around the PEM blocks may be anything
    except OSError as error:
        raise UnusableFile(key, path, f"cannot be read: {error.strerror}") from None
