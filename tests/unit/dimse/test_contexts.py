"""The negotiation of presentation contexts as a table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacsnode.access.peer import Service
from pacsnode.dicom.convertible import can_convert
from pacsnode.dicom.query import BASELINE, Options
from pacsnode.dicom.uid import ACCEPTED_TRANSFER_SYNTAXES
from pacsnode.dimse.association.acceptor import Answer
from pacsnode.dimse.association.acse import APPLICATION_CONTEXT_NAME, AssociateRequest, Proposal, Roles
from pacsnode.dimse.contexts import (
    FIND_MODELS,
    GET_MODELS,
    MOVE_MODELS,
    VERIFICATION,
    Result,
    negotiate,
    options_of,
    services_proposed,
)
from tests.factories import CT

IMPLICIT, EXPLICIT, BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
DEFLATED, JPEG, J2K = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.90"
JPIP, NEW_PIXELS, UNKNOWN = "1.2.840.10008.1.2.4.94", "1.2.840.10008.1.2.4.999", "1.2.3.4"
PRIVATE, PRINT = "1.2.276.0.7230010.3.1.0.1", "1.2.840.10008.5.1.1.1"
WORKLIST, MPPS, DICOMDIR = "1.2.840.10008.5.1.4.31", "1.2.840.10008.3.1.2.3.3", "1.2.840.10008.1.3.10"
HANGING_PROTOCOL, NEW_STORAGE = "1.2.840.10008.5.1.4.38.1", "1.2.840.10008.5.1.4.1.1.999"
STORE_AND_GET, TO_US, FROM_US, NEITHER = (
    Roles(True, True),
    Roles(True, False),
    Roles(False, True),
    Roles(False, False),
)


def negotiated(
    *proposals: tuple[str, tuple[str, ...]],
    roles: dict[str, Roles] | None = None,
    may: frozenset[Service] = frozenset(Service),
    private: bool = True,
    extended: dict[str, bytes] | None = None,
) -> Answer:
    request = AssociateRequest(
        "PACSNODE", "CT1", "1.2.840.10008.3.1.1.1",
        tuple(Proposal(2 * at + 1, abstract, syntaxes) for at, (abstract, syntaxes) in enumerate(proposals)),
        16384, roles or {}, extended or {},
    )  # fmt: skip
    return negotiate(request, may.__contains__, private_sop_classes=private)


def outcome(abstract: str, syntaxes: tuple[str, ...], **options: object) -> tuple[int, str]:
    found = negotiated((abstract, syntaxes), **options)  # type: ignore[arg-type]
    (decision,) = found.decisions
    assert (decision.result == 0) == (1 in found.contexts)
    return decision.result, decision.transfer_syntax if decision.result == 0 else ""


# What is sent to us: the requestor's order, but Explicit before Implicit, and Big Endian after both


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ((IMPLICIT,), IMPLICIT),
        ((EXPLICIT,), EXPLICIT),
        ((BIG,), BIG),
        ((IMPLICIT, EXPLICIT), EXPLICIT),
        ((IMPLICIT, BIG, EXPLICIT), EXPLICIT),
        ((BIG, IMPLICIT), IMPLICIT),
        ((BIG, EXPLICIT), EXPLICIT),
        ((IMPLICIT, JPEG, EXPLICIT), EXPLICIT),
        ((JPEG, EXPLICIT, IMPLICIT), JPEG),
        ((J2K, JPEG), J2K),
        ((JPEG, BIG), JPEG),
        ((DEFLATED, IMPLICIT), DEFLATED),
        ((JPIP, IMPLICIT), IMPLICIT),
        ((UNKNOWN, JPEG, IMPLICIT), JPEG),
        ((NEW_PIXELS,), NEW_PIXELS),
    ],
)
def test_the_transfer_syntax_of_what_is_sent_to_us(offered: tuple[str, ...], chosen: str) -> None:
    assert outcome(CT, offered) == (0, chosen)
    assert outcome(CT, offered, roles={CT: STORE_AND_GET}) == (0, chosen)


# What we send: uncompressed if that is offered, since it can always be made


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ((EXPLICIT,), EXPLICIT),
        ((IMPLICIT,), IMPLICIT),
        ((IMPLICIT, EXPLICIT), EXPLICIT),
        ((JPEG, IMPLICIT), IMPLICIT),
        ((JPEG, IMPLICIT, EXPLICIT), EXPLICIT),
        ((JPEG,), JPEG),
        ((BIG, IMPLICIT), IMPLICIT),
    ],
)
def test_the_transfer_syntax_of_what_we_send(offered: tuple[str, ...], chosen: str) -> None:
    assert outcome(CT, offered, roles={CT: FROM_US}) == (0, chosen)


@given(
    st.lists(st.sampled_from([*ACCEPTED_TRANSFER_SYNTAXES, JPIP, UNKNOWN]), min_size=1, unique=True),
    st.booleans(),
)
def test_what_is_chosen_was_offered_and_is_never_big_before_little(
    offered: list[str], is_from_us: bool
) -> None:
    result, chosen = outcome(CT, tuple(offered), roles={CT: FROM_US if is_from_us else TO_US})
    usable = [uid for uid in offered if uid not in (JPIP, UNKNOWN)]
    assert (result == 0) == bool(usable)
    if result:
        assert result == Result.TRANSFER_SYNTAXES_NOT_SUPPORTED
        return
    assert chosen in usable
    if chosen == BIG:
        assert not {IMPLICIT, EXPLICIT} & set(offered)
    if chosen == IMPLICIT:
        assert EXPLICIT not in offered
    if is_from_us and not can_convert(usable[0], EXPLICIT):
        assert chosen == usable[0], "a video stays one"
    elif is_from_us and chosen not in (EXPLICIT, IMPLICIT, BIG):
        assert not {EXPLICIT, IMPLICIT, BIG} & set(offered)


# Which SOP classes


@pytest.mark.parametrize(
    ("abstract", "private", "result"),
    [
        (CT, True, 0),
        (NEW_STORAGE, True, 0),
        (PRIVATE, True, 0),
        (PRIVATE, False, 3),
        (PRINT, True, 3),
        (WORKLIST, True, 3),
        (MPPS, True, 3),
        (DICOMDIR, True, 3),
        (HANGING_PROTOCOL, True, 3),
        ("", True, 3),
        ("not a UID", True, 3),
        ("1.2." + "3" * 61, True, 3),
    ],
)
def test_which_sop_classes_are_stored(abstract: str, private: bool, result: int) -> None:
    assert outcome(abstract, (IMPLICIT,), private=private)[0] == result


@pytest.mark.parametrize("abstract", [VERIFICATION, *FIND_MODELS, *MOVE_MODELS, *GET_MODELS])
def test_services_are_spoken_uncompressed(abstract: str) -> None:
    assert outcome(abstract, (JPEG, IMPLICIT, BIG)) == (0, IMPLICIT)
    assert outcome(abstract, (IMPLICIT, EXPLICIT)) == (0, EXPLICIT)
    assert outcome(abstract, (BIG,)) == (0, BIG)
    assert outcome(abstract, (JPEG, DEFLATED)) == (4, "")


# Rights


@pytest.mark.parametrize(
    ("abstract", "service"),
    [
        (VERIFICATION, Service.ECHO),
        (CT, Service.STORE),
        *((uid, Service.FIND) for uid in FIND_MODELS),
        *((uid, Service.MOVE) for uid in MOVE_MODELS),
        *((uid, Service.GET) for uid in GET_MODELS),
    ],
)
def test_each_service_needs_its_right_alone(abstract: str, service: Service) -> None:
    assert outcome(abstract, (IMPLICIT,), may=frozenset({service})) == (0, IMPLICIT)
    assert outcome(abstract, (IMPLICIT,), may=frozenset(Service) - {service}) == (1, "")


def test_who_may_do_nothing_is_told_so_before_syntaxes_are_looked_at() -> None:
    assert outcome(CT, (UNKNOWN,), may=frozenset()) == (1, "")
    assert outcome(PRINT, (IMPLICIT,), may=frozenset()) == (3, "")
    assert outcome(CT, (UNKNOWN,)) == (4, "")
    assert outcome(CT, ()) == (4, "")


# Roles (PS3.7 D.3.3.4): what is granted never exceeds what was proposed


@pytest.mark.parametrize(
    ("proposed", "may", "granted"),
    [
        (TO_US, {Service.STORE}, TO_US),
        (TO_US, {Service.GET}, None),
        (FROM_US, {Service.GET}, FROM_US),
        (FROM_US, {Service.STORE}, None),
        (STORE_AND_GET, {Service.STORE, Service.GET}, STORE_AND_GET),
        (STORE_AND_GET, {Service.STORE}, TO_US),
        (STORE_AND_GET, {Service.GET}, FROM_US),
        (STORE_AND_GET, set(), None),
        (NEITHER, set(Service), None),
        (None, {Service.STORE, Service.GET}, TO_US),
        (None, {Service.GET}, None),
    ],
)
def test_the_roles_of_a_storage_class(
    proposed: Roles | None, may: set[Service], granted: Roles | None
) -> None:
    roles = {} if proposed is None else {CT: proposed}
    found = negotiated((CT, (IMPLICIT,)), roles=roles, may=frozenset(may))
    if granted is None:
        assert found.contexts == found.roles == {}
        assert found.decisions[0].result == Result.USER_REJECTION
    else:
        assert found.contexts[1].requestor == granted
        assert found.roles == ({} if proposed is None else {CT: granted}), "answered only if it was asked for"


@pytest.mark.parametrize("abstract", [VERIFICATION, *FIND_MODELS, *MOVE_MODELS, *GET_MODELS])
def test_the_roles_of_a_service(abstract: str) -> None:
    assert negotiated((abstract, (IMPLICIT,)), roles={abstract: STORE_AND_GET}).roles == {abstract: TO_US}
    assert (
        negotiated((abstract, (IMPLICIT,)), roles={abstract: FROM_US}).decisions[0].result
        == Result.USER_REJECTION
    )


def test_each_proposal_is_decided_in_its_order() -> None:
    found = negotiated(
        (CT, (JPEG,)), (PRINT, (IMPLICIT,)), (CT, (IMPLICIT,)), (VERIFICATION, (IMPLICIT,)), (CT, (UNKNOWN,))
    )
    assert [(d.context_id, d.result) for d in found.decisions] == [(1, 0), (3, 3), (5, 0), (7, 0), (9, 4)]
    assert {number: c.transfer_syntax for number, c in found.contexts.items()} == {
        1: JPEG,
        5: IMPLICIT,
        7: IMPLICIT,
    }
    assert all(decision.transfer_syntax for decision in found.decisions)


@pytest.mark.parametrize(
    ("roles", "expected"),
    [
        ({}, {Service.ECHO, Service.STORE, Service.FIND, Service.GET}),
        ({CT: Roles(is_scu=False, is_scp=True)}, {Service.ECHO, Service.FIND, Service.GET}),
        ({CT: Roles(is_scu=True, is_scp=True)}, {Service.ECHO, Service.STORE, Service.FIND, Service.GET}),
    ],
)
def test_the_services_that_a_requestor_would_use(roles: dict[str, Roles], expected: set[Service]) -> None:
    syntaxes = (VERIFICATION, CT, *list(FIND_MODELS)[:1], *GET_MODELS)
    proposals = tuple(Proposal(2 * at + 1, syntax, ()) for at, syntax in enumerate(syntaxes))
    request = AssociateRequest("PACSNODE", "CT1", APPLICATION_CONTEXT_NAME, proposals, 0, roles)
    assert services_proposed(request) == expected


# Extended negotiation (PS3.4 C.5): for accepted contexts of the Query/Retrieve classes


@pytest.mark.parametrize("abstract", FIND_MODELS)
def test_options_of_a_query_class_are_answered_and_kept_with_its_contexts(abstract: str) -> None:
    proposals = ((abstract, (IMPLICIT,)), (abstract, (EXPLICIT,)), (VERIFICATION, (IMPLICIT,)))
    found = negotiated(*proposals, extended={abstract: b"\0\1\1\0\1"})
    assert found.extended == {abstract: b"\0\1\1\0\0"}
    agreed = Options(combined_date_time=True, fuzzy_names=True)
    assert [options_of(context) for context in found.contexts.values()] == [agreed, agreed, BASELINE]


@pytest.mark.parametrize("abstract", [*MOVE_MODELS, *GET_MODELS])
def test_options_of_a_retrieve_class(abstract: str) -> None:
    found = negotiated((abstract, (IMPLICIT,)), extended={abstract: b"\1" * 7})
    assert found.extended == {abstract: b"\1\0"}
    assert options_of(found.contexts[1]) == Options(relational=True)


@pytest.mark.parametrize("abstract", [CT, VERIFICATION, PRIVATE])
def test_other_classes_have_no_options(abstract: str) -> None:
    found = negotiated((abstract, (IMPLICIT,)), extended={abstract: b"\1\1\1"})
    assert found.extended == {}
    assert options_of(found.contexts[1]) == BASELINE


def test_no_option_without_a_context_of_its_class() -> None:
    find, move = next(iter(FIND_MODELS)), next(iter(MOVE_MODELS))
    proposed = {find: b"\1", move: b"\1"}
    assert negotiated((move, (IMPLICIT,)), extended=proposed).extended == {move: b"\1"}
    refused = negotiated((find, (IMPLICIT,)), extended=proposed, may=frozenset({Service.ECHO}))
    assert refused.extended == {}
    assert negotiated((find, (IMPLICIT,)), extended={find: b""}).extended == {}, "nothing was proposed"


def test_options_that_nobody_proposed_are_not_answered() -> None:
    found = negotiated((next(iter(FIND_MODELS)), (IMPLICIT,)))
    assert found.extended == {}
    assert options_of(found.contexts[1]) == BASELINE
