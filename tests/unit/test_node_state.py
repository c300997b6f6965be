"""The state of a node while it runs: what a start, a stop and damage mean."""

import contextlib
import logging
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from pacsnode.config.model import Config
from pacsnode.dicom.attributes import Level
from pacsnode.dicom.query import InformationModel, Query
from pacsnode.errors import OutOfResources, ReceivingOnly
from pacsnode.index.sqlite import SqliteIndex
from pacsnode.node_state import NodeState, digest_of, state_path
from pacsnode.state.base import CustodyKind
from pacsnode.state.sqlite import SqliteState
from pacsnode.storage.memory import MemoryStorage
from tests.factories import Clock
from tests.unit.state.damage import zero_header

STUDIES = Query(InformationModel.STUDY_ROOT, Level.STUDY, (), ())


def config_of(folder: Path, **sections: object) -> Config:
    return Config.model_validate({"node": {"data_dir": str(folder)}, **sections})


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "data").mkdir()
    return config_of(tmp_path / "data")


@contextlib.contextmanager
def running(config: Config, *, holds: str = "") -> Iterator[NodeState]:
    state = NodeState(config, process="serve", holds=lambda: holds, now_ms=Clock())
    try:
        state.begin_run("0.1")
        yield state
    finally:
        state.close()


def errors(caplog: pytest.LogCaptureFixture, level: int = logging.ERROR) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == level]


def test_a_clean_stop_is_nothing_to_speak_of(config: Config, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        with running(config) as state:
            assert state.trouble is None
    assert errors(caplog) == errors(caplog, logging.WARNING) == []


def test_an_end_that_was_not_clean_is_said_once(config: Config, caplog: pytest.LogCaptureFixture) -> None:
    dead = NodeState(config, process="serve", holds=lambda: "", now_ms=Clock())
    dead.begin_run("0.1")
    with running(config):
        pass
    (warning,) = errors(caplog, logging.WARNING)
    assert warning == "run 1 of this node, begun at 2023-11-14T22:13:20+00:00, did not end cleanly"
    caplog.clear()
    with running(config):
        pass
    assert errors(caplog, logging.WARNING) == []
    dead.close()


def test_a_start_that_came_to_nothing_is_no_run(config: Config, caplog: pytest.LogCaptureFixture) -> None:
    """Its port was taken, say."""
    NodeState(config, process="serve", holds=lambda: "", now_ms=Clock()).close()
    with running(config):
        pass
    assert errors(caplog, logging.WARNING) == []


def test_snapshots_are_numbered_on(config: Config, tmp_path: Path) -> None:
    changed = config_of(tmp_path / "data", dicom={"ae_title": "OTHER"})
    with running(config) as state:
        assert state.snapshot_number == 1
        assert state.add_snapshot(changed, "SIGHUP") == 2
    with running(changed) as state:
        assert state.snapshot_number == 3
        assert state.report()["snapshot"] == 3


def test_equal_configurations_have_one_digest(tmp_path: Path) -> None:
    peers = [{"ae_title": "CT1", "allow": ["store", "echo", "find"]}]
    one, same = (config_of(tmp_path, peers=peers) for _ in range(2))
    peers[0]["allow"] = ["find", "echo", "store"]
    assert digest_of(one) == digest_of(same) == digest_of(config_of(tmp_path, peers=peers))
    peers[0]["allow"] = ["find", "echo"]
    assert digest_of(one) != digest_of(config_of(tmp_path, peers=peers))


def damaged(config: Config) -> Path:
    with running(config):
        pass
    path = state_path(config) / "state-1.db"
    zero_header(path)
    return path


def test_damage_is_one_line_that_names_the_commands(config: Config, caplog: pytest.LogCaptureFixture) -> None:
    path = damaged(config)
    data_dir = shlex.quote(str(config.node.data_dir))
    with running(config) as state:
        (line,) = errors(caplog)
        assert str(path) in line
        assert "receives only" in line
        assert f"`pacsnode state restore --data-dir {data_dir}`" in line
        assert f"`pacsnode state restore --empty --data-dir {data_dir}`" in line
        report = state.report()
        assert report["trouble"] == state.trouble
        assert report["trouble"] in line
        assert report["advice"] in line
        assert list(state.steps(MemoryStorage(), lambda: False)) == ["custody"], "nothing is copied"
        with contextlib.closing(SqliteIndex()) as index, pytest.raises(ReceivingOnly, match="damaged"):
            state.answering(index).count(STUDIES, at_most=1)
        assert state.add_snapshot(config, "SIGHUP") is None
    assert path.read_bytes()[:100] == bytes(100)


def test_a_lost_state_is_said_with_what_is_held(config: Config, caplog: pytest.LogCaptureFixture) -> None:
    with running(config, holds="the spool holds 2 instances"):
        (line,) = errors(caplog)
        assert line.startswith(
            f"the state in {state_path(config)} is missing, while the spool holds 2 instances; "
        )


def test_damage_that_the_copy_finds_has_the_same_consequence(
    config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    with running(config) as state:
        assert not state._is_damaged()
        assert errors(caplog) == []
        assert state._state is not None
        state._state.settle()
        path = state._state.path
        data = path.read_bytes()
        path.write_bytes(data[:4096] + b"\xff" * (len(data) - 4096))
        assert state._is_damaged()
        assert state._is_damaged()
        (line,) = errors(caplog)
        assert line.startswith(str(path))
        assert "pacsnode state restore" in line
        assert state.trouble is not None
        path.write_bytes(data)


def test_a_start_and_a_stop_that_cannot_be_recorded_are_said(
    config: Config, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OutOfResources("disk is full")

    for method in ("begin_run", "add_snapshot", "end_run"):
        with monkeypatch.context() as patch, running(config) as state:
            patch.setattr(SqliteState, method, full)
            if method != "end_run":
                state.begin_run("0.1")
                assert state.trouble is None
            else:
                state.close = lambda: None  # type: ignore[method-assign]
                NodeState.close(state)
    assert sum("disk is full" in line for line in errors(caplog)) == 3


def test_what_waits_is_recorded_at_the_stop(config: Config) -> None:
    with running(config) as state:
        state.custody.disk_failed("/spool", "Input/output error")
    with contextlib.closing(SqliteState(state_path(config) / "state-1.db")) as kept:
        assert [one.event.kind for one in kept.events(limit=5)] == [CustodyKind.DISK_FAILED]


def test_a_process_that_is_replaced_goes_on_with_the_run(
    config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    dead = NodeState(config, process="jobs", holds=lambda: "", now_ms=Clock())
    dead.begin_run("0.1")
    dead.add_snapshot(config, "SIGHUP", 2)
    with contextlib.closing(NodeState(config, process="jobs", holds=lambda: "", now_ms=Clock())) as state:
        state.begin_run("0.1", 2)
        assert state.snapshot_number == 2
        assert state.add_snapshot(config, "SIGHUP", 4) == 4
        assert state.add_snapshot(config, "SIGHUP", 3) == 3  # whose thread came later
        assert state.snapshot_number == 4
    with running(config) as state:
        assert state.snapshot_number == 5
    assert errors(caplog, logging.WARNING) == []
    dead._state.close()  # type: ignore[union-attr]
