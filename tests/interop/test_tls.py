"""Calling peers with TLS: DCMTK's storescp, peers that stall in the handshake, and certificates that are wrong."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pynetdicom import AE, evt

from pacsnode.dimse import scu
from pacsnode.dimse.association.requestor import Caller, Remote
from pacsnode.dimse.scu import RetrieveProgress
from pacsnode.errors import NetworkError
from pacsnode.observe import RetrieveEnded
from pacsnode.tls import ClientTLS
from tests.certificates import Certificates, Pair
from tests.interop import dcmtk, wire
from tests.interop.data_sets import ct_image, identifier, written
from tests.interop.moves import STUDY_MOVE, request_move, wait_until_cancelled
from tests.interop.nodes import Running, StartNode

_INSTANCES = 4
_ASKED = identifier("STUDY", StudyInstanceUID=str(ct_image().StudyInstanceUID))
_SECONDS = 1.0


def _options(pair: Pair, *more: str | Path) -> list[str]:
    return ["+tls", str(pair.private_key), str(pair.certificate), *map(str, more)]


@contextmanager
def _peer(
    folder: Path, port: int, certificates: Certificates, pair: Pair | None = None, *more: str | Path
) -> Iterator[dcmtk.Storescp]:
    options = _options(pair or certificates.server, *(more or ("-ic",)))
    with dcmtk.storescp(folder, port, *options) as storescp:
        yield storescp


def _tls(certificates: Certificates, **changes: Any) -> ClientTLS:
    return ClientTLS(**{"ca": certificates.ca} | changes)


def _echo(port: int, tls: ClientTLS | None, *, host: str = "127.0.0.1", seconds: float = 10.0) -> None:
    scu.echo(Caller("TESTSCU", acse_timeout_seconds=seconds), Remote("STORESCP", host, port, tls))


def _moving(start_node: StartNode, folder: Path, port: int, tls: dict[str, str], **peer: Any) -> Running:
    destination = {"ae_title": "STORESCP", "host": "127.0.0.1", "port": port, "tls": True} | peer
    running = start_node(peers=[destination], dicom={"tls": tls, "acse_timeout": _SECONDS})
    files = [written(ct_image(number), folder / f"{number}.dcm") for number in range(1, _INSTANCES + 1)]
    assert {result.status for result in scu.send(Caller("TESTSCU"), running.remote, files)} == {0}
    return running


def _move(running: Running) -> RetrieveProgress:
    *_, final = scu.move(
        Caller("TESTSCU"), running.remote, _ASKED, patient_root=False, destination="STORESCP"
    )
    return final


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_echo(certificates: Certificates, destination_port: int, tmp_path: Path, host: str) -> None:
    with _peer(tmp_path / "moved", destination_port, certificates):
        _echo(destination_port, _tls(certificates), host=host)


def test_echo_to_one_that_wants_our_certificate(
    certificates: Certificates, destination_port: int, tmp_path: Path
) -> None:
    ours = certificates.client
    with _peer(tmp_path / "moved", destination_port, certificates, None, "-rc", "+cf", certificates.ca):
        tls = _tls(certificates, certificate=ours.certificate, private_key=ours.private_key)
        _echo(destination_port, tls)
        with pytest.raises(NetworkError, match=r"wants? a certificate from us"):
            _echo(destination_port, _tls(certificates))
        theirs = certificates.stranger
        with pytest.raises(NetworkError, match=r"refuse(s our certificate| ours)"):
            _echo(
                destination_port,
                _tls(certificates, certificate=theirs.certificate, private_key=theirs.private_key),
            )


@pytest.mark.parametrize(
    ("which", "words"),
    [
        ("expired", "its certificate has expired"),
        ("stranger", "from an authority that is not known here"),
        ("elsewhere", "is for elsewhere.example.org, 192.0.2.1, not for 127.0.0.1"),
    ],
)
def test_certificates_that_are_wrong(
    certificates: Certificates, destination_port: int, tmp_path: Path, which: str, words: str
) -> None:
    with (
        _peer(tmp_path / "moved", destination_port, certificates, getattr(certificates, which)),
        pytest.raises(NetworkError, match=words),
    ):
        _echo(destination_port, _tls(certificates))


def test_a_subject_in_place_of_the_host(
    certificates: Certificates, destination_port: int, tmp_path: Path
) -> None:
    with _peer(tmp_path / "moved", destination_port, certificates, certificates.elsewhere):
        _echo(destination_port, _tls(certificates, subject="elsewhere"))
        _echo(destination_port, _tls(certificates, subject="elsewhere.example.org"))
        names = r"elsewhere, elsewhere\.example\.org, 192\.0\.2\.1"
        with pytest.raises(NetworkError, match=rf"is for {names}, not for server \(certificate_subject\)"):
            _echo(destination_port, _tls(certificates, subject="server"))


def test_a_subject_of_a_certificate_without_a_common_name(
    certificates: Certificates, destination_port: int, tmp_path: Path
) -> None:
    with _peer(tmp_path / "moved", destination_port, certificates, certificates.nameless):
        for subject in ("device.example.org", "192.0.2.2"):
            _echo(destination_port, _tls(certificates, subject=subject))
        with pytest.raises(NetworkError, match=r"is for Device\.example\.org, 192\.0\.2\.2, not for device"):
            _echo(destination_port, _tls(certificates, subject="device"))


def test_a_certificate_that_is_trusted_itself(
    certificates: Certificates, destination_port: int, tmp_path: Path
) -> None:
    with _peer(tmp_path / "moved", destination_port, certificates):
        _echo(destination_port, _tls(certificates, ca=certificates.server.certificate))
        with pytest.raises(NetworkError, match="authority that is not known here"):
            _echo(destination_port, _tls(certificates, ca=certificates.elsewhere.certificate))


def test_a_subject_does_not_make_up_for_the_authority(
    certificates: Certificates, destination_port: int, tmp_path: Path
) -> None:
    with (
        _peer(tmp_path / "moved", destination_port, certificates, certificates.stranger),
        pytest.raises(NetworkError, match="authority that is not known"),
    ):
        _echo(destination_port, _tls(certificates, subject="stranger"))


def test_one_that_speaks_no_tls(certificates: Certificates, destination_port: int, tmp_path: Path) -> None:
    with (
        dcmtk.storescp(tmp_path / "moved", destination_port),
        pytest.raises(NetworkError, match=r"speaks? no TLS"),
    ):
        _echo(destination_port, _tls(certificates))


def test_one_that_is_called_without_tls_and_wants_it(
    certificates: Certificates, destination_port: int, tmp_path: Path
) -> None:
    with _peer(tmp_path / "moved", destination_port, certificates), pytest.raises(NetworkError):
        _echo(destination_port, None)


@contextmanager
def _scripted(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    """A listening peer that does `talk` with each connection; yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(30)

        def serve() -> None:
            try:
                while True:
                    with listening.accept()[0] as connection:
                        connection.settimeout(30)
                        talk(connection)
            except OSError:
                return

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield int(listening.getsockname()[1])
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(30)
            assert not thread.is_alive()


