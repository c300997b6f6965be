"""The SQL of the index gives what the pure matching says, by every plan."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pacsnode.dicom.attributes import STANDARD, Attribute, KeyType, Level
from pacsnode.dicom.keys import CASE_VRS
from pacsnode.dicom.query import Key, Query
from pacsnode.duplicates import DuplicatePolicy
from pacsnode.errors import PatientConflict
from pacsnode.index import sql
from pacsnode.index.base import Arrival, Row
from pacsnode.index.sqlite import SqliteIndex
from tests.factories_query import matchings, queries, stored_values, visibilities
from tests.index_checks import emptied
from tests.index_model import Model, arrivals, normalised

QUERIES = 5


@pytest.fixture(scope="module")
def index() -> Iterator[SqliteIndex]:
    index = SqliteIndex()
    yield index
    index.close()


several_arrivals = st.integers(1, 6).flatmap(
    lambda count: st.tuples(*(arrivals(token) for token in range(1, count + 1)))
)
several_queries = st.lists(
    st.builds(lambda query, seen: replace(query, visibility=seen), queries(), visibilities()),
    min_size=1,
    max_size=QUERIES,
)


def check(index: SqliteIndex, arrived: tuple[Arrival, ...], asked: list[Query]) -> None:
    emptied(index)
    model = Model(index.catalogue)
    for arrival in arrived:
        known = frozenset(range(1, len(arrived) + 1))
        index.add(arrival, DuplicatePolicy.KEEP_BOTH, known_different=known)
        model.add(arrival, DuplicatePolicy.KEEP_BOTH, known)
    for query in asked:
        check_query(index, model, query)


def answers(pages: Iterator[Sequence[Row]]) -> list[Row]:
    return [tuple(row) for page in pages for row in page]


def check_query(index: SqliteIndex, model: Model, query: Query) -> None:
    expected = model.found(query)
    assert answers(index.find(query)) == expected
    compiled = sql.Compiled(query)
    newest = len(model.rows[query.level])
    if compiled.order.is_walkable:
        assert answers(index._walked(compiled, newest)) == expected
    for driver in compiled.drivers:
        assert answers(index._keyed(compiled, driver)) == expected, driver
        assert answers(index._sorted(compiled, driver)) == expected, driver
        assert index._read(compiled.counted_below(driver, limit=1000)) == [(len(expected),)], driver
    assert index.count(query, at_most=1000) == len(expected)
    assert index.count(query, at_most=1) == min(len(expected), 1)
    try:
        located = index.locate(query)
    except PatientConflict:
        assert query.level is Level.PATIENT
        return
    assert {one.instance_id for one in located} == model.located(query)
    assert len({one.sop_instance_uid for one in located}) == len(located)


@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(arrived=several_arrivals, asked=several_queries)
def test_every_plan_gives_what_matching_says(
    index: SqliteIndex, arrived: tuple[Arrival, ...], asked: list[Query]
) -> None:
    check(index, arrived, asked)


@pytest.mark.prove
@settings(max_examples=50_000 // QUERIES * 2, suppress_health_check=list(HealthCheck), database=None)
@given(arrived=several_arrivals, asked=several_queries)
def test_every_plan_gives_what_matching_says_50_000_times(
    index: SqliteIndex, arrived: tuple[Arrival, ...], asked: list[Query]
) -> None:
    check(index, arrived, asked)


# What a configuration adds: one of each kind of VR, at every level, one value and several, private ones.
EXTRA = tuple(
    Attribute(0x00091001 + at, f"Extra{vr}{level}{'s' * is_several}", vr, level, KeyType.OPTIONAL, is_several,
        creator="ACME" if at % 2 else "", is_extra=True)
    for at, (vr, is_several, level) in enumerate(
        product(("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "TM", "UI", "US"), (False, True), Level)
    )
)  # fmt: skip


@pytest.fixture(scope="module")
def wider_index() -> Iterator[SqliteIndex]:
    index = SqliteIndex(catalogue=STANDARD.with_extra(EXTRA))
    yield index
    index.close()


@st.composite
def with_extra_values(draw: st.DrawFn, token: int) -> Arrival:
    arrival = draw(arrivals(token))
    some = draw(st.lists(st.sampled_from(EXTRA), min_size=10, max_size=40, unique=True))
    values = normalised({one.keyword: draw(stored_values(one)) for one in some}, EXTRA)
    return replace(arrival, header=replace(arrival.header, values={**arrival.header.values, **values}))


@st.composite
def with_extra_keys(draw: st.DrawFn) -> Query:
    query = draw(queries(max_keys=1))
    eligible = [attribute for attribute in EXTRA if attribute.level <= query.level]
    asked = draw(st.lists(st.sampled_from(eligible), min_size=1, max_size=2, unique=True))
    keys = tuple(
        Key(one, draw(matchings(one, query.options)), one.vr not in CASE_VRS or draw(st.booleans()))
        for one in asked
    )
    return replace(query, keys=(*query.keys, *keys), returned=(*query.returned, *asked))


@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(
    arrived=st.tuples(*map(with_extra_values, (1, 2, 3))),
    asked=st.lists(with_extra_keys(), min_size=1, max_size=QUERIES),
)
def test_what_a_configuration_adds_matches_as_all_else(
    wider_index: SqliteIndex, arrived: tuple[Arrival, ...], asked: list[Query]
) -> None:
    check(wider_index, arrived, asked)
