import pytest

from pacsnode.access.peer import Peer, Service
from pacsnode.access.policy import Allowed, Policy, Refused, UnknownPeers

SCANNER = Peer("scanner", "CT1", allow=frozenset({Service.ECHO, Service.STORE}))
STATION = Peer("station", "WS 1", "10.0.0.2", 11112)
LOCKED = Peer("locked", "OLD", "10.0.0.3", allow=frozenset())
POLICY = Policy([SCANNER, STATION, LOCKED])


@pytest.mark.parametrize(
    ("calling_ae_title", "allowed"),
    [
        ("CT1", {Service.ECHO, Service.STORE}),
        (" CT1\0\0", {Service.ECHO, Service.STORE}),
        ("WS 1", set(Service)),
        ("OLD", set()),
        ("ct1", {Service.ECHO}),  # AE titles are case-sensitive: this one is unknown
        ("STRANGER", {Service.ECHO}),
        ("", {Service.ECHO}),
    ],
)
def test_who_may_do_what(calling_ae_title: str, allowed: set[Service]) -> None:
    assert {
        service for service in Service if POLICY.decide(calling_ae_title, service) == Allowed()
    } == allowed
    assert (POLICY.admit(calling_ae_title) == Allowed()) == bool(allowed)


@pytest.mark.parametrize(
    ("unknown_peers", "allowed"),
    [
        ("none", set()),
        ("echo", {Service.ECHO}),
        ("echo+store", {Service.ECHO, Service.STORE}),
        ("all", set(Service)),
    ],
)
def test_unknown_peers(unknown_peers: str, allowed: set[Service]) -> None:
    policy = Policy([SCANNER], UnknownPeers(unknown_peers))
    assert {service for service in Service if policy.decide("STRANGER", service) == Allowed()} == allowed
    assert (policy.admit("STRANGER") == Allowed()) == bool(allowed)


def test_a_named_peer_is_not_widened_by_what_unknown_ones_may_do() -> None:
    assert isinstance(Policy([SCANNER], UnknownPeers.ALL).decide("CT1", Service.FIND), Refused)


def test_a_refusal_names_its_rule() -> None:
    assert POLICY.decide("CT1", Service.GET) == Refused(
        "peers.scanner.allow = [echo, store] does not contain get"
    )
    assert POLICY.decide("STRANGER", Service.STORE) == Refused(
        'no peer has this AE title and access.unknown_peers = "echo" does not contain store'
    )
    assert POLICY.admit("OLD") == Refused("peers.locked.allow = [] allows nothing")


def test_peers_are_found_by_ae_title() -> None:
    assert POLICY.peer("WS 1  ") is STATION
    assert POLICY.peer("STRANGER") is None


def test_a_destination_needs_an_address() -> None:
    assert POLICY.destination("WS 1\0") is STATION
    assert POLICY.destination("CT1") is None
    assert POLICY.destination("STRANGER") is None


def test_two_peers_cannot_share_an_ae_title() -> None:
    with pytest.raises(ValueError, match="'a' and 'b' share 'CT1'"):
        Policy([Peer("a", "CT1"), Peer("b", "CT1 ")])
