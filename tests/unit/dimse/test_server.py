"""The listening side: who gets a place, when it is free again, how it stops, and what an error touches."""

import logging
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Self

import pytest

from pacsnode.access.addresses import Sources
from pacsnode.access.peer import CalledTitle, Peer, Service
from pacsnode.access.policy import Policy, UnknownPeers
from pacsnode.dimse.admission import Admission, Limits
from pacsnode.dimse.association.acceptor import LOCAL_LIMIT_EXCEEDED, TEMPORARY_CONGESTION
from pacsnode.dimse.association.acse import (
    APPLICATION_CONTEXT_NAME,
    AssociateRequest,
    Proposal,
    Rejection,
    decode_accept,
    decode_rejection,
    encode_request,
)
from pacsnode.dimse.association.command import CommandField, Element, response
from pacsnode.dimse.association.conversation import Conversation, Message
from pacsnode.dimse.association.pdu import A_RELEASE_RQ, PDUType, a_abort
from pacsnode.dimse.rules import Timeouts
from pacsnode.dimse.server import DimseServer, Rules, SCPs
from pacsnode.dimse.verification_scp import VerificationSCP
from pacsnode.observe import (
    AssociationAccepted,
    AssociationEnded,
    AssociationRejected,
    ConnectionProbed,
    Event,
)
from tests.dimse_peers import (
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
    VERIFICATION,
    echo_request,
    message,
    read_message,
    read_pdu,
    read_to_end,
    request_command,
    store_request,
    us_of,
)
from tests.factories import CT, Sample

EXPLICIT = "1.2.840.10008.1.2.1"
SYNTAXES = (VERIFICATION, CT, STUDY_ROOT_FIND, STUDY_ROOT_MOVE, STUDY_ROOT_GET)
TITLES = (CalledTitle("PACSNODE", ("OLDPACS",)),)
RULES = Rules(
    policy=Policy(TITLES, unknown_peers=UnknownPeers.ALL),
    limits=Limits(associations=3, pre_association=100),
    max_pdu_bytes=65536,
    timeouts=Timeouts(acse=10.0, dimse=10.0, network=10.0),
)


