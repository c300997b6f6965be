"""`pacsnode echo`."""

import click

from pacsnode.cli.output import Output
from pacsnode.cli.peers import refused
from pacsnode.cli.program import CallerOptions, Program, caller_options, json_option, pass_program


@click.command()
@click.argument("peer")
@caller_options
@json_option
@pass_program
def echo(program: Program, *, output: Output, options: CallerOptions, peer: str) -> None:
    """Ask a peer whether it answers (C-ECHO)."""
    from pacsnode.dimse import scu

    config = program.config()
    called = options.called(peer, config)
    try:
        seconds = scu.echo(options.caller(config, peer), called)
    except scu.RemoteFailure as failure:
        raise refused(called, failure) from None
    output.result(
        {"ae_title": called.ae_title, "host": called.host, "port": called.port, "seconds": round(seconds, 6)},
        f"{called.ae_title} at {called.host}:{called.port} answered in {seconds * 1000:.1f} ms",
    )
