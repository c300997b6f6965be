import json

import pytest
from pydicom import Dataset

from pacsnode.cli.exit_codes import exit_code
from pacsnode.dicom.query import Options
from pacsnode.dicom.wording import OPTION_NAMES
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


@pytest.mark.parametrize(
    ("option", "field"),
    [
        ("--relational", "relational"),
        ("--combined-date-time", "combined_date_time"),
        ("--fuzzy", "fuzzy_names"),
        ("--empty-value", "empty_value"),
        ("--multiple-value", "multiple_value"),
    ],
)
def test_what_is_proposed_and_declined(run, answers: FakeNetwork, option: str, field: str) -> None:
    result = run("find", "PACS@h:1", option, "-k", "PatientName=x")
    assert answers.calls[0][3]["options"] == Options(**{field: True})
    assert (
        result.output.splitlines()[-1] == f"2 studies found at PACS; PACS does not do {OPTION_NAMES[field]}"
    )
    answers.agreed = Options(**{field: True})
    assert run("find", "PACS@h:1", option).output.splitlines()[-1] == "2 studies found at PACS"


def test_json_says_what_was_declined(run, answers: FakeNetwork) -> None:
    result = run("find", "PACS@h:1", "--fuzzy", "--relational", "--json")
    assert json.loads(result.output.splitlines()[-1]) == {
        "result": {"matches": 2, "declined": ["relational queries", "fuzzy matching of person names"]}
    }


def test_a_time_zone_is_proposed_and_sent(run, answers: FakeNetwork) -> None:
    run("find", "PACS@h:1", "--timezone", "+0100", "-k", "StudyTime=10-")
    asked = answers.calls[0][3]
    assert asked["options"] == Options(timezone_adjustment=True)
    assert asked["identifier"].TimezoneOffsetFromUTC == "+0100"


def test_items_of_sequences_in_a_column(run, network: FakeNetwork) -> None:
    answer = Dataset()
    answer.StudyInstanceUID = "1.2"
    answer.ProcedureCodeSequence = [Dataset(), Dataset()]
    for item, value in zip(answer.ProcedureCodeSequence, ("CT", "MR"), strict=True):
        item.CodeValue, item.CodeMeaning = value, ["of", "what"]
    network.answers.append(answer)
    keys = ("-k", "ProcedureCodeSequence.CodeValue", "-k", "ProcedureCodeSequence.CodeMeaning")
    line = run("find", "PACS@h:1", *keys).output.splitlines()[1]
    assert line.startswith(r"CodeValue=CT, CodeMeaning=of\what; CodeValue=MR, CodeMeaning=of\what  1.2")


@pytest.mark.parametrize("arguments", [(), ("PACS@h:1", "--explain")])
def test_a_peer_is_asked_or_the_query_explained(
    run, network: FakeNetwork, arguments: tuple[str, ...]
) -> None:
    assert run("find", *arguments).exit_code == 2
    assert network.calls == []
