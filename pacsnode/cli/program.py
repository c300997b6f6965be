"""What all commands share: the configuration file and the options that many of them have.

Command modules import pynetdicom, pydicom and the node only inside of their functions, so that help and
completion stay quick.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pacsnode.cli.output import Output

if TYPE_CHECKING:
    from pacsnode.config import Config, Loaded
    from pacsnode.dimse.scu import Caller

_Command = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Program:
    """The options before the command."""

    config_file: Path | None = None

    def loaded(self, **overrides: object) -> "Loaded":
        """Read the configuration. `overrides` are options by the key that they set: dicom__port=104."""
        from pacsnode.config import read

        return read(
            self.config_file,
            overrides={
                _section_and_key(name): (value, _option(name))
                for name, value in overrides.items()
                if value is not None
            },
        )

    def config(self, **overrides: object) -> "Config":
        """Return the configuration as `loaded` does."""
        return self.loaded(**overrides).config


def _section_and_key(name: str) -> tuple[str, str]:
    section, _, key = name.partition("__")
    return section, key


def _option(name: str) -> str:
    return {"access__unknown_peers": "--allow-all", "storage__url": "--storage"}.get(
        name, "--" + _section_and_key(name)[1].replace("_", "-")
    )


pass_program = click.make_pass_decorator(Program, ensure=True)


def json_option(command: _Command) -> _Command:
    """Add `--json`; the command gets an `Output` as `output`."""

    @click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line, the last a result.")
    @wraps(command)
    def wrapped(*args: Any, as_json: bool, **options: Any) -> Any:
        return command(*args, output=Output(as_json=as_json), **options)

    return wrapped


@dataclass(frozen=True, slots=True)
class CallerOptions:
    """How a command that calls a peer was told to call it; None is what the configuration says."""

    calling_ae_title: str | None
    called_ae_title: str | None
    max_pdu: int | None
    timeout_seconds: float | None
    dimse_timeout_seconds: float | None

    def caller(self, config: "Config") -> "Caller":
        """Return who calls, and with which limits."""
        from pacsnode.dimse.scu import Caller

        dicom = config.dicom
        return Caller(
            ae_title=self.calling_ae_title or dicom.ae_title,
            max_pdu_bytes=self.max_pdu or dicom.max_pdu,
            acse_timeout_seconds=self.timeout_seconds or dicom.acse_timeout,
            dimse_timeout_seconds=self.dimse_timeout_seconds or dicom.dimse_timeout,
        )


_CALLER_OPTIONS = (
    click.option("-aet", "--aet", "calling_ae_title", metavar="AET", help="Call as this AE title."),
    click.option("-aec", "--aec", "called_ae_title", metavar="AET", help="Call the peer by this AE title."),
    click.option("-pdu", "--max-pdu", type=click.IntRange(4096), metavar="BYTES", help="Largest PDU to get."),
    click.option(
        "-to", "--timeout", "timeout_seconds", type=click.FloatRange(0, min_open=True), metavar="SECONDS",
        help="Time to connect and associate.",
    ),
    click.option(
        "-td", "--dimse-timeout", "dimse_timeout_seconds", type=click.FloatRange(0, min_open=True),
        metavar="SECONDS", help="Time for each response.",
    ),
)  # fmt: skip


def caller_options(command: _Command) -> _Command:
    """Add DCMTK's options for calling a peer; the command gets `CallerOptions` as `options`."""

    @wraps(command)
    def wrapped(*args: Any, **options: Any) -> Any:
        names = CallerOptions.__dataclass_fields__
        chosen = CallerOptions(**{name: options.pop(name) for name in names})
        return command(*args, options=chosen, **options)

    decorated: _Command = wrapped
    for option in reversed(_CALLER_OPTIONS):
        decorated = option(decorated)
    return decorated


def data_dir_option(command: _Command) -> _Command:
    """Add `--data-dir`, for nodes that are served without a configuration file."""
    return click.option("--data-dir", metavar="DIR", help="Folder of all that the node keeps.")(command)
