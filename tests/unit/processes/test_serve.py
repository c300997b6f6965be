"""`serve`: runs until it is told to stop, reads its configuration again, and says how it is."""

import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from pacsnode.config.model import Config
from pacsnode.errors import ConfigError, OutOfResources
from pacsnode.processes import report
from pacsnode.processes import serve as module
from pacsnode.processes.serve import RELOADED, restart_keys, serve


class FakeNode:
    """A node that only tells what is done with it."""

    ae_title, port = "PACSNODE", 4711

    def __init__(self, config: Config, **_: object) -> None:
        self.config = config
        made.append(self)
        self.states: list[str] = []
        self.adopted: list[Config] = []
        self.snapshot_number = 7

    def __enter__(self) -> Self:
        self.states.append("started")
        if failure:
            raise failure[0]
        return self

    def __exit__(self, *_: object) -> None:
        self.states.append("stopped")

    def survey(self) -> dict[str, object]:
        return {}

    def adopt(self, config: Config) -> None:
        self.adopted.append(config)
        self.snapshot_number += 1


made: list[FakeNode] = []
failure: list[Exception] = []


@pytest.fixture(autouse=True)
def process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What serve sets for its process is set back for the other tests."""
    made.clear()
    failure.clear()
    monkeypatch.setattr(module, "Node", FakeNode)
    interval = sys.getswitchinterval()
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    handlers = {number: signal.getsignal(number) for number in numbers}
    root = logging.getLogger()
    kept = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = kept
    sys.setswitchinterval(interval)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def config_in(folder: Path, **sections: Any) -> Config:
    return Config.model_validate({"node": {"data_dir": str(folder)}, **sections})


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_runs_until_a_signal(tmp_path: Path, number: int) -> None:
    config, told = config_in(tmp_path), list[tuple[str, int]]()

    def ready(ae_title: str, port: int) -> None:
        told.append((ae_title, port))
        assert made[0].states == ["started"]
        os.kill(os.getpid(), number)

    serve(config, ready=ready)
    assert told == [("PACSNODE", 4711)]
    assert made[0].config is config
    assert made[0].states == ["started", "stopped"]
    assert not (tmp_path / report.NAME).exists()


def test_more_signals_change_nothing(tmp_path: Path) -> None:
    def ready(_: str, __: int) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
            os.kill(os.getpid(), number)

    serve(config_in(tmp_path), ready=ready)
    assert made[0].states == ["started", "stopped"]


def test_threads_are_switched_often(tmp_path: Path) -> None:
    """One that computes would otherwise hold back the others for 5 ms at each system call."""
    intervals: list[float] = []

    def ready(_: str, __: int) -> None:
        intervals.append(sys.getswitchinterval())
        os.kill(os.getpid(), signal.SIGTERM)

    serve(config_in(tmp_path), ready=ready)
    assert intervals[0] <= 0.001


def test_a_node_that_does_not_start_is_told(tmp_path: Path) -> None:
    failure.append(OutOfResources("used by another"))
    with pytest.raises(OutOfResources):
        serve(config_in(tmp_path))


def made_node(config: Config) -> Any:
    return FakeNode(config)


def hung_up(before: Config, after: Config | ConfigError) -> None:
    """Serve, have SIGHUP read `after`, then stop."""

    def read() -> Config:
        os.kill(os.getpid(), signal.SIGTERM)
        if isinstance(after, ConfigError):
            raise after
        return after

    serve(before, read=read, ready=lambda *_: os.kill(os.getpid(), signal.SIGHUP))


def test_sighup_hands_out_the_configuration(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = config_in(tmp_path)
    changed = {
        "dicom": {"port": 104},
        "spool": {"min_free": 0},
        "node": {"data_dir": str(tmp_path / "other")},
    }
    after = Config.model_validate({**changed, "access": {"unknown_peers": "all"}})
    service = module._Service(before, made_node(before), module.Metrics(), lambda: after)
    with caplog.at_level(logging.INFO, logger=module.__name__):
        for number in (8, 9):  # what needs a restart is said until there is one
            caplog.clear()
            service.reload()
            assert f"configuration {number} is taken; a restart is needed for" in caplog.text
            for key in ("node.data_dir", "dicom.port", "spool.min_free"):
                assert key in caplog.text
    assert made[0].adopted == [after, after]
    report = service.report()
    assert (report["snapshot"], report["data_dir"]) == (9, str(tmp_path)), "what it runs by"


def test_a_mistake_keeps_the_configuration(tmp_path: Path) -> None:
    hung_up(config_in(tmp_path), ConfigError("config.toml:3: dicom.port: expected a number"))
    assert made[0].adopted == []
    assert made[0].states == ["started", "stopped"]


def test_sighup_reads_again_while_it_serves(tmp_path: Path) -> None:
    after = config_in(tmp_path, limits={"per_ip": 3})
    hung_up(config_in(tmp_path), after)
    assert made[0].adopted == [after]


def test_what_is_reloaded_exists() -> None:
    sections = {name: getattr(Config(), name) for name in Config.model_fields}
    keys = {
        f"{name}.{key}"
        for name, section in sections.items()
        if not isinstance(section, tuple)
        for key in type(section).model_fields
    }
    assert keys | set(sections) >= RELOADED


def test_nothing_needs_a_restart_when_nothing_changed(tmp_path: Path) -> None:
    assert restart_keys(config_in(tmp_path), config_in(tmp_path)) == []


def test_the_service_manager_hears(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "60000000")
        hung_up(config_in(tmp_path), config_in(tmp_path))
        said = []
        while not said or not said[-1].startswith("STOPPING=1"):
            said.append(manager.recv(4096).decode())
    assert [line.splitlines()[0] for line in said] == [
        "READY=1",
        "WATCHDOG=1",
        "RELOADING=1",
        "READY=1",
        "STOPPING=1",
    ]


def test_it_says_how_it_is(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    found = json.loads(
        json.dumps(module._Service(config, made_node(config), module.Metrics(), None).report())
    )
    assert found["listening"] == [{"ae_title": "PACSNODE", "host": "127.0.0.1", "port": 4711}]
    assert found["problems"] == []
    assert found["processes"][0]["pid"] == os.getpid()
