"""A study whose date changes while a walk is under way is answered once, in whichever direction it moves."""

import contextlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacsnode.dicom.attributes import Level
from pacsnode.dicom.query import Query, Range
from pacsnode.duplicates import DuplicatePolicy
from pacsnode.index import sql, sqlite
from pacsnode.index.answered import Answered
from pacsnode.index.base import Adding
from pacsnode.index.sqlite import SqliteIndex
from tests.unit.index.arriving import arrival, asking

STUDIES = 12  # besides those that move
ALL = asking(Level.STUDY, "StudyInstanceUID")
TIMED = asking(Level.STUDY, "StudyInstanceUID", StudyTime=Range("10", "11"))
DATED = asking(Level.STUDY, "StudyInstanceUID", StudyDate=Range("19800101", "20291231"))


class Arriving:
    """An index that images come to, each with the next token."""

    def __init__(self, index: SqliteIndex) -> None:
        self.index = index
        self._token = 0

    def add(self, uid: str, **values: str) -> None:
        self._token += 1
        added = self.index.add(arrival(self._token, uid, **values), DuplicatePolicy.KEEP_BOTH)
        assert added.adding is Adding.NEW

    def replace(self, uid: str, **values: str) -> None:
        self._token += 1
        again = arrival(self._token, uid, **values)
        known = self.index.add(again, DuplicatePolicy.REPLACE).versions
        different = frozenset(version.instance_id for version in known)
        added = self.index.add(again, DuplicatePolicy.REPLACE, known_different=different)
        assert added.adding is Adding.VERSION_SERVED


@pytest.fixture
def arriving(monkeypatch: pytest.MonkeyPatch) -> Iterator[Arriving]:
    """Small pages and windows, and studies of 2020."""
    monkeypatch.setattr(sqlite, "FIRST_PAGE_ROWS", 3)
    monkeypatch.setattr(sqlite, "PAGE_ROWS", 4)
    monkeypatch.setattr(sql, "WINDOW_ROWS", 5)
    with contextlib.closing(SqliteIndex()) as index:
        arriving = Arriving(index)
        for month in range(1, STUDIES + 1):
            arriving.add(
                f"1.{month}.1.1", PatientID=f"P{month}", StudyDate=f"2020{month:02}01", StudyTime="10"
            )
        yield arriving


def begun(arriving: Arriving, query: Query) -> tuple[list[str | None], Iterator[str | None]]:
    """Return the answers of the first page, and those of the others as they come."""
    pages = arriving.index.find(query)
    first = [row[0] for row in next(pages)]
    return first, (row[0] for page in pages for row in page)


@pytest.mark.parametrize("query", [ALL, TIMED])
def test_a_study_that_gets_a_date_later_is_not_lost(arriving: Arriving, query: Query) -> None:
    arriving.add("2.1.1.1", PatientID="P", StudyTime="10")
    first, others = begun(arriving, query)
    assert "2.1" not in first
    arriving.add("2.1.1.2", PatientID="P", StudyDate="20250101")
    found = [*first, *others]
    assert found.count("2.1") == 1
    assert sorted(map(str, found)) == sorted(["2.1", *(f"1.{month}" for month in range(1, STUDIES + 1))])


@pytest.mark.parametrize("query", [ALL, TIMED, DATED])
@pytest.mark.parametrize(("before", "after"), [("20260101", "19990101"), ("19990101", "20260101")])
def test_a_study_whose_only_image_is_replaced_is_answered_once(
    arriving: Arriving, query: Query, before: str, after: str
) -> None:
    arriving.add("2.1.1.1", PatientID="P", StudyDate=before, StudyTime="10")
    first, others = begun(arriving, query)
    arriving.replace("2.1.1.1", PatientID="P", StudyDate=after, StudyTime="10")
    found = [*first, *others]
    assert found.count("2.1") == 1
    assert len(found) == STUDIES + 1


def test_many_move_ahead_of_the_walk(arriving: Arriving) -> None:
    late = [f"2.{number}" for number in range(1, 20)]
    for uid in late:
        arriving.add(f"{uid}.1.1", PatientID=uid)
    first, others = begun(arriving, ALL)
    for uid in late:
        arriving.add(f"{uid}.1.2", PatientID=uid, StudyDate="20300101")
    found = [*first, *others]
    assert sorted(map(str, found)) == sorted([*late, *(f"1.{month}" for month in range(1, STUDIES + 1))])


def test_what_has_moved_out_of_the_dates_or_is_new_is_not_answered_late(arriving: Arriving) -> None:
    arriving.add("2.1.1.1", PatientID="P", StudyDate="19990101")
    first, others = begun(arriving, DATED)
    arriving.replace("2.1.1.1", PatientID="P", StudyDate="20400101")
    arriving.add("2.2.1.1", PatientID="Q", StudyDate="20210101")
    found = [*first, *others]
    assert "2.1" not in found
    assert "2.2" not in found
    assert len(found) == STUDIES


@given(st.lists(st.integers(0, 1000)))
def test_ids_are_remembered(ids: list[int]) -> None:
    answered, seen = Answered(1000), set[int]()
    for one in ids:
        assert answered.add(one) is (one not in seen)
        seen.add(one)
