"""C-ECHO and C-FIND as SCU."""

from io import BytesIO

import pytest
from pydicom.filereader import read_dataset

from pacsnode.dicom.query import BASELINE, Options
from pacsnode.dimse import scu
from pacsnode.dimse.association.acse import AssociateRequest
from pacsnode.dimse.association.command import CommandSet, Element
from pacsnode.dimse.association.pdu import a_abort
from pacsnode.dimse.scu import RemoteFailure
from tests.dimse_peers import STUDY_ROOT_FIND, VERIFICATION, CalledPeer, response_message
from tests.factories import element, padded
from tests.unit.dimse.scu.peers import (
    CALLER,
    ECHO,
    FIND,
    IMPLICIT,
    PATIENT_ROOT_FIND,
    aborted,
    answering,
    match,
    remote,
    request_of,
    study,
    with_comment,
)


def test_echo_takes_its_time() -> None:
    with CalledPeer(answering(response_message(ECHO, 1, 0))) as peer:
        assert 0 < scu.echo(CALLER, remote(peer)) < 20
    request = request_of(peer)
    assert CommandSet.decode(request.command).field == ECHO
    assert CommandSet.decode(request.command).text(Element.AFFECTED_SOP_CLASS_UID) == VERIFICATION
    assert request.data_set is None


@pytest.mark.parametrize("code", [0xFF00, 0xFF01])
def test_find_yields_each_match(code: int) -> None:
    answers = [response_message(FIND, 1, code, data_set=match(uid)) for uid in ("1.2.3", "1.2.4")]
    with CalledPeer(answering(*answers, response_message(FIND, 1, 0))) as peer:
        found = list(scu.find(CALLER, remote(peer), study(""), patient_root=False))
    assert [one.StudyInstanceUID for one in found] == ["1.2.3", "1.2.4"]
    request = request_of(peer)
    assert CommandSet.decode(request.command).text(Element.AFFECTED_SOP_CLASS_UID) == STUDY_ROOT_FIND
    assert request.data_set is not None
    sent = read_dataset(BytesIO(request.data_set), is_implicit_VR=False, is_little_endian=True)
    assert sent.QueryRetrieveLevel == "STUDY"


def test_find_in_the_patient_root() -> None:
    with CalledPeer(answering(response_message(FIND, 1, 0))) as peer:
        assert list(scu.find(CALLER, remote(peer), study(), patient_root=True)) == []
    command = CommandSet.decode(request_of(peer).command)
    assert command.text(Element.AFFECTED_SOP_CLASS_UID) == PATIENT_ROOT_FIND


def test_find_in_the_syntax_that_was_accepted() -> None:
    identifier = element(0x0020000D, "UI", padded("1.2.3"), IMPLICIT)
    answers = [response_message(FIND, 1, 0xFF00, data_set=identifier), response_message(FIND, 1, 0)]
    with CalledPeer(answering(*answers, results={1: (0, IMPLICIT)})) as peer:
        (found,) = scu.find(CALLER, remote(peer), study(), patient_root=False)
    assert found.StudyInstanceUID == "1.2.3"
    sent = request_of(peer).data_set
    assert sent is not None
    assert read_dataset(BytesIO(sent), is_implicit_VR=True, is_little_endian=True).StudyInstanceUID


def test_a_query_that_fails_after_matches() -> None:
    answers = [
        response_message(FIND, 1, 0xFF00, data_set=match("1.2.3")),
        with_comment(FIND, 0xA700, b"too many"),
    ]
    with CalledPeer(answering(*answers)) as peer:
        matches = scu.find(CALLER, remote(peer), study(), patient_root=False)
        assert next(matches).StudyInstanceUID == "1.2.3"
        with pytest.raises(RemoteFailure, match="0xa700: too many"):
            next(matches)
    request_of(peer)


def test_a_query_that_is_given_up_is_aborted() -> None:
    answers = [response_message(FIND, 1, 0xFF00, data_set=match(uid)) for uid in ("1.2.3", "1.2.4")]
    with CalledPeer(lambda connection: aborted(connection, *answers)) as peer:
        matches = scu.find(CALLER, remote(peer), study(), patient_root=False)
        next(matches)
        matches.close()  # type: ignore[attr-defined]
    assert peer.results == [a_abort(0, 0)]


@pytest.mark.parametrize(
    ("options", "proposed", "answered", "agreed"),
    [
        (BASELINE, {}, {}, BASELINE),
        (
            Options(relational=True),
            {STUDY_ROOT_FIND: b"\1"},
            {STUDY_ROOT_FIND: b"\1"},
            Options(relational=True),
        ),
        (Options(fuzzy_names=True), {STUDY_ROOT_FIND: b"\0\0\1"}, {}, BASELINE),
        (
            Options(fuzzy_names=True, multiple_value=True),
            {STUDY_ROOT_FIND: b"\0\0\1\0\0\0\1"},
            {STUDY_ROOT_FIND: b"\1\1\1"},
            Options(fuzzy_names=True),
        ),
    ],
)
def test_options_are_proposed_and_what_is_agreed_upon_is_told(
    options: Options, proposed: dict[str, bytes], answered: dict[str, bytes], agreed: Options
) -> None:
    """PS3.4 C.5.1.1: what is not answered, or answered too short, was not agreed upon."""
    seen = list[AssociateRequest]()
    told: list[Options] = []
    answer = answering(response_message(FIND, 1, 0), extended=answered, seen=seen)
    with CalledPeer(answer) as peer:
        found = scu.find(
            CALLER, remote(peer), study(), patient_root=False, options=options, on_agreed=told.append
        )
        assert list(found) == []
    assert seen[0].extended == proposed
    assert told == [agreed]
