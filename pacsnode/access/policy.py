"""May this caller ask for this? Pure: titles in, a decision with its rule out.

An AE title is no proof of who is calling. The policy keeps honest devices apart and mistakes out; what keeps
others out is the network and, once there, TLS.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from pacsnode.access.peer import ALL_SERVICES, Peer, Service, comparable_ae_title


class UnknownPeers(Enum):
    """What AE titles may do that no peer has (`access.unknown_peers`)."""

    NONE = "none"
    ECHO = "echo"
    ECHO_STORE = "echo+store"
    ALL = "all"

    @property
    def services(self) -> frozenset[Service]:
        """The services that this value allows."""
        return _UNKNOWN_PEERS_MAY[self]


_UNKNOWN_PEERS_MAY = {
    UnknownPeers.NONE: frozenset[Service](),
    UnknownPeers.ECHO: frozenset({Service.ECHO}),
    UnknownPeers.ECHO_STORE: frozenset({Service.ECHO, Service.STORE}),
    UnknownPeers.ALL: ALL_SERVICES,
}


@dataclass(frozen=True, slots=True)
class Allowed:
    """The caller may."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The caller may not; `rule` is the configuration that says so, for the log and never for the peer."""

    rule: str


class Policy:
    """The rules of one configuration. Immutable, so that it may be shared between threads."""

    def __init__(self, peers: Iterable[Peer] = (), unknown_peers: UnknownPeers = UnknownPeers.ECHO) -> None:
        by_ae_title: dict[str, Peer] = {}
        for peer in peers:
            ae_title = comparable_ae_title(peer.ae_title)
            if ae_title in by_ae_title:
                raise ValueError(f"peers {by_ae_title[ae_title].name!r} and {peer.name!r} share {ae_title!r}")
            by_ae_title[ae_title] = peer
        self._by_ae_title = by_ae_title
        self._unknown_peers = unknown_peers

    def peer(self, ae_title: str) -> Peer | None:
        """Return the peer with this AE title."""
        return self._by_ae_title.get(comparable_ae_title(ae_title))

    def destination(self, ae_title: str) -> Peer | None:
        """Return the peer with this AE title if the node knows where to call it (Move Destination)."""
        peer = self.peer(ae_title)
        return peer if peer is not None and peer.is_destination else None

    def decide(self, calling_ae_title: str, service: Service) -> Allowed | Refused:
        """Return whether the caller may ask for the service."""
        if service in self._services(calling_ae_title):
            return Allowed()
        return Refused(f"{self._rule(calling_ae_title)} does not contain {service.value}")

    def admit(self, calling_ae_title: str) -> Allowed | Refused:
        """Return whether the caller may associate at all: if there is a service that it may ask for."""
        if self._services(calling_ae_title):
            return Allowed()
        return Refused(f"{self._rule(calling_ae_title)} allows nothing")

    def _services(self, calling_ae_title: str) -> frozenset[Service]:
        peer = self.peer(calling_ae_title)
        return self._unknown_peers.services if peer is None else peer.allow

    def _rule(self, calling_ae_title: str) -> str:
        peer = self.peer(calling_ae_title)
        if peer is None:
            return f'no peer has this AE title and access.unknown_peers = "{self._unknown_peers.value}"'
        allow = ", ".join(service.value for service in Service if service in peer.allow)
        return f"peers.{peer.name}.allow = [{allow}]"
