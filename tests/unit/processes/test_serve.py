"""`serve`: what the supervisor is given, and what the outside hears."""

import logging
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pacsnode.config import Config
from pacsnode.dimse.admission import Admission
from pacsnode.errors import ConfigError, OutOfResources, PermanentError, TemporaryError
from pacsnode.processes import report
from pacsnode.processes import serve as module
from pacsnode.processes.post import Duty
from pacsnode.processes.serve import serve
from pacsnode.processes.signals import SIGNALS
from tests.unit.processes.fake_child import FIRST
from tests.unit.processes.supervising import FAKE


@pytest.fixture(autouse=True)
def process() -> Iterator[None]:
    """What serve sets for its process is set back for the other tests."""
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    limits, umask = resource.getrlimit(resource.RLIMIT_NOFILE), os.umask(0o022)
    yield
    os.umask(umask)
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The behaviour of each role's children."""
    behaviours = {"jobs": "good", "worker": "good"}
    monkeypatch.setattr(module, "command", lambda role: [sys.executable, FAKE, behaviours[role]])
    return behaviours


def config_in(folder: Path, **sections: Any) -> Config:
    base: dict[str, Any] = {"node": {"data_dir": str(folder)}, "dicom": {"port": 0}}
    return Config.model_validate(base | sections)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_runs_until_a_signal(tmp_path: Path, fakes: dict[str, str], number: int) -> None:
    told: list[str] = []

    def ready(at: module.Listening) -> None:
        assert at.port > 0
        told.append(at.host)
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)

    serve(config_in(tmp_path), ready=ready)
    assert told == ["127.0.0.1"]
    assert not (tmp_path / report.NAME).exists()
    os.kill(os.getpid(), signal.SIGTERM)  # one that comes while the process ends says what is known


def test_a_failure_at_the_first_start_is_raised(tmp_path: Path, fakes: dict[str, str]) -> None:
    fakes["jobs"] = "fails"
    with pytest.raises(ConfigError, match=r"^config\.toml:3: spool\.path: cannot be made$"):
        serve(config_in(tmp_path))
    fakes["jobs"] = "dies"
    with pytest.raises(PermanentError, match=r"^jobs ended with 3 before it was ready$"):
        serve(config_in(tmp_path))


def test_a_data_folder_has_one_node(tmp_path: Path, fakes: dict[str, str]) -> None:
    def ready(_: module.Listening) -> None:
        with pytest.raises(OutOfResources, match="used by another"):
            serve(config_in(tmp_path))
        os.kill(os.getpid(), signal.SIGTERM)

    serve(config_in(tmp_path), ready=ready)


