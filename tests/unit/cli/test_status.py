"""`pacsnode status` against a stand-in for the supervisor."""

import json
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from pacsnode.cli.status import lines
from pacsnode.metrics import Metrics
from pacsnode.observe import (
    AssociationAccepted,
    AssociationRejected,
    InstanceStored,
    QueryAnswered,
    RetrieveEnded,
)
from pacsnode.processes import report as module
from pacsnode.processes.report import ReportSocket
from tests.supervised import JOBS, NOW, SPOOL, answering, process, reported

Run = Callable[..., Result]


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def busy() -> Mapping[str, Any]:
    """What a worker reports that has done a bit of everything."""
    clock = Clock()
    metrics = Metrics(now=clock, wall=lambda: 1_769_852_000)
    for number in range(13):
        metrics(AssociationAccepted("a1", f"CT{number}", "PACSNODE", "10.0.0.1:1"))
    metrics(AssociationAccepted("a1", "CT1", "PACSNODE", "10.0.0.1:1"))
    for _ in range(1200):
        metrics(InstanceStored("a1", "CT1", "1.2", "1.2.3", "1.2.4", "stored", 0, "", 524_288, 0.1))
    metrics(QueryAnswered("a2", "WS1", "study root", "STUDY", 3, 0, "", 0.1))
    metrics(RetrieveEnded("a2", "WS1", "", "STUDY", 60, 0, 0, 0, 0, "", 1 << 20, 0.1))
    why = "OutOfResources: free space in /srv/pacs/spool/ready is under spool.min_free"
    for _ in range(3):
        metrics(InstanceStored("1a2b3c4d", "CT1", "1.2", "1.2.3", "1.2.4", why, 0xA700, "", 0, 0.1))
    metrics(AssociationRejected("", "", "", "10.0.0.1:1", "silent for 10 s"))
    clock.seconds += 60
    return metrics.report()


def node(**worker: Any) -> dict[str, Any]:
    return reported(process("worker", **{"report": busy(), **worker}), process("jobs", pid=4194304))


HEALTHY = """\
node pacs-1, pacsnode 0.1.0, process 100, up 3 d 4 h, configuration 1
listens as PACSNODE on 127.0.0.1:11112, data in /var/lib/pacsnode

PROCESS           PID  STATE       CONFIG  UP          RESTARTS  HEARTBEAT
worker 0          101  ready            1  3 d 4 h            0  0.4 s ago
jobs          4194304  ready            1  3 d 4 h            0  0.4 s ago

associations  14 now, 14 since start, 1 rejected
              CT1              2 now, 2 since start, 0 rejected
"""


def test_a_person_reads_it_in_a_terminal() -> None:
    text = "\n".join(lines(node()))
    assert max(len(line) for line in text.splitlines()) <= 80
    shown, _, rest = text.partition("              CT12 ")
    assert shown == HEALTHY
    assert rest.partition("\n")[2] == (
        """\
              CT11             1 now, 1 since start, 0 rejected
              CT10             1 now, 1 since start, 0 rejected
              CT9              1 now, 1 since start, 0 rejected
              CT8              1 now, 1 since start, 0 rejected
              CT7              1 now, 1 since start, 0 rejected
              CT6              1 now, 1 since start, 0 rejected
              CT5              1 now, 1 since start, 0 rejected
              CT4              1 now, 1 since start, 0 rejected
              and 3 AE titles more (--json has all)
last minute   stored    20.0 instances/s, 10.0 MiB/s
              answered  0.0 queries/s
              sent      1.0 instances/s, 17.1 KiB/s
since start   stored    1,200 instances (600.0 MiB), 3 failed
              answered  1 query, 0 failed
              sent      60 instances (1.0 MiB) in 1 retrieve, 0 failed
spool         12 instances waiting (6.0 MiB), the oldest for 2 s; 800.0 GiB
              free, 1.0 GiB of it kept free, room for 22 h 43 min at the present
              rate
index         2 patients, 3 studies, 9 series, 1,234 instances, 0 versions not
              served
storage       file:///var/lib/pacsnode/archive, 800.0 GiB free

last errors:
  2026-01-31T09:33:20Z worker 0: connection refused: silent for 10 s
  2026-01-31T09:33:20Z worker 0 association 1a2b3c4d: C-STORE of "CT1": 0xA700
    OutOfResources: free space in /srv/pacs/spool/ready is under spool.min_free
    (3 times)

no problems"""
    )


def test_a_bucket_its_lease_and_its_cache() -> None:
    parts = {
        "lease": {"since": "2026-01-31T09:30:01+00:00"},
        "cache": {"files": 1500, "bytes": 3 << 30, "max_bytes": 50 << 30},
    }
    reads = {"reads": {"instances": 200, "fetched": 20}}
    jobs = process("jobs", report={**JOBS, **parts})
    text = "\n".join(lines(reported(process("worker", report={**busy(), **reads}), jobs)))
    assert (
        "lease         ours since 2026-01-31T09:30:01+00:00\n"
        "cache         1,500 instances (3.0 GiB of 50.0 GiB)\n"
        "reads         200 instances since start, 90% were in the cache; 20 fetched from\n"
        "              the bucket\n"
    ) in text
    assert text.endswith("no problems")


