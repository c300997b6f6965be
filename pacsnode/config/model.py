"""Every key that exists, its type, its default and what it means.

The descriptions are what the administrator reads in error messages, in `pacsnode config show` and in the JSON
Schema; `config.example.toml` says the same at length. Durations are float seconds and sizes int bytes,
whatever unit they were written with. Relative paths are below `node.data_dir`.
"""

import os
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import quote, unquote, urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from pacsnode.access.addresses import EXPECTED, Sources, is_host, network
from pacsnode.access.peer import ALL_SERVICES, CalledTitle, Peer, Service, comparable_ae_title, is_ae_title
from pacsnode.access.policy import Policy, UnknownPeers
from pacsnode.access.sees import Sees
from pacsnode.config.quantities import Duration, Size
from pacsnode.duplicates import DuplicatePolicy

# Specific Character Set, Defined Terms without code extensions and with several bytes (PS3.3 C.12.1.1.2).
_CHARACTER_SETS = frozenset(
    f"ISO_IR {n}" for n in (13, 100, 101, 109, 110, 126, 127, 138, 144, 148, 166, 192, 203)
) | {
    "GB18030",
    "GBK",
}


class LogLevel(Enum):
    """The least severe messages that are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(Enum):
    """How a log line looks."""

    AUTO = "auto"
    TEXT = "text"
    JSON = "json"
    JOURNALD = "journald"


def _ae_title(value: object) -> str:
    if not isinstance(value, str) or not is_ae_title(comparable_ae_title(value)):
        raise ValueError("expected an AE title: 1 to 16 printable ASCII characters, no backslash")
    return comparable_ae_title(value)


def _no_boolean(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("expected a whole number")
    return value


def _list(value: object) -> object:
    """Split what stands in an environment variable, where a list is written with commas."""
    return [item.strip() for item in value.split(",") if item.strip()] if isinstance(value, str) else value


def _one_or_several(value: object) -> object:
    """Take one for a list of it: a table where several tables may stand."""
    return [value] if isinstance(value, dict) else value


def _source(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected {EXPECTED}")
    network(value)
    return value


class PlacedError(ValueError):
    """A mistake that shows only beside other keys. `location` is the key that it is to be told at."""

    def __init__(self, message: str, *location: str | int) -> None:
        super().__init__(message)
        self.location = location


AETitle = Annotated[str, BeforeValidator(_ae_title)]
Source = Annotated[str, BeforeValidator(_source)]
Text = Annotated[str, Field(min_length=1, max_length=64)]
Texts = Annotated[tuple[Text, ...], BeforeValidator(_list)]
AETitles = Annotated[tuple[AETitle, ...], BeforeValidator(_list)]
WholeNumber = Annotated[int, BeforeValidator(_no_boolean)]
Port = Annotated[WholeNumber, Field(ge=0, le=65535)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


def default_data_dir() -> Path:
    """Return where a node keeps its data unless told otherwise.

    systemd's StateDirectory= if there is one; /var/lib/pacsnode for root; else the user's data directory by
    the XDG Base Directory Specification.
    """
    if state_directory := os.environ.get("STATE_DIRECTORY"):
        return Path(state_directory.split(":", 1)[0])
    if os.geteuid() == 0:
        return Path("/var/lib/pacsnode")
    data_home = os.environ.get("XDG_DATA_HOME", "")
    return (Path(data_home) if os.path.isabs(data_home) else Path.home() / ".local" / "share") / "pacsnode"


class NodeSection(_Section):
    """The node itself."""

    name: Annotated[str, Field(min_length=1, max_length=64)] = "pacsnode"
    """Name of this node in its JSON log lines, 1 to 64 characters."""
    data_dir: Path = Field(default_factory=default_data_dir)
    """Folder of all that the node keeps, on a local disk."""

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()


class DicomSection(_Section):
    """The DICOM side."""

    ae_title: AETitle = "PACSNODE"
    """AE title of this node, 1 to 16 printable ASCII characters."""
    ae_title_aliases: Annotated[tuple[AETitle, ...], BeforeValidator(_list)] = ()
    """Further AE titles that it answers to, a list."""
    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    """Address to listen on; "0.0.0.0" or "::" is every interface."""
    port: Port = 11112
    """TCP port to listen on, 0 to 65535; 0 takes a free one."""
    workers: Annotated[WholeNumber, Field(ge=1, le=64)] = 1
    """Processes that serve associations, 1 to 64; each can use one processor core."""
    max_associations: Annotated[WholeNumber, Field(ge=1, le=10_000)] = 100
    """Associations at the same time, 1 to 10000; further ones are rejected as temporary."""
    max_pdu: Annotated[Size, Field(ge=4_096, le=16_777_216)] = 262_144
    """Largest PDU that is received, "4 KiB" to "16 MiB"."""
    acse_timeout: Annotated[Duration, Field(gt=0, le=3_600)] = 10.0
    """Time for a peer to associate or release, up to "1h"."""
    dimse_timeout: Annotated[Duration, Field(gt=0, le=86_400)] = 120.0
    """Time for a peer's response to a request of ours, up to "24h"."""
    network_timeout: Annotated[Duration, Field(gt=0, le=86_400)] = 900.0
    """Time an association may be idle between messages, up to "24h"."""
    check_called_ae: bool = True
    """Whether associations that call another AE title are rejected, true or false."""
    private_sop_classes: bool = True
    """Whether storage of private SOP classes is accepted, true or false."""


