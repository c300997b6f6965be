"""May this caller ask for this? Pure: titles and addresses in, a decision with its rule out.

`Policy.admit` judges an association: the AE title that is called, the calling one, and the address that it calls from.
What comes out is either a refusal or the `Rights` of the association, which it keeps to its end: the services that it
may ask for, where it may have images sent to, and what it sees.

An AE title is no proof of who is calling, and an address is a weak one. The policy keeps honest devices apart and
mistakes out; what keeps others out is the network and, once there, TLS.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from pacsnode.access.addresses import IPAddress
from pacsnode.access.peer import ALL_SERVICES, CalledTitle, Peer, Service, comparable_ae_title
from pacsnode.access.sees import visibility
from pacsnode.dicom.character_sets import AS_SAID, CharacterSetRule
from pacsnode.dicom.visibility import Visibility, both

_Entry = TypeVar("_Entry")

_NOTHING_RESOLVED: Mapping[str, frozenset[IPAddress]] = {}


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


class Refusal(Enum):
    """What is refused, which decides how the peer is told."""

    CALLED = "called AE title not recognized"  # rejected, PS3.8 table 9-21: 1, 1, 7
    CALLING = "calling AE title not recognized"  # rejected: 1, 1, 3
    SERVICE = "not authorized"  # the context is refused, or the request with 0x0124
    DESTINATION = "Move Destination unknown"  # 0xA801


@dataclass(frozen=True, slots=True)
class Allowed:
    """The caller may."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The caller may not; `rule` is the configuration that says so, for the log and never for the peer."""

    refusal: Refusal
    rule: str


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request says of itself, and the IP address that it came from."""

    calling_ae_title: str
    called_ae_title: str
    address: str


@dataclass(frozen=True, slots=True)
class Rights:
    """What one association may do. `peer` is None for an AE title that the configuration does not know."""

    policy: "Policy"
    calling_ae_title: str
    called: CalledTitle
    peer: Peer | None

    def decide(self, service: Service) -> Allowed | Refused:
        """Return whether the caller may ask for the service."""
        rule = self.refused([service])
        return Refused(Refusal.SERVICE, rule) if rule else Allowed()

    def may(self, service: Service) -> bool:
        """Return whether the caller may ask for the service."""
        return service in self.policy.services(self.peer)

    def refused(self, services: Iterable[Service]) -> str:
        """Return the rule by which some of the services are refused, "" if all are allowed."""
        wanted = set(services) - self.policy.services(self.peer)
        if not wanted:
            return ""
        names = ", ".join(service.value for service in Service if service in wanted)
        return f"{self.policy.rule(self.peer)} does not contain {names}"

    def destination(self, ae_title: str) -> Peer | Refused:
        """Return the peer to send to for a Move Destination, if there is one and the caller may name it."""
        destination = self.policy.peer(ae_title)
        if destination is None:
            return Refused(Refusal.DESTINATION, "no peer has the AE title that is the Move Destination")
        if not destination.is_destination:
            return Refused(Refusal.DESTINATION, f"peers.{destination.name} has no host")
        allowed = None if self.peer is None else self.peer.move_destinations
        if self.peer is not None and allowed is not None and destination.name not in allowed:
            rule = f"peers.{self.peer.name}.move_destinations = [{', '.join(sorted(allowed))}]"
            return Refused(Refusal.DESTINATION, f"{rule} does not contain {destination.name}")
        return destination

    @property
    def character_sets(self) -> CharacterSetRule:
        """How far the caller is believed about the character sets of what it sends."""
        return AS_SAID if self.peer is None else self.peer.character_sets

    @property
    def visibility(self) -> Visibility | None:
        """What the caller finds and retrieves; None is everything."""
        of_peer = None if self.peer is None else self.peer.sees
        return both(
            visibility(of_peer, self.calling_ae_title), visibility(self.called.sees, self.calling_ae_title)
        )


class Policy:
    """The rules of one configuration. Immutable, so that it may be shared between threads."""

    def __init__(
        self,
        titles: Iterable[CalledTitle],
        peers: Iterable[Peer] = (),
        unknown_peers: UnknownPeers = UnknownPeers.ECHO,
        *,
        check_called_ae: bool = True,
    ) -> None:
        """Raise `ValueError` for an AE title that stands for two peers, or for two of ours.

        The first of `titles` is the node's own; it also stands for those that are called without being known, which
        only happens without `check_called_ae`.
        """
        self._titles = tuple(titles)
        self._called = _by_title(
            (title, called.ae_title, called) for called in self._titles for title in called.all_titles
        )
        self._peers = _by_title((comparable_ae_title(one.ae_title), one.name, one) for one in peers)
        self._unknown_peers = unknown_peers
        self._check_called_ae = check_called_ae

    @property
    def host_names(self) -> frozenset[str]:
        """All names whose addresses decide where a peer may call from."""
        return frozenset(name for peer in self._peers.values() if peer.sources for name in peer.sources.names)

    def peer(self, ae_title: str) -> Peer | None:
        """Return the peer with this AE title."""
        return self._peers.get(comparable_ae_title(ae_title))

    def host_names_for(self, claim: Claim) -> tuple[str, ...]:
        """Return the names that must be resolved to judge a claim; mostly none."""
        peer = self.peer(claim.calling_ae_title)
        if peer is None or peer.sources is None or peer.sources.allow(claim.address, _NOTHING_RESOLVED):
            return ()
        return peer.sources.names

    def admit(
        self, claim: Claim, resolved: Mapping[str, frozenset[IPAddress]] = _NOTHING_RESOLVED
    ) -> Rights | Refused:
        """Return what the caller may do, or why it may not even associate.

        `resolved` are the addresses of `host_names_for` the claim. A known AE title that calls from elsewhere is
        refused, whatever unknown ones may do; so is one for which there is no service at all.
        """
        called = self._called.get(comparable_ae_title(claim.called_ae_title))
        if called is None and self._check_called_ae:
            return Refused(
                Refusal.CALLED, "neither dicom.ae_title nor dicom.ae_title_aliases nor [[ae_titles]] has it"
            )
        peer = self.peer(claim.calling_ae_title)
        if peer is not None and peer.sources is not None and not peer.sources.allow(claim.address, resolved):
            return Refused(
                Refusal.CALLING,
                f"peers.{peer.name}.{peer.sources.key} = [{peer.sources}] does not contain {claim.address}",
            )
        if not self.services(peer):
            return Refused(Refusal.CALLING, f"{self.rule(peer)} allows nothing")
        return self.rights(claim.calling_ae_title, claim.called_ae_title)

    def rights(self, calling_ae_title: str, called_ae_title: str) -> Rights:
        """Return what a caller may do once it is admitted. A called title that is not ours is the node's own."""
        called = self._called.get(comparable_ae_title(called_ae_title), self._titles[0])
        calling = comparable_ae_title(calling_ae_title)
        return Rights(self, calling, called, self.peer(calling))

    def services(self, peer: Peer | None) -> frozenset[Service]:
        """Return what a peer may ask for; None is an unknown one."""
        return self._unknown_peers.services if peer is None else peer.allow

    def rule(self, peer: Peer | None) -> str:
        """Return the configuration that says what a peer may ask for."""
        if peer is None:
            return f'no peer has this AE title and access.unknown_peers = "{self._unknown_peers.value}"'
        allow = ", ".join(service.value for service in Service if service in peer.allow)
        return f"peers.{peer.name}.allow = [{allow}]"


def _by_title(entries: Iterable[tuple[str, str, _Entry]]) -> dict[str, _Entry]:
    """Return the entries by AE title; raises `ValueError` if two have the same. Each has a name for that."""
    found: dict[str, tuple[str, _Entry]] = {}
    for title, name, entry in entries:
        if title in found:
            raise ValueError(f"{found[title][0]!r} and {name!r} share the AE title {title!r}")
        found[title] = (name, entry)
    return {title: entry for title, (_, entry) in found.items()}