def test_a_lease_that_another_node_has_is_one_problem() -> None:
    why = 'gs://b/p is written by node "other" on host pacs2 since 2026-01-31T09:30:01+00:00'
    lost = {"lease": {"since": None, "error": why}, "filing": {"failures": 3, "trouble": why, "kept": 0}}
    report = reported(process("jobs", report={**JOBS, **lost}))
    assert report["problems"] == [f"lease: {why}"]
    assert "lease         gs://b/p is written by" in "\n".join(lines(report))


def test_a_healthy_node(run: Run, tmp_path: Path) -> None:
    with answering(tmp_path, node):
        result = run("status", "--data-dir", tmp_path)
    assert result.exit_code == 0, result.output
    assert result.output.startswith("node pacs-1, pacsnode 0.1.0, process 100, up ")
    assert result.output.endswith("\nno problems\n")


def test_problems_are_named_and_the_exit_code_is_4(run: Run, tmp_path: Path) -> None:
    jobs = process("jobs", report={**JOBS, "spool": {**SPOOL, "free_bytes": 7}})
    waiting = "waiting to be started again"
    worker = process("worker", state=waiting, pid=None, restarts=12, heartbeat_age_seconds=None, report={})
    with answering(tmp_path, lambda: reported(worker, jobs)):
        result = run("status", "--data-dir", tmp_path)
    assert result.exit_code == 4
    assert "\nworker 0            -  waiting          1  -                 12  -\n" in result.output
    assert result.output.endswith(
        "problem: worker 0 is waiting to be started again (restart 12)\n"
        "problem: spool: free space is under spool.min_free, images are refused with\n"
        "  0xA700\n"
    )


def test_json(run: Run, tmp_path: Path) -> None:
    with answering(tmp_path, lambda: node(state="starting", restarts=1)):
        result = run("status", "--json", "--data-dir", tmp_path)
    assert result.exit_code == 4
    items = [json.loads(line) for line in result.output.splitlines()]
    assert [next(iter(item)) for item in items] == ["process"] * 2 + ["error"] * 2 + ["problem", "result"]
    assert items[0]["process"]["report"]["stores"]["instances"] == 1200
    assert items[2]["error"]["what"] == "connection refused: silent for 10 s"
    assert items[4] == {"problem": {"problem": "worker 0 is starting (restart 1)"}}
    found = items[-1]["result"]
    assert (found["node"], found["problems"], found["associations"]["now"]) == ("pacs-1", 1, 14)
    assert len(found["associations"]["by_ae_title"]) == 13
    assert found["spool"]["waiting"] == 12


def test_a_node_that_only_starts(run: Run, tmp_path: Path) -> None:
    unheard = {
        "state": "starting",
        "report": {},
        "started_at": NOW.isoformat(),
        "heartbeat_age_seconds": None,
    }
    starting = [process(role, **unheard) for role in ("worker", "jobs")]
    with answering(tmp_path, lambda: reported(*starting, listening=[])):
        result = run("status", "--data-dir", tmp_path)
    assert result.exit_code == 4
    assert "listens as nobody" in result.output
    assert "associations  0 now, 0 since start, 0 rejected" in result.output


def test_parts_that_failed_are_shown_as_such(run: Run, tmp_path: Path) -> None:
    jobs = process("jobs", report={**JOBS, "index": {"error": "index-1.db is damaged: \x1b[2J"}})
    with answering(tmp_path, lambda: reported(jobs)):
        result = run("status", "--data-dir", tmp_path)
    assert result.exit_code == 4
    assert "index         index-1.db is damaged: \ufffd[2J\n" in result.output


@pytest.mark.parametrize(
    ("bytes_per_second", "said"),
    [(1 << 30, "kept free, room for 13 min 19 s at the present rate"), (1, "kept free")],
)
def test_for_how_long_there_is_room_unless_it_is_for_years(bytes_per_second: float, said: str) -> None:
    busy = process("worker", report={"stores": {"bytes_per_second": bytes_per_second}})
    text = " ".join(" ".join(lines(reported(busy, process("jobs")))).split())
    assert f"1.0 GiB of it {said} index" in text


def test_an_ipv6_address_is_told_from_its_port() -> None:
    text = "\n".join(lines(reported(listening=[{"ae_title": "PACSNODE", "host": "::", "port": 104}])))
    assert "listens as PACSNODE on [::]:104, data in" in text


def test_no_node_runs(run: Run, tmp_path: Path) -> None:
    result = run("status", "--data-dir", tmp_path / "elsewhere")
    assert (result.exit_code, str(result.exception)) == (1, f"no node runs on {tmp_path / 'elsewhere'}")


def test_a_node_that_hangs(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.read, "__kwdefaults__", {"seconds": 0.1})
    own = ReportSocket(tmp_path, dict)
    try:
        result = run("status", "--data-dir", tmp_path)
    finally:
        own.close()
    assert "does not answer: it hangs" in str(result.exception)
    assert getattr(result.exception, "code", None) == 4


def test_nothing_is_left_behind_and_nothing_is_open_to_others(tmp_path: Path) -> None:
    with answering(tmp_path, dict):
        assert [stat.S_IMODE(os.lstat(path).st_mode) for path in tmp_path.iterdir()] == [0o600]
    assert list(tmp_path.iterdir()) == []
