"""Contexts are made from files, and each mistake in a file is told in words."""

import ssl
from pathlib import Path

import pytest

from pacsnode.tls import ClientTLS, UnusableFile, client_context
from tests.certificates import Certificates


def test_a_context_verifies_and_speaks_nothing_old(certificates: Certificates) -> None:
    context = client_context(ClientTLS(certificates.ca))
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.security_level >= 2, "keys of less than 112 bits, as RSA with 1024 (RFC 9325 4.5)"
    suites = {suite["name"] for suite in context.get_ciphers() if suite["protocol"] == "TLSv1.2"}
    assert suites
    assert all(name.startswith("ECDHE-") and ("GCM" in name or "CHACHA20" in name) for name in suites)
    assert [ca["subject"] for ca in context.get_ca_certs()] == [
        ((("organizationName", "Tests"),), (("commonName", "authority"),))
    ]


def test_authorities_may_have_words_around_them(certificates: Certificates, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    authorities = (certificates.authority, certificates.other_authority)
    path.write_bytes(b"".join("Autorité\n".encode() + one.certificate.read_bytes() for one in authorities))
    assert len(client_context(ClientTLS(path)).get_ca_certs()) == 2


def test_a_subject_takes_the_place_of_the_name_and_of_nothing_else(certificates: Certificates) -> None:
    context = client_context(ClientTLS(certificates.ca, subject="server"))
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, False)


def test_without_a_file_the_authorities_of_the_system_count() -> None:
    assert client_context(ClientTLS()).verify_mode is ssl.CERT_REQUIRED


def test_our_certificate(certificates: Certificates) -> None:
    ours = certificates.client
    client_context(ClientTLS(certificates.ca, ours.certificate, ours.private_key))


def problem(tls: ClientTLS) -> tuple[str, str]:
    with pytest.raises(UnusableFile) as raised:
        client_context(tls)
    return raised.value.key, str(raised.value)


@pytest.mark.parametrize("content", [b"", b"no PEM", b"\xff\xfe", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_files_that_hold_something_else(certificates: Certificates, tmp_path: Path, content: bytes) -> None:
    path, ours = tmp_path / "file.pem", certificates.client
    path.write_bytes(content)
    path.chmod(0o600)
    assert problem(ClientTLS(path)) == ("ca", f"ca: {path}: holds no certificates in PEM")
    key, words = problem(ClientTLS(certificates.ca, ours.certificate, path))
    assert (key, "holds no private key" in words) == ("private_key", True)
    key, words = problem(ClientTLS(certificates.ca, path, ours.private_key))
    assert key == ("private_key" if b"BEGIN" in content else "certificate")


def test_files_that_are_not_there(certificates: Certificates, tmp_path: Path) -> None:
    none, ours = tmp_path / "none", certificates.client
    for key, tls in {
        "ca": ClientTLS(none),
        "certificate": ClientTLS(certificates.ca, none, ours.private_key),
        "private_key": ClientTLS(certificates.ca, ours.certificate, none),
    }.items():
        assert problem(tls) == (key, f"{key}: {none}: cannot be read: No such file or directory")
    assert problem(ClientTLS(tmp_path))[1].endswith("Is a directory")


def test_a_key_of_another_certificate(certificates: Certificates) -> None:
    key, words = problem(ClientTLS(None, certificates.client.certificate, certificates.server.private_key))
    assert key == "private_key"
    assert f"is not the key of the certificate in {certificates.client.certificate}" in words


def test_a_certificate_without_its_key(certificates: Certificates) -> None:
    key, words = problem(ClientTLS(None, certificates.client.certificate))
    assert (key, words.endswith("needs private_key beside it")) == ("certificate", True)


def test_a_key_without_its_certificate(certificates: Certificates) -> None:
    key, words = problem(ClientTLS(None, None, certificates.client.private_key))
    assert (key, words.endswith("needs certificate beside it")) == ("private_key", True)


def test_a_key_with_a_password(certificates: Certificates) -> None:
    key, words = problem(ClientTLS(None, certificates.client.certificate, certificates.locked()))
    assert (key, "has a password" in words) == ("private_key", True)


@pytest.mark.parametrize(
    ("mode", "owner", "is_open"),
    [(0o600, 1000, False), (0o400, 1000, False), (0o640, 1000, True), (0o604, 1000, True), (0o620, 1000, True),
     (0o640, 0, False), (0o440, 0, False), (0o660, 0, True), (0o644, 0, True)],
)  # fmt: skip
def test_a_key_that_others_can_read(
    certificates: Certificates,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mode: int,
    owner: int,
    is_open: bool,
) -> None:
    path = tmp_path / "our.key"
    path.write_bytes(certificates.client.private_key.read_bytes())
    found = path.stat()
    fields = list(found)
    fields[0], fields[4] = 0o100000 | mode, owner
    monkeypatch.setattr(type(path), "stat", lambda _: type(found)(fields))
    tls = ClientTLS(None, certificates.client.certificate, path)
    if not is_open:
        client_context(tls)
        return
    assert problem(tls) == (
        "private_key", f"private_key: {path}: is open to others (mode {mode:04o}); chmod 0600 {path}",
    )  # fmt: skip
