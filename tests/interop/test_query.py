"""C-FIND by findscu, pynetdicom and our own SCU, both roots, all levels: what matches, what is answered."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.datadict import tag_for_keyword

from pacsnode.dimse import scu
from pacsnode.dimse.association.requestor import Caller
from pacsnode.observe import QueryAnswered
from tests.interop import dcmtk, peers, wire
from tests.interop.data_sets import ct_image, encoded, identifier, written
from tests.interop.nodes import Running, StartNode

_PATIENT_ROOT = "1.2.840.10008.5.1.4.1.2.1.1"
_STUDY_ROOT = "1.2.840.10008.5.1.4.1.2.2.1"
_ROOTS = {"-P": _PATIENT_ROOT, "-S": _STUDY_ROOT}
_ECHO_CONTEXT = (9, wire.VERIFICATION, (wire.IMPLICIT,))

# Study, series, number of instances, and what is different of them.
_CONTENT: tuple[tuple[int, int, int, dict[str, Any]], ...] = (
    (1, 1, 2, {"PatientName": "Doe^John", "StudyDescription": "100% head", "SeriesDescription": "axial"}),
    (1, 2, 1, {"PatientName": "Doe^John", "StudyDescription": "100% head", "Modality": "SR"}),
    (2, 1, 1, {"PatientName": "Doe^Jane", "StudyDescription": "100x head", "StudyTime": "235959.99"}),
    (3, 1, 3, {"PatientName": "DOERING^Anna", "StudyDescription": "knee_left", "Modality": "MR"}),
    (4, 1, 1, {"PatientName": "Roe^Richard", "StudyDescription": "knee-left", "PatientID": "CANARY3"}),
    (
        5,
        1,
        1,
        {"PatientName": "", "StudyDescription": "", "AccessionNumber": "", "StudyDate": "", "PatientID": ""},
    ),
)


def _study(number: int) -> str:
    return str(ct_image(study=number).StudyInstanceUID)


def _series(study: int, number: int) -> str:
    return str(ct_image(study=study, series=number).SeriesInstanceUID)


@pytest.fixture(scope="module")
def running(start_shared_node: StartNode, tmp_path_factory: pytest.TempPathFactory) -> Running:
    """A node with five studies."""
    running = start_shared_node(
        peers=[
            {"ae_title": "STRICT", "strict_hierarchy": True},
            {"ae_title": "UNKNOWNKEYS", "return_unknown_keys": True},
        ]
    )
    folder = tmp_path_factory.mktemp("content")
    files = [
        written(ct_image(at, study=study, series=series, **changes), folder / f"{study}-{series}-{at}.dcm")
        for study, series, count, changes in _CONTENT
        for at in range(1, count + 1)
    ]
    assert {result.status for result in scu.send(Caller("TESTSCU"), running.remote, files)} == {0}
    return running


Ask = Callable[..., list[Dataset]]


@pytest.fixture(params=["findscu", "pynetdicom", "own"])
def ask(request: pytest.FixtureRequest, running: Running, tmp_path: Path) -> Ask:
    """Ask by one of three requestors: level, then keys; return the answers."""
    answered = 0

    def by_findscu(level: str, *, root: str = "-S", **keys: str) -> list[Dataset]:
        nonlocal answered
        answered += 1
        asked = [f"{keyword}={value}" for keyword, value in {"QueryRetrieveLevel": level, **keys}.items()]
        folder = tmp_path / f"answers-{answered}"
        ran, answers = dcmtk.find(
            running.port, folder, root, *(part for key in asked for part in ("-k", key))
        )
        assert ran.exit_code == 0, ran.output
        assert ran.statuses[-1] == 0, ran.output
        return answers

    def by_pynetdicom(level: str, *, root: str = "-S", **keys: str) -> list[Dataset]:
        with peers.association(running.port, [(_ROOTS[root], wire.IMPLICIT)]) as established:
            responses = list(established.send_c_find(identifier(level, **keys), _ROOTS[root]))
        assert responses[-1][0].Status == 0
        assert {status.Status for status, _ in responses[:-1]} <= {0xFF00}
        return [answer for _, answer in responses if answer is not None]

    def by_own(level: str, *, root: str = "-S", **keys: str) -> list[Dataset]:
        asked = identifier(level, **keys)
        return list(scu.find(Caller("TESTSCU"), running.remote, asked, patient_root=root == "-P"))

    return {"findscu": by_findscu, "pynetdicom": by_pynetdicom, "own": by_own}[str(request.param)]


def _studies(answers: list[Dataset]) -> list[int]:
    """Return the numbers of the studies that were answered, each once for each answer."""
    return sorted(int(str(answer.StudyInstanceUID).rsplit(".", 1)[1]) for answer in answers)


@pytest.mark.parametrize("root", ["-P", "-S"])
def test_all_levels_answer_each_entity_once(ask: Ask, root: str) -> None:
    assert _studies(ask("STUDY", root=root, StudyInstanceUID="")) == [1, 2, 3, 4, 5]
    in_first = ask("SERIES", root=root, PatientID="CANARY1", StudyInstanceUID=_study(1), SeriesInstanceUID="")
    assert sorted(answer.SeriesInstanceUID for answer in in_first) == [_series(1, 1), _series(1, 2)]
    in_series = ask(
        "IMAGE",
        root=root,
        PatientID="CANARY3",
        StudyInstanceUID=_study(3),
        SeriesInstanceUID=_series(3, 1),
        SOPInstanceUID="",
        InstanceNumber="",
    )
    assert sorted(int(answer.InstanceNumber) for answer in in_series) == [1, 2, 3]


def test_patient_level(ask: Ask) -> None:
    answers = ask("PATIENT", root="-P", PatientID="", PatientName="", NumberOfPatientRelatedStudies="")
    assert len({(answer.PatientID, str(answer.PatientName)) for answer in answers}) == len(answers)
    by_id = {answer.PatientID for answer in answers}
    assert {"CANARY1", "CANARY2", "CANARY3"} <= by_id
    assert "CANARY5" not in by_id


@pytest.mark.parametrize(
    ("keys", "studies"),
    [
        # Universal matching finds empty values too, others do not (PS3.4 C.2.2.2.3).
        ({"StudyDescription": ""}, [1, 2, 3, 4, 5]),
        ({"StudyDescription": "*"}, [1, 2, 3, 4, 5]),
        ({"PatientName": "*"}, [1, 2, 3, 4, 5]),
        # Single value
        ({"AccessionNumber": "A2"}, [2]),
        ({"AccessionNumber": "a2"}, []),
        ({"PatientID": "CANARY3"}, [3, 4]),
        ({"StudyID": "3"}, [3]),
        # Wildcards: * and ? only
        ({"StudyDescription": "100% head"}, [1]),
        ({"StudyDescription": "100%*"}, [1]),
        ({"StudyDescription": "100? head"}, [1, 2]),
        ({"StudyDescription": "knee_left"}, [3]),
        ({"StudyDescription": "knee?left"}, [3, 4]),
        ({"StudyDescription": "knee_*"}, [3]),
        ({"StudyDescription": "*head"}, [1, 2]),
        ({"StudyDescription": "%"}, []),
        ({"StudyDescription": "[1]*"}, []),
        ({"AccessionNumber": "?2"}, [2]),
        # Person names without regard to case, and only they
        ({"PatientName": "doe^JOHN"}, [1]),
        ({"PatientName": "DOE*"}, [1, 2, 3]),
        ({"PatientName": "doe^j*"}, [1, 2]),
        ({"PatientName": "DOE^J?NE"}, [2]),
        ({"StudyDescription": "KNEE*"}, []),
        # Lists of UIDs
        ({"StudyInstanceUID": f"{_study(1)}\\{_study(4)}"}, [1, 4]),
        ({"StudyInstanceUID": f"{_study(1)}\\1.2.3.4.5"}, [1]),
        ({"StudyInstanceUID": "1.2.3.4.5"}, []),
        # Dates and times, and ranges of them
        ({"StudyDate": "20200102"}, [2]),
        ({"StudyDate": "20200102-20200103"}, [2, 3]),
        ({"StudyDate": "20200103-"}, [3, 4]),
        ({"StudyDate": "-20200102"}, [1, 2]),
        ({"StudyDate": "20210101-"}, []),
        ({"StudyTime": "1015"}, [1, 3, 4, 5]),
        ({"StudyTime": "101500"}, [1, 3, 4, 5]),
        ({"StudyTime": "100000-110000"}, [1, 3, 4, 5]),
        ({"StudyTime": "2359-"}, [2]),
        ({"StudyDate": "20200101-20200102", "StudyTime": "1000-1100"}, [1]),
        # Modalities in Study, as a key
        ({"ModalitiesInStudy": "CT"}, [1, 2, 4, 5]),
        ({"ModalitiesInStudy": "SR"}, [1]),
        ({"ModalitiesInStudy": "MR\\SR"}, [1, 3]),
        ({"ModalitiesInStudy": "XA"}, []),
        # All keys must match
        ({"PatientName": "Doe*", "ModalitiesInStudy": "CT", "StudyDescription": "*x*"}, [2]),
    ],
)
def test_matching(ask: Ask, keys: dict[str, str], studies: list[int]) -> None:
    assert _studies(ask("STUDY", **({"StudyInstanceUID": ""} | keys))) == studies


def test_what_a_study_answers(ask: Ask) -> None:
    (answer,) = ask(
        "STUDY",
        StudyInstanceUID=_study(1),
        PatientName="",
        ModalitiesInStudy="SR",
        SOPClassesInStudy="",
        NumberOfStudyRelatedSeries="",
        NumberOfStudyRelatedInstances="",
        RetrieveAETitle="",
        InstanceAvailability="",
        ReferringPhysicianName="",
    )
    assert answer.QueryRetrieveLevel == "STUDY"
    assert str(answer.PatientName) == "Doe^John"
    assert sorted(answer.ModalitiesInStudy) == ["CT", "SR"]
    assert answer.SOPClassesInStudy == wire.CT_IMAGE
    assert (answer.NumberOfStudyRelatedSeries, answer.NumberOfStudyRelatedInstances) == (2, 3)
    assert answer.RetrieveAETitle == "PACSNODE"
    assert answer.InstanceAvailability == "ONLINE"
    assert "ReferringPhysicianName" in answer  # known and without a value: zero length
    assert not answer.ReferringPhysicianName


def test_what_series_and_instances_answer(ask: Ask) -> None:
    (series,) = ask(
        "SERIES",
        StudyInstanceUID=_study(1),
        SeriesInstanceUID="",
        Modality="SR",
        SeriesNumber="",
        NumberOfSeriesRelatedInstances="",
        PatientID="",
        StudyDate="",
    )
    assert (series.SeriesInstanceUID, series.Modality, series.SeriesNumber) == (_series(1, 2), "SR", 2)
    assert (series.NumberOfSeriesRelatedInstances, series.PatientID, series.StudyDate) == (
        1,
        "CANARY1",
        "20200101",
    )
    (instance,) = ask(
        "IMAGE",
        StudyInstanceUID=_study(3),
        SeriesInstanceUID=_series(3, 1),
        InstanceNumber="2",
        SOPInstanceUID="",
        SOPClassUID="",
        Rows="",
        AvailableTransferSyntaxUID="",
    )
    assert instance.SOPInstanceUID == ct_image(2, study=3).SOPInstanceUID
    assert (instance.SOPClassUID, instance.Rows) == (wire.CT_IMAGE, 4)
    assert instance.AvailableTransferSyntaxUID == wire.EXPLICIT


def test_patient_answers_counts(ask: Ask) -> None:
    (answer,) = ask(
        "PATIENT",
        root="-P",
        PatientID="CANARY1",
        NumberOfPatientRelatedStudies="",
        NumberOfPatientRelatedSeries="",
        NumberOfPatientRelatedInstances="",
    )
    counts = (
        answer.NumberOfPatientRelatedStudies,
        answer.NumberOfPatientRelatedSeries,
        answer.NumberOfPatientRelatedInstances,
    )
    assert counts == (1, 2, 3)


def test_relational_query_without_the_keys_above(ask: Ask) -> None:
    assert len(ask("IMAGE", root="-P", SOPInstanceUID="")) == 9
    assert len(ask("SERIES", Modality="CT", SeriesInstanceUID="")) == 4


def test_two_queries_give_the_same_order(ask: Ask) -> None:
    first, second = (ask("STUDY", StudyInstanceUID="") for _ in range(2))
    assert [a.StudyInstanceUID for a in first] == [a.StudyInstanceUID for a in second]


def _find(
    running: Running, asked: Dataset, *, calling: str = "PYNETDICOM", root: str = _STUDY_ROOT
) -> list[tuple[Dataset, Dataset | None]]:
    with peers.association(running.port, [(root, wire.EXPLICIT)], calling=calling) as established:
        return list(established.send_c_find(asked, root))


def test_unsupported_key_is_left_out_and_said(running: Running) -> None:
    asked = identifier("STUDY", StudyInstanceUID=_study(1), PatientName="", SliceThickness="")
    (pending, answer), (final, _) = _find(running, asked)
    assert (pending.Status, final.Status) == (0xFF01, 0)
    assert answer is not None
    assert "SliceThickness" not in answer
    assert str(answer.PatientName) == "Doe^John"


def test_steering_keys_are_no_unsupported_ones(running: Running) -> None:
    asked = identifier(
        "STUDY",
        StudyInstanceUID=_study(1),
        RetrieveAETitle="",
        InstanceAvailability="",
        TimezoneOffsetFromUTC="",
    )
    asked.SpecificCharacterSet = "ISO_IR 100"
    (pending, _), _ = _find(running, asked)
    assert pending.Status == 0xFF00


def test_peer_that_wants_unknown_keys_gets_them_empty(running: Running) -> None:
    asked = identifier("STUDY", StudyInstanceUID=_study(1), SliceThickness="")
    (pending, answer), _ = _find(running, asked, calling="UNKNOWNKEYS")
    assert pending.Status == 0xFF00
    assert answer is not None
    assert answer["SliceThickness"].is_empty


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (identifier("PATIENT", PatientID=""), 0xA900),  # no level of Study Root
        (identifier("NONSENSE", PatientID=""), 0xA900),
        (identifier("", PatientID=""), 0xA900),
        (identifier("study", PatientID=""), 0xA900),
        (identifier("STUDY", StudyDate="20200102-20200101-"), 0xA900),
        (identifier("STUDY", StudyDate="yesterday"), 0xA900),
        (identifier("STUDY", StudyTime="9999-"), 0xA900),
        (identifier("STUDY", StudyInstanceUID="1.2.*"), 0xA900),
        (identifier("STUDY", StudyDate="20200102-20200101"), 0xA900),
    ],
)
@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_queries_without_a_meaning_are_refused(running: Running, asked: Dataset, status: int) -> None:
    ((final, answer),) = _find(running, asked)
    assert (final.Status, answer) == (status, None)
    assert 0 < len(final.ErrorComment) <= 64
    assert final.OffendingElement


def test_strict_hierarchy_refuses_relational_queries(running: Running) -> None:
    relational = identifier("IMAGE", SOPInstanceUID="")
    ((final, _),) = _find(running, relational, calling="STRICT")
    assert final.Status == 0xA900
    hierarchical = identifier(
        "IMAGE", StudyInstanceUID=_study(1), SeriesInstanceUID=_series(1, 1), SOPInstanceUID=""
    )
    assert len(_find(running, hierarchical, calling="STRICT")) == 3


@pytest.mark.parametrize("transfer_syntax", [wire.IMPLICIT, wire.EXPLICIT, "1.2.840.10008.1.2.2"])
def test_transfer_syntaxes_of_queries(running: Running, transfer_syntax: str) -> None:
    with peers.association(running.port, [(_STUDY_ROOT, transfer_syntax)]) as established:
        responses = list(
            established.send_c_find(identifier("STUDY", StudyInstanceUID=_study(1), StudyID=""), _STUDY_ROOT)
        )
    (_, answer), _ = responses
    assert answer is not None
    assert (answer.StudyInstanceUID, answer.StudyID) == (_study(1), "1")


def test_event_tells_no_patient(running: Running) -> None:
    before = len(running.events.of(QueryAnswered))
    _find(running, identifier("STUDY", PatientName="Doe^*", StudyInstanceUID=""))
    event = running.events.wait_for(QueryAnswered, before + 1)[-1]
    assert "Doe" not in repr(event)
    assert (event.level, event.matches, event.status) == ("STUDY", 2, 0)


def test_elements_of_an_answer_are_in_order(running: Running) -> None:
    keys = (
        "StudyInstanceUID",
        "PatientName",
        "StudyDate",
        "RetrieveAETitle",
        "InstanceAvailability",
        "StudyID",
    )
    (_, answer), _ = _find(running, identifier("STUDY", **dict.fromkeys(keys, "")))[-2:]
    assert answer is not None
    tags = list(answer.keys())
    assert tags == sorted(tags)
    assert set(map(tag_for_keyword, keys)) <= set(tags)


def test_empty_and_undecodable_identifiers(running: Running) -> None:
    request = wire.command(0x0020, has_data_set=True, e0002=_STUDY_ROOT.encode(), e0700=0)
    for asked, statuses in (
        (b"", {0xA900}),
        (b"\xff" * 40, {0xC000, 0xA900}),
        (encoded(identifier("STUDY"))[:9], {0xC000, 0xA900}),
    ):
        with wire.Wire(running.port) as peer:
            peer.associate([(1, _STUDY_ROOT, (wire.EXPLICIT,)), _ECHO_CONTEXT])
            peer.send(wire.p_data(wire.pdv(1, request, is_command=True)))
            peer.send(wire.p_data(wire.pdv(1, asked, is_command=False)))
            response = peer.message()
            assert response.status in statuses
            assert 0 < len(response.comment) <= 64
            assert peer.echo(9) == 0
