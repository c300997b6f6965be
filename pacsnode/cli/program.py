"""What all commands share: the configuration file and the options that many of them have.

Command modules import pynetdicom, pydicom and the node only inside of their functions, so that help and
completion stay quick.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pacsnode.cli.output import Output

if TYPE_CHECKING:
    from pacsnode.config import Config, Loaded
    from pacsnode.dimse.scu import Caller, Remote
    from pacsnode.tls import ClientTLS

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
    with_tls: bool
    tls_ca: Path | None
    tls_certificate: Path | None
    tls_key: Path | None

    def called(self, peer: str, config: "Config") -> "Remote":
        """Return the peer that is meant by its name or address; raises `ConfigError` for files that TLS cannot use."""
        from pacsnode.cli.peers import remote
        from pacsnode.tls import client_context

        called = remote(peer, config, called_ae_title=self.called_ae_title)
        tls = self._tls(config, called.tls)
        if tls is not None:
            client_context(tls)
        return replace(called, tls=tls)

    def _tls(self, config: "Config", configured: "ClientTLS | None") -> "ClientTLS | None":
        own = (self.tls_certificate, self.tls_key)
        if not (self.with_tls or self.tls_ca or any(own)):
            return configured
        tls = configured or config.dicom.tls.client()
        if any(own):  # they belong together
            tls = replace(tls, certificate=self.tls_certificate, private_key=self.tls_key)
        return replace(tls, ca=self.tls_ca) if self.tls_ca else tls

    def caller(self, config: "Config", peer: str) -> "Caller":
        """Return who calls the peer, and with which limits."""
        from pacsnode.dimse.scu import Caller

        dicom, known = config.dicom, config.peer(peer)
        return Caller(
            ae_title=self.calling_ae_title or (known and known.calling_ae_title) or dicom.ae_title,
            max_pdu_bytes=self.max_pdu or dicom.max_pdu,
            acse_timeout_seconds=self.timeout_seconds or dicom.acse_timeout,
            dimse_timeout_seconds=self.dimse_timeout_seconds or dicom.dimse_timeout,
        )


_FILE = click.Path(dir_okay=False, path_type=Path)
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
    click.option("--tls", "with_tls", is_flag=True, help="Call with TLS, with the files of [dicom.tls]."),
    click.option("--tls-ca", type=_FILE, metavar="FILE", help="Authorities to trust, PEM; implies --tls."),
    click.option("--tls-certificate", type=_FILE, metavar="FILE", help="Certificate of ours, PEM."),
    click.option("--tls-key", type=_FILE, metavar="FILE", help="Private key of it, PEM, mode 0600."),
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
