import json
from pathlib import Path

import google_crc32c
import pytest

from pacsnode.config import read
from pacsnode.dicom.header import Header
from pacsnode.duplicates import DuplicatePolicy
from pacsnode.errors import InvalidUID
from pacsnode.index.base import Arrival
from pacsnode.node import open_archive

CONTENT = b"preamble, meta and data set"


def arrival(study: str, number: int, token: int, **values: str) -> Arrival:
    return Arrival(
        header=Header(
            sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
            sop_instance_uid=f"{study}.1.{number}",
            study_instance_uid=study,
            series_instance_uid=f"{study}.1",
            values={"Modality": "CT", "InstanceNumber": str(number), **values},
            character_sets=(),
        ),
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        token=token,
        file_length=len(CONTENT),
        file_crc32c=google_crc32c.value(CONTENT),
        data_set_length=8,
        data_set_crc32c=google_crc32c.value(CONTENT[-8:]),
        calling_ae_title="CT1",
        received_at_ms=token >> 21,
    )


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A node's folder with two studies: 1.2 has two instances, 1.3 one."""
    folder = tmp_path / "data"
    overrides = {("node", "data_dir"): (str(folder), "--data-dir")}
    with open_archive(read(tmp_path / "empty.toml", environment={}, overrides=overrides).config) as archive:
        for at, (study, number, name) in enumerate(
            (("1.2", 1, "DOE^JANE"), ("1.2", 2, "DOE^JANE"), ("1.3", 1, "\x1bX"))
        ):
            values = {"PatientName": name, "PatientID": study, "StudyDate": f"2024030{at + 1}"}
            archive.index.add(
                arrival(study, number, (1709280000000 + at) << 21, **values), DuplicatePolicy.KEEP_BOTH
            )
    return folder


@pytest.fixture(autouse=True)
def _no_configuration(tmp_path: Path) -> None:
    (tmp_path / "empty.toml").touch()


def test_studies(run, data_dir: Path) -> None:
    result = run("studies", "--data-dir", data_dir)
    assert result.exit_code == 0
    heading, *rows, last = result.output.splitlines()
    assert heading.split()[:3] == ["StudyDate", "PatientID", "PatientName"]
    assert {row.split()[-1]: row.split()[-2] for row in rows} == {"1.2": "2", "1.3": "1"}
    assert "\x1b" not in result.output
    assert last == "2 studies"


def test_studies_as_json(run, data_dir: Path) -> None:
    lines = [
        json.loads(line) for line in run("studies", "--data-dir", data_dir, "--json").output.splitlines()
    ]
    by_uid = {line["study"]["StudyInstanceUID"]: line["study"] for line in lines[:-1]}
    assert by_uid["1.2"]["PatientName"] == "DOE^JANE"
    assert by_uid["1.2"]["ModalitiesInStudy"] == "CT"
    assert lines[-1] == {"result": {"studies": 2}}


def test_no_more_studies_than_asked_for(run, data_dir: Path) -> None:
    assert run("studies", "--data-dir", data_dir, "--limit", "1").output.splitlines()[-1] == "1 study"


@pytest.mark.parametrize(
    ("uid", "level", "instances"), [("1.2", "STUDY", 2), ("1.2.1", "SERIES", 2), ("1.2.1.2", "IMAGE", 1)]
)
def test_show(run, data_dir: Path, uid: str, level: str, instances: int) -> None:
    lines = [
        json.loads(line) for line in run("show", uid, "--data-dir", data_dir, "--json").output.splitlines()
    ]
    assert lines[0][level.lower()]["PatientName"] == "DOE^JANE"
    shown = [line["instance"] for line in lines[1:-1]]
    assert len(shown) == instances
    assert shown[-1]["place"] == "spool"
    assert shown[-1]["name"].endswith(f"-{len(CONTENT)}-{google_crc32c.value(CONTENT):08x}.dcm")
    assert shown[-1]["file_crc32c"] == f"{google_crc32c.value(CONTENT):08x}"
    assert shown[-1]["data_set_length"] == 8
    assert shown[-1]["received"].startswith("2024-03-01T08:00:00")
    assert lines[-1] == {"result": {"level": level, "instances": instances}}


def test_show_of_sequences_and_of_what_the_configuration_adds(run, tmp_path: Path) -> None:
    (tmp_path / "extra.toml").write_text(
        f"""[node]
        data_dir = "{tmp_path / "extra"}"
        [index]
        extra_tags = ["SoftwareVersions", {{ tag = "0011,xx01:ACME", level = "image", vr = "LO" }}]""",
        encoding="utf-8",
    )
    values = {
        "SoftwareVersions": "VB20",
        "0011,xx01:ACME": "theirs",
        "RequestAttributesSequence": '[{"RequestedProcedureID":"R1","ScheduledProtocolCodeSequence":'
        '[{"CodeValue":"C1"}]},{"RequestedProcedureID":"R\\u001b2"}]',
    }
    with open_archive(read(tmp_path / "extra.toml", environment={}).config) as archive:
        archive.index.add(arrival("1.2", 1, 1709280000000 << 21, **values), DuplicatePolicy.KEEP_BOTH)
    lines = run("--config", tmp_path / "extra.toml", "show", "1.2.1.1").output.splitlines()
    assert f"{'SoftwareVersions':<34}VB20" in lines
    assert f"{'0011,xx01:ACME':<34}theirs" in lines
    at = lines.index("RequestAttributesSequence, item 1")
    assert [line.split() for line in lines[at + 1 : at + 4]] == [
        ["RequestedProcedureID", "R1"],
        ["ScheduledProtocolCodeSequence,", "item", "1"],
        ["CodeValue", "C1"],
    ]
    assert lines[at + 4] == "RequestAttributesSequence, item 2"
    assert "\x1b" not in "".join(lines)
    shown = run("--config", tmp_path / "extra.toml", "show", "1.2.1.1", "--json").output.splitlines()[0]
    assert json.loads(shown)["image"]["RequestAttributesSequence"][0] == {
        "RequestedProcedureID": "R1",
        "ScheduledProtocolCodeSequence": [{"CodeValue": "C1"}],
    }


def test_show_of_what_was_filed(run, data_dir: Path, tmp_path: Path) -> None:
    overrides = {("node", "data_dir"): (str(data_dir), "--data-dir")}
    with open_archive(read(tmp_path / "empty.toml", environment={}, overrides=overrides).config) as archive:
        archive.index.mark_stored([located.instance_id for located in archive.index.waiting(limit=10)])
    text = run("show", "1.3.1.1", "--data-dir", data_dir).output
    assert "storage: 1.3/1.3.1/1.3.1.1.dcm, version 0" in text
    assert f"file {len(CONTENT)} bytes, CRC32C {google_crc32c.value(CONTENT):08x}" in text
    assert "\x1b" not in text
    assert text.endswith("1 instance\n")


def test_show_of_what_is_not_there(run, data_dir: Path) -> None:
    assert run("show", "9.9", "--data-dir", data_dir).exit_code == 2
    assert isinstance(run("show", "../x", "--data-dir", data_dir).exception, InvalidUID)
