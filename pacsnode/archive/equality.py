"""When two arrivals of one SOP Instance UID are the same instance.

Same transfer syntax: byte-equal data sets. Different transfer syntaxes that both carry plain elements
(implicit, explicit, big endian, deflated): equal elements, group lengths and trailing padding aside. Anything
else would need the pixels decoded, which a worker never does: it counts as different, and the policy for
duplicates decides.
"""

import struct
import warnings
import zlib
from io import BytesIO

from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError

from pacsnode.archive.objects import chunks_of
from pacsnode.dicom.uid import is_encapsulated
from pacsnode.storage.base import Readable

_MAX_DECODED_BYTES = 256 << 20
_DATA_SET_TRAILING_PADDING = 0xFFFCFFFC

# What pydicom raises on data sets that it cannot decode.
_UNDECODABLE = (
    InvalidDicomError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    OverflowError,
    NotImplementedError,
    RecursionError,
    OSError,
    struct.error,
    zlib.error,
)


def same_bytes(first: Readable, second: Readable, data_set_length: int) -> bool:
    """Return whether the last `data_set_length` bytes of two files are equal; the file meta may differ."""
    firsts = chunks_of(first, first.length - data_set_length)
    seconds = chunks_of(second, second.length - data_set_length)
    return all(a == b for a, b in zip(firsts, seconds, strict=True))


def is_comparable(first_transfer_syntax_uid: str, second_transfer_syntax_uid: str, longest: int) -> bool:
    """Return whether two data sets in different transfer syntaxes can be compared by their elements."""
    encapsulated = is_encapsulated(first_transfer_syntax_uid) or is_encapsulated(second_transfer_syntax_uid)
    return not encapsulated and longest <= _MAX_DECODED_BYTES


def same_elements(first: Readable, second: Readable) -> bool:
    """Return whether two Part 10 files in comparable transfer syntaxes have equal elements."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _elements(first) == _elements(second)  # values are decoded here, as they are compared
        except _UNDECODABLE:
            return False  # what cannot be decoded is not shown to be equal


def _elements(readable: Readable) -> Dataset:
    data_set = dcmread(BytesIO(b"".join(chunks_of(readable))), force=True)
    plain = Dataset()
    for element in data_set:
        if element.tag.element != 0 and element.tag != _DATA_SET_TRAILING_PADDING:
            plain.add(element)
    return plain
