"""`pacsnode status`: what the node that runs on this machine says of itself."""

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import click

from pacsnode.accepting import shown
from pacsnode.cli.exit_codes import CommandFailed, ExitCode
from pacsnode.cli.output import Output, counted, printable
from pacsnode.cli.program import Program, data_dir_option, json_option, pass_program
from pacsnode.processes.report import NotAnswering, read
from pacsnode.processes.summary import name_of

_COLUMNS = 80
_LABEL = 13
_MOST_TITLES = 10
_YEAR = 365 * 86400
_ITEMS = ("processes", "last_errors", "problems")  # lines of their own with --json, before the result


@click.command()
@data_dir_option
@json_option
@pass_program
def status(program: Program, *, output: Output, data_dir: str | None) -> None:
    """Show how the node that runs is, and exit 4 if anything is wrong.

    Asks the node itself, through a socket in its data folder: only root and the user that it runs as may. Exits 75
    if no node runs there.
    """
    config = program.config(node__data_dir=data_dir)
    try:
        report = read(config.node.data_dir)
    except NotAnswering as error:
        raise CommandFailed(str(error), ExitCode.PROBLEMS_FOUND) from error
    if output.as_json:
        _print_items(output, report)
    else:
        for line in lines(report):
            click.echo(printable(line))
    if report["problems"]:
        raise SystemExit(ExitCode.PROBLEMS_FOUND)


def _print_items(output: Output, report: Mapping[str, Any]) -> None:
    for process in report["processes"]:
        output.item("process", process, None)
    for error in report["last_errors"]:
        output.item("error", error, None)
    for problem in report["problems"]:
        output.item("problem", {"problem": problem}, None)
    rest = {key: value for key, value in report.items() if key not in _ITEMS}
    output.result({**rest, "problems": len(report["problems"])}, None)


