"""The plans of typical queries, as SQLite explains them, and the choice between them."""

from collections.abc import Iterator

import pytest

from pacsnode.dicom.attributes import Level
from pacsnode.dicom.query import AnyOf, Matching, Range, SingleValue, ValueList, Wildcard, Words
from pacsnode.index import plans, sql
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
        detail.replace("COVERING INDEX", "INDEX").replace(" AND rowid<?", "")
        for *_, detail in rows
        if detail.startswith(("SEARCH", "SCAN", "USE", "MULTI"))
        and not detail.split()[1].startswith(dictionaries)
    ]


UID_LIST, PATIENT_ID = ValueList(("1.2.3", "1.2.4")), "patient_id_caseless"
MOMENT = "moment>? AND moment<?"


LEADING = [
    (Level.PATIENT, {"PatientID": "P1"}, "patient_by_patient_id (patient_id_caseless=?)"),
    (Level.STUDY, {"PatientID": "P1"}, "patient_by_patient_id (patient_id_caseless=?)"),
    (
        Level.STUDY,
        {"PatientID": Wildcard("P1*")},
        f"patient_by_patient_id ({PATIENT_ID}>? AND {PATIENT_ID}<?)",
    ),
    (Level.SERIES, {"StudyDate": "20200115"}, f"study_by_moment ({MOMENT})"),
    (Level.IMAGE, {"StudyDate": Range("20200101", None)}, f"study_by_moment ({MOMENT})"),
    (Level.STUDY, {"AccessionNumber": "A1"}, "study_by_accession_number (accession_number_caseless=?)"),
    (Level.STUDY, {"StudyInstanceUID": "1.2.3"}, "study_by_uid (study_instance_uid=?)"),
    (Level.STUDY, {"StudyInstanceUID": UID_LIST}, "study_by_uid (study_instance_uid=?)"),
    (Level.SERIES, {"StudyInstanceUID": "1.2.3"}, "study_by_uid (study_instance_uid=?)"),
    (Level.SERIES, {"SeriesInstanceUID": UID_LIST}, "series_by_uid (series_instance_uid=?)"),
    (Level.IMAGE, {"SeriesInstanceUID": "1.2.3"}, "series_by_uid (series_instance_uid=?)"),
    (Level.IMAGE, {"SOPInstanceUID": "1.2.3"}, "instance_by_uid_hash (uid_hash=?)"),
    (Level.IMAGE, {"SOPInstanceUID": UID_LIST}, "instance_by_uid_hash (uid_hash=?)"),
]


WINDOW = {"before": ("9", 0), "floor": ("", 0), "newest": 1000, "limit": 10}


@pytest.mark.parametrize(("level", "keys", "leading"), LEADING)
def test_a_key_leads_by_its_index(
    index: SqliteIndex, level: Level, keys: dict[str, Matching | str], leading: str
) -> None:
    compiled = sql.Compiled(asking(level, "PatientName", **keys))
    (driver,) = compiled.drivers
    table = leading.partition("_by_")[0]
    for statement in (
        compiled.keyed(driver),
        compiled.ids(driver),
        compiled.counted_below(driver, limit=10),
        compiled.located(driver),
    ):
        steps = plan(index, statement)
        assert steps[0] == f"SEARCH {table} USING INDEX {leading}"
        assert not [step for step in steps if step.startswith("SCAN") and "VIRTUAL" not in step]
    assert plan(index, plans.probe(driver, level))[0] == f"SEARCH {table} USING INDEX {leading}"


NAME = "SEARCH patient USING INDEX patient_by_name (patient_name_folded>? AND patient_name_folded<?)"
PART = "SEARCH patient_name_part USING PRIMARY KEY (part>? AND part<?)"
MOMENTS = f"SEARCH study USING INDEX study_by_moment ({MOMENT})"
BY_ID = [
    ({"PatientName": Wildcard("smi*")}, [NAME, PART]),
    ({"PatientName": "smith"}, [NAME, PART]),
    ({"PatientName": "smith=山田"}, [NAME]),
    ({"PatientName": Wildcard("=山*")}, [NAME, PART]),
    ({"PatientName": Words(("john",))}, [PART]),
    ({"PatientName": AnyOf((Wildcard("smi*"), SingleValue("doe")))}, [NAME, PART, NAME, PART]),
    ({"StudyDate": AnyOf((Range("20200101", None), SingleValue("20190101")))}, [MOMENTS, MOMENTS]),
]


@pytest.mark.parametrize(("keys", "lookups"), BY_ID)
def test_a_key_leads_by_the_ids_that_another_table_gives(
    index: SqliteIndex, keys: dict[str, Matching | str], lookups: list[str]
) -> None:
    compiled = sql.Compiled(asking(Level.STUDY, "PatientName", **keys))
    (driver,) = compiled.drivers
    name = "patient" if "PatientName" in keys else "study"
    for statement in (
        compiled.keyed(driver),
        compiled.ids(driver),
        compiled.counted_below(driver, limit=10),
        compiled.located(driver),
    ):
        steps = plan(index, statement)
        assert steps[0] == f"SEARCH {name} USING INTEGER PRIMARY KEY (rowid=?)"
        assert [step for step in steps if step in (NAME, PART, MOMENTS)] == lookups
        assert not [step for step in steps if step.startswith("SCAN") and "VIRTUAL" not in step]
    steps = plan(index, plans.probe(driver, Level.STUDY))
    assert [step for step in steps if step in (NAME, PART, MOMENTS)] == lookups
    assert [step for step in steps if step.startswith("SCAN")] in ([], ["SCAN found"])


