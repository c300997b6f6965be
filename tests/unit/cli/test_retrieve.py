import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import FakeNetwork, RetrieveProgress

DONE = [RetrieveProgress(0xFF00, 1, 1), RetrieveProgress(0x0000, None, 2)]


def test_get(run, network: FakeNetwork, tmp_path: Path) -> None:
    network.answers = list(DONE)
    result = run("get", "PACS@h:1", "--study", "1.2", "-o", tmp_path / "new" / "folder")
    assert (result.exit_code, result.output) == (0, f"2 instances fetched into {tmp_path}/new/folder\n")
    asked = network.calls[0][3]
    assert asked["identifier"].StudyInstanceUID == "1.2"
    assert asked["patient_root"] is False
    assert asked["folder"].is_dir()


def test_move(run, network: FakeNetwork, tmp_path: Path) -> None:
    network.answers = list(DONE)
    (tmp_path / "config.toml").write_text('[[peers]]\nname = "station"\nae_title = "WS1"\n')
    result = run("move", "PACS@h:1", "--to", "station", "--patient", "P1")
    assert (result.exit_code, result.output) == (0, "2 instances sent to WS1\n")
    asked = network.calls[0][3]
    assert (asked["destination"], asked["patient_root"]) == ("WS1", True)
    assert asked["identifier"].QueryRetrieveLevel == "PATIENT"


def test_a_destination_may_be_an_ae_title(run, network: FakeNetwork) -> None:
    network.answers = list(DONE)
    assert run("move", "PACS@h:1", "--to", "ELSEWHERE", "--study", "1.2").exit_code == 0
    assert network.calls[0][3]["destination"] == "ELSEWHERE"
    assert run("move", "PACS@h:1", "--to", "SEVENTEEN LETTERS", "--study", "1.2").exit_code == 2


def test_what_failed_is_named(run, network: FakeNetwork) -> None:
    network.answers = [RetrieveProgress(0xB000, None, 1, 2, 1, ("1.3", "1.4"), "some failed")]
    result = run("get", "PACS@h:1", "--study", "1.2")
    assert result.exit_code == 3
    assert result.output.splitlines() == [
        "1.3: failed",
        "1.4: failed",
        "1 instance fetched into ., 1 with a warning, 2 failed; status 0xB000: some failed",
    ]


@pytest.mark.parametrize(
    ("final", "code", "text"),
    [
        (RetrieveProgress(0x0000), 3, "nothing there has these UIDs"),
        (RetrieveProgress(0xA801, comment="who?"), 3, "0 instances fetched into .; status 0xA801: who?"),
        (
            RetrieveProgress(0xB000, warned=2),
            0,
            "0 instances fetched into ., 2 with a warning; status 0xB000",
        ),
    ],
)
def test_endings(run, network: FakeNetwork, final: RetrieveProgress, code: int, text: str) -> None:
    network.answers = [final]
    result = run("get", "PACS@h:1", "--study", "1.2")
    assert (result.exit_code, result.output) == (code, f"{text}\n")


def test_json(run, network: FakeNetwork) -> None:
    network.answers = [RetrieveProgress(0xFF00, 1, 1), RetrieveProgress(0xB000, None, 1, 1, 0, ("1.3",))]
    lines = [
        json.loads(line) for line in run("get", "PACS@h:1", "--image", "1.3", "--json").output.splitlines()
    ]
    assert lines == [
        {"progress": {"remaining": 1, "completed": 1, "failed": 0, "warned": 0}},
        {"progress": {"remaining": None, "completed": 1, "failed": 1, "warned": 0}},
        {"failed": {"sop_instance_uid": "1.3"}},
        {"result": {"completed": 1, "failed": 1, "warned": 0, "status": "0xB000", "comment": ""}},
    ]


def test_something_must_be_named(run, network: FakeNetwork) -> None:
    assert run("get", "PACS@h:1").exit_code == 2
    assert run("move", "PACS@h:1", "--study", "1.2").exit_code == 2
    assert network.calls == []
