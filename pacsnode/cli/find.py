"""`pacsnode find`."""

import click

from pacsnode.cli.output import Output, counted
from pacsnode.cli.peers import refused, remote
from pacsnode.cli.program import CallerOptions, Program, caller_options, json_option, pass_program

_NOUNS = {"PATIENT": "patient", "STUDY": "study", "SERIES": "series", "IMAGE": "instance"}


@click.command()
@click.argument("peer")
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
@caller_options
@json_option
@pass_program
def find(
    program: Program,
    *,
    output: Output,
    options: CallerOptions,
    peer: str,
    keys: tuple[str, ...],
    level: str | None,
    model: str | None,
) -> None:
    """Query a peer (C-FIND).

    A KEY is a keyword or a tag: -k StudyDate=2020- -k PatientName='DOE*' -k 0010,0020. A key without a value
    is shown and not matched. Dates may be short: 2020, 202003, 2020-03-31, 2019-2020.
    """
    from pacsnode.cli.identifier import query_identifier, shown_keywords, text_values
    from pacsnode.dimse import scu

    config = program.config()
    called = remote(peer, config, called_ae_title=options.called_ae_title)
    patient_root = (model or ("patient" if level == "patient" else "study")) == "patient"
    identifier = query_identifier((level or "study").upper(), keys)
    columns = shown_keywords(identifier)
    matches = 0
    try:
        with output.table("match", columns) as table:
            for answer in scu.find(options.caller(config), called, identifier, patient_root=patient_root):
                matches += 1
                values = text_values(answer)
                table.row([_cell(values.get(column, "")) for column in columns], values)
    except scu.RemoteFailure as failure:
        raise refused(called, failure) from None
    noun = _NOUNS[str(identifier.QueryRetrieveLevel)]
    output.result({"matches": matches}, f"{counted(matches, noun)} found at {called.ae_title}")


def _cell(value: str | list[str]) -> str:
    return value if isinstance(value, str) else "\\".join(value)
