"""RELIABILITY S1: calling AE title x called AE title x address x service, every cell against tables written by hand.

A cell has a letter for each of echo, store, find, move, get and commit: `+` where the caller may, `-` where it may not
and is told so by the context or 0x0124. `called` and `calling` are associations that are rejected because of that AE
title. `UNKNOWN` stands for every AE title that no peer has.
"""

from collections.abc import Iterator

import pytest

from pacsnode.access.addresses import Sources, ip_address
from pacsnode.access.peer import CalledTitle, Peer, Service
from pacsnode.access.policy import Allowed, Claim, Policy, Refusal, Refused, Rights, UnknownPeers

TITLES = (CalledTitle("PACSNODE", ("OLDPACS",)), CalledTitle("RESEARCH"))
PEERS = (
    Peer("ct", "CT1", allow=frozenset({Service.ECHO, Service.STORE}), sources=Sources.parse(["10.0.0.0/24"])),
    Peer("room", "WS1", "10.0.1.5", sources=Sources.parse(["reading-room", "fd00::5"])),
    Peer("report", "REPORT", allow=frozenset({Service.FIND})),
    Peer("locked", "LOCKED", allow=frozenset()),
    Peer("nowhere", "NOWHERE", sources=Sources()),
)
RESOLVED = {"reading-room": frozenset({ip_address("10.0.1.5")})}

#            calling  address           PACSNODE OLDPACS  RESEARCH NOBODY
MATRIX = """
             CT1      10.0.0.5          ++----   ++----   ++----   called
             CT1      ::ffff:10.0.0.5   ++----   ++----   ++----   called
             CT1      10.0.1.5          calling  calling  calling  called
             CT1      127.0.0.1         calling  calling  calling  called
             CT1      fd00::5           calling  calling  calling  called
             WS1      10.0.0.5          calling  calling  calling  called
             WS1      ::ffff:10.0.0.5   calling  calling  calling  called
             WS1      10.0.1.5          ++++++   ++++++   ++++++   called
             WS1      127.0.0.1         calling  calling  calling  called
             WS1      fd00::5           ++++++   ++++++   ++++++   called
             REPORT   10.0.0.5          --+---   --+---   --+---   called
             REPORT   ::ffff:10.0.0.5   --+---   --+---   --+---   called
             REPORT   10.0.1.5          --+---   --+---   --+---   called
             REPORT   127.0.0.1         --+---   --+---   --+---   called
             REPORT   fd00::5           --+---   --+---   --+---   called
             LOCKED   10.0.0.5          calling  calling  calling  called
             LOCKED   ::ffff:10.0.0.5   calling  calling  calling  called
             LOCKED   10.0.1.5          calling  calling  calling  called
             LOCKED   127.0.0.1         calling  calling  calling  called
             LOCKED   fd00::5           calling  calling  calling  called
             NOWHERE  10.0.0.5          calling  calling  calling  called
             NOWHERE  ::ffff:10.0.0.5   calling  calling  calling  called
             NOWHERE  10.0.1.5          calling  calling  calling  called
             NOWHERE  127.0.0.1         calling  calling  calling  called
             NOWHERE  fd00::5           calling  calling  calling  called
             UNKNOWN  10.0.0.5          +-----   +-----   +-----   called
             UNKNOWN  ::ffff:10.0.0.5   +-----   +-----   +-----   called
             UNKNOWN  10.0.1.5          +-----   +-----   +-----   called
             UNKNOWN  127.0.0.1         +-----   +-----   +-----   called
             UNKNOWN  fd00::5           +-----   +-----   +-----   called
"""
CALLED = ("PACSNODE", "OLDPACS", "RESEARCH", "NOBODY")
# What peers send in place of the titles above: padded, and unknown in all the ways that there are.
SPELLINGS = {
    "CT1": ("CT1", "CT1             ", "  CT1", "CT1\0\0"),
    "UNKNOWN": (
        "STRANGER",
        "ct1",
        "CT 1",
        "",
        "*",
        "CT1'",
        "../../etc",
        "CT1\\WS1",
        "\r\nCT1",
        "LONGER THAN IT IS",
    ),
}
UNKNOWN_MAY = {"none": "calling", "echo": "+-----", "echo+store": "++----", "all": "++++++"}


def cells() -> Iterator[tuple[str, str, str, str]]:
    """Yield calling AE title, called AE title, address and the cell."""
    for row in MATRIX.strip().splitlines():
        calling, address, *found = row.split()
        for called, cell in zip(CALLED, found, strict=True):
            yield calling, called, address, cell


