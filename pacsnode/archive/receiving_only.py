"""The index as queries and retrieves see it while the state is damaged: they are refused, and told why.

Arrivals do not pass through here: a C-STORE is as durable as ever.
"""

from collections.abc import Callable, Iterator, Sequence

from pacsnode.dicom.query import Query
from pacsnode.duplicates import DuplicatePolicy
from pacsnode.errors import ReceivingOnly
from pacsnode.index.base import Added, Arrival, Check, Index, Located, Row


class AnsweringIndex:
    """`index.base.Index` that answers as long as `trouble` returns None."""

    def __init__(self, index: Index, trouble: Callable[[], str | None]) -> None:
        self._index = index
        self._trouble = trouble

    def _refuse(self) -> None:
        if trouble := self._trouble():
            raise ReceivingOnly(trouble)

    def find(self, query: Query, *, check: Check | None = None) -> Iterator[Sequence[Row]]:
        """See `Index.find`; raises `ReceivingOnly`."""
        self._refuse()
        return self._index.find(query, check=check)

    def count(self, query: Query, *, at_most: int, check: Check | None = None) -> int:
        """See `Index.count`; raises `ReceivingOnly`."""
        self._refuse()
        return self._index.count(query, at_most=at_most, check=check)

    def locate(self, query: Query) -> list[Located]:
        """See `Index.locate`; raises `ReceivingOnly`."""
        self._refuse()
        return self._index.locate(query)

    def add(
        self, arrival: Arrival, policy: DuplicatePolicy, *, known_different: frozenset[int] = frozenset()
    ) -> Added:
        """See `Index.add`."""
        return self._index.add(arrival, policy, known_different=known_different)

    def waiting(self, *, after_token: int = 0, limit: int) -> list[Located]:
        """See `Index.waiting`."""
        return self._index.waiting(after_token=after_token, limit=limit)

    def mark_stored(self, instance_ids: Sequence[int]) -> None:
        """See `Index.mark_stored`."""
        self._index.mark_stored(instance_ids)

    def sync(self) -> bool:
        """See `Index.sync`."""
        return self._index.sync()
