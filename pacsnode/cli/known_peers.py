"""`pacsnode peers list`: who is known, from where, and what each may do."""

from typing import TYPE_CHECKING

import click

from pacsnode.cli.output import Output, counted
from pacsnode.cli.program import Program, json_option, pass_program

if TYPE_CHECKING:
    from pacsnode.access.peer import Peer
    from pacsnode.access.sees import Sees

_COLUMNS = (
    "NAME",
    "AE TITLE",
    "CALLED AT",
    "CALLS FROM",
    "MAY",
    "AT ONCE",
    "MOVES TO",
    "SEES",
    "CHARACTER SETS",
    "SENT AS",
)


@click.group()
def peers() -> None:
    """Show who is known to this node."""


@peers.command("list")
@json_option
@pass_program
def list_peers(program: Program, *, output: Output) -> None:
    """List the peers of the configuration: from where each may call, what it may do and what it sees."""
    config = program.config()
    known = config.known_peers()
    with output.table("peer", _COLUMNS) as table:
        for peer in known:
            table.row(_cells(peer), _fields(peer))
    unknown = config.access.unknown_peers.value
    output.result(
        {"peers": len(known), "unknown_peers": unknown},
        f"{counted(len(known), 'peer')}; AE titles that no peer has may: {unknown}",
    )


def _fields(peer: "Peer") -> dict[str, object]:
    """Return what is in effect; None is no restriction."""
    return {
        "name": peer.name,
        "ae_title": peer.ae_title,
        "host": peer.host or None,
        "port": peer.port if peer.host else None,
        "calls_from": None if peer.sources is None else list(peer.sources.texts),
        "allow": _allowed(peer),
        "max_associations": peer.max_associations or None,
        "move_destinations": None if peer.move_destinations is None else sorted(peer.move_destinations),
        "sees": None if peer.sees is None else [_said(one) for one in peer.sees],
        "default_character_set": list(peer.character_sets.default) or None,
        "character_set": list(peer.character_sets.override or ()) or None,
        "transfer_syntaxes": list(peer.transfer_syntaxes) or None,
        "calling_ae_title": peer.calling_ae_title or None,
        "tls": peer.tls is not None,
        "certificate_subject": peer.tls.subject or None if peer.tls else None,
    }


def _cells(peer: "Peer") -> list[str]:
    from pacsnode.dicom.syntax_names import names_of

    destinations = "all" if peer.move_destinations is None else ", ".join(sorted(peer.move_destinations))
    sees = "all" if peer.sees is None else " or ".join(map(_sentence, peer.sees))
    return [
        peer.name,
        peer.ae_title,
        _called_at(peer),
        "anywhere" if peer.sources is None else str(peer.sources) or "nowhere",
        ", ".join(_allowed(peer)) or "nothing",
        str(peer.max_associations or "-"),
        destinations or "none",
        sees or "nothing",
        _character_sets(peer),
        names_of(peer.transfer_syntaxes) if peer.transfer_syntaxes else "stored",
    ]


def _called_at(peer: "Peer") -> str:
    if not peer.host:
        return "-"
    at = f"{peer.host}:{peer.port}"
    if peer.tls:
        at += f" TLS ({peer.tls.subject})" if peer.tls.subject else " TLS"
    return f"{at} as {peer.calling_ae_title}" if peer.calling_ae_title else at


def _character_sets(peer: "Peer") -> str:
    rule = peer.character_sets
    if rule.override is not None:
        return f"always {_joined(rule.override)}"
    return f"as said, else {_joined(rule.default)}" if rule.default else "as said"


def _joined(character_sets: tuple[str, ...]) -> str:
    return "\\".join(character_sets)


def _allowed(peer: "Peer") -> list[str]:
    from pacsnode.access.peer import Service

    return [service.value for service in Service if service in peer.allow]


def _said(sees: "Sees") -> dict[str, object]:
    """Return what a table of `sees` says, without what it leaves open."""
    values = {key: getattr(sees, key) for key in type(sees).__dataclass_fields__}
    return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items() if value}


def _sentence(sees: "Sees") -> str:
    return " and ".join(
        key.replace("_", " ") if value is True else f"{key.replace('_', ' ')} {', '.join(value)}"  # type: ignore[arg-type]
        for key, value in _said(sees).items()
    )