class LimitsSection(_Section):
    """What one peer may ask of the node."""

    max_dataset: Annotated[Size, Field(ge=1 << 20)] = 4 << 30
    """Largest data set that is received, at least "1 MiB"."""
    per_ip: Annotated[WholeNumber, Field(ge=0)] = 0
    """Associations at the same time from one address; 0 is no limit but dicom.max_associations."""
    per_ae: Annotated[WholeNumber, Field(ge=0)] = 0
    """Associations at the same time of one calling AE title; 0 is no limit but dicom.max_associations."""
    pre_association: Annotated[WholeNumber, Field(ge=1, le=100_000)] = 1_000
    """Connections that have not sent their whole request, 1 to 100000; the longest silent one gives way."""


class AccessSection(_Section):
    """Who may do what."""

    unknown_peers: UnknownPeers = UnknownPeers.ECHO
    """What AE titles without [[peers]] may do: "none", "echo", "echo+store" or "all"."""
    check_peer_host: bool = False
    """Whether a peer without addresses may call from its host only, true or false."""


class SeesSection(_Section):
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


class AETitleSection(_Section):
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


class PeerSection(_Section):
    """One remote Application Entity."""

    name: Annotated[str, Field(max_length=64)] = ""
    """Name on the command line and in logs; no "@", ":" or spaces; the AE title if not given."""
    ae_title: AETitle
    """AE title of the peer, 1 to 16 printable ASCII characters."""
    host: str = ""
    """Host name or address to call it at; without one it is never called."""
    port: Annotated[WholeNumber, Field(ge=1, le=65535)] = 104
    """TCP port to call it at, 1 to 65535."""
    allow: Annotated[frozenset[Service], BeforeValidator(_list)] = ALL_SERVICES
    """What it may ask for, a list of "echo", "store", "find", "move", "get", "commit"."""
    strict_hierarchy: bool = False
    """Whether queries without the unique keys above their level are refused, true or false."""
    return_unknown_keys: bool = False
    """Whether keys that are not supported come back empty instead of being left out, true or false."""
    character_set: str | None = None
    """Specific Character Set of all answers to it, such as "ISO_IR 192" or "ISO_IR 100"."""
    addresses: Annotated[tuple[Source, ...] | None, BeforeValidator(_list)] = None
    """From where it may call, a list of IP addresses, networks ("10.0.0.0/24") and host names."""
    max_associations: Annotated[WholeNumber, Field(ge=0, le=10_000)] = 0
    """Its associations at the same time, instead of limits.per_ae; 0 is what that says."""
    move_destinations: Annotated[tuple[str, ...] | None, BeforeValidator(_list)] = None
    """Names of the peers that it may have images sent to (C-MOVE), a list; else all that have a host."""
    sees: SeesTables | None = None
    """What it finds and retrieves: a table, or a list of tables of which one suffices; else everything."""

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

    @field_validator("character_set")
    @classmethod
    def _is_a_defined_term(cls, value: str | None) -> str | None:
        if value is not None and value not in _CHARACTER_SETS:
            raise ValueError(f"expected one of {', '.join(sorted(_CHARACTER_SETS))}")
        return value

    def sources(self, *, check_host: bool) -> Sources | None:
        """Return from where it may call; None is from anywhere."""
        if self.addresses is not None:
            return Sources.parse(self.addresses)
        return Sources.parse((self.host,), key="host") if check_host and self.host else None

    def peer(self, *, check_host: bool = False) -> Peer:
        """Return the peer as the access policy knows it."""
        destinations = self.move_destinations
        return Peer(
            name=self.name or self.ae_title,
            ae_title=self.ae_title,
            host=self.host,
            port=self.port,
            allow=self.allow,
            strict_hierarchy=self.strict_hierarchy,
            return_unknown_keys=self.return_unknown_keys,
            character_set=self.character_set,
            sources=self.sources(check_host=check_host),
            max_associations=self.max_associations,
            move_destinations=None if destinations is None else frozenset(destinations),
            sees=_sees(self.sees),
        )


