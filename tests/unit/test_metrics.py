"""What is counted, that it is bounded, and that a minute is a minute."""

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacsnode.metrics import MOST_AE_TITLES, MOST_ERRORS, SECONDS, LastMinute, Metrics, failure_of
from pacsnode.observe import (
    AssociationAccepted,
    AssociationEnded,
    AssociationRejected,
    Event,
    InstanceStored,
    QueryAnswered,
    RetrieveEnded,
    Verified,
)


class Clock:
    def __init__(self, seconds: float = 1000.0) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def metrics(clock: Clock) -> Metrics:
    return Metrics(now=clock, wall=lambda: clock() + 1_700_000_000)


def accepted(ae_title: str = "CT1") -> AssociationAccepted:
    return AssociationAccepted("a1", ae_title, "PACSNODE", "10.0.0.1:4000")


def ended(ae_title: str = "CT1", ending: str = "released") -> AssociationEnded:
    return AssociationEnded("a1", ae_title, "PACSNODE", "10.0.0.1:4000", ending, 1.0, 1, 0, 1, 10, 10)


def rejected(
    ae_title: str = "CT1", association_id: str = "a1", reason: str = "unknown"
) -> AssociationRejected:
    return AssociationRejected(association_id, ae_title, "PACSNODE", "10.0.0.1:4000", reason)


def stored(outcome: str = "stored", status: int = 0, size: int = 100) -> InstanceStored:
    return InstanceStored("a1", "CT1", "1.2", "1.2.3", "1.2.4", outcome, status, "", size, 0.1)


def answered(status: int = 0, matches: int = 3, comment: str = "") -> QueryAnswered:
    return QueryAnswered("a1", "WS1", "study root", "STUDY", matches, status, comment, 0.1)


def retrieved(status: int = 0, destination: str = "", comment: str = "") -> RetrieveEnded:
    return RetrieveEnded("a1", "WS1", destination, "STUDY", 5, 1, 2, 0, status, comment, 700, 0.1)


def report(metrics: Metrics) -> dict[str, Any]:
    written = json.dumps(metrics.report())
    found: dict[str, Any] = json.loads(written)
    return found


def test_nothing_has_happened(metrics: Metrics) -> None:
    assert report(metrics) == {
        "associations": {"now": 0, "total": 0, "rejected": 0, "by_ae_title": []},
        "stores": {
            "instances": 0,
            "bytes": 0,
            "failed": 0,
            "instances_per_second": 0.0,
            "bytes_per_second": 0.0,
            "failed_per_second": 0.0,
            "by_outcome": {},
        },
        "queries": {
            "queries": 0,
            "matches": 0,
            "failed": 0,
            "queries_per_second": 0.0,
            "matches_per_second": 0.0,
            "failed_per_second": 0.0,
        },
        "retrieves": {
            "retrieves": 0,
            "instances": 0,
            "bytes": 0,
            "failed": 0,
            "retrieves_per_second": 0.0,
            "instances_per_second": 0.0,
            "bytes_per_second": 0.0,
            "failed_per_second": 0.0,
        },
        "echoes": 0,
        "last_errors": [],
    }


def test_associations_by_ae_title(metrics: Metrics) -> None:
    for event in (accepted(), accepted(" CT1 "), accepted("MR1"), ended(), rejected("EVIL"), rejected("")):
        metrics(event)
    found = report(metrics)["associations"]
    assert (found["now"], found["total"], found["rejected"]) == (2, 3, 2)
    assert found["by_ae_title"] == [
        {"ae_title": "EVIL", "now": 0, "total": 0, "rejected": 1},
        {"ae_title": "CT1", "now": 1, "total": 2, "rejected": 0},
        {"ae_title": "MR1", "now": 1, "total": 1, "rejected": 0},
    ]


def test_claimed_titles_do_not_push_out_those_in_use(metrics: Metrics) -> None:
    metrics(accepted("CT1"))
    for number in range(1000):
        metrics(rejected(f"EVIL{number}"))
    titles = report(metrics)["associations"]["by_ae_title"]
    assert len(titles) == MOST_AE_TITLES + 1
    assert {"ae_title": "CT1", "now": 1, "total": 1, "rejected": 0} in titles
    assert titles[0]["ae_title"] == "EVIL999"
    assert titles[-1] == {"ae_title": None, "now": 0, "total": 0, "rejected": 1001 - MOST_AE_TITLES}


def test_more_titles_in_use_than_are_shown_are_counted_together(metrics: Metrics) -> None:
    for number in range(MOST_AE_TITLES + 20):
        metrics(accepted(f"CT{number}"))
    titles = report(metrics)["associations"]["by_ae_title"]
    assert titles[-1] == {"ae_title": None, "now": 20, "total": 20, "rejected": 0}
    for number in range(MOST_AE_TITLES + 20):
        metrics(ended(f"CT{number}"))
    found = report(metrics)["associations"]
    assert sum(title["now"] for title in found["by_ae_title"]) == found["now"] == 0
    assert sum(title["total"] for title in found["by_ae_title"]) == found["total"] == MOST_AE_TITLES + 20


def test_stores_by_outcome(metrics: Metrics) -> None:
    for event in (
        stored(),
        stored(size=50),
        stored("already stored"),
        stored("OutOfResources: no space in /srv/pacs", 0xA700),
        stored("refused", 0x0117),
    ):
        metrics(event)
    found = report(metrics)["stores"]
    assert (found["instances"], found["bytes"], found["failed"]) == (3, 250, 2)
    assert found["by_outcome"] == {"stored": 2, "already stored": 1, "OutOfResources": 1, "refused": 1}