def lines(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines for people, none of them wider than a terminal."""
    now = datetime.fromisoformat(report["at"])
    yield from _heading(report, now)
    yield ""
    yield from _processes(report["processes"], now)
    yield ""
    yield from _labelled("associations", _associations(report["associations"]))
    yield from _titles(report["associations"])
    yield from _done(report)
    for part, told in _PARTS:
        if found := report.get(part):
            yield from _labelled(part, found["error"] if "error" in found else told(found))
    if report["last_errors"]:
        yield ""
        yield "last errors:"
        for error in report["last_errors"]:
            yield from _wrapped(_error(error), "  ", "    ")
    yield ""
    if not report["problems"]:
        yield "no problems"
    for problem in report["problems"]:
        yield from _wrapped(f"problem: {problem}", "", "  ")


def _heading(report: Mapping[str, Any], now: datetime) -> Iterator[str]:
    where = ", ".join(f"{at['ae_title']} on {shown(at['host'], at['port'])}" for at in report["listening"])
    yield from _wrapped(
        f"node {report['node']}, pacsnode {report['version']}, process {report['pid']}, "
        f"up {_since(report['started_at'], now)}, configuration {report['snapshot']}",
        "",
        "  ",
    )
    yield from _wrapped(f"listens as {where or 'nobody'}, data in {report['data_dir']}", "", "  ")


def _processes(processes: Sequence[Mapping[str, Any]], now: datetime) -> Iterator[str]:
    yield f"{'PROCESS':<12} {'PID':>8}  {'STATE':<11} {'CONFIG':>6}  {'UP':<11} {'RESTARTS':>8}  HEARTBEAT"
    for process in processes:
        age = process["heartbeat_age_seconds"]
        yield (
            f"{name_of(process):<12} {process['pid'] or '-':>8}  {process['state'].split()[0]:<11} "
            f"{process['snapshot']:>6}  {_since(process['started_at'], now) if process['pid'] else '-':<11} "
            f"{process['restarts']:>8}  {'-' if age is None else f'{age:.1f} s ago'}"
        ).rstrip()


def _associations(part: Mapping[str, Any]) -> str:
    return (
        f"{part.get('now', 0):,} now, {part.get('total', 0):,} since start, "
        f"{part.get('rejected', 0):,} rejected"
    )


def _titles(part: Mapping[str, Any]) -> Iterator[str]:
    """Yield the busiest calling AE titles."""
    rows = part.get("by_ae_title", ())
    for row in rows[:_MOST_TITLES]:
        name = "others" if row["ae_title"] is None else row["ae_title"]
        yield from _labelled("", f"{name:<16} {_associations(row)}")
    if len(rows) > _MOST_TITLES:
        yield from _labelled("", f"and {counted(len(rows) - _MOST_TITLES, 'AE title')} more (--json has all)")


def _done(report: Mapping[str, Any]) -> Iterator[str]:
    parts = report["stores"], report["queries"], report["retrieves"]
    for label, done in (("last minute", _last_minute(*parts)), ("since start", _since_start(*parts))):
        for at, line in enumerate(done):
            yield from _labelled("" if at else label, line)


def _last_minute(
    stores: Mapping[str, Any], queries: Mapping[str, Any], retrieves: Mapping[str, Any]
) -> Iterator[str]:
    yield f"stored    {_rate(stores, 'instances')} instances/s, {_size(_rate_of(stores, 'bytes'))}/s"
    yield f"answered  {_rate(queries, 'queries')} queries/s"
    yield f"sent      {_rate(retrieves, 'instances')} instances/s, {_size(_rate_of(retrieves, 'bytes'))}/s"


def _since_start(
    stores: Mapping[str, Any], queries: Mapping[str, Any], retrieves: Mapping[str, Any]
) -> Iterator[str]:
    yield f"stored    {_instances(stores)}, {stores.get('failed', 0):,} failed"
    yield f"answered  {counted(queries.get('queries', 0), 'query')}, {queries.get('failed', 0):,} failed"
    how_often = counted(retrieves.get("retrieves", 0), "retrieve")
    yield f"sent      {_instances(retrieves)} in {how_often}, {retrieves.get('failed', 0):,} failed"


def _instances(part: Mapping[str, Any]) -> str:
    return f"{counted(part.get('instances', 0), 'instance')} ({_size(part.get('bytes', 0))})"


def _spool(part: Mapping[str, Any]) -> str:
    age, room = part["oldest_age_seconds"], part.get("room_seconds")
    oldest = "" if age is None else f", the oldest for {_duration(age)}"
    until = "" if room is None or room > _YEAR else f", room for {_duration(room)} at the present rate"
    return (
        f"{counted(part['waiting'], 'instance')} waiting ({_size(part['bytes'])}){oldest}; "
        f"{_size(part['free_bytes'])} free, {_size(part['min_free_bytes'])} of it kept free{until}"
    )


def _index(part: Mapping[str, Any]) -> str:
    return (
        f"{counted(part['patients'], 'patient')}, {counted(part['studies'], 'study')}, "
        f"{part['series']:,} series, {counted(part['instances'], 'instance')}, "
        f"{counted(part['versions_hidden'], 'version')} not served"
    )


def _storage(part: Mapping[str, Any]) -> str:
    free = part.get("free_bytes")
    return f"{part.get('url', '')}" + ("" if free is None else f", {_size(free)} free")


def _lease(part: Mapping[str, Any]) -> str:
    return f"ours since {part['since']}" if part["since"] else "not taken yet"


def _cache(part: Mapping[str, Any]) -> str:
    return f"{counted(part['files'], 'instance')} ({_size(part['bytes'])} of {_size(part['max_bytes'])})"


def _reads(part: Mapping[str, Any]) -> str:
    read, fetched = part["instances"], part["fetched"]
    nearby = f", {max(0, read - fetched) / read:.0%} were in the cache" if read else ""
    return f"{counted(read, 'instance')} since start{nearby}; {fetched:,} fetched from the bucket"


_PARTS: Sequence[tuple[str, Callable[[Mapping[str, Any]], str]]] = (
    ("spool", _spool),
    ("index", _index),
    ("storage", _storage),
    ("lease", _lease),
    ("cache", _cache),
    ("reads", _reads),
)


def _error(error: Mapping[str, Any]) -> str:
    association = f" association {error['association']}" if error["association"] else ""
    times = f" ({error['times']:,} times)" if error["times"] > 1 else ""
    return f"{error['at']} {error['process']}{association}: {error['what']}{times}"


def _rate_of(part: Mapping[str, Any], name: str) -> float:
    return float(part.get(f"{name}_per_second", 0))


def _rate(part: Mapping[str, Any], name: str) -> str:
    return f"{_rate_of(part, name):,.1f}"


def _size(value: float) -> str:
    from pacsnode.config.quantities import abbreviated_size

    return abbreviated_size(value)


def _since(started_at: str, now: datetime) -> str:
    return _duration((now - datetime.fromisoformat(started_at)).total_seconds())


def _duration(seconds: float) -> str:
    """Return a duration for people, in its two largest units: `3 d 4 h`, `12 s`."""
    left = max(0, int(seconds))
    parts: list[str] = []
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        number, left = divmod(left, length)
        if number or (unit == "s" and not parts):
            parts.append(f"{number} {unit}")
    return " ".join(parts[:2])


def _labelled(label: str, text: str) -> Iterator[str]:
    return _wrapped(text, f"{label:<{_LABEL}} ", " " * (_LABEL + 1))


def _wrapped(text: str, first: str, further: str) -> Iterator[str]:
    yield from textwrap.wrap(
        text,
        _COLUMNS,
        initial_indent=first,
        subsequent_indent=further,
        break_long_words=False,
        break_on_hyphens=False,
    )
