"""What the index is searched by: moments, text without regard to case, parts of names; also in a file of before."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from pacsnode.dicom.attributes import BY_KEYWORD, Level
from pacsnode.dicom.matching import without_case
from pacsnode.dicom.query import AnyOf, Key, Matching, Query, SingleValue, Wildcard, Words
from pacsnode.duplicates import DuplicatePolicy
from pacsnode.index import lookups, sql
from pacsnode.index.lookups import other_case, parts
from pacsnode.index.sqlite import SqliteIndex
from tests.unit.index.arriving import arrival, asking, rows

KEEP_BOTH, REPLACE = DuplicatePolicy.KEEP_BOTH, DuplicatePolicy.REPLACE


@pytest.fixture
def index() -> Iterator[SqliteIndex]:
    with contextlib.closing(SqliteIndex()) as index:
        yield index


@pytest.mark.parametrize(
    "text", ["P1", "p1", "0001", "Ä1", "ä1", "straße", "STRASSE", "ſ", "K1", "ﬁ", "山", "İ"]
)
def test_what_text_is_found_by_is_it_without_case(index: SqliteIndex, text: str) -> None:
    index.add(arrival(1, PatientID=text, AccessionNumber=text), KEEP_BOTH)
    read = index._database.read
    assert read("SELECT patient_id_caseless FROM patient") == [(without_case(text),)]
    assert read("SELECT accession_number_caseless FROM study") == [(without_case(text),)]


@pytest.mark.parametrize(("text", "kept"), [("P1", None), ("山", None), ("Ä", "ä"), ("ß", "ss"), ("é", None)])
def test_only_what_lower_does_not_give_is_kept(text: str, kept: str | None) -> None:
    assert other_case(text) == kept


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("DOE^JOHN", ["doe", "john"]),
        ("O'BRIEN^PAT-SUE", ["obrien", "pat", "sue"]),
        ("Müller", ["muller"]),
        ("YAMADA^TARO=山田^太郎", ["yamada", "taro", "山田", "太郎", "=山田^太郎"]),
        ("A==B^C", ["a", "b", "c", "=b^c"]),
        ("=山田^太郎", ["山田", "太郎", "=山田^太郎"]),
        ("", []),
    ],
)
def test_the_parts_of_a_name(name: str, expected: list[str]) -> None:
    assert parts(name) == expected


def found(index: SqliteIndex, matching: Matching) -> list[str | None]:
    query = asking(Level.PATIENT, "PatientID", PatientName=matching)
    assert index._plan(sql.Compiled(query), None).driver is not None
    return [row[0] for row in rows(index, query)]


@pytest.mark.parametrize(
    ("matching", "ids"),
    [
        (SingleValue("yamada^taro"), ["P1"]),
        (SingleValue("山田^太郎"), ["P1"]),
        (Wildcard("山*"), ["P1"]),
        (Wildcard("=山*"), ["P1"]),
        (SingleValue("=山田^太郎"), ["P1"]),
        (Wildcard("muller*"), ["P2"]),
        (Wildcard("MÜLL*"), ["P2"]),
        (Wildcard("doe^*"), ["P3"]),
        (Words(("jur", "mul")), ["P2"]),
        (Words(("j?rgen",)), ["P2"]),
        (Words(("たろう",)), ["P1"]),
        (AnyOf((Wildcard("m*"), SingleValue("doe"))), ["P3", "P2"]),
        (SingleValue("taro"), []),
        (Words(("aro",)), []),
    ],
)
def test_names_are_looked_up(index: SqliteIndex, matching: Matching, ids: list[str]) -> None:
    names = ("YAMADA^TARO=山田^太郎=やまだ^たろう", "Müller^Jürgen", "DOE")
    for token, name in enumerate(names, 1):
        index.add(arrival(token, f"1.2.{token}.1.1", PatientID=f"P{token}", PatientName=name), KEEP_BOTH)
    assert found(index, matching) == ids


def test_a_name_that_comes_later_is_found(index: SqliteIndex) -> None:
    index.add(arrival(1, "1.2.3.4.1", PatientID="P1"), KEEP_BOTH)
    index.add(arrival(2, "1.2.3.4.2", PatientID="P1", PatientName="DOE^JOHN"), KEEP_BOTH)
    assert found(index, Words(("john",))) == ["P1"]


def test_a_vacant_patient_is_found_by_its_new_name_only(index: SqliteIndex) -> None:
    index.add(arrival(1, PatientID="P1", PatientName="DOE^JOHN"), REPLACE)
    index.add(arrival(2, PatientID="P1", PatientName="ROE^JANE"), REPLACE, known_different=frozenset({1}))
    assert found(index, Words(("jane",))) == ["P1"]
    assert found(index, Words(("john",))) == []
    assert found(index, Wildcard("doe*")) == []


@pytest.mark.parametrize(
    ("wanted", "match_case", "ids"),
    [
        (SingleValue("ä1"), False, ["ä1", "Ä1"]),
        (SingleValue("ä1"), True, ["ä1"]),
        (Wildcard("ss*"), False, ["SS", "ß"]),
        (Wildcard("ss*"), True, []),
        (Wildcard("p*"), False, ["p1", "P1"]),
        (Wildcard("P*"), True, ["P1"]),
        (SingleValue("P1"), False, ["p1", "P1"]),
    ],
)
def test_one_index_serves_both_ways_of_comparing(
    index: SqliteIndex, wanted: Matching, match_case: bool, ids: list[str]
) -> None:
    for token, text in enumerate(("P1", "p1", "Ä1", "ä1", "ß", "SS"), 1):
        index.add(arrival(token, f"1.2.{token}.1.1", PatientID=text), KEEP_BOTH)
    attribute = BY_KEYWORD["PatientID"]
    query = asking(Level.PATIENT, "PatientID")
    key = Key(attribute, wanted, match_case=match_case)
    asked = Query(query.model, query.level, (key,), query.returned)
    assert index._plan(sql.Compiled(asked), None).driver is not None
    assert [row[0] for row in rows(index, asked)] == ids


def test_a_file_of_before_is_found_in(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    with contextlib.closing(SqliteIndex(path)) as index:
        index.add(arrival(1, PatientID="Ä1", PatientName="Yamada=山田", StudyDate="20200115"), KEEP_BOTH)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        _undo(connection)
    with contextlib.closing(SqliteIndex(path)) as index:
        assert found(index, SingleValue("山田")) == ["Ä1"]
        assert found(index, Words(("yam",))) == ["Ä1"]
        assert index._database.read("SELECT patient_id_caseless FROM patient") == [("ä1",)]
        assert index._database.read("SELECT moment FROM study") == [("20200115",)]


def _undo(connection: sqlite3.Connection) -> None:
    """Take the file back to version 2."""
    for statement in (
        "DROP INDEX study_by_moment",
        "ALTER TABLE study DROP COLUMN moment",
        "CREATE INDEX study_by_date ON study (study_date)",
        "DROP TABLE patient_name_part",
        "PRAGMA user_version = 2",
    ):
        connection.execute(statement)
    for attribute in lookups.CASELESS:
        table = "patient" if attribute.level is Level.PATIENT else "study"
        index = f"{table}_by_{attribute.column}"
        connection.execute(f"DROP INDEX {index}")
        connection.execute(f"ALTER TABLE {table} DROP COLUMN {attribute.column}_caseless")
        connection.execute(f"ALTER TABLE {table} DROP COLUMN {attribute.column}_other_case")
        connection.execute(f"CREATE INDEX {index} ON {table} ({attribute.column})")
