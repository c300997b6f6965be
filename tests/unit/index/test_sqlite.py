"""The index: duplicates, identity, answers and pages, the spool, damage, two who have it open."""

import contextlib
import sqlite3
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pacsnode.database.writer import _Job
from pacsnode.dicom.attributes import Level
from pacsnode.dicom.query import Query, Range, ValueList, Wildcard
from pacsnode.duplicates import DuplicatePolicy
from pacsnode.errors import ConfigError, InvalidIdentifier, InvalidUID, PatientConflict, PermanentError
from pacsnode.index import plans, sql, sqlite
from pacsnode.index.base import Adding, Arrival, Index
from pacsnode.index.fragments import Fragment
from pacsnode.index.sqlite import SqliteIndex, Statistics
from tests.index_checks import inconsistencies
from tests.unit.index.arriving import CT, EXPLICIT, MR, arrival, asking, rows

KEEP_BOTH, REPLACE = DuplicatePolicy.KEEP_BOTH, DuplicatePolicy.REPLACE


@pytest.fixture
def index() -> Iterator[SqliteIndex]:
    with contextlib.closing(SqliteIndex()) as index:
        yield index
        assert inconsistencies(index) == {}


def test_it_is_an_index(index: SqliteIndex) -> None:
    port: Index = index
    assert port.count(asking(Level.STUDY), at_most=10) == 0


# Duplicates


def test_a_new_uid_is_new_and_found(index: SqliteIndex) -> None:
    added = index.add(arrival(1, PatientID="P1", character_sets=("ISO_IR 100",)), KEEP_BOTH)
    assert (added.adding, added.versions) == (Adding.NEW, ())
    found = list(index.find(asking(Level.IMAGE, "PatientID", "SOPInstanceUID", "AvailableTransferSyntaxUID")))
    assert [row for page in found for row in page] == [("P1", "1.2.3.4.5", EXPLICIT, "ISO_IR 100")]


def test_what_is_located_is_what_arrived(index: SqliteIndex) -> None:
    index.add(arrival(7), KEEP_BOTH)
    (located,) = index.locate(asking(Level.IMAGE, SOPInstanceUID="1.2.3.4.5"))
    assert located.instance_id == 1
    assert (located.study_instance_uid, located.series_instance_uid) == ("1.2.3", "1.2.3.4")
    assert (located.sop_class_uid, located.sop_instance_uid) == (CT, "1.2.3.4.5")
    assert (located.transfer_syntax_uid, located.version, located.token) == (EXPLICIT, 0, 7)
    assert (located.file_length, located.file_crc32c) == (2007, 0xFFFFFFF8)
    assert (located.data_set_length, located.data_set_crc32c) == (1007, 7)


def test_the_same_token_is_there_already(index: SqliteIndex) -> None:
    index.add(arrival(1), KEEP_BOTH)
    added = index.add(arrival(1), DuplicatePolicy.REFUSE)
    assert added.adding is Adding.ALREADY
    assert [one.token for one in added.versions] == [1]


def test_an_unknown_version_is_to_be_compared_first(index: SqliteIndex) -> None:
    index.add(arrival(1), KEEP_BOTH)
    first = index.add(arrival(2), KEEP_BOTH)
    assert first.adding is Adding.COMPARE
    known = frozenset(one.instance_id for one in first.versions)
    assert index.add(arrival(2), KEEP_BOTH, known_different=known).adding is Adding.VERSION_KEPT
    third = index.add(arrival(3), KEEP_BOTH, known_different=known)
    assert third.adding is Adding.COMPARE
    assert [one.version for one in third.versions] == [0, 1]


@pytest.mark.parametrize("policy", [DuplicatePolicy.KEEP_FIRST, DuplicatePolicy.REFUSE])
def test_other_content_is_refused(index: SqliteIndex, policy: DuplicatePolicy) -> None:
    index.add(arrival(1), policy)
    added = index.add(arrival(2), policy, known_different=frozenset({1}))
    assert added.adding is Adding.REFUSED
    assert index.statistics() == Statistics(1, 1, 1, 1, 0, 1)


