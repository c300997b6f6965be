"""C-FIND's use case: pages of answers, within the limits of the node and until the requester has enough.

Two limits end a query with a failure that names its key, and never with Success, which would say that a response
was sent for each match (PS3.4 C.4.1.3):

- `max_results` is decided before the first answer: one count, no further than the limit, costs less than answers
  that are of no use.
- `max_seconds` can only be met on the way. What was sent until then is right and stays sent; the failure behind it
  says that it is not all. To hold all answers back until the search is done would take the first of them from
  every requester, and the memory of all of them from the node.

The clock of `max_seconds` runs while the index searches, not while the requester takes what was found: a slow
network makes no query expensive.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from pacsnode.access.policy import Rights
from pacsnode.dicom.attributes import QUERY_RETRIEVE_LEVEL
from pacsnode.dicom.query import Query
from pacsnode.errors import InvalidIdentifier, PacsNodeError, QueryTooLarge
from pacsnode.index.base import Index, Row


class Cancelled(PacsNodeError):
    """The requester has cancelled its query (C-CANCEL)."""


def _never() -> bool:
    return False


def refuse_relational(query: Query, rights: Rights) -> None:
    """Refuse a query without the unique keys above its level to a peer that is to have them (PS3.4 C.4.1.2.1).

    Raises `InvalidIdentifier`.
    """
    is_strict = rights.peer is not None and rights.peer.strict_hierarchy and not query.options.relational
    if query.is_relational and is_strict:
        raise InvalidIdentifier("a unique key above the level is missing", offending=(QUERY_RETRIEVE_LEVEL,))


class Find:
    """Answers queries from the index. Any thread may call any method."""

    def __init__(
        self,
        index: Index,
        *,
        max_results: int,
        max_seconds: float = 0.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`max_results` 0 is no limit, `max_seconds` 0 is none either."""
        self._index = index
        self._max_results = max_results
        self._max_seconds = max_seconds
        self._now = now

    def answers(self, query: Query, is_cancelled: Callable[[], bool] = _never) -> Iterator[Sequence[Row]]:
        """Yield pages of answers; `is_cancelled` is asked on the way, also while nothing matches.

        Raises `QueryTooLarge`: before the first page if there are more matches than the limit, at any time if the
        search takes too long. Raises `Cancelled`, and what `is_cancelled` raises.
        """
        search = _Search(self._max_seconds, is_cancelled, self._now)
        if self._max_results:
            with search.under_way():
                found = self._index.count(query, at_most=self._max_results + 1, check=search.check)
            if found > self._max_results:
                raise QueryTooLarge(f"more than {self._max_results} matches (index.max_find_results)")
        pages = iter(self._index.find(query, check=search.check))
        while True:
            with search.under_way():
                page = next(pages, None)
            if page is None:
                return
            search.has_answered |= bool(page)
            yield page


class _Search:
    """How long one query has been searched for, and whether to go on."""

    def __init__(
        self, max_seconds: float, is_cancelled: Callable[[], bool], now: Callable[[], float]
    ) -> None:
        self._max_seconds = max_seconds
        self._is_cancelled = is_cancelled
        self._now = now
        self._seconds = 0.0
        self._since: float | None = None
        self.has_answered = False

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """Count the time of the block."""
        self._since = self._now()
        try:
            yield
        finally:
            self._seconds += self._now() - self._since
            self._since = None

    def check(self) -> None:
        """Raise `Cancelled` or `QueryTooLarge` if the search is to end here."""
        if self._is_cancelled():
            raise Cancelled("cancelled by the requester")
        if self._max_seconds and self._searched() > self._max_seconds:
            raise QueryTooLarge(self._too_long())

    def _searched(self) -> float:
        return self._seconds + (0.0 if self._since is None else self._now() - self._since)

    def _too_long(self) -> str:
        took = f"search took over {self._max_seconds:g} s"
        if self.has_answered:
            return f"list incomplete: {took} (index.max_find_time)"
        return f"{took}, narrow it (index.max_find_time)"