def _silent(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass


def test_a_handshake_that_stalls_is_bounded(certificates: Certificates) -> None:
    with _scripted(_silent) as port, pytest.raises(NetworkError, match="did not finish the handshake"):
        _echo(port, _tls(certificates), seconds=0.3)


def test_a_connection_that_ends_in_the_handshake(certificates: Certificates) -> None:
    with (
        _scripted(lambda connection: connection.close()) as port,
        pytest.raises(NetworkError, match="ends the connection in the handshake"),
    ):
        _echo(port, _tls(certificates))


def test_one_that_is_silent_after_the_handshake(certificates: Certificates) -> None:
    def talk(connection: socket.socket) -> None:
        with certificates.serving(certificates.server).wrap_socket(connection, server_side=True) as secured:
            _silent(secured)

    with _scripted(talk) as port, pytest.raises(NetworkError, match="nothing received within the time limit"):
        _echo(port, _tls(certificates), seconds=0.5)


def test_one_that_drops_the_association(certificates: Certificates) -> None:
    def talk(connection: socket.socket) -> None:
        with certificates.serving(certificates.server).wrap_socket(connection, server_side=True) as secured:
            secured.recv(16)

    with _scripted(talk) as port, pytest.raises(NetworkError, match=r"connection (lost|closed)"):
        _echo(port, _tls(certificates))


def test_files_that_are_not_there(certificates: Certificates, tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=r"no TLS: ca: .*cannot be read: No such file"):
        _echo(1, _tls(certificates, ca=tmp_path / "none.pem"))


def test_move(
    certificates: Certificates, destination_port: int, tmp_path: Path, start_node: StartNode
) -> None:
    running = _moving(start_node, tmp_path, destination_port, {"ca": str(certificates.ca)})
    with _peer(tmp_path / "moved", destination_port, certificates) as storescp:
        final = _move(running)
        assert (final.status, final.completed) == (0, _INSTANCES)
        assert len(storescp.files()) == _INSTANCES


def test_move_over_several_associations_with_our_certificate(
    certificates: Certificates, destination_port: int, tmp_path: Path, start_node: StartNode
) -> None:
    ours = certificates.client
    tls = {"ca": certificates.ca, "certificate": ours.certificate, "private_key": ours.private_key}
    running = _moving(
        start_node, tmp_path, destination_port, {k: str(v) for k, v in tls.items()}, max_associations=3
    )
    more = ("--fork", "-rc", "+cf", certificates.ca)
    with _peer(tmp_path / "moved", destination_port, certificates, None, *more) as storescp:
        final = _move(running)
        assert (final.status, final.completed) == (0, _INSTANCES)
        assert len(storescp.files()) == _INSTANCES


@pytest.mark.parametrize("which", ["expired", "stranger", "elsewhere"])
def test_move_to_one_that_is_not_who_it_should_be(
    certificates: Certificates, destination_port: int, tmp_path: Path, start_node: StartNode, which: str
) -> None:
    running = _moving(start_node, tmp_path, destination_port, {"ca": str(certificates.ca)})
    with _peer(tmp_path / "moved", destination_port, certificates, getattr(certificates, which)) as storescp:
        final = _move(running)
        assert (final.status, final.failed, len(final.failed_uids)) == (0xA702, _INSTANCES, _INSTANCES)
        assert storescp.files() == []
    (event,) = running.events.wait_for(RetrieveEnded)
    assert "no TLS: its certificate" in event.comment


def test_a_renewed_file_counts_from_the_next_move(
    certificates: Certificates, destination_port: int, tmp_path: Path, start_node: StartNode
) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_bytes(certificates.other_authority.certificate.read_bytes())
    running = _moving(start_node, tmp_path, destination_port, {"ca": str(ca)})
    with _peer(tmp_path / "moved", destination_port, certificates):
        assert _move(running).failed == _INSTANCES
        ca.write_bytes(certificates.ca.read_bytes())
        assert _move(running).completed == _INSTANCES


@pytest.mark.parametrize("when", ["--abort-after", "--abort-during"])
def test_move_to_one_that_drops(
    certificates: Certificates, destination_port: int, tmp_path: Path, start_node: StartNode, when: str
) -> None:
    running = _moving(start_node, tmp_path, destination_port, {"ca": str(certificates.ca)})
    with _peer(tmp_path / "moved", destination_port, certificates, None, "-ic", when):
        final = _move(running)
    assert (final.status, final.failed) == (0xA702, _INSTANCES)


def test_the_title_that_a_destination_is_called_with(
    certificates: Certificates, destination_port: int, tmp_path: Path, start_node: StartNode
) -> None:
    tls = {"ca": str(certificates.ca)}
    running = _moving(start_node, tmp_path, destination_port, tls, calling_ae_title="GATEWAY")
    with _peer(tmp_path / "moved", destination_port, certificates, None, "-ic", "-d"):
        assert _move(running).completed == _INSTANCES
    log = (tmp_path / "moved.log").read_text("latin-1")
    assert "GATEWAY" in log


@contextmanager
def _pynetdicom_scp(
    port: int, certificates: Certificates, handle: Callable[[int, Any], int]
) -> Iterator[list[str]]:
    """Run a storage SCP with TLS; yield the SOP Instance UIDs that it has seen."""
    seen: list[str] = []

    def on_store(event: Any) -> int:
        seen.append(str(event.request.AffectedSOPInstanceUID))
        return handle(len(seen), event)

    ae = AE("STORESCP")
    ae.add_supported_context(wire.CT_IMAGE, [wire.EXPLICIT, wire.IMPLICIT])
    server = ae.start_server(
        ("127.0.0.1", port),
        block=False,
        evt_handlers=[(evt.EVT_C_STORE, on_store)],
        ssl_context=certificates.serving(certificates.server),
    )
    assert server is not None
    try:
        yield seen
    finally:
        server.shutdown()


def test_move_to_one_that_drops_the_connection_once(
    certificates: Certificates, destination_port: int, tmp_path: Path, start_node: StartNode
) -> None:
    running = _moving(start_node, tmp_path, destination_port, {"ca": str(certificates.ca)})

    def handle(number: int, event: Any) -> int:
        if number == 2:
            event.assoc.dul.socket.socket.shutdown(socket.SHUT_RDWR)
        return 0

    with _pynetdicom_scp(destination_port, certificates, handle) as seen:
        final = _move(running)
    assert (final.status, final.completed, final.failed) == (0, _INSTANCES, 0)
    assert len(seen) == _INSTANCES + 1
    assert seen[1] == seen[2]


def test_a_cancelled_move_stops(
    certificates: Certificates, destination_port: int, tmp_path: Path, start_node: StartNode
) -> None:
    running = _moving(start_node, tmp_path, destination_port, {"ca": str(certificates.ca)})
    with wire.Wire(running.port) as peer:

        def handle(number: int, event: Any) -> int:
            peer.send(wire.p_data(wire.pdv(1, wire.c_cancel_rq(5), is_command=True)))
            wait_until_cancelled()
            return 0

        with _pynetdicom_scp(destination_port, certificates, handle) as seen:
            peer.associate([(1, STUDY_MOVE, (wire.EXPLICIT,))])
            request_move(peer, _ASKED)
            final = peer.message()
            while final.status == 0xFF00:
                final = peer.message()
            peer.release()
    assert len(seen) == 1
    assert final.status == 0xFE00