def test_keep_both_serves_the_first(index: SqliteIndex) -> None:
    index.add(arrival(1, InstanceNumber="1"), KEEP_BOTH)
    index.add(arrival(2, InstanceNumber="2"), KEEP_BOTH, known_different=frozenset({1}))
    assert rows(index, asking(Level.IMAGE, "InstanceNumber")) == [("1",)]
    assert [one.token for one in index.locate(asking(Level.STUDY, StudyInstanceUID="1.2.3"))] == [1]
    assert index.statistics() == Statistics(1, 1, 1, 1, 1, 2)


def test_replace_serves_the_last(index: SqliteIndex) -> None:
    index.add(arrival(1, InstanceNumber="1"), REPLACE)
    added = index.add(arrival(2, InstanceNumber="2"), REPLACE, known_different=frozenset({1}))
    assert added.adding is Adding.VERSION_SERVED
    assert rows(index, asking(Level.IMAGE, "InstanceNumber")) == [("2",)]
    (located,) = index.locate(asking(Level.IMAGE, SOPInstanceUID="1.2.3.4.5"))
    assert (located.token, located.version) == (2, 1)


def moved(token: int, study: str, series: str, **values: str) -> Arrival:
    """Return 1.2.3.4.5 with other parents."""
    one = arrival(token, "1.2.3.4.5", **values)
    return replace(one, header=replace(one.header, study_instance_uid=study, series_instance_uid=series))


def test_replacing_from_another_series_moves_all_counts(index: SqliteIndex) -> None:
    index.add(arrival(1, "1.2.3.4.5", Modality="CT", PatientID="P1"), REPLACE)
    index.add(arrival(2, "1.2.3.4.6", Modality="CT", PatientID="P1"), REPLACE)
    index.add(
        moved(3, "1.2.9", "1.2.9.1", Modality="MR", PatientID="P2"), REPLACE, known_different=frozenset({1})
    )
    counts = (
        "StudyInstanceUID",
        "ModalitiesInStudy",
        "NumberOfStudyRelatedSeries",
        "NumberOfStudyRelatedInstances",
    )
    assert rows(index, asking(Level.STUDY, *counts)) == [
        ("1.2.9", "MR", "1", "1"),
        ("1.2.3", "CT", "1", "1"),
    ]


def test_what_has_no_served_instance_is_not_answered(index: SqliteIndex) -> None:
    index.add(arrival(1, PatientID="P1"), REPLACE)
    index.add(moved(2, "1.2.9", "1.2.9.1", PatientID="P2"), REPLACE, known_different=frozenset({1}))
    assert rows(index, asking(Level.PATIENT, "PatientID")) == [("P2",)]
    assert rows(index, asking(Level.STUDY, "StudyInstanceUID")) == [("1.2.9",)]
    assert rows(index, asking(Level.SERIES, "SeriesInstanceUID")) == [("1.2.9.1",)]
    assert index.locate(asking(Level.STUDY, StudyInstanceUID="1.2.3")) == []
    assert index.count(asking(Level.STUDY, StudyInstanceUID="1.2.3"), at_most=5) == 0
    assert index.statistics() == Statistics(1, 1, 1, 1, 1, 2)


def test_a_vacant_series_begins_anew(index: SqliteIndex) -> None:
    index.add(arrival(1, SeriesDescription="WRONG"), REPLACE)
    index.add(arrival(2, SeriesDescription="RIGHT"), REPLACE, known_different=frozenset({1}))
    assert rows(index, asking(Level.SERIES, "SeriesDescription")) == [("RIGHT",)]


def test_a_hidden_version_tells_nothing(index: SqliteIndex) -> None:
    index.add(arrival(1), KEEP_BOTH)
    index.add(arrival(2, SeriesDescription="HIDDEN"), KEEP_BOTH, known_different=frozenset({1}))
    assert rows(index, asking(Level.SERIES, "SeriesDescription")) == [(None,)]


# Identity


def test_the_first_value_stays_and_later_ones_fill(index: SqliteIndex) -> None:
    index.add(arrival(1, "1.2.3.4.1", StudyDescription="FIRST", PatientID="P1"), KEEP_BOTH)
    index.add(
        arrival(2, "1.2.3.4.2", StudyDescription="SECOND", PatientSex="F", PatientWeight="07.50"), KEEP_BOTH
    )
    index.add(arrival(3, "1.2.3.4.3", PatientID="P1", PatientSize="1.70", PatientWeight="9"), KEEP_BOTH)
    asked = asking(Level.STUDY, "StudyDescription", "PatientSex", "PatientWeight", "PatientSize")
    assert rows(index, asked) == [("FIRST", "F", "07.50", "1.70")]


