import json
from pathlib import Path

import pytest

from pacsnode.config import read
from pacsnode.duplicates import DuplicatePolicy
from pacsnode.errors import ConfigError
from pacsnode.node import open_archive
from pacsnode.processes import report
from tests.unit.cli.test_studies import CONTENT, arrival

TOKENS = (1709280000000 << 21, 1709280061000 << 21)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A node's folder in which two instances wait."""
    folder = tmp_path / "data"
    overrides = {("node", "data_dir"): (str(folder), "--data-dir")}
    with open_archive(read(tmp_path / "no.toml", environment={}, overrides=overrides).config) as archive:
        for number, token in enumerate(TOKENS, 1):
            archive.index.add(arrival("1.2", number, token), DuplicatePolicy.KEEP_BOTH)
    return folder


@pytest.fixture(autouse=True)
def _no_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "no.toml").touch()
    monkeypatch.chdir(tmp_path)


def test_what_waits_is_listed_the_oldest_first(run, data_dir: Path) -> None:
    result = run("spool", "list", "--data-dir", data_dir)
    heading, first, second, said = result.output.splitlines()
    assert heading.split() == ["RECEIVED", "SIZE", "SOP", "INSTANCE", "UID", "WHY"]
    assert first.split() == ["2024-03-01T08:00:00Z", "27", "B", "1.2.1.1", "-"]
    assert second.startswith("2024-03-01T08:01:01Z")
    assert said == "2 instances waiting (54 B)"
    assert result.exit_code == 0


def test_a_node_that_runs_says_why(run, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reason = {"sop_instance_uid": "1.2.1.2", "version": 0, "why": "another object has its name"}
    told = {"filing": {"failures": 1, "trouble": "bucket x is away", "kept": 1, "reasons": [reason]}}
    monkeypatch.setattr(report, "read", lambda _: told)
    first, second, said = map(
        json.loads, run("spool", "list", "--data-dir", data_dir, "--json").output.splitlines()
    )
    assert first["instance"] == {
        "received_at": "2024-03-01T08:00:00Z",
        "bytes": len(CONTENT),
        "study_instance_uid": "1.2",
        "series_instance_uid": "1.2.1",
        "sop_instance_uid": "1.2.1.1",
        "version": 0,
        "why": None,
    }
    assert second["instance"]["why"] == "another object has its name"
    assert said["result"] == {"instances": 2, "bytes": 54, "trouble": "bucket x is away"}
    text = run("spool", "list", "--data-dir", data_dir).output.splitlines()[-1]
    assert text == "2 instances waiting (54 B); the storage: bucket x is away"


def test_where_there_is_no_node(run, tmp_path: Path) -> None:
    result = run("spool", "list", "--data-dir", tmp_path / "nowhere")
    assert isinstance(result.exception, ConfigError)
    assert "there is no index" in str(result.exception)
