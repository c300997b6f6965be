"""The `pacsnode` command: finds the command's module, and turns what ends it into an exit code."""

import importlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import click

from pacsnode import __version__
from pacsnode.cli.exit_codes import ExitCode, exit_code
from pacsnode.cli.program import Program
from pacsnode.errors import PacsNodeError


@dataclass(frozen=True, slots=True)
class _Entry:
    """Where a command is, and its line in the list of commands."""

    module: str
    attribute: str
    summary: str


# The lines of help stand here so that the list of commands imports no command.
_COMMANDS = {
    "serve": _Entry("serve", "serve", "Receive, keep, find and give back images until it is stopped."),
    "demo": _Entry("demo", "demo", "Try it: a node in a temporary folder that sends itself studies."),
    "config": _Entry("config", "config", "Write, check and show the configuration."),
    "echo": _Entry("echo", "echo", "Ask a peer whether it answers (C-ECHO)."),
    "send": _Entry("send", "send", "Send files or folders to a peer (C-STORE)."),
    "find": _Entry("find", "find", "Query a peer (C-FIND)."),
    "get": _Entry("retrieve", "get", "Fetch images from a peer into a folder (C-GET)."),
    "move": _Entry("retrieve", "move", "Have a peer send images to another one (C-MOVE)."),
    "status": _Entry("status", "status", "Show how the node that runs is, and exit 4 if anything is wrong."),
    "studies": _Entry("studies", "studies", "List the studies of this node."),
    "show": _Entry(
        "studies", "show", "Show a study, series or instance of this node, and where its bytes are."
    ),
    "spool": _Entry("spool", "spool", "Show what is received and not yet in the storage."),
    "peers": _Entry("known_peers", "peers", "List who is known to this node, and what each may do."),
    "storage": _Entry("storage", "storage", "Check what is stored."),
    "state": _Entry("state", "state", "Check what must not be forgotten, list its copies, and restore one."),
    "manual": _Entry("manual", "manual", "Read the manual."),
    "completion": _Entry("manual", "completion", "Print the completion script for a shell."),
}


class _Commands(click.Group):
    """Imports a command's module when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        entry = _COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module = importlib.import_module(f"pacsnode.cli.{entry.module}")
        command = getattr(module, entry.attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in _COMMANDS.items()])


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    "config_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Configuration file; else $PACSNODE_CONFIG, ./config.toml, /etc/pacsnode/config.toml.",
)
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.pass_context
def pacsnode(ctx: click.Context, config_file: Path | None) -> None:
    """A DICOM archive node: receives, keeps, finds and gives back images.

    A PEER is a name from the configuration or AET@host:port. `pacsnode manual` explains the rest.
    """
    ctx.obj = Program(config_file)


def run() -> NoReturn:
    """Run the command that was typed, and exit."""
    try:
        code = pacsnode.main(prog_name="pacsnode", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        _exit(error.exit_code, error.format_message())
    except PacsNodeError as error:
        click.echo(f"pacsnode: {error}", err=True)
        _exit(exit_code(error), str(error))
    except click.Abort:  # Ctrl-C
        _exit(ExitCode.INTERRUPTED, "interrupted")
    except BrokenPipeError:
        # The reader has gone, as in `pacsnode find ... | head`: nothing more can be said, at exit neither.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(ExitCode.UNEXPECTED)
    sys.exit(code if isinstance(code, int) else ExitCode.DONE)


def _exit(code: int, reason: str) -> NoReturn:
    if "--json" in sys.argv:
        click.echo(json.dumps({"result": {"error": reason, "exit_code": int(code)}}))
    sys.exit(code)
