"""`pacsnode find`."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from pacsnode.cli.output import Output, counted
from pacsnode.cli.peers import refused
from pacsnode.cli.program import (
    CallerOptions,
    Program,
    caller_options,
    data_dir_option,
    json_option,
    pass_program,
)

if TYPE_CHECKING:
    from pydicom import Dataset

    from pacsnode.dicom.query import Options

_NOUNS = {"PATIENT": "patient", "STUDY": "study", "SERIES": "series", "IMAGE": "instance"}


def _negotiation_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--relational", is_flag=True, help="Propose relational queries."),
        click.option(
            "--combined-date-time", is_flag=True, help="Propose to match a date and its time as one moment."
        ),
        click.option(
            "--fuzzy", "fuzzy_names", is_flag=True, help="Propose fuzzy matching of person names: words."
        ),
        click.option(
            "--timezone", metavar="OFFSET", help="Propose that times are in this time zone, as +0100."
        ),
        click.option(
            "--empty-value", is_flag=True, help="Propose that KEY='\"\"' asks for what has no value."
        ),
        click.option(
            "--multiple-value", is_flag=True, help="Propose that each of several values must be there."
        ),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("peer", required=False)
@click.option(
    "-k", "--key", "keys", multiple=True, metavar="KEY[=VALUE]", help="Attribute to match or to show."
)
@click.option(
    "--level",
    type=click.Choice(["patient", "study", "series", "image"]),
    default=None,
    help="Default: study.",
)
@click.option("--model", type=click.Choice(["study", "patient"]), default=None, help="Information model.")
@click.option("-P", "model", flag_value="patient", hidden=True)
@click.option("-S", "model", flag_value="study", hidden=True)
@_negotiation_options
@click.option(
    "--explain",
    is_flag=True,
    help="Ask nobody: show how this node would understand the query, its SQL and the plan.",
)
@data_dir_option
@caller_options
@json_option
@pass_program
def find(
    program: Program,
    /,
    *,
    output: Output,
    options: CallerOptions,
    peer: str | None,
    keys: tuple[str, ...],
    level: str | None,
    model: str | None,
    explain: bool,
    data_dir: str | None,
    timezone: str | None,
    **proposed: bool,
) -> None:
    """Query a peer (C-FIND).

    A KEY is a keyword or a tag: -k StudyDate=2020- -k PatientName='DOE*' -k 0010,0020. A key without a value
    is shown and not matched. Dates may be short: 2020, 202003, 2020-03-31, 2019-2020. What is within a sequence
    has a path: -k RequestAttributesSequence.RequestedProcedureID=1.
    """
    from pacsnode.cli.identifier import query_identifier
    from pacsnode.dicom.query import Options

    if explain == (peer is not None):
        raise click.UsageError(
            "--explain asks nobody, it is about this node: leave out the PEER"
            if peer
            else "which PEER is to be asked?"
        )
    asked_keys = (*keys, f"TimezoneOffsetFromUTC={timezone}") if timezone else keys
    identifier = query_identifier((level or "study").upper(), asked_keys)
    patient_root = (model or ("patient" if level == "patient" else "study")) == "patient"
    wanted = Options(timezone_adjustment=timezone is not None, **proposed)
    if peer is None:
        from pacsnode.cli.explain import explain_query

        config = program.config(node__data_dir=data_dir)
        explain_query(
            output,
            config,
            identifier,
            wanted,
            patient_root=patient_root,
            calling_ae_title=options.calling_ae_title or "",
            called_ae_title=options.called_ae_title or "",
        )
    else:
        _ask(program, output, options, peer, identifier, wanted, patient_root=patient_root)


def _ask(
    program: Program,
    output: Output,
    options: CallerOptions,
    peer: str,
    identifier: "Dataset",
    wanted: "Options",
    *,
    patient_root: bool,
) -> None:
    from pacsnode.cli.identifier import shown_keywords, text_values
    from pacsnode.dimse import scu

    config = program.config()
    called = options.called(peer, config)
    columns = shown_keywords(identifier)
    matches, declined = 0, list[str]()
    answers = scu.find(
        options.caller(config, peer),
        called,
        identifier,
        patient_root=patient_root,
        options=wanted,
        on_agreed=lambda agreed: declined.extend(_declined(wanted, agreed)),
    )
    try:
        with output.table("match", columns) as table:
            for answer in answers:
                matches += 1
                values = text_values(answer)
                table.row([_cell(values.get(column, "")) for column in columns], values)
    except scu.RemoteFailure as failure:
        raise refused(called, failure) from None
    noun = _NOUNS[str(identifier.QueryRetrieveLevel)]
    without = f"; {called.ae_title} does not do {' and '.join(declined)}" if declined else ""
    output.result(
        {"matches": matches} | ({"declined": declined} if declined else {}),
        f"{counted(matches, noun)} found at {called.ae_title}{without}",
    )


def _declined(wanted: "Options", agreed: "Options") -> list[str]:
    """Return what was proposed and is not agreed upon, in words."""
    from pacsnode.dicom.wording import OPTION_NAMES

    return [
        name for field, name in OPTION_NAMES.items() if getattr(wanted, field) and not getattr(agreed, field)
    ]


def _cell(value: Any) -> str:
    """Return a value for a column: several with a backslash, items of a sequence with a semicolon."""
    if isinstance(value, str):
        return value
    if any(isinstance(one, dict) for one in value):
        return "; ".join(", ".join(f"{key}={_cell(text)}" for key, text in item.items()) for item in value)
    return "\\".join(value)
