"""The report of a node, made of what its processes say of themselves, and what is wrong in it. Pure.

Each worker says what `metrics.Metrics.report` returns, jobs what `jobs.survey.Survey.report` returns (a worker that
does the jobs too says both); the newest of each came with its heartbeat. What a process has not said (yet) is missing,
never guessed.

    {"node", "version", "pid", "started_at", "snapshot", "data_dir", "listening": [{"ae_title", "host", "port"}],
     "processes": [{"role", "number", "pid", "state", "snapshot", "started_at", "restarts",
                    "heartbeat_age_seconds", "report": {...}}],      as the supervisor knows them
     "at",                                                           when this was said
     "associations", "stores", "queries", "retrieves", "echoes",     sums over the workers
     "reads",                                                        of a bucket, too; empty without one
     "spool", "index", "filing", "storage", ...                      each part that jobs survey
     "last_errors": [{"process", "at", "association", "what", "times"}],
     "problems": [a sentence each]}

Times are ISO 8601 in UTC, sizes bytes, durations seconds.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

READY = "ready"  # the state of a process that serves; any other word says what is under way
SILENCE_SECONDS = 10.0  # a child that is silent for longer is replaced (DESIGN 2)
SETTLED_SECONDS = 60.0  # one that has lived for so long again is no problem any more
ROOM_SECONDS = 600.0  # less room than for this long is one
MOST_ERRORS = 10

_COUNTED = ("associations", "stores", "queries", "retrieves", "reads")
_NO_PARTS = frozenset((*_COUNTED, "echoes", "last_errors"))


def node_report(status: Mapping[str, Any], *, now: datetime) -> dict[str, Any]:
    """Return the report of a node; `status` is what the supervisor knows, the first lines of the above."""
    report: dict[str, Any] = {
        "data_dir": None,
        "listening": [],
        **status,
        "at": now.isoformat(timespec="seconds"),
    }
    said = [process["report"] for process in status["processes"]]
    for one in said:
        report |= {part: found for part, found in one.items() if part not in _NO_PARTS}
    if converting := [one["transcode"] for one in said if "transcode" in one]:
        report["transcode"] = _sum(converting)
    if filing := [one["filing"] for one in said if "filing" in one]:
        report["filing"] = _together(filing)
    report |= {part: _sum([one[part] for one in said if part in one]) for part in _COUNTED}
    report["echoes"] = sum(one.get("echoes", 0) for one in said)
    report["last_errors"] = _last_errors(status["processes"])
    _say_for_how_long_there_is_room(report)
    report["problems"] = list(problems(report))
    return report


def name_of(process: Mapping[str, Any]) -> str:
    """Return how people call a process: `worker 1`, `jobs`."""
    return str(process["role"]) if process["role"] == "jobs" else f"{process['role']} {process['number']}"


def _together(filing: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return how filing goes in all processes: the most failures of one, and a reason of those that fail."""
    return {
        "failures": max(one["failures"] for one in filing),
        "trouble": next((one["trouble"] for one in filing if one["trouble"]), None),
        "kept": sum(one["kept"] for one in filing),
        "reasons": [reason for one in filing for reason in one.get("reasons", ())],
    }


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


def _last_errors(processes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    errors = [
        {"process": name_of(process), **error}
        for process in processes
        for error in process["report"].get("last_errors", ())
    ]
    return sorted(errors, key=lambda error: str(error["at"]), reverse=True)[:MOST_ERRORS]


def _say_for_how_long_there_is_room(report: dict[str, Any]) -> None:
    """Add `room_seconds` to the spool: until it takes no more, if things come as in the last minute and none goes."""
    spool, rate = report.get("spool"), report["stores"].get("bytes_per_second", 0)
    if spool and "free_bytes" in spool:
        room = max(0, spool["free_bytes"] - spool["min_free_bytes"])
        if spool.get("max_bytes"):
            room = min(room, max(0, spool["max_bytes"] - spool["bytes"]))
        report["spool"] = {**spool, "room_seconds": round(room / rate, 1) if rate else None}


def problems(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each thing that an administrator has to look at; none for a healthy node."""
    for process in report["processes"]:
        yield from _process_problems(process, datetime.fromisoformat(report["at"]))
    yield from _spool_problems(report.get("spool") or {})
    filing, lease = report.get("filing") or {}, report.get("lease") or {}
    if filing.get("failures") and filing.get("trouble") != lease.get("error"):  # else that is said below
        yield f"filing fails: {filing.get('trouble')}"
    if filing.get("kept"):
        yield f"filing: {filing['kept']} in the spool cannot be filed; the log names them"
    if reason := (report.get("state") or {}).get("trouble"):
        yield f"state: {reason}"
    for part, found in report.items():
        if isinstance(found, Mapping) and found.get("error"):
            yield f"{part}: {found['error']}"


def _process_problems(process: Mapping[str, Any], now: datetime) -> Iterator[str]:
    name, age, restarts = name_of(process), process["heartbeat_age_seconds"], process["restarts"]
    if process["state"] != READY:
        yield f"{name} is {process['state']}" + (f" (restart {restarts})" if restarts else "")
    elif age is not None and age > SILENCE_SECONDS:
        yield f"{name} has been silent for {age:.0f} s"
    elif (
        restarts
        and (lived := (now - datetime.fromisoformat(process["started_at"])).total_seconds()) < SETTLED_SECONDS
    ):
        yield f"{name} was started again {lived:.0f} s ago (restart {restarts}); the log says why"


def _spool_problems(spool: Mapping[str, Any]) -> Iterator[str]:
    if "free_bytes" in spool and spool["free_bytes"] < spool["min_free_bytes"]:
        yield "spool: free space is under spool.min_free, images are refused with 0xA700"
    elif spool.get("max_bytes") and spool["bytes"] >= spool["max_bytes"]:
        yield "spool: spool.max_bytes wait for the storage, images are refused with 0xA700"
    elif (room := spool.get("room_seconds")) is not None and room < ROOM_SECONDS:
        yield f"spool: at the present rate it takes no more in {room:.0f} s (spool.min_free, spool.max_bytes)"
    if spool.get("damaged"):
        yield f"spool: {spool['damaged']} damaged files in spool/damaged wait for a person"
