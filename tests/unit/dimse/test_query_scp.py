"""C-FIND: Pending responses, cancel between them, the final status (PS3.4 C.4.1)."""

import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.filereader import read_dataset

from pacsnode.access.peer import Peer
from pacsnode.access.sees import Sees
from pacsnode.archive.find import Find
from pacsnode.dicom.character_sets import AS_SAID, CharacterSetRule
from pacsnode.dicom.query import BASELINE, Options, Query, SingleValue, Words
from pacsnode.dicom.visibility import Trait, View
from pacsnode.dimse.association.command import CommandField, Element
from pacsnode.dimse.association.endings import (
    AssociationOver,
    ConnectionLost,
    MessageViolation,
    PeerAborted,
)
from pacsnode.dimse.association.pdu import a_abort
from pacsnode.dimse.query_scp import QuerySCP
from pacsnode.errors import OutOfResources, PacsNodeError, PermanentError, TemporaryError
from pacsnode.index.base import Check, Row
from pacsnode.observe import QueryAnswered
from tests.dimse_peers import (
    STUDY_ROOT_FIND,
    Received,
    Script,
    Talk,
    cancel_request,
    context,
    conversation_on,
    echo_request,
    elements_of,
    message,
    p_data,
    parsed,
    request_command,
    terms_of,
    us_of,
)
from tests.factories import Heard, element

CONTEXTS = (context(1), context(5, STUDY_ROOT_FIND))


class FakeIndex:
    """Answers each query with rows of a number, a page at a time; a page may be a function to call."""

    def __init__(self, *pages: int | Callable[[], None]) -> None:
        self.pages = pages
        self.read = 0
        self.queries: list[Query] = []

    def find(self, query: Query, *, check: Check | None = None) -> Iterator[Sequence[Row]]:
        self.queries.append(query)
        for page in self.pages:
            if check is not None:
                check()
            self.read += 1
            if callable(page):
                page()
                continue
            yield [(*(f"{number}" for _ in query.returned), None) for number in range(page)]

    def count(self, query: Query, *, at_most: int, check: Check | None = None) -> int:
        return min(at_most, sum(page for page in self.pages if isinstance(page, int)))


def identifier(*more: bytes, level: bytes = b"STUDY ") -> bytes:
    found = [element(0x00080052, "CS", level), element(0x0020000D, "UI", b""), *more]
    return b"".join(sorted(found, key=lambda data: (data[1], data[0], data[3], data[2])))


def request(data: bytes, message_id: int = 7) -> bytes:
    return message(
        5, request_command(CommandField.C_FIND, STUDY_ROOT_FIND, message_id, has_data_set=True), data
    )


def scp(index: FakeIndex, heard: Heard, **limits: Any) -> QuerySCP:
    return QuerySCP(Find(index, **({"max_results": 0} | limits)), heard)  # type: ignore[arg-type]


def served(
    index: FakeIndex,
    stream: bytes,
    *peers: Peer,
    heard: Heard | None = None,
    agreed: bytes = b"",
    **limits: Any,
) -> list[Received]:
    """Return what is answered; `agreed` is what extended negotiation has accepted (PS3.4 C.5.1.1)."""
    script = Script([stream + echo_request(99)])
    contexts = [replace(one, extended=agreed) for one in CONTEXTS]
    conversation = conversation_on(script, contexts, terms=terms_of(*peers))
    received = conversation.receive()
    assert received is not None
    scp(index, heard or Heard(), **limits).serve(conversation, received)
    following = conversation.receive()
    assert following is not None
    assert following.command.message_id == 99
    return parsed(b"".join(script.sent))


def statuses(answers: list[Received]) -> list[int | None]:
    return [us_of(answer.command, Element.STATUS) for answer in answers]


def content(answer: Received) -> Dataset:
    assert answer.data_set is not None
    return read_dataset(BytesIO(answer.data_set), is_implicit_VR=False, is_little_endian=True)


def test_each_match_is_pending_and_the_end_is_success() -> None:
    heard, index = Heard(), FakeIndex(2, 0, 3)
    answers = served(index, request(identifier(element(0x00080054, "AE", b""))), heard=heard)
    assert statuses(answers) == [0xFF00] * 5 + [0x0000]
    assert [content(answer).StudyInstanceUID for answer in answers[:-1]] == ["0", "1", "0", "1", "2"]
    assert content(answers[0]).QueryRetrieveLevel == "STUDY"
    assert content(answers[0]).RetrieveAETitle == "PACSNODE"
    assert answers[-1].data_set is None
    for answer in answers:
        assert us_of(answer.command, Element.MESSAGE_ID_BEING_RESPONDED_TO) == 7
        assert us_of(answer.command, Element.COMMAND_FIELD) == 0x8020
        assert Element.ERROR_COMMENT not in elements_of(answer.command)
    (event,) = heard.events
    assert isinstance(event, QueryAnswered)
    assert (event.model, event.level, event.matches, event.status) == ("Study Root", "STUDY", 5, 0)


