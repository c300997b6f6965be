"""Every key that exists, its type, its default and what it means.

The descriptions are what the administrator reads in error messages, in `pacsnode config show` and in the JSON
Schema; `config.example.toml` says the same at length. Durations are float seconds and sizes int bytes,
whatever unit they were written with. Relative paths are below `node.data_dir`.
"""

import os
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import quote

from pydantic import BaseModel, Field, field_validator, model_validator

from pacsnode.access.peer import CalledTitle, Peer
from pacsnode.access.policy import Policy
from pacsnode.config.access import AccessSection, AETitleSection, PeerSection
from pacsnode.config.index import IndexSection
from pacsnode.config.quantities import Duration, Size
from pacsnode.config.storage import StorageSection
from pacsnode.config.tls import TLSSection
from pacsnode.config.values import AETitle, AETitles, PlacedError, Port, WholeNumber
from pacsnode.config.values import Section as _Section
from pacsnode.dicom.attributes import STANDARD, Catalogue
from pacsnode.duplicates import DuplicatePolicy


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
    ae_title_aliases: AETitles = ()
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
    tls: TLSSection = Field(default_factory=TLSSection)
    """Files for calling peers with TLS, a table."""


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


class SpoolSection(_Section):
    """Where images are durable before they are acknowledged."""

    path: Path = Path("spool")
    """Folder of the spool, on a local disk; relative to node.data_dir."""
    min_free: Size = 1 << 30
    """Free space below which images are refused with 0xA700."""
    max_bytes: Size = 0
    """Size of what waits for the storage at which images are refused with 0xA700; 0 is no limit but min_free."""


class CacheSection(_Section):
    """What is kept nearby of a bucket."""

    path: Path = Path("cache")
    """Folder of the cache, best on the disk of the spool; relative to node.data_dir."""
    max_bytes: Annotated[Size, Field(ge=0)] = 20 << 30
    """Largest size of the cache; what was used least recently goes first."""


class RetrieveSection(_Section):
    """How images are sent."""

    read_ahead: Annotated[Size, Field(ge=1 << 20, le=1 << 30)] = 4 << 20
    """Memory of each retrieve for images that are read before their turn, "1 MiB" to "1 GiB"."""
    stall_timeout: Annotated[Duration, Field(gt=0, le=86_400)] = 300.0
    """Time without an image delivered after which a C-MOVE gives its destination up, up to "24h"."""


class TranscodeSection(_Section):
    """How images are converted that a peer does not take as they are stored."""

    processes: Annotated[WholeNumber, Field(ge=1, le=64)] = 2
    """Programs that convert at the same time, 1 to 64; the workers share them out, and each has one at least."""
    max_memory: Annotated[Size, Field(ge=256 << 20, le=1 << 40)] = 2 << 30
    """Memory of each of them, "256 MiB" to "1 TiB"; a frame, decoded, may take a tenth of it."""
    timeout: Annotated[Duration, Field(gt=0, le=3_600)] = 300.0
    """Time for one image, up to "1h"."""


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
    cache: CacheSection = Field(default_factory=CacheSection)
    index: IndexSection = Field(default_factory=IndexSection)
    retrieve: RetrieveSection = Field(default_factory=RetrieveSection)
    transcode: TranscodeSection = Field(default_factory=TranscodeSection)
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
            "cache": self.cache.model_copy(update={"path": data_dir / self.cache.path.expanduser()}),
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
            self.known_peers(),
            access.unknown_peers,
            check_called_ae=dicom.check_called_ae,
        )

    def catalogue(self) -> Catalogue:
        """Return all attributes that can be asked for."""
        return STANDARD.with_extra(self.index.extra())

    def duplicates_of(self) -> dict[str, DuplicatePolicy]:
        """Return the AE titles of ours, aliases too, that have a duplicates policy of their own."""
        return {
            title: section.duplicates
            for section in self.ae_titles
            if section.duplicates is not None
            for title in section.called_title().all_titles
        }

    def known_peers(self) -> tuple[Peer, ...]:
        """Return the peers as the access policy knows them."""
        check_host, tls = self.access.check_peer_host, self.dicom.tls.client()
        return tuple(section.peer(check_host=check_host, tls=tls) for section in self.peers)

    def peer(self, name: str) -> Peer | None:
        """Return the peer with this name."""
        return next((peer for peer in self.known_peers() if peer.name == name), None)

    @classmethod
    def schema_document(cls) -> dict[str, Any]:
        """Return the JSON Schema of a configuration file (BaseModel's own `schema` is deprecated)."""
        return cls.model_json_schema() | {"$schema": "https://json-schema.org/draft/2020-12/schema"}
