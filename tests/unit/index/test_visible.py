"""What a requester sees, at each level, by each plan, for what lies above and below."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from pacsnode.dicom.attributes import Level
from pacsnode.dicom.query import Matching, Query
from pacsnode.dicom.visibility import DEPARTMENT, INSTITUTION, ISSUER, Trait, View, Visibility, both
from pacsnode.duplicates import DuplicatePolicy
from pacsnode.errors import PatientConflict
from pacsnode.index import sql, visible
from pacsnode.index.sqlite import SqliteIndex
from tests.unit.index.arriving import arrival, asking, rows

MARY, JOHN = Trait(INSTITUTION, ("ST. MARY",)), Trait(INSTITUTION, ("ST. JOHN",))
CARDIO = Trait(DEPARTMENT, ("CARDIO*",))
MPI = Trait(ISSUER, ("MPI",))
CT1, MR1 = Trait(None, ("CT1",)), Trait(None, ("MR1",))

# UID, sender, institution, department, issuer. Study 1.1 has a series of each house; 1.2 one of two senders.
ARRIVALS = (
    ("1.1.1.1", "CT1", "ST. MARY", "CARDIO 2", "MPI"),
    ("1.1.1.2", "MR1", "ST. MARY", "CARDIO 2", "MPI"),
    ("1.1.2.1", "MR1", "ST. JOHN", "NEURO", "MPI"),
    ("1.2.1.1", "CT1", "ST. JOHN", "CARDIO 1", "OTHER"),
    ("1.2.1.2", "MR1", "ST. JOHN", "CARDIO 1", "OTHER"),
    ("1.3.1.1", "US1", None, None, None),
)


@pytest.fixture(scope="module")
def index() -> Iterator[SqliteIndex]:
    index = SqliteIndex()
    for token, (uid, sender, institution, department, issuer) in enumerate(ARRIVALS, 1):
        values = {
            "PatientID": f"P{uid[2]}",
            "PatientName": f"NAME{uid[2]}",
            "InstitutionName": institution,
            "InstitutionalDepartmentName": department,
            "IssuerOfPatientID": issuer,
        }
        one = arrival(token, uid, **{key: value for key, value in values.items() if value})
        index.add(replace(one, calling_ae_title=sender), DuplicatePolicy.KEEP_BOTH)
    yield index
    index.close()


def seen(index: SqliteIndex, level: Level, visibility: Visibility | None, **keys: Matching | str) -> str:
    """Return what is found at a level, by its UID or Patient ID, after checking that all that answer agree."""
    keyword = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")[level]
    query = replace(asking(level, keyword, **keys), visibility=visibility)
    found = sorted(str(row[0]) for row in rows(index, query))
    assert index.count(query, at_most=100) == len(found)
    return " ".join(found)


SEEN = [
    (None, "P1 P2 P3", "1.1 1.2 1.3", "1.1.1 1.1.2 1.2.1 1.3.1", "1.1.1.1 1.1.1.2 1.1.2.1 1.2.1.1 1.2.1.2 1.3.1.1"),
    ((), "", "", "", ""),
    ((View(()),), "P1 P2 P3", "1.1 1.2 1.3", "1.1.1 1.1.2 1.2.1 1.3.1",
     "1.1.1.1 1.1.1.2 1.1.2.1 1.2.1.1 1.2.1.2 1.3.1.1"),
    ((View((MARY,)),), "P1", "1.1", "1.1.1", "1.1.1.1 1.1.1.2"),
    ((View((JOHN,)),), "P1 P2", "1.1 1.2", "1.1.2 1.2.1", "1.1.2.1 1.2.1.1 1.2.1.2"),
    ((View((CARDIO,)),), "P1 P2", "1.1 1.2", "1.1.1 1.2.1", "1.1.1.1 1.1.1.2 1.2.1.1 1.2.1.2"),
    ((View((JOHN, CARDIO)),), "P2", "1.2", "1.2.1", "1.2.1.1 1.2.1.2"),
    ((View((MPI,)),), "P1", "1.1", "1.1.1 1.1.2", "1.1.1.1 1.1.1.2 1.1.2.1"),
    ((View((CT1,)),), "P1 P2", "1.1 1.2", "1.1.1 1.2.1", "1.1.1.1 1.2.1.1"),
    ((View((JOHN, CT1)),), "P2", "1.2", "1.2.1", "1.2.1.1"),
    ((View((JOHN, CT1, MPI)),), "", "", "", ""),
    ((View((MARY, MR1)),), "P1", "1.1", "1.1.1", "1.1.1.2"),
    ((View((MARY,)), View((Trait(None, ("US1",)),))), "P1 P3", "1.1 1.3", "1.1.1 1.3.1", "1.1.1.1 1.1.1.2 1.3.1.1"),
    (both((View((MARY,)),), (View((MR1,)),)), "P1", "1.1", "1.1.1", "1.1.1.2"),
    # One series suits the one, another one the other: nothing is seen by both.
    (both((View((MARY,)),), (View((JOHN,)),)), "", "", "", ""),
    ((View((Trait(INSTITUTION, ("*",)),)),), "P1 P2", "1.1 1.2", "1.1.1 1.1.2 1.2.1",
     "1.1.1.1 1.1.1.2 1.1.2.1 1.2.1.1 1.2.1.2"),
    ((View((Trait(INSTITUTION, ("' OR 1=1 --",)),)),), "", "", "", ""),
    ((View((Trait(None, ("' OR 1=1 --", "*", "%")),)),), "", "", "", ""),
]  # fmt: skip


@pytest.mark.parametrize(("visibility", "patients", "studies", "series", "instances"), SEEN)
def test_what_is_seen_at_each_level(
    index: SqliteIndex,
    visibility: Visibility | None,
    patients: str,
    studies: str,
    series: str,
    instances: str,
) -> None:
    for level, expected in zip(Level, (patients, studies, series, instances), strict=True):
        assert seen(index, level, visibility) == expected
    for study in ("1.1", "1.2", "1.3"):
        query = replace(asking(Level.STUDY, StudyInstanceUID=study), visibility=visibility)
        located = " ".join(one.sop_instance_uid for one in index.locate(query))
        assert located == " ".join(uid for uid in instances.split() if uid.startswith(f"{study}."))


@pytest.mark.parametrize(
    ("level", "keys"),
    [
        (Level.STUDY, {"StudyInstanceUID": "1.1"}),
        (Level.STUDY, {"PatientID": "P1"}),
        (Level.STUDY, {"PatientName": "NAME1"}),
        (Level.SERIES, {"SeriesInstanceUID": "1.1.2"}),
        (Level.SERIES, {"StudyInstanceUID": "1.1"}),
        (Level.IMAGE, {"SOPInstanceUID": "1.1.2.1"}),
        (Level.IMAGE, {"SeriesInstanceUID": "1.1.2"}),
    ],
)
def test_no_key_finds_what_is_hidden(index: SqliteIndex, level: Level, keys: dict[str, str]) -> None:
    assert seen(index, level, None, **keys)
    assert seen(index, level, (View((MPI, Trait(None, ("US1",)))),), **keys) == ""
    hidden = replace(asking(level, **keys), visibility=())
    assert index.locate(hidden) == []


def test_a_hidden_person_does_not_make_a_patient_id_ambiguous() -> None:
    index = SqliteIndex()
    for token, (uid, name, institution) in enumerate(
        (("1.1.1.1", "DOE^JOHN", "ST. MARY"), ("1.2.1.1", "ROE^JANE", "ST. JOHN")), 1
    ):
        one = arrival(token, uid, PatientID="P1", PatientName=name, InstitutionName=institution)
        index.add(one, DuplicatePolicy.KEEP_BOTH)
    query = asking(Level.PATIENT, PatientID="P1")
    with pytest.raises(PatientConflict):
        index.locate(query)
    (located,) = index.locate(replace(query, visibility=(View((MARY,)),)))
    assert located.sop_instance_uid == "1.1.1.1"
    index.close()


def test_the_version_that_is_served_is_the_one_that_counts() -> None:
    index = SqliteIndex()
    index.add(arrival(1, "1.1.1.1", PatientID="P1"), DuplicatePolicy.REPLACE)
    later = replace(arrival(2, "1.1.1.1", PatientID="P1"), calling_ae_title="MR1")
    index.add(later, DuplicatePolicy.REPLACE, known_different=frozenset({1}))
    for level in Level:
        assert seen(index, level, (View((CT1,)),)) == ""
        assert seen(index, level, (View((MR1,)),)) != ""
    index.close()


# Plans


def steps(index: SqliteIndex, query: Query) -> list[str]:
    compiled = sql.Compiled(query)
    order = compiled.order
    statement = compiled.walked(before=order.start, floor=order.end, newest=1000, limit=10)
    plan = index._database.read(f"EXPLAIN QUERY PLAN {statement.sql}", statement.parameters)
    return [detail for *_, detail in plan if detail.startswith(("SEARCH", "SCAN")) and "json" not in detail]


def test_each_step_below_is_a_look_into_an_index(index: SqliteIndex) -> None:
    query = replace(asking(Level.STUDY, "StudyInstanceUID"), visibility=(View((MARY, CT1)),))
    found = steps(index, query)
    assert found[0].startswith("SEARCH study USING INDEX study_by_moment")
    assert "SEARCH series USING INDEX series_by_study (study=?)" in found
    assert "SEARCH instance USING INDEX instance_by_series (series=?)" in found
    assert not any(step.startswith("SCAN") and step.split()[1] in ("series", "instance") for step in found)


def test_what_lies_above_is_joined(index: SqliteIndex) -> None:
    query = replace(asking(Level.IMAGE, "SOPInstanceUID"), visibility=(View((MPI, MARY)),))
    for table in ("series", "study", "patient"):
        assert f"SEARCH {table} USING INTEGER PRIMARY KEY (rowid=?)" in steps(index, query)


def test_a_walk_under_a_visibility_comes_up_for_air(
    index: SqliteIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "LIMITED_WINDOW_ROWS", 1)
    query = replace(asking(Level.STUDY, "StudyInstanceUID"), visibility=(View((MPI,)),))
    assert [[row[0] for row in page] for page in index.find(query)] == [[], [], ["1.1"], []]
    assert index.count(query, at_most=5) == 1


def test_the_levels_that_a_condition_needs() -> None:
    visibility = (View((MPI, CT1)), View((MARY,)))
    assert visible.levels(visibility, Level.IMAGE) == {Level.PATIENT, Level.SERIES, Level.IMAGE}
    assert visible.levels(visibility, Level.STUDY) == {Level.PATIENT}
    assert visible.levels((), Level.IMAGE) == set()
