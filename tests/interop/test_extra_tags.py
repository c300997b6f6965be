"""Sequences, private attributes and what `index.extra_tags` adds: sent, asked for and answered over the network."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.uid import UID

from pacsnode.dimse import scu
from pacsnode.dimse.association.requestor import Caller
from tests.interop import peers, wire
from tests.interop.data_sets import ct_image, written
from tests.interop.nodes import Running, StartNode

_STUDY_ROOT = "1.2.840.10008.5.1.4.1.2.2.1"
_SYNTAXES = (wire.IMPLICIT, wire.EXPLICIT)
EXTRA_TAGS = [
    "SoftwareVersions",
    {"tag": "0018,0050", "level": "image"},
    {"tag": "0011,xx01:ACME 1.0", "level": "study", "vr": "LO"},
    {"tag": "0011,xx02:ACME 1.0", "level": "image", "vr": "US"},
    {"tag": "0011,xx01:OTHER", "level": "series", "vr": "PN"},
]


def image(number: int, study: int) -> Dataset:
    """Return an image with a request, software versions, and private blocks that are others in each study."""
    data_set = ct_image(number, study=study, SoftwareVersions=["VB20", f"S{study}"], SliceThickness="1.50")
    protocol, request = Dataset(), Dataset()
    protocol.CodeValue, protocol.CodingSchemeDesignator = f"P{study}", "99X"
    request.RequestedProcedureID, request.ScheduledProtocolCodeSequence = f"R{study}", [protocol]
    data_set.RequestAttributesSequence = [request, Dataset()]
    if study == 2:
        data_set.private_block(0x11, "STRANGER", create=True).add_new(1, "LO", "of a stranger")
    ours = data_set.private_block(0x11, "ACME 1.0", create=True)
    ours.add_new(1, "LO", f"private {study}")
    ours.add_new(2, "US", 100 * study + number)
    data_set.private_block(0x11, "OTHER", create=True).add_new(1, "PN", f"Doe^Study{study}")
    return data_set


@pytest.fixture(scope="module")
def running(start_shared_node: StartNode, tmp_path_factory: pytest.TempPathFactory) -> Running:
    """A node with three studies."""
    running = start_shared_node(index={"extra_tags": EXTRA_TAGS})
    folder = tmp_path_factory.mktemp("content")
    files = [
        written(image(number, study), folder / f"{study}-{number}.dcm")
        for study in (1, 2, 3)
        for number in (1, 2)
    ]
    assert {result.status for result in scu.send(Caller("TESTSCU"), running.remote, files)} == {0}
    return running


Ask = Callable[[Dataset], list[Dataset]]


@pytest.fixture(params=["own", *_SYNTAXES])
def ask(request: pytest.FixtureRequest, running: Running) -> Ask:
    """Ask by our SCU, and by pynetdicom in both encodings."""

    def by_pynetdicom(asked: Dataset) -> list[Dataset]:
        with peers.association(running.port, [(_STUDY_ROOT, request.param)]) as established:
            responses = list(established.send_c_find(asked, UID(_STUDY_ROOT)))
        assert responses[-1][0].Status == 0
        assert {status.Status for status, _ in responses[:-1]} <= {0xFF00}
        return [answer for _, answer in responses if answer is not None]

    def by_own(asked: Dataset) -> list[Dataset]:
        return list(scu.find(Caller("TESTSCU"), running.remote, asked, patient_root=False))

    return by_own if request.param == "own" else by_pynetdicom


def asking(level: str, **keys: str) -> Dataset:
    asked = Dataset()
    asked.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(asked, keyword, value)
    return asked


def private(answer: Dataset, creator: str, number: int) -> str:
    """Return a private value as text; without a VR it is bytes, a US too."""
    value = answer.private_block(0x11, creator)[number].value
    if isinstance(value, bytes):
        return str(int.from_bytes(value, "little")) if len(value) == 2 else value.decode("ascii").rstrip()
    return str(value)


def test_an_attribute_that_was_added_is_matched_and_answered(ask: Ask) -> None:
    answers = ask(asking("SERIES", SoftwareVersions="S2", StudyInstanceUID=""))
    assert [list(answer.SoftwareVersions) for answer in answers] == [["VB20", "S2"]]
    answers = ask(asking("IMAGE", SliceThickness="1.5", InstanceNumber="1"))
    assert [str(answer.SliceThickness) for answer in answers] == ["1.50"] * 3


def test_a_private_attribute_is_matched_by_its_creator_in_whatever_block(ask: Ask) -> None:
    """The block of the query is the one of the answer, and has nothing to do with that of the image."""
    asked = asking("IMAGE", StudyInstanceUID="", InstanceNumber="")
    asked.add_new(0x00110077, "LO", "ACME 1.0")
    asked.add_new(0x00117701, "LO", "private 2")
    asked.add_new(0x00117702, "US", 202)
    (answer,) = ask(asked)
    assert (answer.InstanceNumber, answer.StudyInstanceUID[-1]) == (2, "2")
    assert (private(answer, "ACME 1.0", 1), private(answer, "ACME 1.0", 2)) == ("private 2", "202")
    assert answer[0x00110077].value == "ACME 1.0"


def test_two_creators_in_one_group(ask: Ask) -> None:
    asked = asking("SERIES", StudyInstanceUID="")
    asked.private_block(0x11, "OTHER", create=True).add_new(1, "PN", "doe^study3")
    asked.private_block(0x11, "ACME 1.0", create=True).add_new(1, "LO", "")
    (answer,) = ask(asked)
    assert private(answer, "OTHER", 1) == "Doe^Study3"
    assert private(answer, "ACME 1.0", 1) == "private 3"


def test_a_sequence_is_matched_and_its_matching_items_answered(ask: Ask) -> None:
    protocol, request = asking("", CodeValue="P?"), asking("", RequestedProcedureID="R1")
    for item in (protocol, request):
        del item.QueryRetrieveLevel
    request.ScheduledProtocolCodeSequence = [protocol]
    asked = asking("SERIES", StudyInstanceUID="")
    asked.RequestAttributesSequence = [request]
    (answer,) = ask(asked)
    (item,) = answer.RequestAttributesSequence
    assert item.RequestedProcedureID == "R1"
    assert item.ScheduledProtocolCodeSequence[0].CodeValue == "P1"
    assert "CodingSchemeDesignator" not in item.ScheduledProtocolCodeSequence[0]


def test_all_of_an_items_attributes_are_answered_where_none_is_asked_for(ask: Ask) -> None:
    asked = asking("SERIES", StudyInstanceUID="")
    asked.RequestAttributesSequence = []
    answers = ask(asked)
    assert [answer.RequestAttributesSequence[0].RequestedProcedureID for answer in answers] == [
        "R3",
        "R2",
        "R1",
    ]
    first = answers[0].RequestAttributesSequence[0]
    assert first.ScheduledProtocolCodeSequence[0].CodingSchemeDesignator == "99X"
    assert first.AccessionNumber == ""


def test_what_was_not_added_is_not_supported(running: Running, tmp_path: Path) -> None:
    asked = asking("SERIES", StudyInstanceUID="")
    asked.private_block(0x11, "STRANGER", create=True).add_new(1, "LO", "")
    with peers.association(running.port, [(_STUDY_ROOT, wire.EXPLICIT)]) as established:
        responses = list(established.send_c_find(asked, UID(_STUDY_ROOT)))
    assert {status.Status for status, _ in responses[:-1]} == {0xFF01}
    assert all(answer is None or 0x00111001 not in answer for _, answer in responses)
