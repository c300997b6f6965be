"""The report of a node, made of what its processes say of themselves, and what is wrong in it. Pure.

Each worker says what `metrics.Metrics.report` returns, jobs what `jobs.survey.Survey.report` returns; the newest of
each came with its heartbeat. What a process has not said (yet) is missing, never guessed.

    {"node", "version", "pid", "started_at", "snapshot", "data_dir", "listening": [{"ae_title", "host", "port"}],
     "processes": [{"role", "number", "pid", "state", "snapshot", "started_at", "restarts",
                    "heartbeat_age_seconds", "report": {...}}],
     "associations", "stores", "queries", "retrieves", "echoes",      sums over the workers
     "spool", "index", "filing", "storage", ...                       each part that jobs survey
     "last_errors": [{"process", "at", "association", "what", "times"}],
     "problems": [a sentence each]}

Times are ISO 8601 in UTC, sizes bytes, durations seconds.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

HEARTBEAT_SECONDS = 10.0  # a child that is silent for longer is replaced (DESIGN 2)
ROOM_SECONDS = 600.0  # less room than for this long is a problem
MOST_ERRORS = 10

RUNNING = "running"
_COUNTED = ("associations", "stores", "queries", "retrieves")


@dataclass(frozen=True, slots=True)
class ProcessState:
    """One process as the supervisor knows it. `number` counts the workers from 1; jobs is 1, the supervisor 0.

    `state` is "running" for one that serves; else a word that says what is under way: "starting", "restarting",
    "stopping". `report` is the newest that it sent.
    """

    role: str
    number: int
    pid: int | None
    state: str
    snapshot: int
    started_at: str
    restarts: int = 0
    heartbeat_age_seconds: float | None = None
    report: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NodeState:
    """What the supervisor knows of the whole."""

    node: str
    version: str
    pid: int
    started_at: str
    snapshot: int
    data_dir: str
    listening: tuple[Mapping[str, Any], ...] = ()


def node_report(node: NodeState, processes: Sequence[ProcessState]) -> dict[str, Any]:
    """Return the report of a node whose processes are in these states."""
    workers = [process.report for process in processes if process.role == "worker"]
    report: dict[str, Any] = asdict(node)
    report["listening"] = [dict(where) for where in node.listening]
    report["processes"] = [{**asdict(process), "report": dict(process.report)} for process in processes]
    for process in processes:
        if process.role == "jobs":
            report |= process.report
    report |= {part: _sum([w[part] for w in workers if part in w]) for part in _COUNTED}
    report["echoes"] = sum(worker.get("echoes", 0) for worker in workers)
    report["last_errors"] = _last_errors(processes)
    _say_for_how_long_there_is_room(report)
    report["problems"] = list(problems(report))
    return report


def name_of(process: Mapping[str, Any]) -> str:
    """Return how people call a process: `worker 1`, `jobs`."""
    return f"{process['role']} {process['number']}" if process["role"] == "worker" else str(process["role"])


def _sum(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the sums of all numbers; of `by_ae_title` for each title, of `by_outcome` for each outcome."""
    summed: dict[str, Any] = {}
    for part in parts:
        for key, value in part.items():
            match key:
                case "by_ae_title":
                    summed[key] = _sum_by_title([*summed.get(key, []), *value])
                case "by_outcome":
                    summed[key] = dict(Counter(summed.get(key, {})) + Counter(value))
                case _:
                    summed[key] = summed.get(key, 0) + value
    return summed


def _sum_by_title(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    by_title: dict[str | None, dict[str, Any]] = {}
    for row in rows:
        known = by_title.setdefault(row["ae_title"], {"ae_title": row["ae_title"]})
        for key in ("now", "total", "rejected"):
            known[key] = known.get(key, 0) + row[key]
    return sorted(by_title.values(), key=lambda row: (row["ae_title"] is None, -row["now"], -row["total"]))


def _last_errors(processes: Sequence[ProcessState]) -> list[dict[str, Any]]:
    errors = [
        {"process": name_of(asdict(process)), **error}
        for process in processes
        for error in process.report.get("last_errors", ())
    ]
    return sorted(errors, key=lambda error: str(error["at"]), reverse=True)[:MOST_ERRORS]


def _say_for_how_long_there_is_room(report: dict[str, Any]) -> None:
    """Add `room_seconds` to the spool: until `spool.min_free` is reached if all goes on as in the last minute."""
    spool, rate = report.get("spool"), report["stores"].get("bytes_per_second", 0)
    if spool and "free_bytes" in spool:
        room = max(0, spool["free_bytes"] - spool["min_free_bytes"])
        report["spool"] = {**spool, "room_seconds": round(room / rate, 1) if rate else None}


def problems(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each thing that an administrator has to look at; none for a healthy node."""
    for process in report["processes"]:
        yield from _process_problems(process, report["snapshot"])
    yield from _spool_problems(report.get("spool") or {})
    filing = report.get("filing") or {}
    if filing.get("failures"):
        yield f"filing fails: {filing.get('trouble')}"
    if filing.get("kept"):
        yield f"filing: {filing['kept']} in the spool cannot be filed; the log names them"
    if reason := (report.get("state") or {}).get("problem"):
        yield f"state: {reason}"
    for part, found in report.items():
        if isinstance(found, Mapping) and found.get("error"):
            yield f"{part}: {found['error']}"


def _process_problems(process: Mapping[str, Any], snapshot: int) -> Iterator[str]:
    name, age = name_of(process), process["heartbeat_age_seconds"]
    if process["state"] != RUNNING:
        yield f"{name} is {process['state']}, after {process['restarts']} restarts"
    elif age is not None and age > HEARTBEAT_SECONDS:
        yield f"{name} has been silent for {age:.0f} s"
    elif process["snapshot"] != snapshot:
        yield f"{name} has configuration {process['snapshot']}, not {snapshot}"


def _spool_problems(spool: Mapping[str, Any]) -> Iterator[str]:
    if "free_bytes" in spool and spool["free_bytes"] < spool["min_free_bytes"]:
        yield "spool: free space is under spool.min_free, images are refused with 0xA700"
    elif (room := spool.get("room_seconds")) is not None and room < ROOM_SECONDS:
        yield f"spool: at the present rate free space falls under spool.min_free in {room:.0f} s"
    if spool.get("damaged"):
        yield f"spool: {spool['damaged']} damaged files in spool/damaged wait for a person"
