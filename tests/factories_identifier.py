"""Queries as the Identifiers that ask them, and any Identifier as pydicom writes it (PS3.4 C.2.2.2)."""

from collections.abc import Mapping

from pydicom import config
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID

from pacsnode.dicom import temporal
from pacsnode.dicom.attributes import (
    ATTRIBUTES,
    INSTANCE_AVAILABILITY,
    QUERY_RETRIEVE_LEVEL,
    RETRIEVE_AE_TITLE,
    SPECIFIC_CHARACTER_SET,
    STANDARD,
    TIME_OF,
    TIMEZONE_OFFSET_FROM_UTC,
    Attribute,
)
from pacsnode.dicom.identifier import parse
from pacsnode.dicom.query import (
    AllOf,
    AnyOf,
    Empty,
    Items,
    Key,
    Matching,
    Moments,
    Query,
    Range,
    SingleValue,
    ValueList,
    Wildcard,
    Words,
)

# The value of an element: text, nothing, or for a sequence what stands in its item.
Value = str | None | dict[int, tuple[str, "Value"]]

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"

UNKNOWN_IN_ITEM = 0x00404041  # stands in no item that the index knows


def as_text(matching: Matching, vr: str = "") -> str:
    """Return the value of the key in an Identifier (PS3.4 C.2.2.2)."""
    match matching:
        case SingleValue(value):
            return value
        case ValueList(values):
            return "\\".join(values)
        case Wildcard(pattern):
            return pattern
        case Words(found):
            return " ".join(found)
        case Empty():
            return '""'
        case AnyOf(several) | AllOf(several):
            return "\\".join(as_text(one, vr) for one in several)
        case Range(low, high):
            zone = "+0000" if vr == "DT" else ""
            return "-".join(f"{end}{zone}" if end else "" for end in (low, high))
    raise AssertionError(matching)


def key_value(key: Key | None, attribute: Attribute) -> Value:
    """Return the value of a key, None for one that matches universally; an item for a sequence, if it has one."""
    if attribute.vr != "SQ":
        return None if key is None else as_text(key.matching, attribute.vr)
    conditions = (
        {one.attribute.tag: one for one in key.matching.keys}
        if key and isinstance(key.matching, Items)
        else {}
    )
    if not conditions and attribute.items == _all_items(attribute):
        return None
    return {one.tag: (one.vr, key_value(conditions.get(one.tag), one)) for one in attribute.items}


def _all_items(sequence: Attribute) -> tuple[Attribute, ...]:
    """Return the items of a sequence of the table, or of one in its items, by its tag."""
    nested = [one for known in ATTRIBUTES for one in known.items if one.tag == sequence.tag]
    return (
        STANDARD.by_tag[sequence.tag].items
        if sequence.tag in STANDARD.by_tag
        else max((one.items for one in nested), key=len)
    )


def encode_query(query: Query, transfer_syntax_uid: str = EXPLICIT_LITTLE) -> bytes:
    """Return the Identifier that asks this query (not deflated)."""
    keys = {key.attribute.tag: key for key in query.keys}
    values: dict[int, tuple[str, Value]] = {
        SPECIFIC_CHARACTER_SET: ("CS", "\\".join(query.character_sets)),
        QUERY_RETRIEVE_LEVEL: ("CS", query.level.name),
    }
    if query.timezone is not None:
        values[TIMEZONE_OFFSET_FROM_UTC] = ("SH", temporal.offset_text(query.timezone))
    for attribute in query.returned:
        key = keys.get(attribute.tag)
        if key is not None and isinstance(key.matching, Moments):
            time = TIME_OF[attribute]
            ends = [end or " " * 22 for end in (key.matching.low, key.matching.high)]
            values[attribute.tag] = (attribute.vr, "-".join(end[:8].strip() for end in ends))
            values[time.tag] = (time.vr, "-".join(end[8:].strip() for end in ends))
        elif attribute.tag not in values:
            values[attribute.tag] = (attribute.vr, key_value(key, attribute))
    for tag in query.unsupported_items:
        item = values[tag][1]
        assert isinstance(item, dict)
        item[UNKNOWN_IN_ITEM] = ("LO", None)
    values |= {tag: ("LO", None) for tag in query.unsupported if tag not in STANDARD.by_tag}
    if query.asks_retrieve_ae_title:
        values[RETRIEVE_AE_TITLE] = ("AE", None)
    if query.asks_instance_availability:
        values[INSTANCE_AVAILABILITY] = ("CS", None)
    return encode_identifier(values, transfer_syntax_uid)


def understood(query: Query, transfer_syntax_uid: str = EXPLICIT_LITTLE) -> Query:
    """Return what the node takes the Identifier for that asks this query (not deflated)."""
    data = encode_query(query, transfer_syntax_uid)
    return parse(
        data, transfer_syntax_uid, query.model, options=query.options, match_case=all_match_case(query.keys)
    )


def all_match_case(keys: tuple[Key, ...]) -> bool:
    """Return whether case counts in all of the keys, those in items too."""
    return all(
        all_match_case(key.matching.keys) if isinstance(key.matching, Items) else key.match_case
        for key in keys
    )


def encode_identifier(
    values: Mapping[int, tuple[str, Value]], transfer_syntax_uid: str = EXPLICIT_LITTLE
) -> bytes:
    """Return a data set of tag -> (VR, text) as pydicom writes it, without its judging the values.

    The value of a sequence is the content of its item, or None for none.
    """
    stream = DicomBytesIO()
    stream.is_implicit_VR = transfer_syntax_uid == IMPLICIT_LITTLE
    stream.is_little_endian = transfer_syntax_uid != EXPLICIT_BIG
    write_dataset(stream, _dataset(values))
    return stream.getvalue()


def _dataset(values: Mapping[int, tuple[str, Value]]) -> Dataset:
    dataset = Dataset()
    for tag, (vr, text) in sorted(values.items()):
        value: object = text
        if vr == "SQ":
            value = Sequence([_dataset(text)] if isinstance(text, dict) else [])
        elif vr == "US" and isinstance(text, str) and text:
            value = [int(one) for one in text.split("\\")]
        elif vr == "UI" and isinstance(text, str) and text:
            value = [UID(one, validation_mode=config.IGNORE) for one in text.split("\\")]
        dataset.add(DataElement(tag, vr, value, validation_mode=config.IGNORE))
    return dataset
