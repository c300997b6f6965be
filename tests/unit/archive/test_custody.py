"""Custody: what cannot be recorded fails nothing, is said, and is tried again."""

import logging
from collections.abc import Sequence

import pytest

from pacsnode.archive.custody import Custody
from pacsnode.errors import OutOfResources, PermanentError
from pacsnode.state.base import CustodyEvent, CustodyKind


class Remembering:
    """A state that takes events, or fails as it is told to."""

    def __init__(self) -> None:
        self.recorded: list[CustodyEvent] = []
        self.failure: Exception | None = None
        self.calls = 0

    def record(self, events: Sequence[CustodyEvent]) -> None:
        self.calls += 1
        if self.failure is not None:
            raise self.failure
        self.recorded += events


@pytest.fixture
def state() -> Remembering:
    return Remembering()


@pytest.fixture
def custody(state: Remembering) -> Custody:
    return Custody(state, process="serve", now_ms=lambda: 7, advice=lambda: "do this")  # type: ignore[arg-type]


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]


def test_an_event_is_recorded_at_once(custody: Custody, state: Remembering) -> None:
    assert custody.note(CustodyKind.LOST, "gone", name="1/2/3.dcm", sop_instance_uid="3", association_id="a1")
    assert state.recorded == [CustodyEvent(CustodyKind.LOST, 7, "serve", "gone", "1/2/3.dcm", "3", "a1")]
    assert (custody.trouble, custody.unwritten) == (None, 0)


def test_one_that_cannot_be_recorded_is_logged_whole_and_recorded_later(
    custody: Custody, state: Remembering, caplog: pytest.LogCaptureFixture
) -> None:
    state.failure = OutOfResources("disk is full")
    assert not custody.note(CustodyKind.LOST, "gone", name="1/2/3.dcm", sop_instance_uid="3")
    assert errors(caplog) == ["custody: lost 3 1/2/3.dcm: gone; not recorded: disk is full"]
    assert custody.step() == 30
    assert custody.unwritten == 1
    assert len(errors(caplog)) == 1, "said once"
    state.failure = None
    custody.step()
    assert [event.detail for event in state.recorded] == ["gone"]
    assert custody.unwritten == 0
    assert custody.trouble is None


def test_a_step_without_anything_to_do_does_not_touch_the_state(custody: Custody, state: Remembering) -> None:
    custody.step()
    assert state.calls == 0


def test_a_failing_disk_is_noted_without_a_write_by_who_has_met_it(
    custody: Custody, state: Remembering
) -> None:
    custody.disk_failed("/spool/ready", "Input/output error")
    assert state.calls == 0
    custody.step()
    assert state.recorded == [
        CustodyEvent(CustodyKind.DISK_FAILED, 7, "serve", "Input/output error", "/spool/ready")
    ]


def test_damage_that_is_met_while_it_is_used(
    custody: Custody, state: Remembering, caplog: pytest.LogCaptureFixture
) -> None:
    state.failure = PermanentError("state-1.db is damaged")
    assert not custody.note(CustodyKind.LOST, "gone")
    assert custody.trouble == "state-1.db is damaged"
    assert "state-1.db is damaged; do this" in errors(caplog)
    state.failure = None
    assert not custody.note(CustodyKind.LOST, "another")
    custody.disk_failed("/spool", "why")
    custody.damaged("again")
    custody.step()
    assert state.calls == 1, "nothing is written to a damaged file"
    assert custody.trouble == "state-1.db is damaged"
    assert any("another" in text for text in errors(caplog))
    assert any("/spool" in text for text in errors(caplog))


def test_without_a_state_events_are_only_logged(caplog: pytest.LogCaptureFixture) -> None:
    custody = Custody(None, process="serve", now_ms=lambda: 7, trouble="state-1.db is missing")
    assert not custody.note(CustodyKind.SET_ASIDE, "torn", name="entry")
    custody.step()
    assert errors(caplog) == ["custody: set aside entry: torn; not recorded: the state is damaged or missing"]
    assert (custody.trouble, custody.unwritten) == ("state-1.db is missing", 0)


def test_what_waits_is_bounded(
    custody: Custody, state: Remembering, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pacsnode.archive.custody._MAX_UNWRITTEN", 3)
    state.failure = OutOfResources("disk is full")
    for number in range(5):
        custody.note(CustodyKind.LOST, str(number))
    custody.disk_failed("/spool", "why")
    assert custody.unwritten == 3
    assert len(errors(caplog)) == 6, "what is not kept was said"
    state.failure = None
    custody.step()
    assert [event.detail for event in state.recorded] == ["0", "1", "2"]
    assert custody.unwritten == 0
