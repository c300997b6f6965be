import json

import pytest
from pydicom import Dataset

from pacsnode.cli.exit_codes import exit_code
from pacsnode.errors import PacsNodeError
from tests.unit.cli.conftest import FakeNetwork, RemoteFailure


@pytest.fixture
def answers(network: FakeNetwork) -> FakeNetwork:
    for number, name in ((1, "DOE^JOHN"), (2, "ÅS^\x1b[2J")):
        answer = Dataset()
        answer.PatientName = name
        answer.StudyDate = "20200331"
        answer.StudyInstanceUID = f"1.2.{number}"
        answer.ModalitiesInStudy = ["CT", "SR"]
        network.answers.append(answer)
    return network


def test_a_table_of_what_was_asked_for(run, answers: FakeNetwork) -> None:
    result = run("find", "PACS@h:1", "-k", "StudyDate=2020-", "-k", "PatientName", "-k", "ModalitiesInStudy")
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        "StudyDate  ModalitiesInStudy  PatientName  StudyInstanceUID",
        "20200331   CT\\SR              DOE^JOHN     1.2.1",
        "20200331   CT\\SR              ÅS^\ufffd[2J      1.2.2",
        "2 studies found at PACS",
    ]
    asked = answers.calls[0][3]
    assert asked["identifier"].StudyDate == "20200101-"
    assert asked["patient_root"] is False


def test_json_has_all_that_was_answered(run, answers: FakeNetwork) -> None:
    lines = [
        json.loads(line)
        for line in run("find", "PACS@h:1", "-k", "PatientName", "--json").output.splitlines()
    ]
    assert lines[0]["match"] == {
        "PatientName": "DOE^JOHN",
        "StudyDate": "20200331",
        "StudyInstanceUID": "1.2.1",
        "ModalitiesInStudy": ["CT", "SR"],
    }
    assert lines[-1] == {"result": {"matches": 2}}


@pytest.mark.parametrize(
    ("arguments", "level", "patient_root"),
    [
        ((), "STUDY", False),
        (("--level", "series"), "SERIES", False),
        (("--level", "patient"), "PATIENT", True),
        (("--level", "image", "--model", "patient"), "IMAGE", True),
        (("-P",), "STUDY", True),
        (("-S", "-k", "0008,0052=SERIES"), "SERIES", False),
    ],
)
def test_levels_and_models(
    run, network: FakeNetwork, arguments: tuple[str, ...], level: str, patient_root: bool
) -> None:
    assert run("find", "PACS@h:1", *arguments).exit_code == 0
    asked = network.calls[0][3]
    assert (asked["identifier"].QueryRetrieveLevel, asked["patient_root"]) == (level, patient_root)


def test_no_match_is_no_failure(run, network: FakeNetwork) -> None:
    result = run("find", "PACS@h:1")
    assert (result.exit_code, result.output) == (0, "0 studies found at PACS\n")


def test_a_key_that_does_not_exist_is_a_usage_error(run, network: FakeNetwork) -> None:
    result = run("find", "PACS@h:1", "-k", "PatientsName")
    assert result.exit_code == 2
    assert network.calls == []


@pytest.mark.parametrize(("status", "code"), [(0xA700, 75), (0xA900, 3), (0xC001, 3), (0x0124, 3)])
def test_a_failure_of_the_peer(run, network: FakeNetwork, status: int, code: int) -> None:
    network.error = RemoteFailure(status, "why\x1b")
    raised = run("find", "PACS@h:1").exception
    assert isinstance(raised, PacsNodeError)
    assert exit_code(raised) == code
    assert str(raised) == f"PACS answers with status {status:#06x}: why\ufffd"
