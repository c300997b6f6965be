"""Who this node is to whom: its further AE titles, its peers, and what each may do and see."""

from dataclasses import replace
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from pacsnode.access.addresses import EXPECTED, Sources, is_host, network
from pacsnode.access.peer import ALL_SERVICES, CalledTitle, Peer, Service
from pacsnode.access.policy import UnknownPeers
from pacsnode.access.sees import Sees
from pacsnode.config.values import AETitle, AETitles, Section, Texts, WholeNumber, listed, separated
from pacsnode.dicom.character_sets import (
    WITH_CODE_EXTENSIONS,
    WITHOUT_CODE_EXTENSIONS,
    CharacterSetRule,
    are_defined,
)
from pacsnode.dicom.syntax_names import transfer_syntax
from pacsnode.duplicates import DuplicatePolicy
from pacsnode.tls import ClientTLS

_WITHOUT_FILES = ClientTLS()


def _one_or_several(value: object) -> object:
    """Take one for a list of it: a table where several tables may stand."""
    return [value] if isinstance(value, dict) else value


def _source(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected {EXPECTED}")
    network(value)
    return value


def _character_sets(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value or not are_defined(value):
        raise ValueError(
            f"expected one of {', '.join(sorted(WITHOUT_CODE_EXTENSIONS))}, or a list of "
            f"{', '.join(sorted(WITH_CODE_EXTENSIONS))}, the first of which may be empty"
        )
    return value


TransferSyntaxes = Annotated[
    tuple[str, ...], BeforeValidator(listed), AfterValidator(lambda value: tuple(map(transfer_syntax, value)))
]
Source = Annotated[str, BeforeValidator(_source)]
CharacterSets = Annotated[tuple[str, ...], BeforeValidator(separated), AfterValidator(_character_sets)]


class AccessSection(Section):
    """Who may do what."""

    unknown_peers: UnknownPeers = UnknownPeers.ECHO
    """What AE titles without [[peers]] may do: "none", "echo", "echo+store" or "all"."""
    check_peer_host: bool = False
    """Whether a peer without addresses may call from its host only, true or false."""


class SeesSection(Section):
    """What is seen: all that one table says must hold."""

    institution: Texts = ()
    """Values of Institution Name, a list; * and ? are wildcards."""
    department: Texts = ()
    """Values of Institutional Department Name, a list; * and ? are wildcards."""
    issuer: Texts = ()
    """Values of Issuer of Patient ID, a list; * and ? are wildcards."""
    sent_by: AETitles = ()
    """AE titles that have sent the images, a list."""
    own_sends: bool = False
    """Whether the requester sees what it has sent itself, true or false."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.sees() == Sees():
            keys = ", ".join(type(self).model_fields)
            raise ValueError(f"a table of sees needs one of {keys}; leave sees out to show everything")
        return self

    def sees(self) -> Sees:
        """Return it as the access policy knows it."""
        return Sees(self.institution, self.department, self.issuer, self.sent_by, self.own_sends)


SeesTables = Annotated[tuple[SeesSection, ...], BeforeValidator(_one_or_several)]


def _sees(tables: tuple[SeesSection, ...] | None) -> tuple[Sees, ...] | None:
    return None if tables is None else tuple(table.sees() for table in tables)


class AETitleSection(Section):
    """One further AE title of this node, with rules of its own."""

    ae_title: AETitle
    """A further AE title that this node answers to, 1 to 16 printable ASCII characters."""
    aliases: AETitles = ()
    """AE titles that mean the same, a list."""
    duplicates: DuplicatePolicy | None = None
    """Known UIDs with other content: "keep-both", "replace", "keep-first", "refuse"; else storage.duplicates."""
    sees: SeesTables | None = None
    """What those who call it find and retrieve: a table, or a list of tables of which one suffices."""

    def called_title(self) -> CalledTitle:
        """Return it as the access policy knows it."""
        return CalledTitle(self.ae_title, self.aliases, _sees(self.sees))


class PeerSection(Section):
    """One remote Application Entity."""

    name: Annotated[str, Field(max_length=64)] = ""
    """Name on the command line and in logs; no "@", ":" or spaces; the AE title if not given."""
    ae_title: AETitle
    """AE title of the peer, 1 to 16 printable ASCII characters."""
    host: str = ""
    """Host name or address to call it at; without one it is never called."""
    port: Annotated[WholeNumber, Field(ge=1, le=65535)] = 104
    """TCP port to call it at, 1 to 65535."""
    allow: Annotated[frozenset[Service], BeforeValidator(listed)] = ALL_SERVICES
    """What it may ask for, a list of "echo", "store", "find", "move", "get", "commit"."""
    strict_hierarchy: bool = False
    """Whether queries without the unique keys above their level are refused, true or false."""
    return_unknown_keys: bool = False
    """Whether keys that are not supported come back empty instead of being left out, true or false."""
    default_character_set: CharacterSets | None = None
    """Specific Character Set of its files and queries that name none, such as "ISO_IR 100", or a list."""
    character_set: CharacterSets | None = None
    """Specific Character Set of its files and queries, whatever they name, and of all answers to it, or a list."""
    addresses: Annotated[tuple[Source, ...] | None, BeforeValidator(listed)] = None
    """From where it may call, a list of IP addresses, networks ("10.0.0.0/24") and host names."""
    max_associations: Annotated[WholeNumber, Field(ge=0, le=10_000)] = 0
    """Its associations at the same time, instead of limits.per_ae; 0 is what that says. C-MOVE sends over as many."""
    move_destinations: Annotated[tuple[str, ...] | None, BeforeValidator(listed)] = None
    """Names of the peers that it may have images sent to (C-MOVE), a list; else all that have a host."""
    sees: SeesTables | None = None
    """What it finds and retrieves: a table, or a list of tables of which one suffices; else everything."""
    transfer_syntaxes: TransferSyntaxes = ()
    """What it is sent, a list of names or UIDs in order of preference; else as stored, else uncompressed."""
    calling_ae_title: AETitle | None = None
    """AE title of ours that it is called with, 1 to 16 printable ASCII characters; else what a C-MOVE came to."""
    tls: bool = False
    """Whether it is called with TLS, true or false."""
    certificate_subject: Annotated[str, Field(max_length=64)] = ""
    """A name in its certificate, which need not be for its host then; up to 64 characters."""

    @field_validator("host")
    @classmethod
    def _is_a_host(cls, value: str) -> str:
        if value and not is_host(value):
            raise ValueError("expected an IP address or a host name")
        return value

    @field_validator("name")
    @classmethod
    def _is_no_address(cls, value: str) -> str:
        if any(char in "@:" or char.isspace() for char in value):
            raise ValueError('expected a name without "@", ":" and spaces')
        return value

    @model_validator(mode="after")
    def _has_a_certificate(self) -> Self:
        if self.certificate_subject and not self.tls:
            raise ValueError("certificate_subject is for peers that are called with tls = true")
        return self

    def sources(self, *, check_host: bool) -> Sources | None:
        """Return from where it may call; None is from anywhere."""
        if self.addresses is not None:
            return Sources.parse(self.addresses)
        return Sources.parse((self.host,), key="host") if check_host and self.host else None

    def peer(self, *, check_host: bool = False, tls: ClientTLS = _WITHOUT_FILES) -> Peer:
        """Return the peer as the access policy knows it; `tls` are the files for those that are called with TLS."""
        destinations = self.move_destinations
        return Peer(
            name=self.name or self.ae_title,
            ae_title=self.ae_title,
            host=self.host,
            port=self.port,
            allow=self.allow,
            strict_hierarchy=self.strict_hierarchy,
            return_unknown_keys=self.return_unknown_keys,
            character_sets=CharacterSetRule(self.character_set, self.default_character_set or ()),
            sources=self.sources(check_host=check_host),
            max_associations=self.max_associations,
            move_destinations=None if destinations is None else frozenset(destinations),
            sees=_sees(self.sees),
            transfer_syntaxes=self.transfer_syntaxes,
            calling_ae_title=self.calling_ae_title or "",
            tls=replace(tls, subject=self.certificate_subject) if self.tls else None,
        )