def test_a_port_that_is_taken(tmp_path: Path, fakes: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(TemporaryError, match=f"^cannot serve 127.0.0.1:{port}: Address already in use$"):
            serve(config_in(tmp_path, dicom={"port": port}))


@pytest.mark.parametrize(
    ("host", "error", "kind", "said"),
    [
        ("::1", PermissionError(13, "any"), ConfigError, r"\[::1\]:104: Permission denied"),
        ("10.0.0.1", OSError(99, "any"), ConfigError, "10.0.0.1:104: Cannot assign requested address"),
        (
            "no.such.host",
            socket.gaierror(-2, "Name or service not known"),
            ConfigError,
            "104: Name or service not known",
        ),
    ],
)
def test_an_address_that_cannot_be_had(
    monkeypatch: pytest.MonkeyPatch, host: str, error: OSError, kind: type[Exception], said: str
) -> None:
    def fail(*_: object) -> socket.socket:
        raise error

    monkeypatch.setattr(module, "listening_socket", fail)
    with pytest.raises(kind, match=f"^cannot serve .*{said}$"):
        module._listening(host, 104)


def test_what_is_in_the_way_of_the_report_is_named(tmp_path: Path, fakes: dict[str, str]) -> None:
    (tmp_path / report.NAME).mkdir()
    with pytest.raises(ConfigError, match=r"status\.sock cannot be made: Is a directory$"):
        serve(config_in(tmp_path))


def test_the_service_manager_hears(
    tmp_path: Path, fakes: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "60000000")

        def read() -> Config:
            os.kill(os.getpid(), signal.SIGTERM)
            return config_in(tmp_path, limits={"per_ip": 3})

        serve(config_in(tmp_path), read=read, ready=lambda _: os.kill(os.getpid(), signal.SIGHUP))
        said = []
        while not said or not said[-1].startswith("STOPPING=1"):
            said.append(manager.recv(4096).decode())
    order = [line.splitlines()[0] for line in said if not line.startswith(("WATCHDOG=1", "EXTEND"))]
    assert order == ["READY=1", "RELOADING=1", "READY=1", "STOPPING=1"]
    assert any(line.startswith("WATCHDOG=1") for line in said)
    assert any(line.startswith("EXTEND_TIMEOUT_USEC=") for line in said)
    assert any("STATUS=listens on port" in line for line in said)
    assert any(f"snapshot {FIRST + 1}" in line for line in said)


def test_the_dead_give_their_places_back() -> None:
    freed: list[int] = []

    class Places:
        def forget_process(self, pid: int) -> bool:
            freed.append(pid)
            return len(freed) > 2  # at first another process has them locked

    told = module._Told(module.Listening("::1", 104), None, module.Notifier(), Places())  # type: ignore[arg-type]
    told.child_died(17)
    assert freed == [17]
    assert told.beat() == 1.0
    assert freed == [17, 17]
    assert told.beat() is None
    assert told.beat() is None
    assert freed == [17, 17, 17]


def test_it_says_how_it_is(tmp_path: Path, fakes: dict[str, str]) -> None:
    """Asked on its socket by another thread, as `pacsnode status` does."""
    found: list[dict[str, Any]] = []

    def ask() -> None:
        try:
            found.append(report.read(tmp_path, seconds=20))
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    asking = threading.Thread(target=ask)
    serve(config_in(tmp_path), ready=lambda _: asking.start())
    asking.join(20)
    assert found[0]["listening"][0]["ae_title"] == "PACSNODE"
    assert [(one["role"], one["state"]) for one in found[0]["processes"]] == [
        ("jobs", "ready"),
        ("worker", "ready"),
    ]
    assert found[0]["problems"] == []


def test_who_there_is_to_be(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, ExitStack() as opened:
        at = listening.fileno()
        assert module._duties(Config(), listening, 9, opened) == [
            Duty("jobs"),
            Duty("worker", 0, at, admission=9),
        ]
        two = Config.model_validate({"dicom": {"workers": 2}})
        jobs, first, second = module._duties(two, listening, 9, opened)
        assert jobs == Duty("jobs")
        assert (first.number, second.number) == (0, 1)
        assert first.turns == second.turns >= 0
        bucket = Config.model_validate({"dicom": {"workers": 2}, "storage": {"url": "gs://bucket"}})
        assert [duty.role for duty in module._duties(bucket, listening, 9, opened)] == [
            "jobs",
            "uploader",
            "worker",
            "worker",
        ]
        memory = Config.model_validate({"dicom": {"workers": 2}, "storage": {"url": "memory:"}})
        with caplog.at_level(logging.WARNING):
            (only,) = module._duties(memory, listening, 9, opened)
        assert only == Duty("worker", 0, at, admission=9, with_jobs=True)
        assert "there is one worker" in caplog.text


def test_places_are_counted_over_processes() -> None:
    """What the supervisor makes is what a worker maps."""
    descriptor = module.shared_memory()
    places = Admission(descriptor)
    code = (
        "import sys; from pacsnode.dimse.admission import Admission, Limits;"
        "print(Admission(int(sys.argv[1])).take('::1', 'CT1', Limits(1)))"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(descriptor)], pass_fds=(descriptor,), check=True, capture_output=True
    )
    assert places.taken() == 1
    places.close()
    os.close(descriptor)


HEAVY = (
    "pynetdicom",
    "pydicom",
    "google",
    "google_crc32c",
    "sqlite3",
    "sqlite_utils",
    "http",
    "urllib3",
    "requests",
)

SEEN = f"""
import os, signal, sys
from pacsnode.cli.main import run
from pacsnode.cli.output import Output
item = Output.item
def spy(self, kind, fields, text):
    item(self, kind, fields, text)
    print("heavy:", sorted(set(sys.modules) & set({HEAVY!r})), file=sys.stderr)
    os.kill(os.getpid(), signal.SIGTERM)
Output.item = spy
sys.argv = ["pacsnode", "serve", "--data-dir", sys.argv[1], "--port", "0"]
run()
"""


def test_the_supervisor_imports_nothing_heavy(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", SEEN, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert "heavy: []" in ran.stderr