def test_queries_retrieves_and_echoes(metrics: Metrics) -> None:
    for event in (
        answered(),
        answered(0xFE00),
        answered(0xA700),
        answered(0xC001),
        retrieved(),
        retrieved(0xFE00),
        retrieved(0xB000),
        retrieved(0xA702),
        Verified("a1", "CT1", 0),
    ):
        metrics(event)
    found = report(metrics)
    assert [found["queries"][name] for name in ("queries", "matches", "failed")] == [4, 12, 2]
    retrieves = found["retrieves"]
    assert [retrieves[n] for n in ("retrieves", "instances", "bytes", "failed")] == [4, 28, 2800, 2]
    assert found["echoes"] == 1


def test_a_rate_is_over_the_last_minute_or_since_the_start(metrics: Metrics, clock: Clock) -> None:
    for _ in range(10):
        metrics(stored())
        clock.seconds += 1
    assert report(metrics)["stores"]["instances_per_second"] == 1.0
    clock.seconds += 50
    assert report(metrics)["stores"]["instances_per_second"] == round(10 / 60, 3)
    clock.seconds += 5
    assert report(metrics)["stores"]["bytes_per_second"] == round(500 / 60, 3)
    clock.seconds += 3600
    found = report(metrics)["stores"]
    assert (found["instances_per_second"], found["instances"]) == (0.0, 10)


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 9)), max_size=60), st.integers(0, 300))
def test_the_ring_is_the_sum_of_sixty_seconds(steps: list[tuple[int, int]], after: int) -> None:
    minute, happened, second = LastMinute(), list[tuple[int, int]](), 5
    for waited, amount in steps:
        second += waited
        minute.add(second, amount)
        happened.append((second, amount))
    end = second + after
    assert minute.total(end) == sum(amount for at, amount in happened if end - SECONDS <= at < end)


def test_the_same_failure_again_is_one_error_with_a_count(metrics: Metrics, clock: Clock) -> None:
    metrics(rejected(association_id="b0"))
    for _ in range(1000):
        clock.seconds += 1
        metrics(stored("OutOfResources: no space", 0xA700))
    assert report(metrics)["last_errors"] == [
        {
            "at": "2023-11-14T22:46:40Z",
            "association": "a1",
            "what": 'C-STORE of "CT1": 0xA700 OutOfResources: no space',
            "times": 1000,
        },
        {
            "at": "2023-11-14T22:30:00Z",
            "association": "b0",
            "what": "association refused: unknown",
            "times": 1,
        },
    ]


def test_only_the_last_errors_are_kept(metrics: Metrics) -> None:
    for number in range(100):
        metrics(ended(ending=f"reason {number}"))
    errors = report(metrics)["last_errors"]
    assert [error["what"].split()[-1] for error in errors] == [str(99 - at) for at in range(MOST_ERRORS)]


@pytest.mark.parametrize(
    ("event", "what"),
    [
        (rejected(reason="no such title"), "association refused: no such title"),
        (rejected("", "", "silent for 10 s"), "connection refused: silent for 10 s"),
        (ended(ending="lost"), 'association of "CT1" ended: lost'),
        (stored("DamagedObject: 5 bytes", 0xC000), 'C-STORE of "CT1": 0xC000 DamagedObject: 5 bytes'),
        (answered(0xA900, comment="no key"), 'C-FIND of "WS1": 0xA900 no key'),
        (retrieved(0xA801, "NOWHERE", "unknown"), 'C-MOVE to "NOWHERE" of "WS1": 0xA801 unknown'),
        (retrieved(0xB000), 'C-GET of "WS1": 0xB000'),
        (ended("A\nB", ending='x"\n2026 ERROR'), 'association of "A\\nB" ended: x\\"\\n2026 ERROR'),
        *[(ended(ending=ending), None) for ending in ("released", "aborted", "the node stops")],
        (stored(), None),
        (answered(0xFE00), None),
        (retrieved(0xFE00), None),
        (accepted(), None),
        (Verified("a1", "CT1", 0), None),
    ],
)  # fmt: skip
def test_what_counts_as_an_error(event: Event, what: str | None) -> None:
    assert failure_of(event) == what


def test_a_report_is_small_whatever_peers_send(metrics: Metrics) -> None:
    for number in range(500):
        metrics(accepted(f"\n{number}" * 400))
        metrics(rejected(f"\n{number}" * 400, reason="\n" * 1000 + str(number)))
        metrics(ended(ending=f"{number}" + "\0" * 1000))
    assert len(json.dumps(metrics.report())) < 60_000


def test_threads_count_together(metrics: Metrics) -> None:
    def count(event: Event) -> Callable[[], None]:
        return lambda: [metrics(event) for _ in range(1000)] and None

    threads = [
        threading.Thread(target=count(event)) for event in (stored(), stored(), accepted(), answered())
    ]
    for thread in threads:
        thread.start()
    for _ in range(100):
        metrics.report()
    for thread in threads:
        thread.join()
    found = report(metrics)
    assert found["stores"]["by_outcome"] == {"stored": 2000}
    assert (found["associations"]["now"], found["queries"]["queries"]) == (1000, 1000)


def test_an_event_that_it_does_not_know_is_left_alone(metrics: Metrics) -> None:
    before = report(metrics)
    metrics(object())  # type: ignore[arg-type]
    assert report(metrics) == before
