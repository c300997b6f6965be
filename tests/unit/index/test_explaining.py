"""How a query is looked for, in the words that an administrator sees."""

import contextlib
import logging
from collections.abc import Iterator

import pytest

from pacsnode.dicom.attributes import Level
from pacsnode.dicom.query import Matching, Range, SingleValue, Wildcard, Words
from pacsnode.duplicates import DuplicatePolicy
from pacsnode.index import plans
from pacsnode.index.sqlite import SqliteIndex
from tests.unit.index.arriving import arrival, asking


@pytest.fixture
def index() -> Iterator[SqliteIndex]:
    with contextlib.closing(SqliteIndex()) as index:
        for token in range(1, 4):
            one = arrival(token, f"1.2.{token}.1.1", PatientID="P1", PatientName="DOE", StudyDate="20200115")
            index.add(one, DuplicatePolicy.KEEP_BOTH)
        yield index


def test_a_key_says_its_sql_its_values_and_its_index(index: SqliteIndex) -> None:
    explained = index.explain(asking(Level.STUDY, StudyDescription=Wildcard("CT*"), PatientID="P1"))
    description, patient_id = explained.keys
    assert description.condition.sql == 'study."study_description" GLOB ?'
    assert description.condition.parameters == ("CT*",)
    assert description.index == ""
    assert patient_id.index == "patient_by_patient_id"


def test_a_look_up_says_what_leads_and_how_much_it_leaves(index: SqliteIndex) -> None:
    explained = index.explain(asking(Level.STUDY, PatientID="P1"))
    assert explained.plan == (
        "look up by patient_by_patient_id, which leaves about 3 to read: all in one statement"
    )
    assert explained.steps[0] == ("SEARCH patient USING INDEX patient_by_patient_id (patient_id_caseless=?)")
    assert explained.statement.parameters == ("p1", "P1")


def test_much_below_a_key_is_sorted_by_its_ids_first(
    index: SqliteIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plans, "SORTED_AT_ONCE", 0)
    explained = index.explain(asking(Level.SERIES, StudyInstanceUID="1.2.1"))
    assert explained.plan.endswith("to read: sort their ids, then read page by page")
    assert explained.statement.sql.startswith("SELECT series.id FROM study INDEXED BY study_by_uid")


@pytest.mark.parametrize(
    ("asked", "place", "tables"),
    [
        (Words(("doe",)), "patient_name_part", ["patient_name_part"]),
        (SingleValue("DOE=DOE"), "patient_by_name", ["patient_by_name"]),
        (Wildcard("DOE*"), "patient_by_name and patient_name_part", ["patient_by_name", "patient_name_part"]),
    ],
)
def test_a_name_says_where_it_is_looked_up(
    index: SqliteIndex, asked: Matching, place: str, tables: list[str]
) -> None:
    explained = index.explain(asking(Level.STUDY, PatientName=asked))
    assert explained.plan.startswith(f"look up by {place}, ")
    assert [key.index for key in explained.keys] == [place]
    known = ("patient_by_name", "patient_name_part")
    assert [table for table in known if table in explained.statement.sql] == tables


def test_a_walk_says_what_it_follows(index: SqliteIndex) -> None:
    assert index.explain(asking(Level.IMAGE)).plan == "walk along the ids, newest first"
    assert index.explain(asking(Level.STUDY)).plan == "walk along study_by_moment"
    dated = index.explain(asking(Level.STUDY, StudyDate=Range("20200101", None)))
    assert dated.plan == "walk along study_by_moment, between the dates asked for"


def test_the_log_tells_it_at_debug_without_the_values(
    index: SqliteIndex, caplog: pytest.LogCaptureFixture
) -> None:
    query = asking(Level.STUDY, PatientName=Wildcard("DOE*"), StudyDate=Range("20200115", None))
    with caplog.at_level(logging.DEBUG, "pacsnode.index.sqlite"):
        assert list(index.find(query))
    text = "\n".join(record.getMessage() for record in caplog.records)
    assert "STUDY: plan: " in text
    assert "STUDY: SQL: SELECT " in text
    assert "STUDY: step: SEARCH " in text
    assert "doe" not in text.lower()
    assert "20200115" not in text


def test_nothing_is_explained_where_nobody_listens(
    index: SqliteIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SqliteIndex, "_explained", None)
    logging.getLogger("pacsnode.index.sqlite").setLevel(logging.INFO)
    try:
        assert list(index.find(asking(Level.STUDY)))
    finally:
        logging.getLogger("pacsnode.index.sqlite").setLevel(logging.NOTSET)
