"""The items of a sequence as raw values (PS3.5 7.5), for the few attributes in them that are wanted.

A sequence that a device has got wrong is no reason to refuse its data set: what cannot be read is left out, an
item for itself where it has a length, else with all behind it. How much is looked at is bounded, whatever the
sequence says of itself.
"""

from collections.abc import Container, Iterator
from typing import NamedTuple

from pacsnode.dicom.elements import values_of
from pacsnode.dicom.encoding import (
    IMPLICIT_LITTLE,
    ITEM,
    UNDEFINED_LENGTH,
    Data,
    Encoding,
    has_vr,
)
from pacsnode.dicom.nesting import after_item
from pacsnode.errors import UnreadableDataSet

MAX_ITEMS = 64
MAX_BYTES = 64 << 10  # of a sequence; items behind that are left out

_HEADER_BYTES = 8


class Item(NamedTuple):
    """The raw values of one item by tag, and how they are written."""

    values: dict[int, bytes]
    encoding: Encoding


def items_of(
    value: Data, encoding: Encoding, wanted: Container[int], last_tag: int, sequences: Container[int]
) -> Iterator[Item]:
    """Yield the items in the value of a sequence; of an item the wanted tags up to `last_tag`.

    `sequences` are those tags whose value is a sequence again (`elements.values_of`). Never raises.
    """
    value, at = bytes(value[:MAX_BYTES]), 0
    for _ in range(MAX_ITEMS):
        found = _item(value, at, encoding)
        if found is None:
            return
        start, end, at, inner = found
        content = value[start:end]
        try:
            values = values_of(content, inner, wanted, last_tag, sequences=sequences, is_complete=True)
        except UnreadableDataSet:
            continue
        yield Item(values, inner)


def _item(value: bytes, at: int, encoding: Encoding) -> tuple[int, int, int, Encoding] | None:
    """Return where an item's content begins and ends, where the next item begins, and its encoding."""
    if at + _HEADER_BYTES > len(value):
        return None
    group, element, length = encoding.order.implicit(value, at)
    if group << 16 | element != ITEM:
        return None
    start = at + _HEADER_BYTES
    inner = _encoding(value, start, encoding)
    if length != UNDEFINED_LENGTH:
        end = start + length
        return None if end > len(value) else (start, end, end, inner)
    try:
        end = after_item(value, start, encoding.order, is_implicit=inner.is_implicit)
    except UnreadableDataSet:
        return None
    return start, end, end, inner


def _encoding(value: bytes, at: int, outer: Encoding) -> Encoding:
    """Return the encoding of an item: that of a sequence of VR UN is implicit (PS3.5 6.2.2)."""
    is_same = outer.is_implicit or outer.order is not IMPLICIT_LITTLE.order or has_vr(value, at)
    return outer if is_same else IMPLICIT_LITTLE
