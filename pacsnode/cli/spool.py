"""`pacsnode spool list`: what waits for the storage, since when, and why."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from pacsnode.cli.output import Output, counted
from pacsnode.cli.program import Program, data_dir_option, json_option, pass_program

if TYPE_CHECKING:
    from pacsnode.config import Config
    from pacsnode.index.base import Located

_COLUMNS = ("RECEIVED", "SIZE", "SOP INSTANCE UID", "WHY")
_PAGE = 500


@click.group()
def spool() -> None:
    """Show what is received and not yet in the storage."""


@spool.command("list")
@data_dir_option
@json_option
@pass_program
def list_spool(program: Program, *, output: Output, data_dir: str | None) -> None:
    """List the instances that wait for the storage, the oldest first.

    Says why one cannot be filed, and what is wrong with the storage, if the node runs and knows it. Whatever the reason
    is, the node tries again by itself.
    """
    from pacsnode.assembly.archive import existing_index
    from pacsnode.config.quantities import abbreviated_size

    config = program.config(node__data_dir=data_dir)
    trouble, reasons = _told(config)
    index, count, size, after = existing_index(config), 0, 0, 0
    try:
        with output.table("instance", _COLUMNS) as table:
            while page := index.waiting(after_token=after, limit=_PAGE):
                for located in page:
                    count, size, after = count + 1, size + located.file_length, located.token or 0
                    why = reasons.get((located.sop_instance_uid, located.version), "")
                    fields = _fields(located, why)
                    table.row(
                        [
                            str(fields["received_at"]),
                            abbreviated_size(located.file_length),
                            located.sop_instance_uid,
                            why or "-",
                        ],
                        fields,
                    )
    finally:
        index.close()
    text = f"{counted(count, 'instance')} waiting ({abbreviated_size(size)})"
    text += f"; the storage: {trouble}" if trouble else ""
    output.result({"instances": count, "bytes": size, "trouble": trouble}, text)


def _told(config: "Config") -> tuple[str | None, dict[tuple[str, int], str]]:
    """Return what the node that runs says: what is wrong with the storage, and with which instances."""
    from pacsnode.errors import PacsNodeError
    from pacsnode.processes.report import read

    try:
        filing: dict[str, Any] = read(config.node.data_dir).get("filing") or {}
    except PacsNodeError:  # none runs, or it does not answer
        return None, {}
    reasons = {(one["sop_instance_uid"], one["version"]): one["why"] for one in filing.get("reasons", ())}
    return filing.get("trouble"), reasons


def _fields(located: "Located", why: str) -> dict[str, object]:
    from pacsnode.archive.objects import entry_of

    entry = entry_of(located)
    assert entry is not None, "it waits"
    received = datetime.fromtimestamp(entry.received_at_ms / 1000, UTC)
    return {
        "received_at": received.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "bytes": located.file_length,
        "study_instance_uid": located.study_instance_uid,
        "series_instance_uid": located.series_instance_uid,
        "sop_instance_uid": located.sop_instance_uid,
        "version": located.version,
        "why": why or None,
    }
