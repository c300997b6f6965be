"""sd_listen_fds(3): which sockets are taken, and what is said of those that are none."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from pacsnode.errors import ConfigError
from pacsnode.processes import listening
from pacsnode.processes.listening import inherited_socket, inherited_sockets

FIRST = 300  # in a process that has descriptors of its own from 3 on


def tcp(family: int = socket.AF_INET, address: str = "127.0.0.1") -> socket.socket:
    return socket.create_server((address, 0), family=family)


def passed(*sockets: socket.socket, **environment: str) -> dict[str, str]:
    """Put the sockets where a service manager would, and return the environment that says so."""
    for at, opened in enumerate(sockets):
        os.dup2(opened.fileno(), FIRST + at, inheritable=True)
        opened.close()
    return {"LISTEN_FDS": str(len(sockets)), "LISTEN_PID": str(os.getpid()), **environment}


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    yield
    os.closerange(FIRST, FIRST + 10)


def test_listening_sockets_are_taken_with_their_names() -> None:
    first, second = tcp(), tcp()
    ports = first.getsockname()[1], second.getsockname()[1]
    environment = passed(first, second, LISTEN_FDNAMES="dicom:other", PATH="/usr/bin")
    with ExitStack() as opened:
        inherited = inherited_sockets(environment, first_descriptor=FIRST)
        for one in inherited:
            opened.enter_context(one.socket)
            assert not one.socket.get_inheritable()
            with socket.create_connection(("127.0.0.1", one.port), 10), one.socket.accept()[0]:
                pass
        assert [(one.name, one.port) for one in inherited] == [("dicom", ports[0]), ("other", ports[1])]
    assert environment == {"PATH": "/usr/bin"}


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
def test_ipv6_is_listened_on_too() -> None:
    (inherited,) = inherited_sockets(passed(tcp(socket.AF_INET6, "::1")), first_descriptor=FIRST)
    with inherited.socket:
        assert inherited.name == ""
        assert inherited.socket.getsockname()[0] == "::1"


def test_without_sockets_there_are_none() -> None:
    assert inherited_sockets({}) == ()
    assert inherited_sockets({"LISTEN_FDS": "0", "LISTEN_PID": str(os.getpid())}) == ()


def test_sockets_of_another_process_are_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    environment = passed(tcp(), LISTEN_PID="1")
    assert inherited_sockets(environment, first_descriptor=FIRST) == ()
    assert environment == {}
    os.fstat(FIRST)
    assert "'1', not for this one" in caplog.text


def udp() -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.bind(("127.0.0.1", 0))
    return opened


def connected() -> socket.socket:
    opened = tcp()
    with opened, socket.create_connection(opened.getsockname()):
        return opened.accept()[0]


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (udp, "not a stream socket"),
        (connected, "a socket that does not listen"),
        (lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), "not an Internet socket"),
    ],
    ids=["udp", "connected", "unix"],
)
def test_other_sockets_are_named_and_what_to_do(make: Callable[[], socket.socket], problem: str) -> None:
    environment = passed(tcp(), make(), LISTEN_FDNAMES="dicom:odd")
    with pytest.raises(ConfigError) as caught:
        inherited_sockets(environment, first_descriptor=FIRST)
    assert str(caught.value) == (
        f"LISTEN_FDS: descriptor {FIRST + 1} (odd) is {problem}; expected listening TCP sockets "
        "(in the .socket unit: ListenStream= with a port, Accept=no)"
    )


def test_a_file_is_no_socket() -> None:
    with open("/dev/null") as file:
        os.dup2(file.fileno(), FIRST)
    with pytest.raises(ConfigError, match=rf"descriptor {FIRST} is no socket \(Socket operation on non-sock"):
        inherited_sockets({"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}, first_descriptor=FIRST)
    assert not os.get_inheritable(FIRST)


def test_a_descriptor_that_is_not_open() -> None:
    with pytest.raises(ConfigError, match="is no socket"):
        inherited_sockets({"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}, first_descriptor=FIRST)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"LISTEN_FDS": "some"}, "LISTEN_FDS: expected 0 to 64 sockets, found 'some'"),
        ({"LISTEN_FDS": "-1"}, "LISTEN_FDS: expected 0 to 64 sockets, found '-1'"),
        ({"LISTEN_FDS": "1000"}, "LISTEN_FDS: expected 0 to 64 sockets, found '1000'"),
        (
            {"LISTEN_FDS": "2", "LISTEN_FDNAMES": "dicom"},
            "LISTEN_FDNAMES: expected 2 names with colons between them, found 'dicom'",
        ),
    ],
)
def test_what_no_manager_writes_is_said_so(environment: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        inherited_sockets({**environment, "LISTEN_PID": str(os.getpid())}, first_descriptor=FIRST)
    assert str(caught.value) == message


@pytest.fixture
def _from_first(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = inherited_sockets.__kwdefaults__
    monkeypatch.setattr(
        listening.inherited_sockets, "__kwdefaults__", {**defaults, "first_descriptor": FIRST}
    )


@pytest.mark.usefixtures("_from_first")
def test_the_one_that_is_listened_on() -> None:
    assert inherited_socket({}) is None
    one = tcp()
    port = one.getsockname()[1]
    inherited = inherited_socket(passed(one))
    assert inherited is not None
    with inherited:
        assert inherited.getsockname()[1] == port


@pytest.mark.usefixtures("_from_first")
def test_more_than_one_is_said_so() -> None:
    with pytest.raises(ConfigError, match="LISTEN_FDS: 2 sockets, and the node listens on one"):
        inherited_socket(passed(tcp(), tcp()))
    assert not os.path.exists(f"/proc/self/fd/{FIRST}")


def test_a_program_that_is_started_so_and_its_child() -> None:
    """As systemd does it: descriptor 3, the process's own number, which only it can know."""
    child = "import os, sys; sys.exit(os.path.exists('/proc/self/fd/3') or 'LISTEN_FDS' in os.environ)"
    program = (
        "import subprocess, sys; from pacsnode.processes.listening import inherited_sockets; "
        "(one,) = inherited_sockets(); assert (one.socket.fileno(), one.name) == (3, 'dicom'); "
        f"subprocess.run([sys.executable, '-S', '-c', {child!r}], check=True, close_fds=False); "
        "print(one.port)"
    )
    with tcp() as opened:
        start = f'exec 3>&{opened.fileno()}; LISTEN_PID=$$ exec "$@"'
        done = subprocess.run(
            ["bash", "-c", start, "-", sys.executable, "-c", program],
            env={**os.environ, "LISTEN_FDS": "1", "LISTEN_FDNAMES": "dicom"},
            pass_fds=[opened.fileno()],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stdout) == (0, f"{opened.getsockname()[1]}\n"), done.stderr