def judged(policy: Policy, claim: Claim) -> str:
    rights = policy.admit(claim, {name: RESOLVED[name] for name in policy.host_names_for(claim)})
    if isinstance(rights, Refused):
        return {Refusal.CALLED: "called", Refusal.CALLING: "calling"}[rights.refusal]
    for service in Service:
        assert rights.may(service) == isinstance(rights.decide(service), Allowed)
    return "".join("+" if rights.may(service) else "-" for service in Service)


def test_the_matrix_is_whole() -> None:
    every = list(cells())
    calling, called, addresses = ({cell[at] for cell in every} for at in range(3))
    assert calling == {peer.ae_title for peer in PEERS} | {"UNKNOWN"}
    assert called == {title for one in TITLES for title in one.all_titles} | {"NOBODY"}
    assert len(every) == len({cell[:3] for cell in every}) == len(calling) * len(called) * len(addresses)
    assert [service.value for service in Service] == ["echo", "store", "find", "move", "get", "commit"]


@pytest.mark.parametrize(("calling", "called", "address", "cell"), list(cells()))
def test_every_cell(calling: str, called: str, address: str, cell: str) -> None:
    policy = Policy(TITLES, PEERS)
    for spelling in SPELLINGS.get(calling, (calling,)):
        assert judged(policy, Claim(spelling, called, address)) == cell, spelling
        assert judged(policy, Claim(spelling, f"{called} \0", address)) == cell, spelling


@pytest.mark.parametrize("unknown_peers", list(UnknownPeers))
@pytest.mark.parametrize(("calling", "called", "address", "cell"), list(cells()))
def test_what_unknown_ones_may_changes_their_cells_and_no_others(
    calling: str, called: str, address: str, cell: str, unknown_peers: UnknownPeers
) -> None:
    if calling == "UNKNOWN" and cell != "called":
        cell = UNKNOWN_MAY[unknown_peers.value]
    assert judged(Policy(TITLES, PEERS, unknown_peers), Claim(calling, called, address)) == cell


@pytest.mark.parametrize(("calling", "called", "address", "cell"), list(cells()))
def test_titles_that_are_not_checked_count_as_the_nodes_own(
    calling: str, called: str, address: str, cell: str
) -> None:
    policy = Policy(TITLES, PEERS, check_called_ae=False)
    own = judged(policy, Claim(calling, "PACSNODE", address))
    assert judged(policy, Claim(calling, called, address)) == (own if cell == "called" else cell)
    rights = policy.admit(Claim("STRANGER", "NOBODY", address))
    assert isinstance(rights, Rights)
    assert rights.called is TITLES[0]


# Move Destinations

REQUESTERS = {
    "ANY": None,
    "ONE": frozenset({"room"}),
    "NONE": frozenset[str](),
    "SELF": frozenset({"self", "deaf"}),
}
#               requester  WS1 WS2 SELF DEAF NOBODY
DESTINATIONS = """
                ANY        +   +   +    -    -
                ONE        +   -   -    -    -
                NONE       -   -   -    -    -
                SELF       -   -   +    -    -
                STRANGER   +   +   +    -    -
"""


@pytest.mark.parametrize("row", DESTINATIONS.strip().splitlines())
def test_where_each_may_have_images_sent_to(row: str) -> None:
    callable_peers = [
        Peer("room", "WS1", "10.0.0.1"),
        Peer("other", "WS2", "10.0.0.2"),
        Peer("self", "SELF", "10.0.0.3", move_destinations=REQUESTERS["SELF"]),
        Peer("deaf", "DEAF"),
    ]
    named = [
        Peer(f"peer-{name}", name, move_destinations=REQUESTERS[name]) for name in ("ANY", "ONE", "NONE")
    ]
    calling, *cells = row.split()
    rights = Policy(TITLES, [*callable_peers, *named], UnknownPeers.ALL).admit(
        Claim(calling, "PACSNODE", "::1")
    )
    assert isinstance(rights, Rights)
    for title, cell in zip(("WS1", "WS2", "SELF", "DEAF", "NOBODY"), cells, strict=True):
        for spelling in (title, f"{title}  ", f" {title}\0"):
            found = rights.destination(spelling)
            assert (cell == "+") == isinstance(found, Peer), (title, found)
            if isinstance(found, Refused):
                assert found.refusal is Refusal.DESTINATION