def test_no_match_is_success_alone() -> None:
    assert statuses(served(FakeIndex(), request(identifier()))) == [0x0000]


def test_a_page_is_several_writes_of_many_answers() -> None:
    script = Script([request(identifier()) + echo_request(99)])
    conversation = conversation_on(script, CONTEXTS)
    received = conversation.receive()
    assert received is not None
    scp(FakeIndex(130), Heard()).serve(conversation, received)
    assert [len(parsed(written)) for written in script.sent] == [64, 64, 2, 1]


UNSUPPORTED = element(0x00180050, "DS", b"")


@pytest.mark.parametrize(
    ("peer", "pending", "is_returned"),
    [
        (None, 0xFF01, False),
        (Peer("ws", "CT1"), 0xFF01, False),
        (Peer("ws", "CT1", return_unknown_keys=True), 0xFF00, True),
        (Peer("other", "CT2", return_unknown_keys=True), 0xFF01, False),
    ],
)
def test_keys_that_are_not_supported(peer: Peer | None, pending: int, is_returned: bool) -> None:
    peers = [peer] if peer else []
    answers = served(FakeIndex(1), request(identifier(UNSUPPORTED)), *peers)
    assert statuses(answers) == [pending, 0x0000]
    assert ("SliceThickness" in content(answers[0])) is is_returned


@pytest.mark.parametrize(("value", "pending"), [(b"3 ", 0xFF01), (b"", 0xFF00), (b"  ", 0xFF00)])
@pytest.mark.parametrize("returns_unknown_keys", [False, True])
def test_the_value_of_a_count_is_not_matched(value: bytes, pending: int, returns_unknown_keys: bool) -> None:
    """PS3.4 C.4.1.1.4: 0xFF01 is for matching that is not supported, too. The count is answered."""
    peer = Peer("ws", "CT1", return_unknown_keys=returns_unknown_keys)
    answers = served(FakeIndex(1), request(identifier(element(0x00201208, "IS", value))), peer)
    assert statuses(answers) == [pending, 0x0000]
    assert "NumberOfStudyRelatedInstances" in content(answers[0])


def test_what_is_no_uid_is_named() -> None:
    answers = served(FakeIndex(), request(identifier(element(0x0020000E, "UI", b"1.x"), level=b"SERIES")))
    assert statuses(answers) == [0xA900]
    assert (
        elements_of(answers[0].command)[Element.ERROR_COMMENT].rstrip() == b"SeriesInstanceUID is not a UID"
    )


def series_without_study() -> bytes:
    return element(0x00080052, "CS", b"SERIES") + element(0x0020000E, "UI", b"1.2\0")


@pytest.mark.parametrize(
    ("peer", "expected"),
    [(None, 0x0000), (Peer("ws", "CT1"), 0x0000), (Peer("ws", "CT1", strict_hierarchy=True), 0xA900)],
)
def test_a_missing_higher_key_is_relational_or_refused_by_the_peers_setting(
    peer: Peer | None, expected: int
) -> None:
    answers = served(FakeIndex(), request(series_without_study()), *([peer] if peer else []))
    assert statuses(answers) == [expected]


@pytest.mark.parametrize(("agreed", "expected"), [(b"", 0xA900), (b"\0\1", 0xA900), (b"\1", 0x0000)])
def test_a_strict_peer_may_leave_out_higher_keys_if_that_was_negotiated(agreed: bytes, expected: int) -> None:
    """PS3.4 C.4.1.2.2.1."""
    peer = Peer("ws", "CT1", strict_hierarchy=True)
    assert statuses(served(FakeIndex(), request(series_without_study()), peer, agreed=agreed)) == [expected]


def test_what_was_negotiated_reaches_the_query() -> None:
    index, name = FakeIndex(), element(0x00100010, "PN", b"Mary Smith")
    served(index, request(identifier(name)))
    served(index, request(identifier(name)), agreed=b"\0\0\1\0\0\1")
    assert [query.options for query in index.queries] == [
        BASELINE,
        Options(fuzzy_names=True, empty_value=True),
    ]
    assert [query.keys[0].matching for query in index.queries] == [
        SingleValue("Mary Smith"),
        Words(("mary", "smith")),
    ]


