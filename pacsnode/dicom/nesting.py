"""How long a sequence is (PS3.5 7.5): to step over it the scan has to walk through it.

The walk is iterative and linear in the bytes it passes. A container with a length is left at that length,
whatever is inside; one of undefined length is left at its delimitation item, and what cannot be followed
there raises `UnreadableDataSet`. Containers with a length are entered only if they are long enough to nest
too deeply, since a level takes 16 bytes at least: nearly none are.
"""

from typing import NamedTuple

from pacsnode.dicom.encoding import (
    DELIMITERS,
    ITEM,
    ITEM_DELIMITATION,
    LONG_VRS,
    PIXEL_DATA_GROUP,
    SEQUENCE_DELIMITATION,
    SEQUENCE_VRS,
    SHORT_VRS,
    UNDEFINED_LENGTH,
    ByteOrder,
    Data,
    has_vr,
    odd_header,
)
from pacsnode.errors import UnreadableDataSet

MAX_DEPTH = 64  # sequences within sequences; the deepest of PS3.3 have about ten
MAX_ELEMENTS = 100_000  # before the last wanted one; keeps the time of a hostile header below 0.5 s

_LEVEL_BYTES = 16  # the headers of a sequence and of its item, implicit


class Incomplete(Exception):
    """The data end before the scan could: `needed_bytes` of the data set are needed at least, or all."""

    def __init__(self, needed_bytes: int) -> None:
        super().__init__(f"at least {needed_bytes} bytes of the data set are needed")
        self.needed_bytes = needed_bytes


def ended_early(needed_bytes: int, *, is_complete: bool) -> Exception:
    """Return what to raise where the data end too early: there is more to read, or there is not."""
    if is_complete:
        return UnreadableDataSet(f"the data set ends before byte {needed_bytes}, within an element")
    return Incomplete(needed_bytes)


class _Container(NamedTuple):
    """A sequence, its fragments or an item that is open. `limit` is its end, or that of what it lies in."""

    kind: int
    limit: int
    has_length: bool
    is_implicit: bool


_SEQUENCE, _ITEM, _FRAGMENTS = range(3)


def is_suspect(data: Data, start: int, length: int, order: ByteOrder, depth: int = 0) -> bool:
    """Return whether a value with a length may hold sequences nested too deeply, and has to be walked."""
    # An item header, and for each further level the headers of a sequence and of an item.
    return depth + (length + 8) // _LEVEL_BYTES > MAX_DEPTH and data[start : start + 4] == order.item


def after_sequence(
    data: Data,
    start: int,
    length: int,
    order: ByteOrder,
    *,
    is_implicit: bool,
    is_fragments: bool,
    is_complete: bool,
) -> int:
    """Return the offset behind the sequence, or the fragments, whose value begins at `start`.

    Raises `UnreadableDataSet` over 64 levels or without an end, `Incomplete` if the rest is yet to be read.
    """
    walk = _Walk(data, order, is_complete=is_complete)
    walk.open(_FRAGMENTS if is_fragments else _SEQUENCE, start, length, is_implicit=is_implicit)
    return walk.run(start)


def after_item(data: Data, start: int, order: ByteOrder, *, is_implicit: bool) -> int:
    """Return the offset behind an item of undefined length whose content begins at `start`.

    Raises `UnreadableDataSet` as `after_sequence`.
    """
    walk = _Walk(data, order, is_complete=True)
    walk.open(_ITEM, start, UNDEFINED_LENGTH, is_implicit=is_implicit)
    return walk.run(start)


def _kind(group: int, vr: bytes, item: _Container) -> int:
    """Tell fragments (an icon's encapsulated Pixel Data, PS3.5 A.4) from a sequence, which UN is too."""
    is_bulk = not item.is_implicit and vr in LONG_VRS and vr not in SEQUENCE_VRS
    return _FRAGMENTS if is_bulk or group == PIXEL_DATA_GROUP else _SEQUENCE


