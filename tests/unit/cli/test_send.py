import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import FakeNetwork, SendResult


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for name in ("1.dcm", "2.dcm", "3.dcm"):
        (tmp_path / "images" / name).write_bytes(bytes(128) + b"DICM")
    (tmp_path / "images" / "notes.txt").write_text("no image")
    return tmp_path / "images"


def test_a_folder_is_sent(run, network: FakeNetwork, folder: Path) -> None:
    paths = sorted(folder.glob("*.dcm"))
    network.answers = [SendResult(path, "1.2", 0x0000, data_set_bytes=1 << 20) for path in paths]
    result = run("send", "PACS@h:1", folder)
    assert result.exit_code == 0
    assert result.output.startswith("sent 3 files, 3.0 MiB in ")
    assert result.output.endswith("1 skipped (no DICOM)\n")
    assert network.calls[0][3]["paths"] == paths


def test_what_was_not_stored_is_named(run, network: FakeNetwork, folder: Path) -> None:
    network.answers = [
        SendResult(folder / "1.dcm", "1.1", 0xA700, "out of \x1b[0mspace"),
        SendResult(folder / "2.dcm", "1.2", None, "no presentation context"),
        SendResult(folder / "3.dcm", "1.3", 0xB000, "coerced"),
    ]
    result = run("send", "PACS@h:1", folder)
    assert result.exit_code == 3
    assert result.output.splitlines()[:3] == [
        f"{folder}/1.dcm: failed 0xA700: out of \ufffd[0mspace",
        f"{folder}/2.dcm: not sent: no presentation context",
        f"{folder}/3.dcm: warning 0xB000: coerced",
    ]
    assert "sent 1 file, 1000 B in" in result.output
    assert "1 with a warning, 2 failed" in result.output


def test_json(run, network: FakeNetwork, folder: Path) -> None:
    network.answers = [
        SendResult(folder / "1.dcm", "1.1", 0x0000),
        SendResult(folder / "2.dcm", "", None, "why"),
    ]
    result = run("send", "PACS@h:1", folder, "--json")
    first, second, last = (json.loads(line) for line in result.output.splitlines())
    assert first["file"] == {
        "path": f"{folder}/1.dcm",
        "sop_instance_uid": "1.1",
        "status": "0x0000",
        "comment": "",
        "data_set_bytes": 1000,
    }
    assert second["file"]["status"] is None
    figures = last["result"]
    assert (figures["sent"], figures["warned"], figures["failed"], figures["skipped"]) == (1, 0, 1, 1)
    assert figures["data_set_bytes"] == 1000


def test_nothing_to_send_is_a_usage_error(run, network: FakeNetwork, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert run("send", "PACS@h:1", tmp_path / "empty").exit_code == 2
    assert run("send", "PACS@h:1", tmp_path / "absent").exit_code == 2
    assert run("send", "PACS@h:1").exit_code == 2
    assert network.calls == []