def test_a_study_stays_with_the_patient_of_its_first_instance(index: SqliteIndex) -> None:
    index.add(arrival(1, "1.2.3.4.1", PatientID="P1", PatientName="DOE"), KEEP_BOTH)
    index.add(arrival(2, "1.2.3.4.2", PatientID="P2", PatientName="ROE", PatientSex="M"), KEEP_BOTH)
    assert rows(index, asking(Level.PATIENT, "PatientName", "PatientSex")) == [("DOE", None)]


@pytest.mark.parametrize(
    ("second", "patients"),
    [
        ({"PatientName": "doe^john^x"}, 1),
        ({"PatientName": "DOE"}, 1),
        ({"PatientName": "DOE^JANE"}, 2),
        ({"PatientName": "ROE^JOHN"}, 2),
        ({"PatientBirthDate": "19600102"}, 2),
        ({"PatientSex": "F"}, 2),
        ({}, 1),
        ({"IssuerOfPatientID": "B"}, 2),
    ],
)
def test_who_is_the_same_person(index: SqliteIndex, second: dict[str, str], patients: int) -> None:
    first = {"PatientName": "DOE^JOHN", "PatientBirthDate": "19600101", "PatientSex": "M"}
    index.add(arrival(1, "1.2.3.4.1", PatientID="P1", **first), KEEP_BOTH)
    index.add(arrival(2, "1.2.4.4.1", PatientID="P1", **second), KEEP_BOTH)
    assert index.statistics().patients == patients


def test_a_served_patient_is_found_before_a_vacant_one(index: SqliteIndex) -> None:
    index.add(arrival(1, PatientID="P1", PatientName="ROE^A"), REPLACE)
    index.add(arrival(2, "1.2.4.4.1", PatientID="P1", PatientName="ROE^B"), REPLACE)
    index.add(moved(3, "1.2.9", "1.2.9.1", PatientID="P2"), REPLACE, known_different=frozenset({1}))
    index.add(arrival(4, "1.2.5.4.1", PatientID="P1", PatientName="ROE"), REPLACE)
    counts = asking(Level.PATIENT, "PatientName", "NumberOfPatientRelatedStudies", PatientID="P1")
    assert rows(index, counts) == [("ROE^B", "2")]


def test_without_an_id_each_study_is_a_patient(index: SqliteIndex) -> None:
    for token, uid in enumerate(("1.2.3.4.1", "1.2.3.4.2", "1.2.4.4.1"), 1):
        index.add(arrival(token, uid, PatientName="DOE"), KEEP_BOTH)
    counts = asking(Level.PATIENT, "NumberOfPatientRelatedStudies", "NumberOfPatientRelatedInstances")
    assert rows(index, counts) == [("1", "1"), ("1", "2")]


def test_a_patient_id_of_two_persons_is_not_retrieved(index: SqliteIndex) -> None:
    index.add(arrival(1, "1.2.3.4.1", PatientID="P1", PatientName="DOE"), KEEP_BOTH)
    index.add(arrival(2, "1.2.4.4.1", PatientID="P1", PatientName="ROE"), KEEP_BOTH)
    with pytest.raises(PatientConflict):
        index.locate(asking(Level.PATIENT, PatientID="P1"))
    assert len(index.locate(asking(Level.STUDY, PatientID="P1", StudyInstanceUID="1.2.3"))) == 1


def test_the_issuer_decides(index: SqliteIndex) -> None:
    index.add(arrival(1, "1.2.3.4.1", PatientID="P1", IssuerOfPatientID="A"), KEEP_BOTH)
    index.add(arrival(2, "1.2.4.4.1", PatientID="P1", IssuerOfPatientID="B"), KEEP_BOTH)
    with pytest.raises(PatientConflict):
        index.locate(asking(Level.PATIENT, PatientID="P1"))
    located = index.locate(asking(Level.PATIENT, PatientID="P1", IssuerOfPatientID="B"))
    assert [one.study_instance_uid for one in located] == ["1.2.4"]


