"""`find --explain`: how this node would understand a query, without asking anybody."""

import json
from pathlib import Path

import pytest

from pacsnode.cli.explain import laid_out
from pacsnode.errors import InvalidIdentifier, InvalidUID

CONFIG = """
[[peers]]
name = "ward"
ae_title = "WARD"
strict_hierarchy = true
sees = [{ institution = "General" }]
"""


@pytest.fixture
def explain(run, tmp_path: Path):
    """Explain a query; return what is printed, by kinds with `--json`."""

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
