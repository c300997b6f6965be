"""The supervisor: who is started when, replaced when, and told what. The children are fakes; see `fake_child`."""

import logging
import os
import signal
import time
from pathlib import Path

import pytest

from pacsnode.config import Config
from pacsnode.errors import ConfigError, PermanentError
from pacsnode.processes import control
from pacsnode.processes import post as posts
from pacsnode.processes import supervisor as module
from pacsnode.processes.post import State
from tests.faults import bounded
from tests.unit.processes.fake_child import FIRST
from tests.unit.processes.supervising import BOUND, Running


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits are tenths of a second."""
    monkeypatch.setattr(posts, "SILENCE_SECONDS", 1.0)
    monkeypatch.setattr(posts, "BACK_OFF_SECONDS", (0.0, 0.05, 0.1))


def is_gone(pid: int) -> bool:
    return any(not Path(f"/proc/{pid}").exists() for _ in bounded(BOUND))


def test_it_is_ready_when_all_are_and_ends_when_told() -> None:
    with Running(workers=2) as node:
        node.hears("ready")
        pids = [post.pid for post in node.posts]
        assert None not in pids
        assert node.supervisor.status()["snapshot"] == FIRST
        assert [one["snapshot"] for one in node.supervisor.status()["processes"]] == [FIRST] * 3
        node.signals.send(signal.SIGTERM)
        node.hears("stopping")
        assert node.ended() is None
        assert {post.state for post in node.posts} == {State.ENDED}
    assert all(is_gone(pid) for pid in pids if pid)
    assert node.accepting.fileno() == -1  # nobody can connect any more


def test_workers_begin_when_the_jobs_are_ready() -> None:
    with Running(jobs=["waits"]) as node:
        node.until_heard("Snapshot", "jobs")
        worker = node.until(lambda one: "heard" in one["report"], "worker 0")
        assert (worker["report"]["heard"], worker["state"]) == ([], "starting")
        node.signals.send(signal.SIGTERM)
        assert node.ended() is None


def test_a_doorbell_goes_to_the_jobs() -> None:
    with Running() as node:
        node.hears("ready")
        node.until_heard("Doorbell", "jobs")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_further_signals_change_nothing(number: int) -> None:
    with Running() as node:
        node.hears("ready")
        for _ in range(3):
            node.signals.send(number)
        assert node.ended() is None


def test_a_child_that_dies_is_replaced_and_the_jobs_look(caplog: pytest.LogCaptureFixture) -> None:
    with Running(workers=2) as node:
        node.hears("ready")
        victim = node.posts[1].pid
        assert victim
        os.kill(victim, signal.SIGKILL)
        assert node.hears("died") == victim
        worker = node.until(lambda one: one["restarts"] == 1 and one["state"] == "ready", "worker 0")
        assert worker["pid"] != victim
        node.until_heard("Bereaved", "jobs")
        assert node.supervisor.status()["processes"][2]["restarts"] == 0
    assert f"worker 0 (process {victim}) was ended by SIGKILL; it is started again at once" in caplog.text


def test_jobs_that_die_are_replaced_and_workers_go_on() -> None:
    with Running() as node:
        node.hears("ready")
        worker, jobs = node.posts[1].pid, node.posts[0].pid
        assert jobs
        os.kill(jobs, signal.SIGKILL)
        node.until(lambda one: one["restarts"] == 1 and one["state"] == "ready", "jobs")
        assert node.posts[1].pid == worker


def test_a_child_that_is_silent_is_killed_and_replaced(caplog: pytest.LogCaptureFixture) -> None:
    with Running(worker=["hangs"]) as node:
        node.hears("ready")
        node.until(lambda one: one["restarts"] == 1 and one["state"] == "ready", "worker 0")
    assert "is silent and is killed" in caplog.text
    assert "was ended by SIGKILL" in caplog.text


def test_a_child_that_hangs_up_and_stays_is_killed_before_it_counts_as_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(posts, "SILENCE_SECONDS", 60.0)
    monkeypatch.setattr(posts, "LAST_BREATH_SECONDS", 0.1)
    with Running(worker=["mute"]) as node:
        node.hears("ready")
        node.until(lambda one: one["restarts"] == 1 and one["state"] == "ready", "worker 0")


def test_a_child_that_babbles_is_killed_and_replaced(caplog: pytest.LogCaptureFixture) -> None:
    with Running(worker=["babbles"]) as node:
        node.hears("ready")
        node.until(lambda one: one["restarts"] == 1 and one["state"] == "ready", "worker 0")
    assert "is not understood" in caplog.text


def test_one_that_cannot_start_later_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    with Running(worker=["good", "fails", "dies", "good"]) as node:
        node.hears("ready")
        node.posts[1].kill()
        node.until(lambda one: one["restarts"] == 3 and one["state"] == "ready", "worker 0")
    assert "worker 0 cannot start: config.toml:3: spool.path: cannot be made" in caplog.text
    assert "ended with 3" in caplog.text


def test_one_that_cannot_start_at_first_ends_the_node() -> None:
    with Running(jobs=["fails"]) as node:
        error = node.ended()
        assert type(error) is ConfigError
        assert str(error) == "config.toml:3: spool.path: cannot be made"
    with Running(worker=["dies"]) as node:
        error = node.ended()
        assert type(error) is PermanentError
        assert str(error) == "worker 0 ended with 3 before it was ready"


def test_one_that_does_not_end_is_killed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "STOP_SECONDS", 0.3)
    with Running(worker=["deaf"]) as node:
        node.hears("ready")
        node.signals.send(signal.SIGTERM)
        assert node.ended() is None
    assert "has not ended in time and is killed" in caplog.text


def test_a_new_configuration_is_handed_out_by_number(caplog: pytest.LogCaptureFixture) -> None:
    wanted = Config.model_validate({"limits": {"per_ip": 2}, "dicom": {"port": 105}})
    with caplog.at_level(logging.INFO), Running(read=lambda: wanted) as node:
        node.hears("ready")
        node.signals.send(signal.SIGHUP)
        node.hears("reloading")
        assert node.hears("reloaded") == f"snapshot {FIRST + 1}"
        node.until(lambda one: one["snapshot"] == FIRST + 1, "worker 0")
        node.until(lambda one: one["snapshot"] == FIRST + 1, "jobs")
        node.posts[1].kill()
        node.until(lambda one: one["restarts"] == 1 and one["snapshot"] == FIRST + 1, "worker 0")
        assert node.supervisor.config.dicom.port == Config().dicom.port  # a replaced one as its siblings
    assert "dicom.port has changed; it is taken over by a restart" in caplog.text


def test_a_configuration_is_read_again_once_all_are_ready() -> None:
    with Running() as node:
        node.signals.send(signal.SIGHUP)
        node.hears("ready")
        assert node.hears("reloaded") == f"snapshot {FIRST + 1}"
        node.until(lambda one: one["snapshot"] == FIRST + 1, "worker 0")


def test_a_wrong_configuration_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def read() -> Config:
        raise ConfigError("config.toml:3: dicom.prot: there is no such key\nconfig.toml:4: no value")

    with Running(read=read) as node:
        node.hears("ready")
        node.signals.send(signal.SIGHUP)
        assert node.hears("reloaded") == f"snapshot {FIRST}; the changed configuration is wrong"
        assert node.supervisor.status()["snapshot"] == FIRST
    assert "the configuration is not taken over: config.toml:3: dicom.prot" in caplog.text
    assert "the configuration is not taken over: config.toml:4: no value" in caplog.text


def test_time_in_which_the_supervisor_did_not_run_is_no_silence() -> None:
    """As after a machine was suspended: the clock has gone on, and nobody could be heard."""
    lost = [0.0]
    with Running(workers=2, now=lambda: time.monotonic() + lost[0]) as node:
        node.hears("ready")
        for _ in range(3):
            lost[0] += 50.0
            beats = node.posts[2]._heard_at
            assert any(node.posts[2]._heard_at != beats for _ in bounded(BOUND))
        node.signals.send(signal.SIGHUP)
        node.hears("reloaded")
        assert [one["restarts"] for one in node.supervisor.status()["processes"]] == [0, 0, 0]


def test_a_configuration_that_is_too_long_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with Running() as node:
        node.hears("ready")
        monkeypatch.setattr(control, "MAX_MESSAGE_BYTES", 500)
        node.signals.send(signal.SIGHUP)
        assert node.hears("reloaded") == f"snapshot {FIRST}; the changed configuration is wrong"
    assert "at most 500 are sent" in caplog.text


def test_idle_it_sleeps_until_something_is_due() -> None:
    """With real waits: nothing is due before a silence is, so the loop wakes for heartbeats alone."""
    with Running() as node:
        node.hears("ready")
        left = node.supervisor._seconds_left()
        assert left is not None
        assert left > 0.5