def test_an_issuer_that_is_missing_decides_nothing(index: SqliteIndex) -> None:
    index.add(arrival(1, "1.2.3.4.1", PatientID="P1", IssuerOfPatientID="A"), KEEP_BOTH)
    index.add(arrival(2, "1.2.4.4.1", PatientID="P1"), KEEP_BOTH)
    assert len(index.locate(asking(Level.PATIENT, PatientID="P1"))) == 2


def test_a_series_under_another_study_is_another_series(index: SqliteIndex) -> None:
    index.add(arrival(1, "1.2.3.4.1"), KEEP_BOTH)
    index.add(moved(2, "1.2.9", "1.2.3.4"), KEEP_BOTH)
    asked = asking(Level.SERIES, "StudyInstanceUID", SeriesInstanceUID="1.2.3.4")
    assert rows(index, asked) == [("1.2.9",), ("1.2.3",)]


# Answers and pages


def filled(index: SqliteIndex, studies: int, **values: str) -> None:
    for number in range(1, studies + 1):
        index.add(arrival(number, f"1.2.{number}.1.1", StudyID=str(number), **values), KEEP_BOTH)


@pytest.mark.parametrize("keys", [{}, {"PatientID": "P1"}, {"StudyDate": Range("20200101", None)}])
def test_pages_are_small_first_and_bounded_and_newest_first(index: SqliteIndex, keys: dict[str, str]) -> None:
    filled(index, 700, PatientID="P1", StudyDate="20200115")
    pages = list(index.find(asking(Level.STUDY, "StudyID", **keys)))
    assert len(pages[0]) == sqlite.FIRST_PAGE_ROWS
    assert max(map(len, pages)) <= sqlite.PAGE_ROWS
    assert [row[0] for page in pages for row in page] == [str(number) for number in range(700, 0, -1)]


def test_a_long_walk_comes_up_for_air(index: SqliteIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "WINDOW_ROWS", 10)
    filled(index, 45)
    query = asking(Level.STUDY, "StudyID", StudyDescription=Wildcard("NOTHING*"))
    assert list(index.find(query)) == [[], [], [], [], []]
    assert index.count(query, at_most=5) == 0
    assert len(rows(index, asking(Level.STUDY, "StudyID"))) == 45
    assert index.count(asking(Level.STUDY), at_most=100) == 45
    assert index.count(asking(Level.STUDY), at_most=17) == 17


# Order


def test_studies_come_newest_first_and_those_without_a_date_last(index: SqliteIndex) -> None:
    moments = (
        ("20200115", "103000"), ("20200116", ""), ("20200115", "11"), ("", ""), ("20200115", ""), ("UNKNOWN", "1"),
        ("20200115", "103000"), ("20191231", "235959"),
    )  # fmt: skip
    for token, (day, hour) in enumerate(moments, 1):
        one = arrival(token, f"1.2.{token}.1.1", StudyDate=day, StudyTime=hour, StudyID=str(token))
        index.add(one, KEEP_BOTH)
    expected = ["2", "3", "7", "1", "5", "8", "6", "4"]
    assert [row[0] for row in rows(index, asking(Level.STUDY, "StudyID"))] == expected
    dated = asking(Level.STUDY, "StudyID", StudyDate=Range("20200115", "20200115"))
    assert [row[0] for row in rows(index, dated)] == ["3", "7", "1", "5"]


@pytest.mark.parametrize("at_once", [plans.SORTED_AT_ONCE, 0])
def test_the_children_of_one_come_by_their_numbers(
    index: SqliteIndex, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plans, "SORTED_AT_ONCE", at_once)
    numbers = ("10", "9", "", "A", "02", "-1", "9", "1.5")
    for token, number in enumerate(numbers, 1):
        one = arrival(token, f"1.2.3.4.{token}", InstanceNumber=number)
        index.add(one, KEEP_BOTH)
        index.add(arrival(100 + token, f"1.2.3.9{token}.1", SeriesNumber=number), KEEP_BOTH)
    images = asking(Level.IMAGE, "InstanceNumber", "SOPInstanceUID", SeriesInstanceUID="1.2.3.4")
    found = [(number, uid.rpartition(".")[2]) for number, uid in rows(index, images) if uid]
    assert found == [
        ("-1", "6"), ("1.5", "8"), ("02", "5"), ("9", "2"), ("9", "7"), ("10", "1"), ("A", "4"), (None, "3"),
    ]  # fmt: skip
    series = rows(index, asking(Level.SERIES, "SeriesNumber", StudyInstanceUID="1.2.3"))
    assert [one[0] for one in series] == ["-1", "1.5", "02", "9", "9", "10", "A", None, None]