class StorageSection(_Section):
    """Where the images end up."""

    url: str = ""
    """Where images are kept: "file:///folder" or "memory:"; else the folder archive below node.data_dir."""
    duplicates: DuplicatePolicy = DuplicatePolicy.KEEP_BOTH
    """A known UID with other content: "keep-both", "replace", "keep-first" or "refuse"."""

    @field_validator("url")
    @classmethod
    def _exists_in_this_release(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme == "gs":
            raise ValueError("cloud buckets are not in this release; use file:/// for a directory")
        if value in ("", "memory:"):
            return value
        if parts.scheme != "file" or parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
            raise ValueError('expected "file:///absolute/folder" or "memory:"')
        return value

    @property
    def directory(self) -> Path | None:
        """The folder of a `file:` URL; None for `memory:`."""
        return Path(unquote(urlsplit(self.url).path)) if self.url.startswith("file:") else None


class SpoolSection(_Section):
    """Where images are durable before they are acknowledged."""

    path: Path = Path("spool")
    """Folder of the spool, on a local disk; relative to node.data_dir."""
    min_free: Size = 1 << 30
    """Free space below which images are refused with 0xA700."""


class IndexSection(_Section):
    """The index that answers queries."""

    path: Path = Path("index")
    """Folder of the index, on a local disk; relative to node.data_dir."""
    max_find_results: Annotated[WholeNumber, Field(ge=0)] = 0
    """Matches above which a C-FIND is refused with 0xA700; 0 is no limit."""


class LoggingSection(_Section):
    """What the node writes to standard error."""

    level: LogLevel = LogLevel.INFO
    """Least severe messages written: "debug", "info", "warning" or "error"."""
    format: LogFormat = LogFormat.AUTO
    """How a line looks: "auto" (journald where there is one, else text), "text", "json" or "journald"."""
    patient_data: bool = False
    """Whether lines at debug, and texts of unexpected errors, may name patients, true or false."""


class Config(_Section):
    """The whole configuration. Paths are absolute and `storage.url` is never empty."""

    node: NodeSection = Field(default_factory=NodeSection)
    dicom: DicomSection = Field(default_factory=DicomSection)
    limits: LimitsSection = Field(default_factory=LimitsSection)
    access: AccessSection = Field(default_factory=AccessSection)
    ae_titles: tuple[AETitleSection, ...] = ()
    peers: tuple[PeerSection, ...] = ()
    storage: StorageSection = Field(default_factory=StorageSection)
    spool: SpoolSection = Field(default_factory=SpoolSection)
    index: IndexSection = Field(default_factory=IndexSection)
    logging: LoggingSection = Field(default_factory=LoggingSection)

    @field_validator("peers")
    @classmethod
    def _are_distinct(cls, value: tuple[PeerSection, ...]) -> tuple[PeerSection, ...]:
        seen: set[str] = set()
        for at, peer in enumerate(section.peer() for section in value):
            for what, text in (("name", peer.name), ("AE title", peer.ae_title)):
                if f"{what} {text}" in seen:
                    raise PlacedError(f"two peers have the {what} {text!r}; each needs its own", "peers", at)
                seen.add(f"{what} {text}")
        return value

    @model_validator(mode="after")
    def _can_be_moved_to(self) -> Self:
        callable_peers = {peer.name for peer in (one.peer() for one in self.peers) if peer.is_destination}
        for at, section in enumerate(self.peers):
            for name in section.move_destinations or ():
                if name not in callable_peers:
                    known = ", ".join(sorted(callable_peers)) or "none"
                    raise PlacedError(
                        f"no peer {name!r} with a host; there are {known}", "peers", at, "move_destinations"
                    )
        return self

    @model_validator(mode="after")
    def _can_be_checked(self) -> Self:
        for at, section in enumerate(self.peers if self.access.check_peer_host else ()):
            if not section.host and section.addresses is None:
                raise PlacedError(
                    "with access.check_peer_host each peer needs a host or addresses; "
                    'addresses = ["0.0.0.0/0", "::/0"] is from anywhere',
                    "peers",
                    at,
                )
        return self

    @model_validator(mode="after")
    def _our_titles_are_distinct(self) -> Self:
        seen = {self.dicom.ae_title, *self.dicom.ae_title_aliases}
        for at, section in enumerate(self.ae_titles):
            for title in section.called_title().all_titles:
                if title in seen:
                    raise PlacedError(
                        f"this node answers to {title!r} already; dicom.ae_title, dicom.ae_title_aliases and "
                        "[[ae_titles]] have each title once",
                        "ae_titles",
                        at,
                    )
                seen.add(title)
        return self

    @model_validator(mode="after")
    def _place_below_data_dir(self) -> Self:
        """Resolve what is relative to the data directory, so that nobody after this has to know of it."""
        data_dir = self.node.data_dir
        places: dict[str, BaseModel] = {
            "spool": self.spool.model_copy(update={"path": data_dir / self.spool.path.expanduser()}),
            "index": self.index.model_copy(update={"path": data_dir / self.index.path.expanduser()}),
        }
        if not self.storage.url:
            url = f"file://{quote(os.fspath(data_dir / 'archive'))}"
            places["storage"] = self.storage.model_copy(update={"url": url})
        # A validator must return the instance that it was given, and the fields are frozen to everybody else.
        for name, section in places.items():
            object.__setattr__(self, name, section)
        return self

    def policy(self) -> Policy:
        """Return who may do what."""
        access, dicom = self.access, self.dicom
        aliases = tuple(dict.fromkeys(one for one in dicom.ae_title_aliases if one != dicom.ae_title))
        own = CalledTitle(dicom.ae_title, aliases)
        return Policy(
            (own, *(section.called_title() for section in self.ae_titles)),
            (section.peer(check_host=access.check_peer_host) for section in self.peers),
            access.unknown_peers,
            check_called_ae=dicom.check_called_ae,
        )

    def duplicates_of(self) -> dict[str, DuplicatePolicy]:
        """Return the AE titles of ours, aliases too, that have a duplicates policy of their own."""
        return {
            title: section.duplicates
            for section in self.ae_titles
            if section.duplicates is not None
            for title in section.called_title().all_titles
        }

    def peer(self, name: str) -> Peer | None:
        """Return the peer with this name."""
        return next((peer for peer in (section.peer() for section in self.peers) if peer.name == name), None)

    @classmethod
    def schema_document(cls) -> dict[str, Any]:
        """Return the JSON Schema of a configuration file (BaseModel's own `schema` is deprecated)."""
        return cls.model_json_schema() | {"$schema": "https://json-schema.org/draft/2020-12/schema"}
