"""One writer of a storage: who has the lease, who waits, who is refused, and who has lost it."""

import logging
from pathlib import Path

import pytest

from pacsnode.errors import StorageAway, StorageRefused, TemporaryError
from pacsnode.jobs.lease import LEASE_SECONDS, Lease, LeaseHeld, Writer
from pacsnode.storage.lease import LeaseFile
from tests.lease_place import Clocked, MemoryLease

URL = "gs://bucket/prefix"


class Nodes:
    """Nodes on one prefix, each with a data folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clocked()
        self.place = MemoryLease(self.clock)
        self._folder = folder
        self._runs = 0

    def file(self, name: str) -> LeaseFile:
        return LeaseFile(self._folder / f"{name}.json", now=self.clock, boot=lambda: "boot")

    def lease(self, name: str, *, host: str = "") -> Lease:
        self._runs += 1
        writer = Writer(name, host or f"host-{name}", f"folder-{name}", f"run-{self._runs}")
        return Lease(self.place, self.file(name), writer, url=URL, now=self.clock)

    def may_write(self, name: str) -> bool:
        try:
            self.file(name).check()
        except (StorageAway, StorageRefused):
            return False
        return True

    def passes(self, seconds: float, *leases: Lease) -> None:
        """Let time pass, in which these leases are looked after."""
        until = self.clock.seconds + seconds
        while (left := until - self.clock.seconds) > 0:
            self.clock.seconds += min([left, *(lease.step() for lease in leases)])


@pytest.fixture
def nodes(tmp_path: Path) -> Nodes:
    return Nodes(tmp_path)


def test_who_comes_first_has_it_as_long_as_it_runs(nodes: Nodes) -> None:
    first = nodes.lease("a")
    assert not nodes.may_write("a")
    first.claim()
    assert nodes.may_write("a")
    assert first.report() == {"since": "1970-01-12T13:46:40+00:00"}
    for _ in range(20):
        nodes.passes(LEASE_SECONDS / 3, first)
        assert nodes.may_write("a")
    assert first.report() == {"since": "1970-01-12T13:46:40+00:00"}
    assert nodes.place.writes < 40, "no more often than it has to be"


def test_a_second_node_is_refused_with_words(nodes: Nodes) -> None:
    nodes.lease("a").claim()
    nodes.clock.seconds += LEASE_SECONDS
    second = nodes.lease("b")
    with pytest.raises(LeaseHeld) as raised:
        second.claim()
    assert str(raised.value) == (
        'gs://bucket/prefix is written by node "a" on host host-a since 1970-01-12T13:46:40+00:00; '
        "one prefix has one writer: stop that node, or if it is gone for good start this one with --take-over"
    )
    assert isinstance(raised.value, TemporaryError)
    assert nodes.place.closed == 1
    assert not nodes.may_write("b")


def test_a_lease_that_was_given_back_or_ran_out_is_free(nodes: Nodes) -> None:
    first = nodes.lease("a")
    first.claim()
    first.release()
    assert not nodes.may_write("a")
    nodes.lease("b").claim()
    assert nodes.may_write("b")
    nodes.clock.seconds += LEASE_SECONDS + 1
    nodes.lease("c").claim()
    assert nodes.may_write("c")


def test_nobody_writes_while_another_may(nodes: Nodes) -> None:
    """The first one cannot renew: it has stopped by itself long before the second one can begin."""
    first, second = nodes.lease("a"), nodes.lease("b")
    first.claim()
    stopped = began = 0.0
    while not began:
        nodes.clock.seconds += 1.0
        stopped = stopped or (0.0 if nodes.may_write("a") else nodes.clock.seconds)
        try:
            second.claim()
        except LeaseHeld:
            continue
        began = nodes.clock.seconds
    assert stopped
    assert began - stopped >= 15.0


def test_after_a_crash_the_same_folder_goes_on_at_once(nodes: Nodes) -> None:
    nodes.lease("a").claim()
    again = nodes.lease("a")
    again.claim()
    assert nodes.may_write("a")
    with pytest.raises(LeaseHeld):
        nodes.lease("a", host="another machine with a copy of the folder").claim()


def test_taking_over_ends_the_first_one(nodes: Nodes, caplog: pytest.LogCaptureFixture) -> None:
    first, second = nodes.lease("a"), nodes.lease("b")
    first.claim()
    with caplog.at_level(logging.WARNING):
        second.claim(take_over=True)
    assert 'the lease of gs://bucket/prefix was taken over from node "a" on host host-a' in caplog.text
    assert nodes.may_write("b")
    nodes.passes(LEASE_SECONDS, first, second)
    assert not nodes.may_write("a")
    assert str(first.report()["error"]).startswith('lost: gs://bucket/prefix is written by node "b"')
    assert caplog.text.count("images are received and wait in the spool") == 1
    with pytest.raises(StorageRefused, match='node "b" on host host-b'):
        nodes.file("a").check()
    second.release()
    nodes.passes(10 * LEASE_SECONDS, first)
    assert not nodes.may_write("a"), "what it knows of the archive is old"
    replaced = nodes.lease("a")
    replaced.resume()
    nodes.passes(10 * LEASE_SECONDS, replaced)
    assert not nodes.may_write("a"), "a process that is replaced does not forget it"
    assert str(replaced.report()["error"]).startswith("lost:")
    nodes.lease("a").claim()
    assert nodes.may_write("a"), "a start is somebody's decision"


def test_a_process_that_is_replaced_goes_on(nodes: Nodes) -> None:
    nodes.lease("a").claim()
    replaced = nodes.lease("a")
    replaced.resume()
    nodes.clock.seconds += 30
    assert nodes.may_write("a"), "what the one before it had still holds"
    nodes.passes(LEASE_SECONDS, replaced)
    assert nodes.may_write("a")
    other = nodes.lease("b")
    other.resume()
    other.step()
    assert 'written by node "a"' in str(other.report()["error"]), "no reason to end: it receives"
    nodes.clock.seconds += LEASE_SECONDS + 1
    other.step()
    assert nodes.may_write("b")
    assert "error" not in other.report()


@pytest.mark.parametrize("error", [StorageAway("no answer"), StorageRefused("no such bucket")])
def test_a_storage_that_is_away_at_the_start_is_asked_until_it_answers(
    nodes: Nodes, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    nodes.place.trouble = error
    lease = nodes.lease("a")
    lease.claim()
    nodes.passes(600, lease)
    assert lease.report() == {
        "since": None,
        "error": f"the lease of gs://bucket/prefix cannot be had: {error}",
    }
    with pytest.raises(StorageAway, match=str(error)):
        nodes.file("a").check()
    assert caplog.text.count("cannot be had") == 1
    nodes.place.trouble = None
    nodes.passes(10, lease)
    assert nodes.may_write("a")
    assert lease.report()["since"]


def test_a_storage_that_is_away_when_one_takes_over_is_taken_over_later(nodes: Nodes) -> None:
    first, second = nodes.lease("a"), nodes.lease("b")
    first.claim()
    nodes.place.trouble = StorageAway("no answer")
    second.claim(take_over=True)
    nodes.place.trouble = None
    nodes.passes(10, second)
    assert nodes.may_write("b")
    third = nodes.lease("c")
    third.claim(take_over=True)
    nodes.passes(60, second, third)
    assert (nodes.may_write("b"), nodes.may_write("c")) == (False, True), "once"


def test_an_outage_that_ends_in_time_is_not_felt(nodes: Nodes) -> None:
    lease = nodes.lease("a")
    lease.claim()
    nodes.place.trouble = StorageAway("no answer")
    nodes.passes(60, lease)
    assert nodes.may_write("a")
    assert "error" not in lease.report()
    nodes.place.trouble = None
    nodes.passes(60, lease)
    assert nodes.may_write("a")


def test_an_outage_of_hours_pauses_and_then_goes_on(nodes: Nodes) -> None:
    lease = nodes.lease("a")
    lease.claim()
    since = lease.report()["since"]
    nodes.place.trouble = StorageAway("no answer")
    nodes.passes(7200, lease)
    assert not nodes.may_write("a")
    assert "no answer" in str(lease.report()["error"])
    nodes.place.trouble = None
    nodes.passes(10, lease)
    assert nodes.may_write("a")
    assert lease.report() == {"since": since}


@pytest.mark.parametrize("begins", ["before it is taken", "when it is renewed"])
def test_answers_that_are_lost_cost_nothing(nodes: Nodes, begins: str) -> None:
    lease = nodes.lease("a")
    if begins == "when it is renewed":
        lease.claim()
    nodes.place.trouble, nodes.place.loses_answers = StorageAway("lost"), True
    lease.step() if lease.report()["since"] else lease.claim()
    nodes.passes(25, lease)
    nodes.place.trouble = None
    nodes.passes(60, lease)
    assert nodes.may_write("a")


def test_one_that_somebody_removed_is_made_again(nodes: Nodes) -> None:
    lease = nodes.lease("a")
    lease.claim()
    nodes.place.remove()
    nodes.passes(60, lease)
    assert nodes.may_write("a")
    with pytest.raises(LeaseHeld):
        nodes.lease("b").claim()


def test_a_lease_that_cannot_be_given_back_ends_by_itself(
    nodes: Nodes, caplog: pytest.LogCaptureFixture
) -> None:
    lease = nodes.lease("a")
    lease.claim()
    nodes.place.trouble = StorageAway("no answer")
    lease.release()
    assert "could not be given back, and ends by itself: no answer" in caplog.text
    assert not nodes.may_write("a")
    assert nodes.place.closed == 1


def test_a_file_that_cannot_be_written_stops_the_others_in_time(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lease = nodes.lease("a")
    lease.claim()
    write = LeaseFile.write

    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(LeaseFile, "write", fails)
    nodes.passes(LEASE_SECONDS, lease)
    assert not nodes.may_write("a")
    assert "a.json cannot be written: No space left on device" in caplog.text
    monkeypatch.setattr(LeaseFile, "write", write)
    nodes.passes(30, lease)
    assert nodes.may_write("a")