def test_each_word_of_a_name_can_lead() -> None:
    john, smith = sql.Compiled(asking(Level.STUDY, PatientName=Words(("john", "smith")))).drivers
    assert (john.condition.parameters, smith.condition.parameters) == (("john", "joho"), ("smith", "smiti"))


def test_the_way_down_uses_the_children_and_the_way_up_the_ids(index: SqliteIndex) -> None:
    compiled = sql.Compiled(asking(Level.IMAGE, "PatientName", StudyInstanceUID="1.2.3"))
    assert plan(index, compiled.keyed(compiled.drivers[0])) == [
        "SEARCH study USING INDEX study_by_uid (study_instance_uid=?)",
        "SEARCH series USING INDEX series_by_study (study=?)",
        "SEARCH instance USING INDEX instance_by_series (series=?)",
        "SEARCH patient USING INTEGER PRIMARY KEY (rowid=?)",
        "USE TEMP B-TREE FOR ORDER BY",
    ]


def test_a_page_of_ids_is_looked_up(index: SqliteIndex) -> None:
    compiled = sql.Compiled(asking(Level.IMAGE, "PatientName", StudyInstanceUID="1.2.3"))
    assert plan(index, compiled.these([1, 2, 3])) == [
        "SCAN page VIRTUAL TABLE INDEX 1:",
        *(f"SEARCH {table} USING INTEGER PRIMARY KEY (rowid=?)" for table in BOTTOM_UP),
        "USE TEMP B-TREE FOR ORDER BY",
    ]


BOTTOM_UP = ("instance", "series", "study", "patient")


def test_a_walk_over_studies_follows_their_moments_without_sorting(index: SqliteIndex) -> None:
    compiled = sql.Compiled(asking(Level.STUDY, "PatientName", PatientID=Wildcard("*1")))
    walk = f"SEARCH study USING INDEX study_by_moment ({MOMENT})"
    assert plan(index, compiled.walked(**WINDOW)) == [
        walk,
        "SEARCH patient USING INTEGER PRIMARY KEY (rowid=?)",
    ]
    assert plan(index, compiled.counted(**WINDOW))[0] == walk
    assert plan(index, compiled.floor(before=("9", 0))) == [walk]


def test_studies_that_may_have_moved_cost_what_has_arrived(index: SqliteIndex) -> None:
    arrived = sql.arrived_in(after=1, until=2, newest=3)
    assert plan(index, arrived)[:2] == [
        "SEARCH instance USING INTEGER PRIMARY KEY (rowid>?)",
        "SEARCH series USING INTEGER PRIMARY KEY (rowid=?)",
    ]


@pytest.mark.parametrize("level", [Level.PATIENT, Level.SERIES, Level.IMAGE])
def test_a_walk_over_others_runs_down_the_ids_without_sorting(index: SqliteIndex, level: Level) -> None:
    compiled = sql.Compiled(asking(level, "PatientName"))
    window = WINDOW | {"before": (1000,), "floor": (1,)}
    name = BOTTOM_UP[Level.IMAGE - level]
    assert plan(index, compiled.walked(**window)) == [
        f"SEARCH {name} USING INTEGER PRIMARY KEY (rowid>?)",
        *(
            f"SEARCH {table} USING INTEGER PRIMARY KEY (rowid=?)"
            for table in BOTTOM_UP[Level.IMAGE - level + 1 :]
        ),
    ]


@pytest.mark.parametrize(
    ("key", "start", "end"),
    [
        ("20200115", "20200116", "20200115"),
        (Range("20200101", "20200131"), "20200132", "20200101"),
        (Range(None, "20191231"), "20191232", "0"),
        (Range("20200101", None), ":", "20200101"),
    ],
)
def test_a_walk_goes_no_further_than_the_dates(
    index: SqliteIndex, key: Matching | str, start: str, end: str
) -> None:
    compiled = sql.Compiled(asking(Level.STUDY, "PatientName", StudyDate=key))
    assert (compiled.order.start, compiled.order.end) == ((start, 0), (end, 0))
    assert compiled.drivers == ()
    assert plan(index, compiled.walk_probe()) == [f"SEARCH study USING INDEX study_by_moment ({MOMENT})"]


def test_a_table_that_nobody_asks_for_is_not_joined(index: SqliteIndex) -> None:
    compiled = sql.Compiled(asking(Level.STUDY, "StudyID"))
    assert "patient" not in compiled.walked(**WINDOW).sql


@pytest.mark.parametrize(
    "key",
    [
        {"PatientName": AnyOf((SingleValue("a"), Wildcard("*b")))},
        {"PatientName": Words(("*a",))},
        {"PatientName": Wildcard("*smith")},
        {"PatientID": Wildcard("?1")},
        {"StudyDescription": "X"},
    ],
)
def test_a_pattern_without_a_beginning_leads_nowhere(key: dict[str, Matching | str]) -> None:
    assert sql.Compiled(asking(Level.STUDY, **key)).drivers == ()
