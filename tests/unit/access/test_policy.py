"""The rules that refusals name, and what an association's rights are beside the services (those: test_matrix)."""

import pytest

from pacsnode.access.addresses import Sources
from pacsnode.access.peer import CalledTitle, Peer, Service
from pacsnode.access.policy import Allowed, Claim, Policy, Refusal, Refused, Rights, UnknownPeers
from pacsnode.access.sees import Sees
from pacsnode.dicom.visibility import DEPARTMENT, INSTITUTION, Trait, View

OURS = CalledTitle("PACSNODE", ("OLDPACS",))
SCANNER = Peer("scanner", "CT1", allow=frozenset({Service.ECHO, Service.STORE}))
STATION = Peer("station", "WS 1", "10.0.0.2", 11112, move_destinations=frozenset({"archive", "station"}))
LOCKED = Peer("locked", "OLD", "10.0.0.3", allow=frozenset())
POLICY = Policy([OURS], [SCANNER, STATION, LOCKED])


def rights(policy: Policy, calling: str, called: str = "PACSNODE", address: str = "127.0.0.1") -> Rights:
    found = policy.admit(Claim(calling, called, address))
    assert isinstance(found, Rights)
    return found


def refused(policy: Policy, calling: str, called: str = "PACSNODE", address: str = "127.0.0.1") -> Refused:
    found = policy.admit(Claim(calling, called, address))
    assert isinstance(found, Refused)
    return found


def test_a_refusal_names_its_rule() -> None:
    assert rights(POLICY, "CT1").decide(Service.GET) == Refused(
        Refusal.SERVICE, "peers.scanner.allow = [echo, store] does not contain get"
    )
    assert rights(POLICY, "STRANGER").decide(Service.STORE) == Refused(
        Refusal.SERVICE, 'no peer has this AE title and access.unknown_peers = "echo" does not contain store'
    )
    assert refused(POLICY, "OLD") == Refused(Refusal.CALLING, "peers.locked.allow = [] allows nothing")
    assert refused(Policy([OURS], (), UnknownPeers.NONE), "CT1").rule == (
        'no peer has this AE title and access.unknown_peers = "none" allows nothing'
    )
    assert refused(POLICY, "CT1", "PACS") == Refused(
        Refusal.CALLED, "neither dicom.ae_title nor dicom.ae_title_aliases nor [[ae_titles]] has it"
    )


@pytest.mark.parametrize(
    ("sources", "rule"),
    [
        (
            Sources.parse(["10.0.0.1", "fd00::/8"]),
            "peers.ct.addresses = [10.0.0.1, fd00::/8] does not contain 10.0.0.2",
        ),
        (Sources.parse(["scanner"], "host"), "peers.ct.host = [scanner] does not contain 10.0.0.2"),
        (Sources(), "peers.ct.addresses = [] does not contain 10.0.0.2"),
    ],
)
def test_an_address_that_is_refused_is_told_with_those_that_are_not(sources: Sources, rule: str) -> None:
    policy = Policy([OURS], [Peer("ct", "CT1", sources=sources)], UnknownPeers.ALL)
    assert refused(policy, "CT1", address="10.0.0.2") == Refused(Refusal.CALLING, rule)


def test_several_services_are_refused_in_one_line() -> None:
    assert rights(POLICY, "CT1").refused([Service.GET, Service.ECHO, Service.FIND]) == (
        "peers.scanner.allow = [echo, store] does not contain find, get"
    )
    assert rights(POLICY, "CT1").refused([Service.STORE]) == ""


def test_destinations_that_are_refused_name_their_rule() -> None:
    station = rights(POLICY, "WS 1")
    for title, rule in (
        ("CT1", "peers.scanner has no host"),
        ("NOBODY", "no peer has the AE title that is the Move Destination"),
        ("OLD", "peers.station.move_destinations = [archive, station] does not contain locked"),
    ):
        assert station.destination(title) == Refused(Refusal.DESTINATION, rule)
    assert station.destination("WS 1\0") is STATION


def test_names_are_asked_for_only_where_they_decide() -> None:
    policy = Policy(
        [OURS],
        [
            Peer("ct", "CT1", sources=Sources.parse(["10.0.0.1", "scanner", "other"])),
            Peer("mr", "MR1", sources=Sources.parse(["10.0.0.1"])),
            Peer("us", "US1"),
        ],
    )
    assert policy.host_names == {"scanner", "other"}
    for calling, address, names in (
        ("CT1", "10.0.0.1", ()),
        ("CT1", "10.0.0.2", ("scanner", "other")),
        ("MR1", "10.0.0.2", ()),
        ("US1", "10.0.0.2", ()),
        ("STRANGER", "10.0.0.2", ()),
    ):
        assert policy.host_names_for(Claim(calling, "PACSNODE", address)) == names


def test_peers_are_found_by_ae_title() -> None:
    assert POLICY.peer("WS 1  ") is STATION
    assert POLICY.peer("STRANGER") is None
    assert rights(POLICY, " CT1\0").peer is SCANNER
    assert rights(POLICY, "STRANGER").peer is None


def test_two_cannot_share_an_ae_title() -> None:
    with pytest.raises(ValueError, match="'a' and 'b' share the AE title 'CT1'"):
        Policy([OURS], [Peer("a", "CT1"), Peer("b", "CT1 ")])
    with pytest.raises(ValueError, match="'PACSNODE' and 'OTHER' share the AE title 'OLDPACS'"):
        Policy([OURS, CalledTitle("OTHER", ("OLDPACS",))])


def test_what_is_seen_is_what_the_peer_and_the_called_title_see() -> None:
    station = Peer("ws", "WS1", sees=(Sees(institution=("A",)), Sees(own_sends=True)))
    research = CalledTitle("RESEARCH", ("STUDY",), sees=(Sees(department=("LAB",)),))
    policy = Policy([OURS, research], [station, Peer("all", "ALL")], UnknownPeers.ALL)
    institution, own, department = (
        Trait(INSTITUTION, ("A",)),
        Trait(None, ("WS1",)),
        Trait(DEPARTMENT, ("LAB",)),
    )
    assert rights(policy, "ALL").visibility is None
    assert rights(policy, "STRANGER").visibility is None
    assert rights(policy, "WS1 ").visibility == (View((institution,)), View((own,)))
    for called in ("RESEARCH", "STUDY"):
        assert rights(policy, "ALL", called).visibility == (View((department,)),)
        assert rights(policy, "WS1", called).visibility == (
            View((institution, department)),
            View((own, department)),
        )
    blind = Policy([OURS], [Peer("ct", "CT1", sees=())])
    assert rights(blind, "CT1").visibility == ()


def test_a_named_peer_is_not_widened_by_what_unknown_ones_may_do() -> None:
    policy = Policy([OURS], [SCANNER], UnknownPeers.ALL)
    assert rights(policy, "CT1").decide(Service.STORE) == Allowed()
    assert isinstance(rights(policy, "CT1").decide(Service.FIND), Refused)
