"""`find --explain`: how this node would understand a query, without asking anybody."""

import contextlib
import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from pacsnode.cli.exit_codes import exit_code
from pacsnode.cli.explain import laid_out
from pacsnode.config import Config
from pacsnode.errors import ConfigError, InvalidIdentifier, InvalidUID
from pacsnode.node import open_archive

CONFIG = """
[[peers]]
name = "ward"
ae_title = "WARD"
strict_hierarchy = true
sees = [{ institution = "General" }]
"""


@pytest.fixture
def explain(run, tmp_path: Path):
    """Explain a query for a node that has an index; return what is printed, by kinds with `--json`."""
    with open_archive(Config.model_validate({"node": {"data_dir": str(tmp_path / "data")}})):
        pass

    def explain(*arguments: str):
        result = run("find", "--explain", "--data-dir", tmp_path / "data", *arguments)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.output

    return explain


def items(output: str, kind: str) -> list[dict[str, object]]:
    return [line[kind] for line in map(json.loads, output.splitlines()) if kind in line]


def test_for_people_each_key_the_sql_and_the_plan(explain) -> None:
    lines = explain("-k", "PatientName=DOE*", "-k", "StudyDate=2020", "-k", "SliceThickness").splitlines()
    assert lines[0] == "STUDY level, Study Root"
    assert 'StudyDate         range matching: "20200101" to "20201231"' in lines
    assert 'PatientName       wild card matching: whatever case and accents, "DOE*"' in lines
    assert "StudyInstanceUID  universal matching: shown, whatever its value" in lines
    assert "not supported, so left out (0xFF01): (0018,0050)" in lines
    assert any(line.startswith("plan: ") for line in lines)
    assert any(line.startswith("SELECT ") for line in lines)
    assert any(line.startswith("parameters: ") and "'doe*'" in line for line in lines)
    assert any(line.startswith("    SEARCH ") for line in lines)


def test_for_programs_the_same_and_the_sql_of_each_key(explain) -> None:
    output = explain("--json", "-k", "PatientName=DOE*", "-k", "StudyInstanceUID=1.2")
    assert items(output, "query") == [{"level": "STUDY", "model": "Study Root"}]
    assert [item["attribute"] for item in items(output, "key")] == ["PatientName", "StudyInstanceUID"]
    (name, uid) = items(output, "condition")
    assert "patient_name_folded" in str(name["sql"])
    assert uid["parameters"] == ["x'1a2f'"]
    (statement,) = items(output, "statement")
    assert str(statement["sql"]).startswith("SELECT ")
    assert items(output, "step")
    assert json.loads(output.splitlines()[-1]) == {"result": {"level": "STUDY", "model": "Study Root"}}


def test_what_is_negotiated_changes_what_a_key_means(explain) -> None:
    plain = items(explain("--json", "-k", "PatientName=john do"), "key")
    fuzzy = explain("--json", "--fuzzy", "-k", "PatientName=john do")
    assert "single value matching" in str(plain[0]["meaning"])
    assert "fuzzy matching" in str(items(fuzzy, "key")[0]["meaning"])
    assert items(fuzzy, "remark") == [{"remark": "negotiated: fuzzy matching of person names"}]


def test_models_and_levels(explain) -> None:
    output = explain("--json", "--level", "series", "--model", "patient", "-k", "Modality=CT")
    assert items(output, "query") == [{"level": "SERIES", "model": "Patient Root"}]
    assert "relational query" in str(items(output, "remark")[0]["remark"])


def test_as_a_peer_is_answered(explain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.toml").write_text(CONFIG, encoding="utf-8")
    seen = explain("--json", "-aet", "WARD", "-k", "PatientName")
    assert {"remark": "only what this requester sees (sees)"} in items(seen, "remark")
    assert "institution_name" in str(items(seen, "statement")[0]["sql"])
    assert items(explain("--json", "-aet", "OTHER", "-k", "PatientName"), "remark") == []
    with pytest.raises(InvalidIdentifier, match="unique key above the level"):
        explain("-aet", "WARD", "--level", "series", "-k", "Modality")


def test_case_as_it_is_configured(explain, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[index]\nmatch_case = false\n", encoding="utf-8")
    (key,) = items(explain("--json", "-k", "StudyDescription=Knee", "-k", "StudyInstanceUID"), "key")[:1]
    assert key["meaning"] == 'single value matching: whatever case, "Knee"'


@pytest.mark.parametrize("key", ["StudyDate=20200230", "StudyTime=2500", "StudyInstanceUID=1.2.x"])
def test_what_has_no_meaning_is_said(explain, key: str) -> None:
    with pytest.raises((InvalidIdentifier, InvalidUID), match=key.partition("=")[0]):
        explain("-k", key)


def everything_below(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*")}


@pytest.mark.parametrize("exists", [False, True])
def test_without_an_index_nothing_is_made(run, tmp_path: Path, exists: bool) -> None:
    folder = tmp_path / "mistyped"
    if exists:
        folder.mkdir()
    error = run("find", "--explain", "--data-dir", folder, "-k", "PatientName").exception
    assert isinstance(error, ConfigError)
    assert exit_code(error) == 78
    assert str(error).startswith(f"there is no index {folder}")
    assert everything_below(tmp_path) == ({folder: b""} if exists else {})


def test_an_index_is_opened_without_the_folders_beside_it(explain, tmp_path: Path) -> None:
    for name in ("archive", "spool"):
        shutil.rmtree(tmp_path / "data" / name)
    before = everything_below(tmp_path)
    explain("-k", "PatientName=DOE*")
    assert everything_below(tmp_path) == before


def test_an_index_of_an_older_version_is_left_to_the_node(run, explain, tmp_path: Path) -> None:
    (path,) = (tmp_path / "data").rglob("index-*.db")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 2")
    before = path.read_bytes()
    error = run("find", "--explain", "--data-dir", tmp_path / "data", "-k", "PatientName").exception
    assert isinstance(error, ConfigError)
    assert "schema version 2, this program reads 3: a node migrates it when it starts" in str(error)
    assert path.read_bytes() == before


def test_what_could_drive_a_terminal_is_not_printed(explain) -> None:
    assert "\x1b" not in explain("-k", "StudyDescription=\x1b[2J")


def test_a_line_for_each_clause() -> None:
    lines = [
        "SELECT a, (SELECT b FROM c WHERE d AND e)",
        "FROM f",
        "CROSS JOIN g ON h",
        "WHERE i",
        "AND j BETWEEN ? AND ?",
        "AND k",
        "ORDER BY l",
        "LIMIT ?",
    ]
    assert laid_out(" ".join(lines)).splitlines() == lines
    assert laid_out("SELECT 1") == "SELECT 1"
