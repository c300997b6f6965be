"""`pacsnode storage verify`."""

from collections import Counter

import click

from pacsnode.cli.exit_codes import ExitCode
from pacsnode.cli.output import Output, counted, printable
from pacsnode.cli.program import Program, data_dir_option, json_option, pass_program


@click.group()
def storage() -> None:
    """Check what is stored."""


@storage.command()
@data_dir_option
@json_option
@pass_program
def verify(program: Program, *, output: Output, data_dir: str | None) -> None:
    """Read every stored byte again and compare it with the index, in both directions.

    Length and CRC32C of each instance are recomputed, of the file and of its data set; objects and spool
    entries that the index does not know are named too. The node may be serving. Exits 4 if anything is wrong.
    """
    from pacsnode.archive.verification import Finding, note
    from pacsnode.archive.verification import verify as verify_archive
    from pacsnode.config.quantities import abbreviated_size
    from pacsnode.node import open_archive, open_custody

    counts, file_bytes = Counter[Finding](), 0
    config = program.config(node__data_dir=data_dir)
    with (
        open_archive(config) as archive,
        open_custody(config, process="storage verify") as custody,
        output.progress("verifying") as progress,
    ):
        for found in verify_archive(archive.index.everything, archive.spool, archive.storage):
            counts[found.finding] += 1
            file_bytes += found.file_bytes
            progress.update(counts.total())
            if found.finding is not Finding.CORRECT:
                progress.clear()
                note(custody, found)
                output.item(
                    "problem",
                    {"finding": found.finding.value, "name": found.name, "detail": found.detail},
                    f"{found.finding.value}: {printable(found.name)}: {found.detail}",
                )
    problems = counts.total() - counts[Finding.CORRECT]
    correct = counts[Finding.CORRECT]
    size = abbreviated_size(file_bytes)
    output.result(
        {"correct": correct, "problems": problems, "file_bytes": file_bytes},
        f"{counted(correct, 'instance')} correct ({size}), {counted(problems, 'problem')}",
    )
    if problems:
        raise SystemExit(ExitCode.PROBLEMS_FOUND)
