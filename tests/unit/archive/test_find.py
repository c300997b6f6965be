"""C-FIND's use case: the limit is decided before the first answer."""

from collections.abc import Iterator, Sequence

import pytest

from pacsnode.archive.find import Find
from pacsnode.dicom.attributes import Level
from pacsnode.dicom.query import InformationModel, Query
from pacsnode.errors import OutOfResources
from pacsnode.index.base import Row

QUERY = Query(InformationModel.STUDY_ROOT, Level.STUDY, (), ())


class FakeIndex:
    def __init__(self, matches: int) -> None:
        self.matches = matches
        self.counted: list[int] = []
        self.pages = 0

    def count(self, query: Query, *, at_most: int) -> int:
        self.counted.append(at_most)
        return min(self.matches, at_most)

    def find(self, query: Query) -> Iterator[Sequence[Row]]:
        for number in range(self.matches):
            self.pages += 1
            yield [(str(number),)]


@pytest.mark.parametrize(("matches", "limit"), [(0, 0), (5, 0), (5, 5), (4, 5)])
def test_up_to_the_limit_everything_is_answered(matches: int, limit: int) -> None:
    index = FakeIndex(matches)
    answers = list(Find(index, max_results=limit).answers(QUERY))  # type: ignore[arg-type]
    assert answers == [[(str(number),)] for number in range(matches)]
    assert index.counted == ([limit + 1] if limit else [])


def test_over_the_limit_nothing_is_answered() -> None:
    index = FakeIndex(6)
    with pytest.raises(OutOfResources, match="max_find_results"):
        next(Find(index, max_results=5).answers(QUERY))  # type: ignore[arg-type]
    assert index.pages == 0


def test_pages_are_read_as_they_are_asked_for() -> None:
    index = FakeIndex(100)
    pages = Find(index, max_results=0).answers(QUERY)  # type: ignore[arg-type]
    next(pages)
    next(pages)
    assert index.pages == 2