def test_the_children_of_several_come_newest_first(index: SqliteIndex) -> None:
    for token, uid in enumerate(("1.2.3.4.1", "1.2.3.4.2", "1.2.3.5.1"), 1):
        index.add(arrival(token, uid, InstanceNumber=str(token)), KEEP_BOTH)
    assert rows(index, asking(Level.IMAGE, "InstanceNumber", StudyInstanceUID="1.2.3")) == [
        ("3",), ("2",), ("1",),
    ]  # fmt: skip


# A search that is ended


class EnoughError(Exception):
    """Ends a search."""


def ending(after: int) -> Callable[[], None]:
    """Return a check that lets so many calls pass."""
    calls: list[None] = []

    def check() -> None:
        calls.append(None)
        if len(calls) > after:
            raise EnoughError

    return check


SEARCHES = [
    asking(Level.STUDY, "StudyID"),
    asking(Level.STUDY, "StudyID", PatientID="P1"),
    asking(Level.IMAGE, "StudyID", SeriesInstanceUID=ValueList(("1.2.1.1", "1.2.2.1"))),
]


@pytest.mark.parametrize("query", SEARCHES)
def test_a_search_is_ended_before_a_page(index: SqliteIndex, query: Query) -> None:
    filled(index, 5, PatientID="P1")
    assert sum(map(len, index.find(query, check=ending(1000)))) >= 2
    with pytest.raises(EnoughError):
        list(index.find(query, check=ending(0)))
    with pytest.raises(EnoughError):
        index.count(query, at_most=5, check=ending(0))


def test_a_search_is_ended_within_a_statement(index: SqliteIndex) -> None:
    filled(index, 3)
    slow = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    started = time.monotonic()
    with pytest.raises(EnoughError):
        index._read(Fragment(slow), ending(1))
    assert time.monotonic() - started < 5  # ten times what is promised
    assert len(rows(index, asking(Level.STUDY, "StudyID"))) == 3


def test_what_comes_between_pages_changes_no_page(index: SqliteIndex) -> None:
    filled(index, 50)
    pages = index.find(asking(Level.STUDY, "StudyID"))
    first = next(pages)
    index.add(arrival(99, "1.2.99.1.1", StudyID="99"), KEEP_BOTH)
    assert [row[0] for row in first] + [row[0] for page in pages for row in page] == [
        str(n) for n in range(50, 0, -1)
    ]


def test_no_read_transaction_is_open_while_a_page_is_held(index: SqliteIndex) -> None:
    filled(index, 100)
    pages = index.find(asking(Level.STUDY, "StudyID", PatientID=Wildcard("*")))
    next(pages)
    filled_more = arrival(500, "1.2.500.1.1")
    index.add(filled_more, KEEP_BOTH)
    assert index._database.checkpoint("TRUNCATE")


def test_a_thousand_uids_are_found_at_once(index: SqliteIndex) -> None:
    filled(index, 50)
    uids = [f"1.2.{number}.1.1" for number in range(1, 2000)]
    located = index.locate(asking(Level.IMAGE, SOPInstanceUID=ValueList(tuple(uids))))
    assert [one.sop_instance_uid for one in located] == uids[:50]
    series = ValueList(tuple(uid.rpartition(".")[0] for uid in uids))
    assert index.count(asking(Level.SERIES, SeriesInstanceUID=series), at_most=1000) == 50


