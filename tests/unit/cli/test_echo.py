import json
from pathlib import Path

from pacsnode.errors import ConfigError, NetworkError
from pacsnode.tls import ClientTLS
from tests.certificates import Certificates
from tests.unit.cli.conftest import Caller, FakeNetwork, Remote


def test_echo(run, network: FakeNetwork) -> None:
    result = run("echo", "PACS@127.0.0.1:11112")
    assert (result.exit_code, result.output) == (0, "PACS at 127.0.0.1:11112 answered in 12.3 ms\n")
    assert network.calls == [("echo", Caller(), Remote("PACS", "127.0.0.1", 11112), {})]


def test_echo_as_json(run, network: FakeNetwork) -> None:
    lines = run("echo", "PACS@127.0.0.1:11112", "--json").output.splitlines()
    assert [json.loads(line) for line in lines] == [
        {"result": {"ae_title": "PACS", "host": "127.0.0.1", "port": 11112, "seconds": 0.0123}}
    ]


def test_dcmtk_spellings(run, network: FakeNetwork) -> None:
    arguments = ("-aet", "ME", "-aec", "YOU", "-pdu", "16384", "-to", "5", "-td", "60")
    assert run("echo", *arguments, "127.0.0.1:104").exit_code == 0
    expected = (Caller("ME", 16384, 5.0, 60.0), Remote("YOU", "127.0.0.1", 104))
    assert network.calls[0][1:3] == expected
    long = ("--aet", "ME", "--aec", "YOU", "--max-pdu", "16384", "--timeout", "5", "--dimse-timeout", "60")
    assert run("echo", *long, "127.0.0.1:104").exit_code == 0
    assert network.calls[1][1:3] == expected


def test_the_caller_is_the_configured_node(run, network: FakeNetwork, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        '[dicom]\nae_title = "NODE"\nmax_pdu = "16 KiB"\nacse_timeout = "3s"\ndimse_timeout = "1m"\n'
        '[[peers]]\nname = "station"\nae_title = "WS1"\nhost = "10.0.0.2"\n'
    )
    assert run("echo", "station").exit_code == 0
    assert network.calls[0][1:3] == (Caller("NODE", 16384, 3.0, 60.0), Remote("WS1", "10.0.0.2", 104))


def test_with_tls(run, network: FakeNetwork, tmp_path: Path, certificates: Certificates) -> None:
    ca, ours = certificates.ca, certificates.client
    (tmp_path / "config.toml").write_text(
        f'[dicom.tls]\nca = "{ca}"\n[[peers]]\nname = "station"\nae_title = "WS1"\nhost = "10.0.0.2"\ntls = true\n'
        'certificate_subject = "ws1"\ncalling_ae_title = "GATEWAY"\n'
    )
    other, own = certificates.other_authority.certificate, (ours.certificate, ours.private_key)
    options = ("--tls-certificate", str(own[0]), "--tls-key", str(own[1]))
    for arguments, expected in [
        (("station",), ClientTLS(ca, subject="ws1")),
        (("station", *options), ClientTLS(ca, *own, subject="ws1")),
        (("PACS@h:1",), None),
        (("PACS@h:1", "--tls"), ClientTLS(ca)),
        (("PACS@h:1", "--tls-ca", str(other)), ClientTLS(other)),
        (("PACS@h:1", *options), ClientTLS(ca, *own)),
    ]:
        assert run("echo", *arguments).exit_code == 0
        assert network.calls[-1][2].tls == expected
    assert [call[1].ae_title for call in network.calls] == ["GATEWAY"] * 2 + ["PACSNODE"] * 4
    assert run("echo", "station", "-aet", "ME").exit_code == 0
    assert network.calls[-1][1].ae_title == "ME"


def test_files_for_tls_that_are_wrong(run, network: FakeNetwork, certificates: Certificates) -> None:
    for options in (("--tls-ca", "none.pem"), ("--tls-certificate", str(certificates.client.certificate))):
        assert isinstance(run("echo", "PACS@h:1", *options).exception, ConfigError)
    assert network.calls == []


def test_a_peer_that_is_away_is_raised_for_the_exit_code(run, network: FakeNetwork) -> None:
    network.error = NetworkError("PACS at h:1 refuses connections")
    assert isinstance(run("echo", "PACS@h:1").exception, NetworkError)
