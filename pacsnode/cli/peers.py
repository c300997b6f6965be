"""A peer on the command line: a name from the configuration, `AET@host:port`, or `host:port` with `-aec`."""

import re
from typing import TYPE_CHECKING

import click

from pacsnode.access.peer import comparable_ae_title, is_ae_title
from pacsnode.cli.exit_codes import CommandFailed, ExitCode
from pacsnode.cli.output import printable

if TYPE_CHECKING:
    from pacsnode.config import Config
    from pacsnode.dimse.scu import Remote, RemoteFailure

_OUT_OF_RESOURCES = 0xA700
_ADDRESS = re.compile(
    r"(?:(?P<ae_title>.*)@)?(?P<host>\[[0-9A-Fa-f:.]+\]|[^@:\[\]\s]+):(?P<port>[0-9]{1,5})", re.ASCII
)


def parse_address(text: str) -> tuple[str | None, str, int] | None:
    """Return AE title (None without one), host and port; None if the text is no address."""
    match = _ADDRESS.fullmatch(text)
    if match is None:
        return None
    port = int(match["port"])
    ae_title = match["ae_title"]
    if not 1 <= port <= 65535:
        raise click.BadParameter(f"{port} is not a port: 1 to 65535")
    return ae_title, match["host"].strip("[]"), port


def remote(text: str, config: "Config", *, called_ae_title: str | None = None) -> "Remote":
    """Return the peer that the text means; `called_ae_title` wins over its own AE title."""
    from pacsnode.dimse.scu import Remote

    address = parse_address(text)
    if address is not None:
        ae_title, host, port = address
        title = called_ae_title or ae_title
        if title is None:
            raise click.UsageError(
                f"which AE title is to be called at {text}? write AET@{text}, or use -aec AET"
            )
        return Remote(checked_ae_title(title), host, port)
    peer = config.peer(text)
    if peer is None:
        names = ", ".join(sorted(section.peer().name for section in config.peers)) or "none"
        raise click.UsageError(
            f"no peer {text!r}: write AET@host:port, or a name from the configuration ({names})"
        )
    if not peer.is_destination:
        raise click.UsageError(f"peer {text!r} has no host in the configuration, so it cannot be called")
    return Remote(checked_ae_title(called_ae_title or peer.ae_title), peer.host, peer.port, peer.tls)


def refused(called: "Remote", failure: "RemoteFailure") -> CommandFailed:
    """Return how a command ends that a peer answered with a failure status."""
    is_temporary = failure.status & 0xFF00 == _OUT_OF_RESOURCES
    code = ExitCode.TRY_LATER if is_temporary else ExitCode.SOME_FAILED
    return CommandFailed(f"{called.ae_title} answers with {printable(str(failure))}", code)


def checked_ae_title(text: str) -> str:
    """Return the AE title, or end with what is wrong about it."""
    ae_title = comparable_ae_title(text)
    if not is_ae_title(ae_title):
        raise click.BadParameter(
            f"{text!r} is not an AE title: 1 to 16 printable ASCII characters, no backslash"
        )
    return ae_title