def test_uids_with_the_same_hash_are_told_apart(index: SqliteIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pacsnode.index.schema.uid_hash", lambda packed_uid: 5)
    assert index.add(arrival(1, "1.2.3.4.1"), KEEP_BOTH).adding is Adding.NEW
    assert index.add(arrival(2, "1.2.3.4.2"), KEEP_BOTH).adding is Adding.NEW
    assert index.add(arrival(3, "1.2.3.4.2"), KEEP_BOTH).adding is Adding.COMPARE
    assert [one.token for one in index.locate(asking(Level.IMAGE, SOPInstanceUID="1.2.3.4.2"))] == [2]


def test_located_instances_come_by_study_series_and_number(index: SqliteIndex) -> None:
    for token, (uid, number) in enumerate(
        (("1.2.3.5.1", "1"), ("1.2.3.4.1", "10"), ("1.2.3.4.2", "9"), ("1.2.3.5.2", "0")), 1
    ):
        index.add(arrival(token, uid, InstanceNumber=number), KEEP_BOTH)
    located = index.locate(asking(Level.STUDY, StudyInstanceUID="1.2.3"))
    assert [one.token for one in located] == [4, 1, 3, 2]


def test_a_key_below_the_level_is_refused(index: SqliteIndex) -> None:
    with pytest.raises(InvalidIdentifier, match="below") as refusal:
        list(index.find(asking(Level.STUDY, Modality="CT")))
    assert refusal.value.offending == (0x00080060,)


@pytest.mark.parametrize("uid", ["1.2.3'", "*", "abc", ""])
def test_what_is_no_uid_never_becomes_sql(index: SqliteIndex, uid: str) -> None:
    with pytest.raises(InvalidUID):
        index.locate(asking(Level.STUDY, StudyInstanceUID=uid))


def test_modalities_in_study_match_any_of_several(index: SqliteIndex) -> None:
    index.add(arrival(1, "1.2.3.4.1", Modality="CT"), KEEP_BOTH)
    index.add(
        arrival(
            2,
            "1.2.3.5.1",
            Modality="SR",
        ),
        KEEP_BOTH,
    )
    index.add(arrival(3, "1.2.4.5.1", Modality="MR", sop_class_uid=MR), KEEP_BOTH)
    for matching, uids in (
        (ValueList(("SR", "PT")), ["1.2.3"]),
        (Wildcard("?R"), ["1.2.4", "1.2.3"]),
        (Wildcard("C*"), ["1.2.3"]),
    ):
        assert [
            row[0] for row in rows(index, asking(Level.STUDY, "StudyInstanceUID", ModalitiesInStudy=matching))
        ] == uids
    assert rows(index, asking(Level.STUDY, "ModalitiesInStudy", SOPClassesInStudy=CT)) == [("CT\\SR",)]


# The spool


def test_what_waits_comes_in_the_order_of_tokens(index: SqliteIndex) -> None:
    for token, uid in ((30, "1.2.3.4.1"), (10, "1.2.3.4.2"), (20, "1.2.3.4.3")):
        index.add(arrival(token, uid), KEEP_BOTH)
    assert [one.token for one in index.waiting(limit=2)] == [10, 20]
    assert [one.token for one in index.waiting(after_token=20, limit=2)] == [30]


def test_what_is_stored_waits_no_more(index: SqliteIndex) -> None:
    filled(index, 5)
    index.mark_stored([1, 3, 3, 77])
    assert [one.instance_id for one in index.waiting(limit=10)] == [2, 4, 5]
    assert [one.token for page in index.everything(page=2) for one in page] == [None, 2, None, 4, 5]
    index.mark_stored(range(1, 3000))
    assert index.waiting(limit=10) == []


def test_a_stored_token_that_comes_again_is_compared(index: SqliteIndex) -> None:
    index.add(arrival(1), KEEP_BOTH)
    index.mark_stored([1])
    assert index.add(arrival(1), KEEP_BOTH).adding is Adding.COMPARE


def test_sync_is_true(index: SqliteIndex) -> None:
    index.add(arrival(1), KEEP_BOTH)
    assert index.sync()


# The file


def test_it_is_there_again_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    with contextlib.closing(SqliteIndex(path)) as index:
        filled(index, 3)
    with contextlib.closing(SqliteIndex(path)) as index:
        assert index.statistics() == Statistics(3, 3, 3, 3, 0, 3)
        assert index.add(arrival(9, "1.2.1.1.2"), KEEP_BOTH).adding is Adding.NEW
        assert index.statistics().studies == 3
        assert index.verify() == []


def test_two_who_have_it_open_see_each_other(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    with contextlib.closing(SqliteIndex(path)) as first, contextlib.closing(SqliteIndex(path)) as second:
        for token in range(1, 11):
            adder = (first, second)[token % 2]
            adder.add(arrival(token, f"1.2.3.4.{token}", Modality="CT" if token < 5 else "MR"), REPLACE)
        assert first.add(arrival(50, "1.2.3.4.2"), REPLACE).adding is Adding.COMPARE
        first.add(arrival(51, "1.2.3.4.2"), REPLACE, known_different=frozenset({2}))
        second.add(arrival(52, "1.2.3.4.77"), REPLACE)
        for index in (first, second):
            assert inconsistencies(index) == {}
            assert index.statistics() == Statistics(1, 1, 1, 11, 1, 12)


def test_fifty_senders_of_one_uid_make_one_instance(index: SqliteIndex) -> None:
    outcomes: list[Adding] = []
    threads = [
        threading.Thread(
            target=lambda token=token: outcomes.append(index.add(arrival(token), KEEP_BOTH).adding)
        )
        for token in range(1, 51)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert outcomes.count(Adding.NEW) == 1
    assert outcomes.count(Adding.COMPARE) == 49


def test_an_add_undone_beside_another_leaves_nothing_behind(index: SqliteIndex) -> None:
    def add_and_fail(connection: sqlite3.Connection) -> None:
        index._additions.add(connection, arrival(1, PatientID="P1"), KEEP_BOTH, frozenset())
        raise ValueError

    failing = _Job(add_and_fail)
    index._database._writer._queue.append(failing)
    index.add(arrival(2, PatientID="P1"), KEEP_BOTH)
    assert isinstance(failing.error, ValueError)
    assert [one.token for one in index.locate(asking(Level.PATIENT, PatientID="P1"))] == [2]


def built(path: Path, instances: int = 200) -> None:
    with contextlib.closing(SqliteIndex(path)) as index:
        for token in range(1, instances + 1):
            index.add(arrival(token, f"1.2.{token}.1.1", StudyDescription="X" * 60), KEEP_BOTH)


def zeroed_header(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(100))


def truncated(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2 // 4096 * 4096)


def flipped_behind_the_schema(path: Path) -> None:
    flipped(path, first=60)


def flipped(path: Path, first: int = 4) -> None:
    with path.open("r+b") as file:
        for page in range(first, path.stat().st_size // 4096):
            file.seek(page * 4096)
            flipped_bytes = bytes(byte ^ 0xFF for byte in file.read(4096))
            file.seek(page * 4096)
            file.write(flipped_bytes)


def shortened_to_a_few_bytes(path: Path) -> None:
    path.write_bytes(b"SQLite")


def lying_page_size(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(16)
        file.write(struct.pack(">H", 777))


@pytest.mark.parametrize(
    "damage",
    [
        zeroed_header,
        truncated,
        flipped,
        flipped_behind_the_schema,
        shortened_to_a_few_bytes,
        lying_page_size,
    ],
)
def test_a_damaged_file_is_detected_by_name(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    path = tmp_path / "index.db"
    built(path, 2000)
    damage(path)
    with pytest.raises(PermanentError, match=r"index\.db is damaged"):
        SqliteIndex(path)


def test_a_big_file_that_lost_its_end_is_detected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "index.db"
    built(path)
    truncated(path)
    monkeypatch.setattr(sqlite, "CHECKED_BYTES", 0)
    with pytest.raises(PermanentError, match="bytes instead of"):
        SqliteIndex(path)


def test_damage_found_later_is_permanent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "index.db"
    built(path, 2000)
    flipped(path, first=60)
    monkeypatch.setattr(sqlite, "CHECKED_BYTES", 0)
    with contextlib.closing(SqliteIndex(path)) as index:
        assert index.verify() != []
        with pytest.raises(PermanentError, match=r"index\.db is damaged"):
            list(index.find(asking(Level.STUDY, "StudyDescription")))


def test_a_file_that_waits_in_the_wal_is_not_damaged(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    with contextlib.closing(SqliteIndex(path)) as index:
        filled(index, 10)
        copied = tmp_path / "copied.db"
        for suffix in ("", "-wal"):
            (tmp_path / f"copied.db{suffix}").write_bytes((tmp_path / f"index.db{suffix}").read_bytes())
        with contextlib.closing(SqliteIndex(copied)) as other:
            assert other.statistics().instances == 10


def test_a_newer_schema_is_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    built(path, 1)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(ConfigError, match="version 99"):
        SqliteIndex(path)


def test_the_temporary_index_leaves_nothing() -> None:
    index = SqliteIndex()
    folder = index.path.parent
    assert folder.is_dir()
    index.close()
    assert not folder.exists()
