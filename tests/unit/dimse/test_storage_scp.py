"""C-STORE: Success only for what is kept, and each failure by its status."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pacsnode.access.peer import CalledTitle, Peer, Service
from pacsnode.dicom.attributes import BY_KEYWORD, Level
from pacsnode.dicom.character_sets import CharacterSetRule
from pacsnode.dicom.query import InformationModel, Query
from pacsnode.dimse.association.acse import Roles
from pacsnode.dimse.association.command import CommandField, Element
from pacsnode.dimse.association.endings import AssociationOver, ConnectionLost, MessageViolation
from pacsnode.dimse.rules import Terms
from pacsnode.dimse.storage_scp import StorageSCP
from pacsnode.duplicates import DuplicatePolicy
from pacsnode.errors import DamagedObject, OutOfResources, PacsNodeError, TemporaryError
from pacsnode.observe import InstanceStored
from tests.dimse_peers import (
    Received,
    Script,
    context,
    conversation_on,
    echo_request,
    elements_of,
    message,
    parsed,
    request_command,
    store_request,
    terms_of,
    us_of,
)
from tests.factories import CT, MR, Heard, Parts, Sample

SAMPLE = Sample()
CONTEXTS = (context(1), context(3, CT))


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    with Parts(tmp_path) as parts:
        yield parts


@pytest.fixture
def heard() -> Heard:
    return Heard()


def served(
    parts: Parts,
    heard: Heard,
    stream: bytes,
    *,
    roles: Roles | None = None,
    max_bytes: int = 1 << 20,
    terms: Terms | None = None,
) -> Received:
    """Serve one C-STORE and return its response; an echo behind it must still be read."""
    script = Script([stream + echo_request(99)])
    contexts = (CONTEXTS[0], replace(CONTEXTS[1], requestor=roles or CONTEXTS[1].requestor))
    terms = terms or terms_of(duplicates=DuplicatePolicy.REFUSE, max_data_set_bytes=max_bytes)
    conversation = conversation_on(script, contexts, terms=terms)
    received = conversation.receive()
    assert received is not None
    StorageSCP(parts.store, heard).serve(conversation, received)
    following = conversation.receive()
    assert following is not None
    assert following.command.message_id == 99, "the stream is where the next message begins"
    (answer,) = parsed(b"".join(script.sent))
    return answer


def event_of(heard: Heard) -> InstanceStored:
    (event,) = heard.events
    assert isinstance(event, InstanceStored)
    return event


def status_of(answer: Received) -> int:
    code = us_of(answer.command, Element.STATUS)
    assert code is not None
    return code


@pytest.mark.parametrize("fragment_bytes", [10, 1 << 14])
def test_success_means_kept(parts: Parts, heard: Heard, fragment_bytes: int) -> None:
    answer = served(parts, heard, store_request(SAMPLE, 7, context_id=3, fragment_bytes=fragment_bytes))
    assert us_of(answer.command, Element.COMMAND_FIELD) == 0x8001
    assert us_of(answer.command, Element.MESSAGE_ID_BEING_RESPONDED_TO) == 7
    assert status_of(answer) == 0
    assert elements_of(answer.command)[Element.AFFECTED_SOP_INSTANCE_UID].rstrip(b"\0").decode() == SAMPLE.uid
    assert Element.ERROR_COMMENT not in elements_of(answer.command)
    (entry,) = parts.spool.entries()
    assert (parts.spool._ready.path / entry.name).read_bytes() == SAMPLE.file
    event = event_of(heard)
    assert (event.outcome, event.status, event.data_set_bytes) == ("stored", 0, len(SAMPLE.data_set))
    assert (event.sop_class_uid, event.sop_instance_uid) == (CT, SAMPLE.uid)
    assert (event.association_id, event.calling_ae_title) == ("0badcafe", "CT1")
    assert event.transfer_syntax_uid == SAMPLE.transfer_syntax


def test_the_same_again_is_success_and_other_content_is_not(parts: Parts, heard: Heard) -> None:
    codes = [
        status_of(served(parts, heard, store_request(sample, 1, context_id=3)))
        for sample in (SAMPLE, SAMPLE, Sample(comment="other"))
    ]
    assert codes == [0, 0, 0xC001]
    outcomes = [event.outcome for event in heard.events if isinstance(event, InstanceStored)]
    assert outcomes[:2] == ["stored", "already stored"]
    assert outcomes[2].startswith("DifferentContent")
    assert len(parts.spool.entries()) == 1


def test_text_is_read_by_the_rule_of_the_peer(parts: Parts, heard: Heard) -> None:
    peer = Peer("old", "CT1", character_sets=CharacterSetRule(default=("ISO_IR 144",)))
    sample = Sample(more=((0x00081030, "LO", "Череп ".encode("iso8859_5")),))
    served(parts, heard, store_request(sample, 7, context_id=3), terms=terms_of(peer))
    returned = (BY_KEYWORD["StudyDescription"],)
    query = Query(InformationModel.STUDY_ROOT, Level.STUDY, keys=(), returned=returned)
    assert [row for page in parts.index.find(query) for row in page] == [("Череп", "ISO_IR 144")]


def command(sample: Sample = SAMPLE, **changes: object) -> bytes:
    arguments: dict[str, object] = {
        "has_data_set": True,
        "instance": sample.uid,
        "sop_class": sample.sop_class,
        **changes,
    }
    return request_command(CommandField.C_STORE, message_id=1, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("stream", "code", "offending"),
    [
        (message(3, command(instance="not a UID"), SAMPLE.data_set), 0x0117, 0x00001000),
        (message(3, command(instance=""), SAMPLE.data_set), 0x0117, 0x00001000),
        (message(3, command(instance="../../etc/passwd"), SAMPLE.data_set), 0x0117, 0x00001000),
        (message(3, command(instance="1" * 65), SAMPLE.data_set), 0x0117, 0x00001000),
        (message(3, command(sop_class=MR), SAMPLE.data_set), 0x0122, 0x00000002),
        (message(3, command(has_data_set=False)), 0x0212, 0x00000800),
        (message(3, command(), Sample(2).data_set), 0xA900, 0x00080018),
        (message(3, command(), Sample(sop_class=MR).data_set), 0xA900, 0x00080016),
        (message(3, command(), b"\0" * 20), 0xC000, None),
        (message(3, command(), b""), 0xA900, None),
    ],
)
def test_what_is_refused_and_why(
    parts: Parts, heard: Heard, stream: bytes, code: int, offending: int | None
) -> None:
    answer = served(parts, heard, stream)
    assert status_of(answer) in ((code,) if code != 0xC000 else (0xC000, 0xA900))
    elements = elements_of(answer.command)
    if offending is not None:
        assert (
            elements[Element.OFFENDING_ELEMENT]
            == offending.to_bytes(4)[1::-1] + offending.to_bytes(4)[3:1:-1]
        )
    assert 0 < len(elements[Element.ERROR_COMMENT]) <= 64
    assert parts.spool.entries() == parts.everything() == []
    assert event_of(heard).status == status_of(answer)


def test_who_may_only_be_sent_to_may_not_store(parts: Parts, heard: Heard) -> None:
    answer = served(parts, heard, store_request(SAMPLE, context_id=3), roles=Roles(is_scu=False, is_scp=True))
    assert status_of(answer) == 0x0124
    assert parts.spool.entries() == []
    assert event_of(heard).outcome == "the role was not negotiated"


def test_who_may_not_store_is_told_so_and_the_rule_is_for_the_log(parts: Parts, heard: Heard) -> None:
    terms = terms_of(Peer("ws", "CT1", allow=frozenset({Service.GET})))
    answer = served(parts, heard, store_request(SAMPLE, context_id=3), terms=terms)
    assert status_of(answer) == 0x0124
    assert elements_of(answer.command)[Element.ERROR_COMMENT].rstrip() == b"not authorized to store"
    assert parts.spool.entries() == parts.everything() == []
    assert event_of(heard).outcome == "peers.ws.allow = [get] does not contain store"


@pytest.mark.parametrize(
    ("called", "codes", "versions"), [("PACSNODE", [0, 0xC001], 1), ("RESEARCH", [0, 0], 2)]
)
def test_other_content_is_for_the_title_that_is_called(
    parts: Parts, heard: Heard, called: str, codes: list[int], versions: int
) -> None:
    terms = terms_of(duplicates=DuplicatePolicy.REFUSE, duplicates_of={"RESEARCH": DuplicatePolicy.KEEP_BOTH})
    terms = replace(terms, rights=replace(terms.rights, called=CalledTitle(called)))
    answers = [
        served(parts, heard, store_request(one, context_id=3), terms=terms)
        for one in (SAMPLE, replace(SAMPLE, words=b"other   "))
    ]
    assert [status_of(answer) for answer in answers] == codes
    assert len(parts.everything()) == versions


@pytest.mark.parametrize(
    ("error", "code"),
    [(OutOfResources("x"), 0xA700), (TemporaryError("x"), 0x0110), (DamagedObject("x"), 0x0110)],
)
def test_trouble_of_ours_is_a_status(
    parts: Parts, heard: Heard, monkeypatch: pytest.MonkeyPatch, error: PacsNodeError, code: int
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(parts.index, "add", failing)
    assert status_of(served(parts, heard, store_request(SAMPLE, context_id=3))) == code
    assert parts.spool.entries() == []
    assert event_of(heard).outcome.startswith(type(error).__name__)


def test_no_space_is_told_after_the_data_set_was_drained(
    parts: Parts, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts.spool._ready, "free_bytes", lambda: -1)
    assert status_of(served(parts, heard, store_request(SAMPLE, context_id=3))) == 0xA700
    assert event_of(heard).data_set_bytes == len(SAMPLE.data_set)


def test_a_data_set_over_the_limit_is_answered_and_then_the_association_ends(
    parts: Parts, heard: Heard
) -> None:
    """0xA700 says why (it is read by who looks), and nothing more is read of an endless data set."""
    endless = store_request(replace(SAMPLE, words=bytes(100_000)), 7, context_id=3, fragment_bytes=1000)
    script = Script([endless[at : at + 1000] for at in range(0, len(endless), 1000)])
    conversation = conversation_on(script, CONTEXTS, terms=terms_of(max_data_set_bytes=5000))
    received = conversation.receive()
    assert received is not None
    with pytest.raises(MessageViolation, match="max_dataset"):
        StorageSCP(parts.store, heard).serve(conversation, received)
    (answer,) = parsed(b"".join(script.sent))
    assert status_of(answer) == 0xA700
    assert us_of(answer.command, Element.MESSAGE_ID_BEING_RESPONDED_TO) == 7
    assert event_of(heard).status == 0xA700
    assert script.bytes_received < 8000
    assert parts.spool.entries() == []


@pytest.mark.parametrize("at", [150, 200, 270])
def test_a_connection_that_is_lost_leaves_nothing(parts: Parts, heard: Heard, at: int) -> None:
    script = Script([store_request(SAMPLE, context_id=3)[:at]])
    conversation = conversation_on(script, CONTEXTS)
    received = conversation.receive()
    assert received is not None
    with pytest.raises(ConnectionLost):
        StorageSCP(parts.store, heard).serve(conversation, received)
    assert parts.spool.entries() == heard.events == script.sent == []


def test_a_peer_that_is_gone_before_its_answer_may_come_again(
    parts: Parts, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is kept stays kept; the same again is then a duplicate."""
    script = Script([store_request(SAMPLE, context_id=3)])
    conversation = conversation_on(script, CONTEXTS)
    received = conversation.receive()
    assert received is not None

    def send(*_: object) -> None:
        raise ConnectionLost("gone")

    monkeypatch.setattr(script, "send", send)
    with pytest.raises(AssociationOver):
        StorageSCP(parts.store, heard).serve(conversation, received)
    assert len(parts.spool.entries()) == 1
    assert status_of(served(parts, heard, store_request(SAMPLE, context_id=3))) == 0
    assert len(parts.spool.entries()) == 1
