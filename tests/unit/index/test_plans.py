"""Which plan is chosen for what the probes have counted."""

import pytest

from pacsnode.dicom.attributes import Level
from pacsnode.dicom.query import Matching, Wildcard
from pacsnode.index import plans, sql
from pacsnode.index.leading import Driver
from tests.unit.index.arriving import asking


def drivers(level: Level = Level.SERIES, **keys: Matching | str) -> tuple[Driver, ...]:
    return sql.Compiled(asking(level, **keys)).drivers


def test_the_driver_with_the_least_below_it_is_chosen() -> None:
    several = drivers(PatientID="P1", StudyDate="20200115", AccessionNumber="A1")
    chosen = plans.chosen(several, [(1, 500), (40, 40), (1, 900)], 10_000)
    assert chosen == plans.Plan(several[1], 40)


def test_many_matches_are_walked() -> None:
    several = drivers(PatientID=Wildcard("P*"))
    over = plans.PROBE_LIMIT + 1
    assert plans.chosen(several, [(over, over)], 1_000_000).driver is None
    assert plans.chosen(several, [(over - 1, over - 1)], 1_000_000).driver is several[0]


def test_without_an_index_there_is_a_walk() -> None:
    assert plans.chosen((), [], 10).driver is None


def test_an_order_that_cannot_be_walked_is_led_by_a_key() -> None:
    several = drivers(StudyInstanceUID="1.2.3")
    assert plans.chosen(several, [(1, 1_000_000)], None) == plans.Plan(several[0], 1_000_000)


@pytest.mark.parametrize(
    ("below", "walk", "keyed"),
    [
        (0, 0, True),
        (2000, 10, False),  # ten studies of that day
        (2000, 2001, True),
        (10_000, 10_000_000, True),
        (10_000, 20_000, False),
        (1_000_000, 10_000_000, True),
        (1_300_000, 10_000_000, False),
    ],
)
def test_what_is_sorted_is_a_small_part_of_a_walk(below: int, walk: int, keyed: bool) -> None:
    assert plans.is_keyed_better(below, walk) is keyed
