"""`pacsnode send`."""

import tempfile
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pacsnode.cli.exit_codes import ExitCode
from pacsnode.cli.files import find_files
from pacsnode.cli.output import Output, counted, printable, status_text
from pacsnode.cli.program import CallerOptions, Program, caller_options, json_option, pass_program
from pacsnode.cli.syntaxes import transfer_syntax_option

if TYPE_CHECKING:
    from pacsnode.dimse.scu import SendResult

_SUCCESS = 0x0000
_STORAGE_WARNINGS = frozenset({0xB000, 0xB006, 0xB007})  # stored, with a remark (PS3.4 Table B.2-1)


@dataclass(slots=True)
class _Tally:
    """What became of the files so far."""

    sent: int = 0
    warned: int = 0
    failed: int = 0
    data_set_bytes: int = 0
    started: float = field(default_factory=time.monotonic)

    def count(self, result: "SendResult") -> bool:
        """Add a result; return whether there is anything to tell about it."""
        if result.status == _SUCCESS:
            self.sent += 1
        elif result.status in _STORAGE_WARNINGS:
            self.sent += 1
            self.warned += 1
        else:
            self.failed += 1
            return True
        self.data_set_bytes += result.data_set_bytes
        return self.warned > 0 and result.status in _STORAGE_WARNINGS

    def figures(self) -> dict[str, object]:
        """Return the counts for programs."""
        return {
            "sent": self.sent,
            "warned": self.warned,
            "failed": self.failed,
            "data_set_bytes": self.data_set_bytes,
            "seconds": round(time.monotonic() - self.started, 3),
        }


@click.command()
@click.argument("peer")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@transfer_syntax_option("Send all in this transfer syntax, by name or UID, converted if need be.")
@caller_options
@json_option
@pass_program
def send(
    program: Program,
    *,
    output: Output,
    options: CallerOptions,
    peer: str,
    paths: tuple[Path, ...],
    transfer_syntax: str | None,
) -> None:
    """Send files or folders to a peer (C-STORE).

    Folders are searched through; in them, what is no DICOM file is skipped. Files go as they are; what the peer does
    not take so is converted, without loss. Exits 3 if a file was not stored.
    """
    from pacsnode.assembly import converting
    from pacsnode.dimse import scu

    config = program.config()
    called = options.called(peer, config)
    found = find_files(paths)
    if not found.paths:
        raise click.UsageError("there is no DICOM file in what was named")
    tally = _Tally()
    with (
        tempfile.TemporaryDirectory(prefix="pacsnode-") as folder,
        closing(converting.of_a_command(config, Path(folder))) as transcoders,
        output.progress("sending", len(found.paths)) as progress,
    ):
        results = scu.send(
            options.caller(config, peer),
            called,
            found.paths,
            transfer_syntax=transfer_syntax or "",
            convert=transcoders.convert,
        )
        for result in results:
            if tally.count(result):
                progress.clear()
            _tell(result, output)
            progress.update(tally.sent + tally.failed)
    output.result({**tally.figures(), "skipped": len(found.skipped)}, _summary(tally, len(found.skipped)))
    if tally.failed:
        raise SystemExit(ExitCode.SOME_FAILED)


def _tell(result: "SendResult", output: Output) -> None:
    status = None if result.status is None else status_text(result.status)
    text = None
    if result.status != _SUCCESS:
        outcome = (
            "not sent"
            if status is None
            else f"{'warning' if result.status in _STORAGE_WARNINGS else 'failed'} {status}"
        )
        text = f"{result.path}: {outcome}{f': {printable(result.comment)}' if result.comment else ''}"
    output.item(
        "file",
        {
            "path": str(result.path),
            "sop_instance_uid": result.sop_instance_uid,
            "status": status,
            "comment": result.comment,
            "data_set_bytes": result.data_set_bytes,
        },
        text,
    )


def _summary(tally: _Tally, skipped: int) -> str:
    from pacsnode.config.quantities import abbreviated_size

    seconds = max(time.monotonic() - tally.started, 1e-6)
    amount = f"{counted(tally.sent, 'file')}, {abbreviated_size(tally.data_set_bytes)}"
    parts = [f"sent {amount} in {seconds:.1f} s ({tally.sent / seconds:.0f} a second)"]
    parts += [f"{tally.warned} with a warning"] if tally.warned else []
    parts += [f"{tally.failed} failed"] if tally.failed else []
    parts += [f"{skipped} skipped (no DICOM)"] if skipped else []
    return ", ".join(parts)