def test_answers_are_in_the_requesters_time_zone_if_that_was_negotiated() -> None:
    """PS3.4 C.4.1.1.3.2. The fake index answers "0" for a date, a time and a zone: none of them is adjusted."""
    more = (element(0x00080020, "DA", b""), element(0x00080201, "SH", b"+0100 "))
    index = FakeIndex(1)
    with_zone, _ = served(index, request(identifier(*more)), agreed=b"\0\0\0\1")
    assert content(with_zone).TimezoneOffsetFromUTC == "+0100"
    assert [one.keyword for one in index.queries[0].returned] == [
        "StudyDate",
        "StudyInstanceUID",
        "StudyTime",
        "TimezoneOffsetFromUTC",
    ]
    without, _ = served(index, request(identifier(*more)))
    assert "TimezoneOffsetFromUTC" not in content(without)
    assert us_of(without.command, Element.STATUS) == 0xFF00, "the zone is no key"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (element(0x0020000D, "UI", b""), 0xA900),
        (identifier(level=b"PATIENT "), 0xA900),
        (identifier(level=b"NOTHING "), 0xA900),
        (b"\xff" * 30, 0xC000),
        (b"", 0xA900),
    ],
)
def test_an_identifier_without_a_meaning(data: bytes, code: int) -> None:
    heard, index = Heard(), FakeIndex(3)
    (answer,) = served(index, request(data), heard=heard)
    status = us_of(answer.command, Element.STATUS)
    assert status in ((0xA900,) if code == 0xA900 else (0xA900, 0xC000))
    assert 0 < len(elements_of(answer.command)[Element.ERROR_COMMENT]) <= 64
    assert index.queries == []
    (event,) = heard.events
    assert isinstance(event, QueryAnswered)
    assert (event.status, event.matches) == (status, 0)


def test_more_than_the_limit_is_refused_before_any_pending() -> None:
    assert statuses(served(FakeIndex(3, 3), request(identifier()), max_results=5)) == [0xA700]
    assert statuses(served(FakeIndex(3, 2), request(identifier()), max_results=5)) == [0xFF00] * 5 + [0]


def comment(answer: Received) -> str:
    return elements_of(answer.command)[Element.ERROR_COMMENT].decode("ascii").rstrip()


def test_the_comment_names_the_limit() -> None:
    (answer,) = served(FakeIndex(3, 3), request(identifier()), max_results=5)
    assert comment(answer) == "more than 5 matches (index.max_find_results)"


@pytest.mark.parametrize(
    ("pages", "matches", "said"),
    [
        ((0, 0, 0), 0, "search took over 2.5 s, narrow it (index.max_find_time)"),
        ((2, 2, 2), 2, "list incomplete: search took over 2.5 s (index.max_find_time)"),
    ],
)
def test_a_search_that_takes_too_long_is_never_a_success(
    pages: tuple[int, ...], matches: int, said: str
) -> None:
    """Each look at the clock is a second later. What was answered stays; the failure says that it is not all."""
    heard, clock = Heard(), iter(range(1000))
    answers = served(
        FakeIndex(*pages),
        request(identifier()),
        heard=heard,
        max_seconds=2.5,
        now=lambda: float(next(clock)),
    )
    assert statuses(answers) == [0xFF00] * matches + [0xA700]
    assert comment(answers[-1]) == said
    (event,) = heard.events
    assert isinstance(event, QueryAnswered)
    assert (event.status, event.matches, event.comment) == (0xA700, matches, said)


def raising(error: Exception) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "code"),
    [(TemporaryError("busy"), 0xA700), (OutOfResources("full"), 0xA700), (PermanentError("damaged"), 0xC000)],
)
def test_an_index_that_fails_on_the_way(error: PacsNodeError, code: int) -> None:
    heard = Heard()
    answers = served(FakeIndex(2, raising(error)), request(identifier()), heard=heard)
    assert statuses(answers) == [0xFF00, 0xFF00, code]
    (event,) = heard.events
    assert isinstance(event, QueryAnswered)
    assert (event.matches, event.status) == (2, code)


def test_a_query_carries_what_its_requester_sees(caplog: pytest.LogCaptureFixture) -> None:
    index = FakeIndex()
    with caplog.at_level(logging.DEBUG, "pacsnode.dimse.query_log"):
        served(index, request(identifier()), Peer("ws", "CT1", sees=(Sees(own_sends=True),)))
    assert "C-FIND STUDY: only what this requester sees (sees)" in caplog.messages
    served(index, request(identifier()), Peer("other", "CT2", sees=()))
    assert [query.visibility for query in index.queries] == [(View((Trait(None, ("CT1",)),)),), None]


