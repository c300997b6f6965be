"""C-FIND's use case: pages of answers, with the limit decided before the first of them."""

from collections.abc import Iterator, Sequence

from pacsnode.dicom.query import Query
from pacsnode.errors import OutOfResources
from pacsnode.index.base import Index, Row


class Find:
    """Answers queries from the index. Any thread may call any method."""

    def __init__(self, index: Index, *, max_results: int) -> None:
        """`max_results` 0 is no limit."""
        self._index = index
        self._max_results = max_results

    def answers(self, query: Query) -> Iterator[Sequence[Row]]:
        """Yield pages of answers.

        Raises `OutOfResources` before the first page if there are more than the limit: an answer is never
        cut.
        """
        if self._max_results and self._index.count(query, at_most=self._max_results + 1) > self._max_results:
            raise OutOfResources(f"more than {self._max_results} matches (index.max_find_results)")
        yield from self._index.find(query)
