"""The report of a node out of those of its processes, and what is wrong in it."""

import json
from datetime import timedelta
from typing import Any

import pytest

from pacsnode.metrics import Metrics
from pacsnode.observe import AssociationAccepted, AssociationRejected, InstanceStored
from pacsnode.processes.summary import MOST_ERRORS, node_report
from tests.supervised import JOBS, NOW, SPOOL, process, reported


def worker(number: int, *events: Any, **changed: Any) -> dict[str, Any]:
    metrics = Metrics(wall=lambda: 1_700_000_000 + number)
    for event in events:
        metrics(event)
    return process("worker", number, report=metrics.report(), **changed)


def accepted(ae_title: str) -> AssociationAccepted:
    return AssociationAccepted("a", ae_title, "PACSNODE", "10.0.0.1:1")


def stored(outcome: str = "stored", status: int = 0) -> InstanceStored:
    return InstanceStored("b", "CT1", "1.2", "1.2.3", "1.2.4", outcome, status, "", 100, 0.1)


def test_a_healthy_node() -> None:
    report = reported(worker(0), process("jobs"))
    assert report["problems"] == []
    assert [report[part] for part in ("spool", "index", "filing", "storage", "state")] == [
        {**SPOOL, "room_seconds": None},
        *[JOBS[part] for part in ("index", "filing", "storage", "state")],
    ]
    assert (report["node"], report["snapshot"], report["at"]) == ("pacs-1", 1, "2026-02-03T13:35:00+00:00")
    assert [(p["role"], p["number"], p["pid"]) for p in report["processes"]] == [
        ("worker", 0, 101),
        ("jobs", 0, 101),
    ]
    assert json.loads(json.dumps(report)) == report


def test_one_worker_may_do_everything() -> None:
    both = process("worker", report={**worker(0, stored())["report"], **JOBS})
    report = reported(both)
    assert report["stores"]["instances"] == 1
    assert report["spool"] == {**SPOOL, "room_seconds": report["spool"]["room_seconds"]}


def test_what_the_supervisor_does_not_say_is_none() -> None:
    assert node_report({"processes": []}, now=NOW)["data_dir"] is None


def test_workers_are_summed() -> None:
    first = worker(1, accepted("CT1"), accepted("MR1"), stored(), stored("OutOfResources: full", 0xA700))
    second = worker(2, accepted("CT1"), accepted("CT1"), stored(), stored("already stored"))
    report = reported(first, second)
    assert report["associations"] == {
        "now": 4,
        "total": 4,
        "rejected": 0,
        "by_ae_title": [
            {"ae_title": "CT1", "now": 3, "total": 3, "rejected": 0},
            {"ae_title": "MR1", "now": 1, "total": 1, "rejected": 0},
        ],
    }
    stores = report["stores"]
    assert (stores["instances"], stores["bytes"], stores["failed"]) == (3, 300, 1)
    assert stores["by_outcome"] == {"stored": 2, "OutOfResources": 1, "already stored": 1}


def test_other_titles_come_last() -> None:
    rows = [
        {"ae_title": None, "now": 9, "total": 9, "rejected": 0},
        {"ae_title": "CT1", "now": 0, "total": 1, "rejected": 0},
    ]
    parts = [process("worker", n, report={"associations": {"now": 9, "by_ae_title": rows}}) for n in (1, 2)]
    titles = reported(*parts)["associations"]["by_ae_title"]
    assert [(row["ae_title"], row["now"], row["total"]) for row in titles] == [("CT1", 0, 2), (None, 18, 18)]


def test_the_newest_errors_of_all_processes() -> None:
    refusals = [AssociationRejected("c", "X", "PACSNODE", "10.0.0.1:1", f"reason {n}") for n in range(8)]
    report = reported(worker(1, *refusals), worker(2, *refusals))
    errors = report["last_errors"]
    assert len(errors) == MOST_ERRORS
    assert [error["process"] for error in errors] == ["worker 2"] * 8 + ["worker 1"] * 2
    assert errors[0] == {
        "process": "worker 2",
        "at": "2023-11-14T22:13:22Z",
        "association": "c",
        "what": "association refused: reason 7",
        "times": 1,
    }


def test_before_the_first_heartbeats_nothing_is_guessed() -> None:
    starting = [process(role, state="starting", report={}) for role in ("worker", "jobs")]
    report = reported(*starting)
    assert [report[part] for part in ("associations", "stores", "queries", "retrieves")] == [{}] * 4
    assert "spool" not in report
    assert report["problems"] == [
        "worker 0 is starting",
        "jobs is starting",
    ]


def test_room_at_the_present_rate() -> None:
    busy = process("worker", report={"stores": {"bytes_per_second": float(1 << 30)}})
    report = reported(busy, process("jobs"))
    assert report["spool"]["room_seconds"] == 799.0
    assert report["problems"] == []


def jobs_with(**parts: Any) -> dict[str, Any]:
    return process("jobs", report={**JOBS, **parts})


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (worker(2, state="starting", restarts=3), "worker 2 is starting (restart 3)"),
        (worker(2, heartbeat_age_seconds=12.4), "worker 2 has been silent for 12 s"),
        (
            worker(2, restarts=3, started_at=(NOW - timedelta(seconds=5)).isoformat()),
            "worker 2 was started again 5 s ago (restart 3); the log says why",
        ),
        (
            jobs_with(spool={**SPOOL, "free_bytes": 1000}),
            "spool: free space is under spool.min_free, images are refused with 0xA700",
        ),
        (
            jobs_with(spool={**SPOOL, "free_bytes": 301 << 30}),
            "spool: at the present rate it takes no more in 300 s (spool.min_free, spool.max_bytes)",
        ),
        (
            jobs_with(spool={**SPOOL, "damaged": 2}),
            "spool: 2 damaged files in spool/damaged wait for a person",
        ),
        (
            jobs_with(filing={"failures": 3, "trouble": "object x: disk full", "kept": 0, "reasons": []}),
            "filing fails: object x: disk full",
        ),
        (
            jobs_with(filing={"failures": 0, "trouble": None, "kept": 2}),
            "filing: 2 in the spool cannot be filed; the log names them",
        ),
        (jobs_with(state={"trouble": "state.db is damaged"}), "state: state.db is damaged"),
        (jobs_with(index={"error": "index-1.db is damaged"}), "index: index-1.db is damaged"),
        (jobs_with(spool={"error": "Input/output error"}), "spool: Input/output error"),
    ],
)  # fmt: skip
def test_problems(wrong: Any, problem: str) -> None:
    busy = process("worker", report={"stores": {"bytes_per_second": float(1 << 30)}})
    assert reported(busy, wrong)["problems"] == [problem]


def test_what_is_over_is_no_problem_any_more() -> None:
    settled = worker(0, restarts=3, started_at=(NOW - timedelta(seconds=61)).isoformat())
    behind = worker(1, snapshot=7)  # for as long as a heartbeat takes, after each reload
    assert reported(settled, behind)["problems"] == []