# Cancel


def test_a_cancel_that_comes_with_the_request_stops_it_before_the_first_answer() -> None:
    heard = Heard()
    answers = served(
        FakeIndex(100, 100), request(identifier()) + cancel_request(7, context_id=5), heard=heard
    )
    assert statuses(answers) == [0xFE00]
    (event,) = heard.events
    assert isinstance(event, QueryAnswered)
    assert event.status == 0xFE00


def test_a_cancel_of_something_else_stops_nothing() -> None:
    answers = served(FakeIndex(3), request(identifier()) + cancel_request(8, context_id=5))
    assert statuses(answers) == [0xFF00] * 3 + [0x0000]


def test_a_cancel_between_two_pages_is_obeyed() -> None:
    with Talk(CONTEXTS) as talk:
        index = FakeIndex(10, lambda: talk.peer.sendall(cancel_request(7, context_id=5)), 0, 10, 10)
        talk.peer.sendall(request(identifier()))
        received = talk.conversation.receive()
        assert received is not None
        scp(index, Heard()).serve(talk.conversation, received)
        assert index.read < 5
        answers = talk.sent_by_us()
    assert statuses(answers) == [0xFF00] * 10 + [0xFE00]


def test_a_cancel_during_a_long_walk_without_matches_is_obeyed() -> None:
    """Pages may be empty; the walk may take long."""
    with Talk(CONTEXTS) as talk:
        index = FakeIndex(0, lambda: talk.peer.sendall(cancel_request(7, context_id=5)), *[0] * 50)
        talk.peer.sendall(request(identifier()))
        received = talk.conversation.receive()
        assert received is not None
        scp(index, Heard()).serve(talk.conversation, received)
        assert index.read < 50
        answers = talk.sent_by_us()
    assert statuses(answers) == [0xFE00]


# The association ends on the way


@pytest.mark.parametrize(
    ("sent", "kind"),
    [
        (a_abort(0, 0), PeerAborted),
        (p_data(5, (3, b"garbage")), MessageViolation),
    ],
)
def test_an_association_that_is_over_is_not_answered(sent: bytes, kind: type[AssociationOver]) -> None:
    """It is no failure of the index: nothing may be sent any more, and nothing is read on."""
    heard, script = Heard(), Script([request(identifier()) + sent])
    conversation = conversation_on(script, CONTEXTS)
    received = conversation.receive()
    assert received is not None
    with pytest.raises(kind):
        scp(FakeIndex(3), heard).serve(conversation, received)
    assert script.sent == []


def test_a_peer_that_goes_away_ends_the_query() -> None:
    with Talk(CONTEXTS) as talk:
        index = FakeIndex(5, talk.peer.close, *[5] * 200)
        talk.peer.sendall(request(identifier()))
        received = talk.conversation.receive()
        assert received is not None
        with pytest.raises(ConnectionLost):
            scp(index, Heard()).serve(talk.conversation, received)
        assert index.read < 200


def test_a_query_of_a_peer_that_stops_reading_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pacsnode.dimse.association.conversation._WRITE_SECONDS", 0.1)
    monkeypatch.setattr("pacsnode.dimse.association.conversation._BYTES_PER_SECOND", 1 << 40)
    before = threading.active_count(), len(os.listdir("/proc/self/fd"))
    with Talk(CONTEXTS) as talk:
        talk.peer.sendall(request(identifier()))
        received = talk.conversation.receive()
        assert received is not None
        with pytest.raises(AssociationOver, match="nothing taken"):
            scp(FakeIndex(*[64] * 5000), Heard()).serve(talk.conversation, received)
    assert (threading.active_count(), len(os.listdir("/proc/self/fd"))) == before


@pytest.mark.parametrize(
    ("rule", "read", "answered"),
    [
        (AS_SAID, "¸Òp", "ISO_IR 100"),
        (CharacterSetRule(default=("ISO_IR 144",)), "¸Òp", "ISO_IR 100"),
        (CharacterSetRule(("ISO_IR 144",)), "Ивp", "ISO_IR 144"),
    ],
)
def test_a_peers_rule_holds_for_the_query_and_an_override_for_the_answers(
    rule: CharacterSetRule, read: str, answered: str
) -> None:
    index = FakeIndex(1)
    name = element(0x00100010, "PN", b"\xb8\xd2p ")
    said = element(0x00080005, "CS", b"ISO_IR 100")
    answers = served(index, request(identifier(said, name)), Peer("a", "CT1", character_sets=rule))
    (query,) = index.queries
    assert query.keys[0].matching == SingleValue(read)
    assert content(answers[0]).SpecificCharacterSet == answered
