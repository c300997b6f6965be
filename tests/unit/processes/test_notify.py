"""sd_notify(3), heard by a stand-in for the service manager."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from pacsnode.errors import ConfigError
from pacsnode.processes.notify import Notifier
from tests.service_manager import ServiceManager


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest) -> Iterator[ServiceManager]:
    with ServiceManager(abstract=request.param == "abstract") as manager:
        yield manager


@pytest.fixture
def notifier(manager: ServiceManager) -> Iterator[Notifier]:
    notifier = Notifier.from_environment(manager.environment(), monotonic_ns=lambda: 5_000_000_999)
    yield notifier
    notifier.close()


def test_the_life_of_a_service(manager: ServiceManager, notifier: Notifier) -> None:
    notifier.ready("PACSNODE listens on 127.0.0.1:11112")
    assert manager.told() == {"READY": "1", "STATUS": "PACSNODE listens on 127.0.0.1:11112"}
    notifier.reloading()
    assert manager.told() == {"RELOADING": "1", "MONOTONIC_USEC": "5000000"}
    notifier.ready("configuration 2")
    assert manager.told() == {"READY": "1", "STATUS": "configuration 2"}
    notifier.status("worker 1 restarts")
    assert manager.told() == {"STATUS": "worker 1 restarts"}
    notifier.stopping("finishing 2 associations")
    assert manager.told() == {"STOPPING": "1", "STATUS": "finishing 2 associations"}


def test_a_status_cannot_say_more_than_a_status(manager: ServiceManager, notifier: Notifier) -> None:
    notifier.status("bad\nREADY=1\r\nMAINPID=1")
    assert manager.told() == {"STATUS": "bad READY=1 MAINPID=1"}


def test_a_status_that_is_no_text_is_told_as_far_as_it_is(
    manager: ServiceManager, notifier: Notifier
) -> None:
    notifier.status("caf\u00e9 \ud800")
    assert manager.told() == {"STATUS": "caf\u00e9 ?"}


def test_the_watchdog_is_fed_twice_as_often_as_it_looks(manager: ServiceManager) -> None:
    now = [5.0]
    notifier = Notifier.from_environment(
        manager.environment(watchdog_usec=30_000_000), monotonic_ns=lambda: int(now[0] * 1e9)
    )
    assert notifier.watchdog_interval_seconds == 15.0
    assert notifier.beat() == 15.0
    assert manager.told() == {"WATCHDOG": "1"}
    now[0] += 4.0
    assert notifier.beat() == 11.0, "a loop that comes round more often says no more"
    assert manager.is_silent()
    now[0] += 20.0
    assert notifier.beat() == 15.0
    assert manager.told() == {"WATCHDOG": "1"}
    assert manager.is_silent()
    notifier.close()


@pytest.mark.parametrize(
    "environment",
    [{}, {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}],
    ids=["none", "another process's"],
)
def test_without_a_watchdog_nothing_is_fed(manager: ServiceManager, environment: dict[str, str]) -> None:
    notifier = Notifier.from_environment({**manager.environment(), **environment}, pid=4711)
    assert notifier.watchdog_interval_seconds is None
    assert notifier.beat() is None
    assert manager.is_silent()
    notifier.close()


def test_a_start_that_moves_is_given_more_time(manager: ServiceManager) -> None:
    now = [0]
    notifier = Notifier(manager.address, monotonic_ns=lambda: now[0])
    for seconds in (0, 14, 15, 40):
        now[0] = seconds * 10**9
        left = notifier.starting("migrates")
        assert left is not None
        assert 0 < left <= 15
    for _ in range(3):
        assert manager.told() == {"EXTEND_TIMEOUT_USEC": "60000000", "STATUS": "migrates"}
    assert manager.is_silent()
    notifier.close()
    assert Notifier().starting("nobody listens") is None


def test_nobody_need_listen() -> None:
    notifier = Notifier.from_environment({"WATCHDOG_USEC": "1000000"})
    assert notifier.watchdog_interval_seconds is None
    notifier.ready("ready")
    notifier.reloading()
    assert notifier.beat() is None
    notifier.stopping("stopping")
    notifier.close()


def test_after_close_nothing_is_said(manager: ServiceManager, notifier: Notifier) -> None:
    notifier.close()
    notifier.status("too late")
    assert manager.is_silent()


def test_a_manager_that_has_gone_is_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with ServiceManager() as manager:
        notifier = Notifier(manager.address)
    notifier.ready("ready")
    notifier.close()
    assert [record.getMessage() for record in caplog.records] == [
        "the service manager does not hear READY=1: No such file or directory"
    ]


def test_a_manager_that_does_not_read_holds_nobody_up_for_long(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("pacsnode.processes.notify._SEND_SECONDS", 0.01)
    with ServiceManager() as manager:
        notifier = Notifier(manager.address)
        while not caplog.records:
            notifier.status("x" * 1000)
        notifier.close()
    assert "does not hear STATUS" in caplog.records[0].getMessage()


def test_the_environment_is_taken_so_that_children_do_not_speak_for_us(manager: ServiceManager) -> None:
    environment = {**manager.environment(watchdog_usec=1_000_000), "PATH": "/usr/bin"}
    Notifier.from_environment(environment).close()
    assert environment == {"PATH": "/usr/bin"}


def test_the_process_s_own_environment_is_what_is_meant(manager: ServiceManager) -> None:
    program = (
        "import os; from pacsnode.processes.notify import Notifier; "
        "notifier = Notifier.from_environment(); notifier.ready(f'{notifier.watchdog_interval_seconds}'); "
        "assert not {'NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID'} & set(os.environ)"
    )
    environment = {**os.environ, "NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "8000000"}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=60)
    assert manager.told() == {"READY": "1", "STATUS": "4.0"}


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        (
            {"NOTIFY_SOCKET": "run/notify"},
            "NOTIFY_SOCKET: expected an absolute path or a name after @, found 'run/notify'",
        ),
        (
            {"NOTIFY_SOCKET": "/run/notify", "WATCHDOG_USEC": "soon"},
            "WATCHDOG_USEC: expected a number of microseconds, found 'soon'",
        ),
    ],
)
def test_what_no_manager_writes_is_said_so(environment: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Notifier.from_environment(environment)
    assert str(caught.value) == message
