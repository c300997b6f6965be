"""`pacsnode state`: the copies of the node's state, whether they are in order, and the way back to one."""

import time
from collections import deque
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from pacsnode.cli.exit_codes import CommandFailed, ExitCode
from pacsnode.cli.output import Output, counted, printable
from pacsnode.cli.program import Program, data_dir_option, json_option, pass_program
from pacsnode.errors import DamagedObject, ObjectNotFound, PacsNodeError

if TYPE_CHECKING:
    from pacsnode.state.base import Recorded
    from pacsnode.state.folder import StateFolder
    from pacsnode.state.restoring import Restored, Source
    from pacsnode.storage.base import Storage

_COLUMNS = ("made (UTC)", "revision", "bytes", "where", "name")


@click.group()
def state() -> None:
    """Check what must not be forgotten, list its copies, and restore one."""


@state.command("list")
@data_dir_option
@json_option
@pass_program
def list_copies(program: Program, *, output: Output, data_dir: str | None) -> None:
    """List the copies of the state, the newest first: those beside it and those in the storage.

    The node may be serving. It looks at every name in the storage.
    """
    from pacsnode.node import open_state, open_storage
    from pacsnode.state.copies import copies_in, newest_first

    config = program.config(node__data_dir=data_dir)
    with open_state(config) as folder, open_storage(config) as storage:
        here, there = set(folder.copies.list()), set(copies_in(storage))
        with output.table("copy", _COLUMNS) as table:
            for copy in newest_first(here | there):
                where = [place for place, held in (("beside", here), ("storage", there)) if copy in held]
                table.row(
                    (
                        _time(copy.made_at_ms),
                        str(copy.revision),
                        f"{copy.length:,}",
                        "+".join(where),
                        copy.name,
                    ),
                    {
                        "name": copy.name,
                        "made": _time(copy.made_at_ms),
                        "revision": copy.revision,
                        "length": copy.length,
                        "places": where,
                    },
                )
    output.result({"copies": len(here | there)}, f"\n{counted(len(here | there), 'copy')}")


@state.command()
@data_dir_option
@json_option
@pass_program
def verify(program: Program, *, output: Output, data_dir: str | None) -> None:
    """Read the state and each copy beside it, and say what is wrong with them.

    The state: header, length, schema version, each page, and that it is not older than its copies. A copy: its
    length and CRC32C as well. The node may be serving. Exits 4 if anything is wrong.
    """
    from pacsnode.node import open_state

    problems = files = 0
    with open_state(program.config(node__data_dir=data_dir)) as folder:
        for name, trouble in _verified(folder):
            files += 1
            problems += trouble is not None
            text = f"{name}: {trouble or 'in order'}"
            output.item("file", {"name": name, "trouble": trouble}, printable(text))
    output.result(
        {"files": files, "problems": problems}, f"{counted(files, 'file')}, {counted(problems, 'problem')}"
    )
    if problems:
        raise SystemExit(ExitCode.PROBLEMS_FOUND)


def _verified(folder: "StateFolder") -> Iterator[tuple[str, str | None]]:
    path = folder.file()
    if path is None:
        yield "state", "there is none; a node that was never served has none"
    else:
        yield path.name, folder.examined(path, everything=True).trouble
    for copy in folder.copies.list():
        try:
            folder.copies.check(copy)
        except PacsNodeError as error:
            yield copy.name, str(error)
        else:
            yield copy.name, None


@state.command()
@click.argument("copy", required=False)
@click.option("--empty", is_flag=True, help="Begin an empty state: what was in the old one is given up.")
@data_dir_option
@json_option
@pass_program
def restore(program: Program, *, output: Output, data_dir: str | None, copy: str | None, empty: bool) -> None:
    """Make a COPY the state of a node that is stopped; without one, the newest that is in order.

    COPY is a name from `pacsnode state list`, or a file. The damaged state stays where it is, under its name.
    What happened after the copy was made is not in it.
    """
    from pacsnode.node import open_state, open_storage
    from pacsnode.state.restoring import begin_empty

    if empty and copy is not None:
        raise click.UsageError("either a COPY or --empty")
    config = program.config(node__data_dir=data_dir)
    now_ms = time.time_ns() // 1_000_000
    with open_state(config, exclusively=True) as folder, open_storage(config) as storage:
        restored = begin_empty(folder, now_ms=now_ms) if empty else _restored(folder, storage, copy, now_ms)
    for reason in restored.passed_over:
        output.item("passed_over", {"reason": reason}, printable(f"passed over: {reason}"))
    name = None if restored.source is None else restored.source.name
    output.result(
        {"state": str(restored.path), "copy": name},
        f"{restored.path} is the state now, {f'from {name}' if name else 'empty'}; start the node",
    )


def _restored(folder: "StateFolder", storage: "Storage", copy: str | None, now_ms: int) -> "Restored":
    from pacsnode.state.restoring import restore as restore_first
    from pacsnode.state.restoring import source_named, sources

    try:
        candidates: Iterator[Source] = (
            sources(folder, storage) if copy is None else iter([source_named(copy, folder, storage)])
        )
        return restore_first(folder, candidates, now_ms=now_ms)
    except ObjectNotFound as error:
        raise click.UsageError(str(error)) from error
    except DamagedObject as error:
        raise CommandFailed(f"nothing is restored: {error}", ExitCode.PROBLEMS_FOUND) from error


@state.command()
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Show no more than the last N.")
@data_dir_option
@json_option
@pass_program
def events(program: Program, *, output: Output, data_dir: str | None, limit: int | None) -> None:
    """List the custody events: what was lost, damaged, set aside, or kept as another version.

    The node may be serving. One line for each thing that happened, however often it was found again.
    """
    from pacsnode.node import open_state
    from pacsnode.state.base import every_event

    shown: Iterable[Recorded]
    with open_state(program.config(node__data_dir=data_dir)) as folder:
        opened = folder.existing()
        if opened.state is None:
            reason = opened.trouble or f"there is no state in {folder.path}"
            raise CommandFailed(reason, ExitCode.PROBLEMS_FOUND)
        try:
            shown = deque(every_event(opened.state), limit) if limit else every_event(opened.state)
            number = sum(_show(output, recorded) for recorded in shown)
        finally:
            opened.state.close()
    output.result({"events": number}, f"\n{counted(number, 'event')}")


def _show(output: Output, recorded: "Recorded") -> int:
    event = recorded.event
    fields = {
        "number": recorded.number,
        "kind": event.kind.value,
        "at": _time(event.at_ms),
        "sop_instance_uid": event.sop_instance_uid,
        "name": event.name,
        "detail": event.detail,
        "process": event.process,
        "association_id": event.association_id,
        "times": recorded.times,
        "last_at": _time(recorded.last_at_ms),
    }
    again = "" if recorded.times == 1 else f" ({recorded.times} times, last {fields['last_at']})"
    about = event.name or event.sop_instance_uid or "-"
    by = f"association {event.association_id}" if event.association_id else event.process
    text = f"{fields['at']} {event.kind.value}: {about}: {event.detail} [{by}]{again}"
    output.item("event", fields, printable(text))
    return 1


def _time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")