class _Walk:
    def __init__(self, data: Data, order: ByteOrder, *, is_complete: bool) -> None:
        self._data = data
        self._order = order
        self._is_complete = is_complete
        self._stack: list[_Container] = []
        self._elements_left = MAX_ELEMENTS

    def open(self, kind: int, start: int, length: int, *, is_implicit: bool) -> None:
        outer = self._stack[-1].limit if self._stack else len(self._data)
        has_length = length != UNDEFINED_LENGTH
        limit = min(start + length, outer) if has_length else outer
        self._stack.append(_Container(kind, limit, has_length, is_implicit))
        if self._depth() > MAX_DEPTH:
            raise UnreadableDataSet(f"sequences are nested more than {MAX_DEPTH} levels deep")

    def run(self, at: int) -> int:
        while self._stack:
            container = self._stack[-1]
            if container.kind == _ITEM:
                at = self._elements(at, container)
            elif at + 8 > container.limit:
                at = self._leave(at + 8)
            else:
                at = self._item(at, container)
        return at

    def _depth(self) -> int:
        return (len(self._stack) + 1) // 2

    def _leave(self, needed_bytes: int) -> int:
        """Close the innermost container with a length, return its end; without one the data end too early."""
        while self._stack:
            container = self._stack.pop()
            if container.has_length:
                return container.limit
        raise ended_early(max(needed_bytes, len(self._data) + 1), is_complete=self._is_complete)

    def _lost(self, at: int) -> int:
        """As `_leave`, where the data are there but mean nothing."""
        if not any(container.has_length for container in self._stack):
            raise UnreadableDataSet(f"a sequence of undefined length has no item or delimiter at byte {at}")
        return self._leave(at)

    def _item(self, at: int, container: _Container) -> int:
        """Step over what stands between the items of a sequence: the header of an item, or the end."""
        group, element, length = self._order.implicit(self._data, at)
        tag, start = group << 16 | element, at + 8
        if tag == ITEM:
            return self._enter_item(start, length, container)
        if tag == SEQUENCE_DELIMITATION:
            self._stack.pop()
            return container.limit if container.has_length else start
        return start if tag == ITEM_DELIMITATION else self._lost(at)

    def _enter_item(self, start: int, length: int, container: _Container) -> int:
        self._count(1)
        if length == UNDEFINED_LENGTH:
            if container.kind == _FRAGMENTS:
                return self._lost(start)
        elif container.kind == _FRAGMENTS or self._depth() + length // _LEVEL_BYTES <= MAX_DEPTH:
            return start + length
        # An explicit data set may hold implicit items (UN, PS3.5 6.2.2); an implicit one no explicit ones.
        is_implicit = container.is_implicit or not has_vr(self._data, start)
        self.open(_ITEM, start, length, is_implicit=is_implicit)
        return start

    def _elements(self, at: int, item: _Container) -> int:
        """Step over the elements of an item up to its end, a delimiter or a sequence to enter."""
        limit, explicit = item.limit, self._order.explicit
        for count in range(self._elements_left):
            if at + 8 > limit:
                self._count(count)
                return self._leave(at + 8)
            group, _, vr, length = explicit(self._data, at)
            if vr in SHORT_VRS and not item.is_implicit:
                at += 8 + length
            elif group == DELIMITERS:
                self._count(count + 1)
                return self._close_item(at, item)
            else:
                start, length = self._header(at, vr, is_implicit=item.is_implicit)
                if self._opens(start, length):
                    self._count(count + 1)
                    self.open(_kind(group, vr, item), start, length, is_implicit=item.is_implicit)
                    return start
                at = start + length
        raise self._too_many()

    def _header(self, at: int, vr: bytes, *, is_implicit: bool) -> tuple[int, int]:
        if is_implicit:
            return at + 8, self._order.uint32(self._data, at + 4)[0]
        if vr not in LONG_VRS:
            return odd_header(self._data, at, self._order)
        if at + 12 > len(self._data):
            return at + 12, 0
        return at + 12, self._order.uint32(self._data, at + 8)[0]

    def _opens(self, start: int, length: int) -> bool:
        return length == UNDEFINED_LENGTH or is_suspect(self._data, start, length, self._order, self._depth())

    def _close_item(self, at: int, item: _Container) -> int:
        """Leave an item at its delimiter, or at another's if its own is missing."""
        if item.has_length:
            return self._leave(at)
        self._stack.pop()
        _, element, _ = self._order.implicit(self._data, at)
        return at + 8 if element == ITEM_DELIMITATION & 0xFFFF else at

    def _count(self, elements: int) -> None:
        self._elements_left -= elements
        if self._elements_left <= 0:
            raise self._too_many()

    def _too_many(self) -> UnreadableDataSet:
        return UnreadableDataSet(f"more than {MAX_ELEMENTS} elements stand before the last one of interest")
