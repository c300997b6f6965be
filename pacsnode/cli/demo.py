"""`pacsnode demo`."""

import click

from pacsnode.cli.exit_codes import ExitCode
from pacsnode.cli.output import Output
from pacsnode.cli.program import json_option


@click.command()
@click.option(
    "--exit", "exits", is_flag=True, help="End after the last step instead of serving until Ctrl-C."
)
@click.option("--keep", is_flag=True, help="Keep the temporary folder.")
@json_option
def demo(*, output: Output, exits: bool, keep: bool) -> None:
    """Try it: a node in a temporary folder that sends itself synthetic studies.

    It stores, finds, gets and moves them, compares every byte, and says at each step what to type to do so.
    """
    from pacsnode.demo.tour import run_demo

    def say(step: str, text: str, figures: dict[str, object]) -> None:
        output.item("step", {"step": step, "text": text, **figures}, text)

    succeeded = run_demo(say, exits=exits, keeps=keep)
    output.result({"succeeded": succeeded}, None)
    if not succeeded:
        raise SystemExit(ExitCode.PROBLEMS_FOUND)
