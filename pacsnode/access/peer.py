"""Who a node talks to: the peers that the administrator has named, and what each may ask for."""

from dataclasses import dataclass
from enum import Enum

from pacsnode.access.addresses import Sources
from pacsnode.access.sees import Sees
from pacsnode.dicom.character_sets import AS_SAID, CharacterSetRule
from pacsnode.tls import ClientTLS

_PADDING = " \0"


class Service(Enum):
    """What a peer may ask for, in the words of `[[peers]] allow`."""

    ECHO = "echo"
    STORE = "store"
    FIND = "find"
    MOVE = "move"
    GET = "get"
    COMMIT = "commit"


ALL_SERVICES = frozenset(Service)


def comparable_ae_title(ae_title: str) -> str:
    """Return the AE title without the padding that peers put around it.

    PS3.5 6.2: leading and trailing spaces are not significant. NULs are no padding by the Standard, but
    devices send them.
    """
    return ae_title.strip(_PADDING)


def is_ae_title(text: str) -> bool:
    """Return whether this is an AE title (PS3.5 6.2): 1 to 16 printable ASCII characters, no backslash."""
    return (
        1 <= len(text) <= 16
        and bool(text.strip())
        and all(" " <= char <= "~" and char != "\\" for char in text)
    )


@dataclass(frozen=True, slots=True)
class Peer:
    """One remote Application Entity. `host` is empty for a peer that only calls and is never called.

    None for `sources`, `move_destinations` and `sees` is no restriction; an empty one allows nothing.
    """

    name: str
    ae_title: str
    host: str = ""
    port: int = 104
    allow: frozenset[Service] = ALL_SERVICES
    strict_hierarchy: bool = False  # a missing higher-level unique key is 0xA900, not a relational query
    return_unknown_keys: bool = False  # keys that are not supported come back with zero length, not left out
    # Of its data sets and queries; an override is for answers, too.
    character_sets: CharacterSetRule = AS_SAID
    sources: Sources | None = None  # where it may call from
    # At the same time, and of a C-MOVE to it; 0 is what all AE titles may have, and one.
    max_associations: int = 0
    move_destinations: frozenset[str] | None = None  # names of the peers that it may have images sent to
    sees: tuple[Sees, ...] | None = None
    transfer_syntaxes: tuple[
        str, ...
    ] = ()  # what it is sent, in order of preference; as stored if that says nothing
    calling_ae_title: str = ""  # of ours, when we call it; empty is what the requester of a C-MOVE called
    tls: ClientTLS | None = None  # how it is called; None is without

    def __post_init__(self) -> None:
        if not is_ae_title(comparable_ae_title(self.ae_title)):
            raise ValueError(
                f"{self.ae_title!r} is not an AE title: 1 to 16 printable ASCII characters, no backslash"
            )

    @property
    def is_destination(self) -> bool:
        """Whether the node knows where to call this peer."""
        return bool(self.host)


@dataclass(frozen=True, slots=True)
class CalledTitle:
    """An AE title that this node answers to, with its aliases, and what is seen by calling it."""

    ae_title: str
    aliases: tuple[str, ...] = ()
    sees: tuple[Sees, ...] | None = None

    @property
    def all_titles(self) -> tuple[str, ...]:
        """The AE title and its aliases, comparable."""
        return tuple(comparable_ae_title(title) for title in (self.ae_title, *self.aliases))
