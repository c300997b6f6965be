"""C-FIND's use case: the limits, and how a search ends before its end."""

from collections.abc import Callable, Iterator, Sequence

import pytest

from pacsnode.archive.find import Cancelled, Find
from pacsnode.dicom.attributes import Level
from pacsnode.dicom.query import InformationModel, Query
from pacsnode.errors import QueryTooLarge
from pacsnode.index.base import Check, Row

QUERY = Query(InformationModel.STUDY_ROOT, Level.STUDY, (), ())


class Clock:
    """A clock that stands still unless it is told."""

    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time

    def passes(self, seconds: float) -> None:
        self.time += seconds


class FakeIndex:
    """Yields a page for each match, and calls `checked` at every check, as if time passed within it."""

    def __init__(self, matches: int, checked: Callable[[], None] = lambda: None) -> None:
        self.matches = matches
        self.checked = checked
        self.counted: list[int] = []
        self.pages = 0

    def _check(self, check: Check | None) -> None:
        assert check is not None
        self.checked()
        check()

    def count(self, query: Query, *, at_most: int, check: Check | None = None) -> int:
        self._check(check)
        self.counted.append(at_most)
        return min(self.matches, at_most)

    def find(self, query: Query, *, check: Check | None = None) -> Iterator[Sequence[Row]]:
        for number in range(self.matches):
            self._check(check)
            self.pages += 1
            yield [(str(number),)]
        self._check(check)


@pytest.mark.parametrize(("matches", "limit"), [(0, 0), (5, 0), (5, 5), (4, 5)])
def test_up_to_the_limit_everything_is_answered(matches: int, limit: int) -> None:
    index = FakeIndex(matches)
    answers = list(Find(index, max_results=limit).answers(QUERY))  # type: ignore[arg-type]
    assert answers == [[(str(number),)] for number in range(matches)]
    assert index.counted == ([limit + 1] if limit else [])


def test_over_the_limit_nothing_is_answered() -> None:
    index = FakeIndex(6)
    with pytest.raises(QueryTooLarge, match="max_find_results"):
        next(Find(index, max_results=5).answers(QUERY))  # type: ignore[arg-type]
    assert index.pages == 0


def test_pages_are_read_as_they_are_asked_for() -> None:
    index = FakeIndex(100)
    pages = Find(index, max_results=0).answers(QUERY)  # type: ignore[arg-type]
    next(pages)
    next(pages)
    assert index.pages == 2


def test_a_search_over_the_time_ends_and_says_that_something_is_missing() -> None:
    clock = Clock()
    index = FakeIndex(100, lambda: clock.passes(1.0))
    pages = Find(index, max_results=0, max_seconds=2.5, now=clock).answers(QUERY)  # type: ignore[arg-type]
    assert [next(pages), next(pages)] == [[("0",)], [("1",)]]
    with pytest.raises(QueryTooLarge, match=r"^list incomplete: .* 2\.5 s \(index.max_find_time\)$"):
        next(pages)


def test_a_search_over_the_time_without_an_answer_asks_for_a_narrower_query() -> None:
    clock = Clock()
    index = FakeIndex(1, lambda: clock.passes(3.0))
    with pytest.raises(QueryTooLarge, match=r"^search took over 2\.5 s, narrow it \(index.max_find_time\)$"):
        next(Find(index, max_results=0, max_seconds=2.5, now=clock).answers(QUERY))  # type: ignore[arg-type]


def test_the_time_of_the_requester_does_not_count() -> None:
    clock = Clock()
    find = Find(FakeIndex(3), max_results=5, max_seconds=1.0, now=clock)  # type: ignore[arg-type]
    for _ in find.answers(QUERY):
        clock.passes(60.0)


def test_the_time_of_counting_counts() -> None:
    clock = Clock()
    index = FakeIndex(1, lambda: clock.passes(0.75))
    find = Find(index, max_results=5, max_seconds=1.0, now=clock)  # type: ignore[arg-type]
    with pytest.raises(QueryTooLarge, match="max_find_time"):
        list(find.answers(QUERY))
    assert index.counted == [6]


def test_no_limit_of_time() -> None:
    clock = Clock()
    index = FakeIndex(3, lambda: clock.passes(1e6))
    assert len(list(Find(index, max_results=0, now=clock).answers(QUERY))) == 3  # type: ignore[arg-type]


@pytest.mark.parametrize("limit", [0, 5])
def test_a_cancelled_search_ends_while_nothing_is_found(limit: int) -> None:
    find = Find(FakeIndex(0), max_results=limit)  # type: ignore[arg-type]
    with pytest.raises(Cancelled):
        list(find.answers(QUERY, lambda: True))


@pytest.mark.parametrize("seconds", [0.001, 86_400.0])
@pytest.mark.parametrize("matches", [0, 1])
def test_what_is_said_fits_into_an_error_comment(seconds: float, matches: int) -> None:
    """PS3.7 E.1: (0000,0902) is an LO, 64 characters."""
    clock = Clock()
    index = FakeIndex(matches)
    index.checked = lambda: clock.passes(seconds * 2) if index.pages == matches else None
    find = Find(index, max_results=0, max_seconds=seconds, now=clock)  # type: ignore[arg-type]
    with pytest.raises(QueryTooLarge) as raised:
        list(find.answers(QUERY))
    assert len(str(raised.value)) <= 64