class Events:
    """An observer that can be waited for."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._changed = threading.Condition()

    def __call__(self, event: Event) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def wait_for(self, kind: type | tuple[type, ...], count: int = 1) -> list[Event]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self._of(kind)) >= count, 20), self.events
            return self._of(kind)

    def _of(self, kind: type | tuple[type, ...]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]


class FakeSCP:
    """Answers Success, after what the test wants to happen; remembers what it was asked."""

    def __init__(self, before: Callable[[Conversation], None] = lambda _: None) -> None:
        self.before = before
        self.fields: list[int] = []

    def serve(self, conversation: Conversation, received: Message) -> None:
        conversation.skip_data_set()
        self.fields.append(received.command.field)
        self.before(conversation)
        conversation.respond(received.context, response(received.command, 0))


class Serving:
    """A running server with fake SCPs."""

    def __init__(self, rules: Rules = RULES, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.events = Events()
        self.storage, self.query, self.get, self.move = FakeSCP(), FakeSCP(), FakeSCP(), FakeSCP()
        scps = SCPs(VerificationSCP(self.events), self.storage, self.query, self.get, self.move)
        self.admission = Admission()
        self.server = DimseServer(rules, scps, self.events, host=host, port=port, admission=self.admission)
        self.is_stopped = False

    def __enter__(self) -> Self:
        self.server.start()
        return self

    def __exit__(self, *_: object) -> None:
        if not self.is_stopped:
            self.stop(5.0)
        self.admission.close()

    def stop(self, grace_seconds: float) -> None:
        self.is_stopped = True
        self.server.stop(grace_seconds)

    @contextmanager
    def connection(self) -> Iterator[socket.socket]:
        with socket.create_connection(("127.0.0.1", self.server.port)) as connection:
            connection.settimeout(20.0)
            yield connection

    @contextmanager
    def associated(self, called: str = "PACSNODE", calling: str = "CT1") -> Iterator[socket.socket]:
        with self.connection() as connection:
            connection.sendall(associate_request(called, calling))
            pdu_type, body = read_pdu(connection)
            assert pdu_type == PDUType.A_ASSOCIATE_AC
            assert decode_accept(body).decisions
            yield connection

    def rejected(self, called: str = "PACSNODE", calling: str = "CT1") -> Rejection:
        with self.connection() as connection:
            connection.sendall(associate_request(called, calling))
            pdu_type, body = read_pdu(connection)
            assert pdu_type == PDUType.A_ASSOCIATE_RJ
            return decode_rejection(body)

    def is_idle(self) -> bool:
        return not self.server._current() and self.admission.taken() == 0

    def wait_for_place(self) -> None:
        """Wait until the thread of an association that is over has let go of its place."""
        deadline, never = time.monotonic() + 20, threading.Event()
        while self.admission.taken() >= RULES.limits.associations:
            assert time.monotonic() < deadline
            never.wait(0.005)

    def wait_until_idle(self) -> None:
        """Wait until each connection that was accepted has let go of its place."""
        deadline, never = time.monotonic() + 20, threading.Event()
        while not self.is_idle():
            assert time.monotonic() < deadline
            never.wait(0.005)


@pytest.fixture(autouse=True)
def short_endings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pacsnode.dimse.association.conversation._ABORT_SECONDS", 0.2)
    monkeypatch.setattr("pacsnode.dimse.association.acceptor._REJECTION_SECONDS", 0.2)


@pytest.fixture
def serving() -> Iterator[Serving]:
    with Serving() as serving:
        yield serving


def associate_request(called: str = "PACSNODE", calling: str = "CT1") -> bytes:
    proposals = tuple(Proposal(2 * at + 1, syntax, (EXPLICIT,)) for at, syntax in enumerate(SYNTAXES))
    request = AssociateRequest(called, calling, APPLICATION_CONTEXT_NAME, proposals, 0)
    return encode_request(request, our_max_pdu_bytes=16384)


def echoed(connection: socket.socket, message_id: int = 1) -> None:
    connection.sendall(echo_request(message_id))
    answer = read_message(connection)
    assert us_of(answer.command, Element.STATUS) == 0
    assert us_of(answer.command, Element.MESSAGE_ID_BEING_RESPONDED_TO) == message_id


def release(connection: socket.socket) -> None:
    connection.sendall(A_RELEASE_RQ)
    assert read_pdu(connection) == (PDUType.A_RELEASE_RP, bytes(4))


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


# A whole association


def test_an_association_is_served_and_heard_of(serving: Serving) -> None:
    with serving.associated() as connection:
        for number in range(3):
            echoed(connection, number)
        release(connection)
    (event,) = serving.events.wait_for(AssociationEnded)
    assert isinstance(event, AssociationEnded)
    assert event.ending == "released"
    assert (event.calling_ae_title, event.called_ae_title, event.operations) == ("CT1", "PACSNODE", 3)
    assert (event.contexts_accepted, event.contexts_rejected) == (5, 0)
    assert event.peer_address.startswith("127.0.0.1:")
    assert event.bytes_received > 300
    assert event.bytes_sent > 200
    assert event.seconds >= 0
    serving.wait_until_idle()


def test_each_operation_reaches_its_scp(serving: Serving) -> None:
    with serving.associated() as connection:
        connection.sendall(store_request(Sample(), 1, context_id=3))
        read_message(connection)
        for context_id, field, syntax in (
            (5, CommandField.C_FIND, STUDY_ROOT_FIND),
            (7, CommandField.C_MOVE, STUDY_ROOT_MOVE),
            (9, CommandField.C_GET, STUDY_ROOT_GET),
        ):
            connection.sendall(
                message(context_id, request_command(field, syntax, 2, has_data_set=True), b"identifier")
            )
            read_message(connection)
        release(connection)
    found = [scp.fields for scp in (serving.storage, serving.query, serving.move, serving.get)]
    assert found == [
        [CommandField.C_STORE],
        [CommandField.C_FIND],
        [CommandField.C_MOVE],
        [CommandField.C_GET],
    ]


@pytest.mark.parametrize(
    ("context_id", "field"),
    [(1, CommandField.C_STORE), (1, CommandField.C_FIND), (3, CommandField.C_ECHO), (5, CommandField.C_MOVE),
     (9, CommandField.C_MOVE), (3, CommandField.N_ACTION), (1, CommandField.N_EVENT_REPORT), (1, 0x0777)],
)  # fmt: skip
def test_what_a_context_does_not_offer_is_refused_and_the_association_goes_on(
    serving: Serving, context_id: int, field: int
) -> None:
    with serving.associated() as connection:
        connection.sendall(
            message(context_id, request_command(field, CT, 4, has_data_set=True), bytes(50_000))
        )
        answer = read_message(connection)
        assert us_of(answer.command, Element.STATUS) == 0x0211
        assert us_of(answer.command, Element.COMMAND_FIELD) == field | 0x8000
        echoed(connection)
        release(connection)


# Rejections


@pytest.mark.parametrize(
    ("called", "expected"), [("NOBODY", (1, 1, 7)), ("pacsnode", (1, 1, 7)), (" ", (1, 1, 7))]
)
def test_another_called_title_is_rejected(
    serving: Serving, called: str, expected: tuple[int, int, int]
) -> None:
    assert serving.rejected(called) == Rejection(*expected)
    (event,) = serving.events.wait_for(AssociationRejected)
    assert isinstance(event, AssociationRejected)
    assert (event.calling_ae_title, event.called_ae_title) == ("CT1", called.strip())
    serving.wait_until_idle()


@pytest.mark.parametrize("called", ["PACSNODE", "OLDPACS", "PACSNODE\0", " PACSNODE"])
def test_our_titles_are_accepted(serving: Serving, called: str) -> None:
    with serving.associated(called) as connection:
        release(connection)


def test_any_called_title_where_it_is_not_checked() -> None:
    with (
        Serving(
            replace(RULES, policy=Policy(TITLES, (), UnknownPeers.ALL, check_called_ae=False))
        ) as serving,
        serving.associated("NOBODY") as connection,
    ):
        release(connection)


def test_a_caller_who_may_nothing_is_rejected_and_the_rule_is_told_to_us_alone() -> None:
    policy = Policy(TITLES, [Peer("ct", "CT1", allow=frozenset({Service.ECHO}))], UnknownPeers.NONE)
    with Serving(replace(RULES, policy=policy)) as serving:
        assert serving.rejected(calling="UNKNOWN") == Rejection(1, 1, 3)
        (event,) = serving.events.wait_for(AssociationRejected)
        assert isinstance(event, AssociationRejected)
        assert "unknown_peers" in event.reason
        with serving.connection() as connection:
            connection.sendall(associate_request())
            results = [d.result for d in decode_accept(read_pdu(connection)[1]).decisions]
            assert results == [0, 1, 1, 1, 1], "refused context by context"


def test_the_acceptance_is_heard_of_once_before_the_end(serving: Serving) -> None:
    with serving.associated() as connection:
        (accepted,) = serving.events.wait_for(AssociationAccepted)
        release(connection)
    (ended,) = serving.events.wait_for(AssociationEnded)
    assert isinstance(accepted, AssociationAccepted)
    assert isinstance(ended, AssociationEnded)
    assert (accepted.association_id, accepted.calling_ae_title, accepted.peer_address) == (
        ended.association_id,
        "CT1",
        ended.peer_address,
    )
    assert serving.events.events == [accepted, ended]


# Places


def test_the_limit_is_told_and_a_place_is_free_again_at_once(serving: Serving) -> None:
    with ExitStack() as stack:
        connections = [stack.enter_context(serving.associated()) for _ in range(3)]
        assert serving.rejected() == Rejection(2, 3, 2)
        release(connections[0])
        connections[0].close()
        serving.events.wait_for(AssociationEnded)
        serving.wait_for_place()
        with serving.associated() as connection:
            echoed(connection)


@pytest.mark.parametrize("stage", ["connected", "half a request", "requested", "associated", "in a message"])
@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_connection_that_closes_at_once_frees_its_place_at_once(
    serving: Serving, stage: str, end: str
) -> None:
    sent = {"half a request": associate_request()[:50], "requested": associate_request()}.get(stage, b"")
    for number in range(1, 6):
        if stage in ("associated", "in a message"):
            with serving.associated() as connection:
                connection.sendall(echo_request()[:20] if stage == "in a message" else b"")
                (reset if end == "reset" else socket.socket.close)(connection)
        else:
            with serving.connection() as connection:
                connection.sendall(sent)
                (reset if end == "reset" else socket.socket.close)(connection)
        serving.events.wait_for((AssociationRejected, AssociationEnded, ConnectionProbed), number)
        serving.wait_until_idle()
    with serving.associated() as connection:
        release(connection)


def test_silent_connections_do_not_take_the_places_of_associations(serving: Serving) -> None:
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(serving.connection())
        with serving.associated() as connection:
            echoed(connection)
            release(connection)


def test_when_the_lobby_is_full_the_longest_silent_one_gives_way(serving: Serving) -> None:
    limits = Limits(associations=3, pre_association=3)
    with Serving(replace(RULES, limits=limits)) as serving, ExitStack() as stack:
        silent = [stack.enter_context(serving.connection()) for _ in range(5)]
        assert [read_to_end(connection) for connection in silent[:2]] == [b"", b""]
        events = serving.events.wait_for(AssociationRejected, 2)
        assert {event.reason for event in events} == {"limits.pre_association reached"}
        with serving.associated() as connection:
            echoed(connection)
            release(connection)


@pytest.mark.parametrize(
    ("limits", "is_for_all"),
    [
        (Limits(associations=9, per_ae=1, pre_association=9), False),
        (Limits(associations=9, per_ip=1, pre_association=9), True),
        (Limits(associations=1, pre_association=9), True),
    ],
)
def test_a_limit_rejects_whom_it_is_for_and_nobody_else(limits: Limits, is_for_all: bool) -> None:
    with Serving(replace(RULES, limits=limits)) as serving:
        with serving.associated(calling="CT1") as connection:
            assert serving.rejected(calling="CT1 ") == LOCAL_LIMIT_EXCEEDED
            if is_for_all:
                assert serving.rejected(calling="CT2") == LOCAL_LIMIT_EXCEEDED
            else:
                with serving.associated(calling="CT2") as other:
                    release(other)
            release(connection)
        serving.wait_until_idle()
        with serving.associated(calling="CT1") as connection:
            release(connection)


def test_a_silent_connection_is_closed_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = replace(RULES, timeouts=Timeouts(acse=0.1, dimse=10.0, network=10.0))
    with Serving(settings) as serving, serving.connection() as connection:
        started = time.monotonic()
        assert read_to_end(connection) == b""  # AA-2 (PS3.8 table 9-10)
        assert 0.1 <= time.monotonic() - started < 5


def test_an_idle_association_is_aborted_in_time() -> None:
    settings = replace(RULES, timeouts=Timeouts(acse=10.0, dimse=10.0, network=0.1))
    with Serving(settings) as serving, serving.associated() as connection:
        assert read_to_end(connection) == a_abort(0, 0)
        (event,) = serving.events.wait_for(AssociationEnded)
        assert isinstance(event, AssociationEnded)
        assert "time limit" in event.ending


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", a_abort(2, 1)),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", a_abort(2, 1)),
        (A_RELEASE_RQ, a_abort(2, 2)),
    ],
)
def test_what_speaks_no_dicom_is_aborted_at_once(serving: Serving, sent: bytes, answer: bytes) -> None:
    with serving.connection() as connection:
        connection.sendall(sent)
        assert read_to_end(connection) == answer
    serving.events.wait_for(AssociationRejected)


def test_a_peer_that_breaks_the_protocol_is_aborted_and_the_reason_told(serving: Serving) -> None:
    with serving.associated() as connection:
        connection.sendall(echo_request(context_id=77))
        assert read_to_end(connection) == a_abort(2, 6)
    (event,) = serving.events.wait_for(AssociationEnded)
    assert isinstance(event, AssociationEnded)
    assert "77" in event.ending


@pytest.mark.parametrize(
    ("pdu", "ending"), [(a_abort(0, 0), "aborted"), (b"", "connection closed by the peer")]
)
def test_how_a_peer_ended_it_is_told(serving: Serving, pdu: bytes, ending: str) -> None:
    with serving.associated() as connection:
        connection.sendall(pdu)
    (event,) = serving.events.wait_for(AssociationEnded)
    assert isinstance(event, AssociationEnded)
    assert event.ending == ending


# Errors


def test_an_exception_in_an_scp_aborts_its_association_alone(
    serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    def bug(_: Conversation) -> None:
        raise ValueError("bug")

    serving.storage.before = bug
    with serving.associated() as other, serving.associated() as connection:
        with caplog.at_level(logging.ERROR):
            connection.sendall(store_request(Sample(), context_id=3))
            assert read_to_end(connection) == a_abort(0, 0)
        echoed(other)
        release(other)
    events = serving.events.wait_for(AssociationEnded, 2)
    assert sorted(event.ending for event in events if isinstance(event, AssociationEnded)) == [
        "released",
        "unexpected error",
    ]
    (record,) = caplog.records
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ValueError)
    serving.wait_until_idle()


def test_no_thread_left_turns_away_and_frees_the_place(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:

        def start(_: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        patch.setattr(threading.Thread, "start", start)
        with serving.connection() as connection:
            connection.sendall(associate_request())
            assert decode_rejection(read_pdu(connection)[1]) == TEMPORARY_CONGESTION
        serving.events.wait_for(AssociationRejected)
    assert serving.is_idle()
    with serving.associated() as connection:
        release(connection)


# Stopping


def test_stop_ends_idle_associations_and_accepts_no_more(serving: Serving) -> None:
    port = serving.server.port
    with serving.associated() as connection:
        serving.stop(10.0)
        assert read_to_end(connection) == a_abort(0, 0)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    assert serving.is_idle()


def test_stop_lets_an_operation_in_flight_finish(serving: Serving) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(_: Conversation) -> None:
        begun.set()
        assert go_on.wait(20)

    serving.storage.before = slow
    with serving.associated() as connection:
        connection.sendall(store_request(Sample(), context_id=3))
        assert begun.wait(20)
        stopping = threading.Thread(target=serving.stop, args=(20.0,))
        stopping.start()
        stopping.join(0.1)
        assert stopping.is_alive()
        go_on.set()
        answer = read_message(connection)
        assert us_of(answer.command, Element.STATUS) == 0
        stopping.join(20)
        assert not stopping.is_alive()
        assert read_to_end(connection) == a_abort(0, 0)


def test_stop_lets_a_data_set_that_is_on_its_way_arrive(serving: Serving) -> None:
    data = store_request(Sample(words=bytes(100_000)), context_id=3)
    with serving.associated() as connection:
        connection.sendall(data[:50_000])
        stopping = threading.Thread(target=serving.stop, args=(20.0,))
        stopping.start()
        stopping.join(0.1)
        connection.sendall(data[50_000:])
        assert us_of(read_message(connection).command, Element.STATUS) == 0
        stopping.join(20)
    assert serving.storage.fields == [CommandField.C_STORE]


def test_stop_cuts_off_what_does_not_end_in_time(serving: Serving) -> None:
    with serving.associated() as connection:
        connection.sendall(store_request(Sample(), context_id=3)[:200])
        started = time.monotonic()
        serving.stop(0.1)
        assert 0.1 <= time.monotonic() - started < 5
        assert read_to_end(connection) == b""
    assert serving.is_idle()


def test_stop_leaves_nothing_behind() -> None:
    threads, descriptors = threading.active_count(), len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with Serving() as serving, serving.associated() as connection:
            release(connection)
    assert threading.active_count() == threads
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_an_address_that_is_taken(serving: Serving) -> None:
    other = Serving(port=serving.server.port)
    with pytest.raises(OSError, match="in use"):
        other.server.start()
    other.admission.close()


def test_it_listens_on_ipv6(serving: Serving) -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    with Serving(host="::1") as listening:
        with socket.create_connection(("::1", listening.server.port)) as connection:
            connection.settimeout(20.0)
            connection.sendall(associate_request())
            assert read_pdu(connection)[0] == PDUType.A_ASSOCIATE_AC
            release(connection)
        (event,) = listening.events.wait_for(AssociationEnded)
        assert isinstance(event, AssociationEnded)
        assert event.peer_address.startswith("[::1]:")


def test_a_request_of_a_caller_with_odd_characters_is_answered(serving: Serving) -> None:
    """No title of a peer ends in a traceback."""
    request = associate_request().replace(b"CT1 ", b"C\xc41\n")
    with serving.connection() as connection:
        connection.sendall(request)
        assert read_pdu(connection)[0] == PDUType.A_ASSOCIATE_AC
        release(connection)


# Who is let in, and by which rules


def ruled(*peers: Peer, titles: tuple[CalledTitle, ...] = TITLES, **rules: object) -> Rules:
    return replace(RULES, policy=Policy(titles, peers, UnknownPeers.ALL), **rules)  # type: ignore[arg-type]


def reason_of(serving: Serving, number: int = 1) -> str:
    *_, event = serving.events.wait_for(AssociationRejected, number)
    assert isinstance(event, AssociationRejected)
    return event.reason


def test_a_known_title_from_elsewhere_is_rejected_and_the_rule_is_told_to_us_alone() -> None:
    peer = Peer("ct", "CT1", sources=Sources.parse(["127.0.0.2", "192.0.2.0/24"]))
    with Serving(ruled(peer)) as serving:
        assert serving.rejected() == Rejection(1, 1, 3)
        assert reason_of(serving) == (
            "calling AE title not recognized: "
            "peers.ct.addresses = [127.0.0.2, 192.0.2.0/24] does not contain 127.0.0.1"
        )
        with serving.associated(calling="CT2") as connection:
            release(connection)


def test_a_caller_over_ipv6_has_its_ipv4_address() -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 with IPv4 here")
    with Serving(ruled(Peer("ct", "CT1", sources=Sources.parse(["127.0.0.1"]))), host="::") as serving:
        with serving.associated() as connection:
            release(connection)
        (event,) = serving.events.wait_for(AssociationEnded)
        assert isinstance(event, AssociationEnded)
        assert event.peer_address.startswith("127.0.0.1:")


def test_a_host_name_is_resolved_and_one_that_cannot_be_lets_nobody_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    peers = (
        Peer("ct", "CT1", sources=Sources.parse(["scanner"])),
        Peer("mr", "MR1", sources=Sources.parse(["lost"])),
    )

    def resolve(name: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        if name == "scanner":
            return [(socket.AF_INET, 1, 6, "", ("127.0.0.1", 0))]
        raise socket.gaierror(-2, "Name or service not known")

    with monkeypatch.context() as patched:
        patched.setattr("pacsnode.dimse.host_names.socket.getaddrinfo", resolve)
        with Serving(ruled(*peers)) as serving:
            serving.server._adopted.names.addresses(["scanner", "lost"])
            patched.undo()
            with serving.associated() as connection:
                release(connection)
            assert serving.rejected(calling="MR1") == Rejection(1, 1, 3)
            assert reason_of(serving).endswith("peers.mr.addresses = [lost] does not contain 127.0.0.1")


def test_a_called_title_that_is_not_ours_is_told_with_the_keys(serving: Serving) -> None:
    assert serving.rejected("NOBODY") == Rejection(1, 1, 7)
    assert reason_of(serving) == (
        "called AE title not recognized: "
        "neither dicom.ae_title nor dicom.ae_title_aliases nor [[ae_titles]] has it"
    )


def test_a_peer_has_a_limit_of_its_own() -> None:
    peer = Peer("ct", "CT1", max_associations=2)
    rules = ruled(peer, limits=Limits(associations=9, per_ae=1, pre_association=9))
    with Serving(rules) as serving, serving.associated(), serving.associated(calling="CT1 ") as connection:
        assert serving.rejected() == LOCAL_LIMIT_EXCEEDED
        assert reason_of(serving) == "peers.ct.max_associations reached"
        with serving.associated(calling="CT2") as other:
            assert serving.rejected(calling="CT2") == LOCAL_LIMIT_EXCEEDED
            assert reason_of(serving, 2) == "limits.per_ae reached"
            release(other)
        release(connection)


def test_services_that_are_refused_are_told_once_an_association() -> None:
    policy = Policy(TITLES, [Peer("ct", "CT1", allow=frozenset({Service.ECHO, Service.STORE}))])
    with Serving(replace(RULES, policy=policy)) as serving:
        with serving.connection() as connection:
            connection.sendall(associate_request())
            assert [d.result for d in decode_accept(read_pdu(connection)[1]).decisions] == [0, 0, 1, 1, 1]
            release(connection)
        (event,) = serving.events.wait_for(AssociationEnded)
        assert isinstance(event, AssociationEnded)
        assert event.refused == "peers.ct.allow = [echo, store] does not contain find, move, get"


def test_nothing_is_refused_to_who_may_do_everything(serving: Serving) -> None:
    with serving.associated() as connection:
        release(connection)
    (event,) = serving.events.wait_for(AssociationEnded)
    assert isinstance(event, AssociationEnded)
    assert event.refused == ""


def test_rules_that_are_adopted_are_for_who_comes_then() -> None:
    first = ruled(Peer("ct", "CT1"))
    second = ruled(
        Peer("ct", "CT1", allow=frozenset()),
        titles=(CalledTitle("OTHER"),),
        limits=Limits(associations=1, pre_association=5),
        number=7,
    )
    with Serving(first) as serving:
        seen: list[tuple[int, bool]] = []

        def remember(conversation: Conversation) -> None:
            terms = conversation.terms
            seen.append((terms.rules.number, terms.rights.may(Service.FIND)))

        serving.query.before = remember
        find = message(
            5, request_command(CommandField.C_FIND, STUDY_ROOT_FIND, 2, has_data_set=True), b"identifier"
        )
        with serving.associated() as before:
            serving.server.adopt(second)
            assert serving.server.rules is second
            before.sendall(find)
            read_message(before)
            assert serving.rejected("PACSNODE", "CT2") == Rejection(1, 1, 7)
            assert serving.rejected("OTHER", "CT1") == Rejection(1, 1, 3)
            assert serving.rejected("OTHER", "CT2") == LOCAL_LIMIT_EXCEEDED, "the first one counts"
            echoed(before)
            release(before)
        serving.wait_until_idle()
        with serving.associated("OTHER", "CT2") as after:
            after.sendall(find)
            read_message(after)
            release(after)
    assert seen == [(0, True), (7, True)]


def test_the_lobby_follows_the_rules_that_are_adopted(serving: Serving) -> None:
    serving.server.adopt(replace(RULES, limits=Limits(associations=3, pre_association=1)))
    with serving.connection() as silent, serving.connection():
        assert read_to_end(silent) == b""
    assert reason_of(serving) == "limits.pre_association reached"


def test_servers_that_share_their_places_share_their_limits() -> None:
    rules = replace(RULES, limits=Limits(associations=1, pre_association=9))
    with Serving(rules) as one:
        two = DimseServer(
            rules, SCPs(VerificationSCP(one.events), one.storage), one.events, admission=one.admission
        )
        with socket.create_server(("127.0.0.1", 0)) as listening:
            two.start(listening)
            with one.associated() as connection:
                with socket.create_connection(("127.0.0.1", two.port)) as other:
                    other.settimeout(20.0)
                    other.sendall(associate_request())
                    assert decode_rejection(read_pdu(other)[1]) == LOCAL_LIMIT_EXCEEDED
                release(connection)
            two.stop(5.0)


TITLES_OF_STRANGERS = ("' OR '1'='1", "../../etc/passwd", "CT1\\WS1", "\x1b[31m", "%s%n", "*", "?", "")


@pytest.mark.parametrize("title", TITLES_OF_STRANGERS)
def test_hostile_titles_are_unknown_ones(title: str) -> None:
    policy = Policy(TITLES, [Peer("ct", "CT1")], UnknownPeers.NONE)
    with Serving(replace(RULES, policy=policy)) as serving:
        with serving.connection() as connection:
            hostile = title.encode("ascii")[:16].ljust(16)
            connection.sendall(associate_request(calling="@" * 16).replace(b"@" * 16, hostile))
            pdu_type, body = read_pdu(connection)
        assert (pdu_type, decode_rejection(body)) == (PDUType.A_ASSOCIATE_RJ, Rejection(1, 1, 3))
        assert "unknown_peers" in reason_of(serving)
