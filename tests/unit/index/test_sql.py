"""The plans of typical queries, as SQLite explains them, and the choice between them."""

from collections.abc import Iterator

import pytest

from pacsnode.dicom.attributes import Level
from pacsnode.dicom.query import Matching, Range, ValueList, Wildcard
from pacsnode.index import sql
from pacsnode.index.conditions import Fragment
from pacsnode.index.sqlite import SqliteIndex
from tests.unit.index.arriving import asking


@pytest.fixture(scope="module")
def index() -> Iterator[SqliteIndex]:
    index = SqliteIndex()
    yield index
    index.close()


def plan(index: SqliteIndex, statement: Fragment) -> list[str]:
    """Return the steps of the plan without those of subqueries for single values."""
    rows = index._database.read(f"EXPLAIN QUERY PLAN {statement.sql}", statement.parameters)
    dictionaries = "character_set", "sop_class", "transfer_syntax", "spooled", "(subquery"
    return [
        detail.replace("COVERING INDEX", "INDEX").replace(" AND rowid<?", "").replace(" AND rowid>?", "")
        for *_, detail in rows
        if detail.startswith(("SEARCH", "SCAN", "USE", "MULTI"))
        and not detail.split()[1].startswith(dictionaries)
    ]


UID_LIST, NAME = ValueList(("1.2.3", "1.2.4")), "patient_name_folded"

LEADING = [
    (Level.PATIENT, {"PatientID": "P1"}, "patient_by_patient_id (patient_id=?)"),
    (Level.STUDY, {"PatientID": "P1"}, "patient_by_patient_id (patient_id=?)"),
    (Level.STUDY, {"PatientID": Wildcard("P1*")}, "patient_by_patient_id (patient_id>? AND patient_id<?)"),
    (Level.STUDY, {"PatientName": Wildcard("smi*")}, f"patient_by_name ({NAME}>? AND {NAME}<?)"),
    (Level.STUDY, {"PatientName": "smith"}, f"patient_by_name ({NAME}>? AND {NAME}<?)"),
    (Level.STUDY, {"StudyDate": "20200115"}, "study_by_date (study_date=?)"),
    (Level.STUDY, {"StudyDate": Range("20200101", None)}, "study_by_date (study_date>? AND study_date<?)"),
    (Level.STUDY, {"AccessionNumber": "A1"}, "study_by_accession_number (accession_number=?)"),
    (Level.STUDY, {"StudyInstanceUID": "1.2.3"}, "study_by_uid (study_instance_uid=?)"),
    (Level.STUDY, {"StudyInstanceUID": UID_LIST}, "study_by_uid (study_instance_uid=?)"),
    (Level.SERIES, {"StudyInstanceUID": "1.2.3"}, "study_by_uid (study_instance_uid=?)"),
    (Level.SERIES, {"SeriesInstanceUID": UID_LIST}, "series_by_uid (series_instance_uid=?)"),
    (Level.IMAGE, {"SeriesInstanceUID": "1.2.3"}, "series_by_uid (series_instance_uid=?)"),
    (Level.IMAGE, {"SOPInstanceUID": "1.2.3"}, "instance_by_uid_hash (uid_hash=?)"),
    (Level.IMAGE, {"SOPInstanceUID": UID_LIST}, "instance_by_uid_hash (uid_hash=?)"),
]


@pytest.mark.parametrize(("level", "keys", "leading"), LEADING)
def test_a_key_leads_by_its_index(
    index: SqliteIndex, level: Level, keys: dict[str, Matching | str], leading: str
) -> None:
    compiled = sql.Compiled(asking(level, "PatientName", **keys))
    (driver,) = compiled.drivers
    for statement in (
        compiled.keyed(driver, before=1000, limit=10),
        compiled.counted(driver, before=1000, floor=0, limit=10),
        compiled.located(driver),
    ):
        steps = plan(index, statement)
        assert steps[0] == f"SEARCH {leading.partition('_by_')[0]} USING INDEX {leading}"
        assert not [step for step in steps if step.startswith("SCAN") and "json_each" not in step]
    assert (
        plan(index, compiled.probe(driver))[0]
        == f"SEARCH {leading.partition('_by_')[0]} USING INDEX {leading}"
    )


def test_the_way_down_uses_the_children_and_the_way_up_the_ids(index: SqliteIndex) -> None:
    compiled = sql.Compiled(asking(Level.IMAGE, "PatientName", StudyInstanceUID="1.2.3"))
    assert plan(index, compiled.keyed(compiled.drivers[0], before=1000, limit=10)) == [
        "SEARCH study USING INDEX study_by_uid (study_instance_uid=?)",
        "SEARCH series USING INDEX series_by_study (study=?)",
        "SEARCH instance USING INDEX instance_by_series (series=?)",
        "SEARCH patient USING INTEGER PRIMARY KEY (rowid=?)",
        "USE TEMP B-TREE FOR ORDER BY",
    ]


def test_a_walk_runs_down_the_ids_without_sorting(index: SqliteIndex) -> None:
    compiled = sql.Compiled(asking(Level.STUDY, "PatientName", PatientID=Wildcard("*1")))
    assert plan(index, compiled.walked(before=1000, floor=1, limit=10)) == [
        "SEARCH study USING INTEGER PRIMARY KEY (rowid>?)",
        "SEARCH patient USING INTEGER PRIMARY KEY (rowid=?)",
    ]


def test_a_table_that_nobody_asks_for_is_not_joined(index: SqliteIndex) -> None:
    compiled = sql.Compiled(asking(Level.STUDY, "StudyID"))
    assert "patient" not in compiled.walked(before=10, floor=1, limit=1).sql


@pytest.mark.parametrize(
    "key", [{"PatientName": Wildcard("*smith")}, {"PatientID": Wildcard("?1")}, {"StudyDescription": "X"}]
)
def test_a_pattern_without_a_beginning_leads_nowhere(key: dict[str, Matching | str]) -> None:
    assert sql.Compiled(asking(Level.STUDY, **key)).drivers == ()


def drivers(**keys: Matching | str) -> tuple[sql.Driver, ...]:
    return sql.Compiled(asking(Level.STUDY, **keys)).drivers


def test_the_driver_with_the_least_below_it_is_chosen() -> None:
    several = drivers(PatientID="P1", StudyDate="20200115", AccessionNumber="A1")
    chosen = sql.chosen(several, [(1, 500), (40, 40), (1, 900)], 10_000)
    assert chosen is several[1]


def test_many_matches_are_walked() -> None:
    several = drivers(StudyDate=Range("20100101", None))
    assert sql.chosen(several, [(sql.PROBE_LIMIT + 1, sql.PROBE_LIMIT + 1)], 1_000_000) is None
    assert sql.chosen(several, [(sql.PROBE_LIMIT, sql.PROBE_LIMIT)], 1_000_000) is several[0]


def test_without_an_index_there_is_a_walk() -> None:
    assert sql.chosen((), [], 10) is None


@pytest.mark.parametrize(
    ("below", "newest", "keyed"),
    [
        (0, 0, True),
        (2000, 10, True),
        (10_000, 10_000_000, True),
        (10_000, 20_000, False),
        (1_000_000, 10_000_000, False),
    ],
)
def test_keyed_paging_must_read_less_than_a_walk(below: int, newest: int, keyed: bool) -> None:
    assert sql.is_keyed_better(below, newest) is keyed
