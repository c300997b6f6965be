"""`pacsnode get` and `pacsnode move`."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pacsnode.cli.exit_codes import ExitCode
from pacsnode.cli.output import Output, counted, printable, status_text
from pacsnode.cli.peers import checked_ae_title
from pacsnode.cli.program import CallerOptions, Program, caller_options, json_option, pass_program
from pacsnode.cli.syntaxes import transfer_syntax_option

if TYPE_CHECKING:
    from pydicom import Dataset

    from pacsnode.dimse.scu import RetrieveProgress

_SUCCESS = 0x0000
_WARNING = 0xB000


def _unique_key_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option(
            "--image", "images", multiple=True, metavar="UID", help="SOP Instance UID, may be repeated."
        ),
        click.option("--series", multiple=True, metavar="UID", help="Series Instance UID, may be repeated."),
        click.option(
            "--study", "studies", multiple=True, metavar="UID", help="Study Instance UID, may be repeated."
        ),
        click.option("--patient", metavar="ID", help="Patient ID; alone, all of the patient's studies."),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("peer")
@_unique_key_options
@click.option(
    "-o",
    "--output-dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=".",
    metavar="DIR",
    help="Folder for the files (default: this one).",
)
@transfer_syntax_option("Have them in this transfer syntax only, by name or UID; the peer converts.")
@caller_options
@json_option
@pass_program
def get(
    program: Program,
    *,
    output: Output,
    options: CallerOptions,
    peer: str,
    folder: Path,
    transfer_syntax: str | None,
    patient: str | None,
    studies: tuple[str, ...],
    series: tuple[str, ...],
    images: tuple[str, ...],
) -> None:
    """Fetch images from a peer into a folder (C-GET), one file for each instance. Exits 3 if some failed."""
    from pacsnode.dimse import scu

    config = program.config()
    called = options.called(peer, config)
    identifier, patient_root = _identifier(patient, studies, series, images)
    folder.mkdir(parents=True, exist_ok=True)
    answers = scu.get(
        options.caller(config, peer),
        called,
        identifier,
        patient_root=patient_root,
        folder=folder,
        transfer_syntax=transfer_syntax or "",
    )
    _report(output, answers, done=f"fetched into {folder}", verb="fetching")


@click.command()
@click.argument("peer")
@click.option("--to", "destination", required=True, metavar="DEST", help="Peer or AE title to send to.")
@_unique_key_options
@caller_options
@json_option
@pass_program
def move(
    program: Program,
    *,
    output: Output,
    options: CallerOptions,
    peer: str,
    destination: str,
    patient: str | None,
    studies: tuple[str, ...],
    series: tuple[str, ...],
    images: tuple[str, ...],
) -> None:
    """Have a peer send images to another one (C-MOVE), which it must know. Exits 3 if some failed."""
    from pacsnode.dimse import scu

    config = program.config()
    called = options.called(peer, config)
    configured = config.peer(destination)
    ae_title = configured.ae_title if configured else checked_ae_title(destination)
    identifier, patient_root = _identifier(patient, studies, series, images)
    answers = scu.move(
        options.caller(config, peer), called, identifier, patient_root=patient_root, destination=ae_title
    )
    _report(output, answers, done=f"sent to {ae_title}", verb="moving")


def _identifier(
    patient: str | None, studies: tuple[str, ...], series: tuple[str, ...], images: tuple[str, ...]
) -> tuple["Dataset", bool]:
    """Return the Identifier and whether it takes Patient Root: only a patient's ID alone does."""
    from pacsnode.cli.identifier import retrieve_identifier

    unique_keys = {"PATIENT": (patient or "",), "STUDY": studies, "SERIES": series, "IMAGE": images}
    identifier = retrieve_identifier(unique_keys)
    return identifier, "PatientID" in identifier


def _report(output: Output, answers: Iterable["RetrieveProgress"], *, done: str, verb: str) -> None:
    final = None
    with output.progress(verb) as progress:
        for final in answers:
            finished = final.completed + final.failed + final.warned
            progress.update(finished, finished + (final.remaining or 0))
            output.item("progress", {"remaining": final.remaining, **_counts(final)}, None)
    assert final is not None, "a retrieve has a final response"
    for uid in final.failed_uids:
        output.item("failed", {"sop_instance_uid": uid}, f"{printable(uid)}: failed")
    figures = {**_counts(final), "status": status_text(final.status), "comment": final.comment}
    output.result(figures, _summary(final, done))
    if final.failed or final.status not in (_SUCCESS, _WARNING) or not (final.completed or final.warned):
        raise SystemExit(ExitCode.SOME_FAILED)


def _counts(progress: "RetrieveProgress") -> dict[str, object]:
    return {"completed": progress.completed, "failed": progress.failed, "warned": progress.warned}


def _summary(final: "RetrieveProgress", done: str) -> str:
    if final.status == _SUCCESS and not (final.completed or final.warned):
        return "nothing there has these UIDs"
    text = f"{counted(final.completed, 'instance')} {done}"
    text += f", {final.warned} with a warning" if final.warned else ""
    text += f", {final.failed} failed" if final.failed else ""
    if final.status != _SUCCESS:
        text += f"; status {status_text(final.status)}"
    return text + (f": {printable(final.comment)}" if final.comment else "")
