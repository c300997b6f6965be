"""The header scan: what the index needs to know of a data set.

`scan` runs on each C-STORE between the last byte and the acknowledgement. It reads the elements of the
attribute table, up to the last of these or to the Pixel Data, and nothing behind: what stands there is kept
as it is and cannot hurt. All that devices do to data sets is handled by `elements`, `nesting` and `encoding`;
nothing falls back to pydicom, whose recursion and global settings have no bounds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial

from pacsnode.dicom import elements, encoding, uid
from pacsnode.dicom.attributes import (
    SPECIFIC_CHARACTER_SET,
    STANDARD,
    Catalogue,
    Level,
    Source,
)
from pacsnode.dicom.catalogue import creator_of, is_creator, sequences_in
from pacsnode.dicom.character_sets import AS_SAID, CharacterSetRule
from pacsnode.dicom.conversion import CharacterSets, Conversion, character_sets_of, conversion
from pacsnode.dicom.deflate import first_answer, inflated
from pacsnode.dicom.nesting import Incomplete
from pacsnode.dicom.zones import ZONES
from pacsnode.errors import DataSetMismatch, InvalidUID

__all__ = [
    "HEADER_LIMIT_BYTES",
    "Header",
    "Incomplete",
    "inflated",
    "scan",
]

HEADER_LIMIT_BYTES = 8 << 20  # a caller refuses a data set whose header is longer
_NEEDED_TAG = 0x00400254  # what stands behind is read where it can be (`elements.values_of`)

_SOP_CLASS_UID = 0x00080016
_SOP_INSTANCE_UID = 0x00080018
_STUDY_INSTANCE_UID = 0x0020000D
_SERIES_INSTANCE_UID = 0x0020000E
_UIDS = (_SOP_CLASS_UID, _SOP_INSTANCE_UID, _STUDY_INSTANCE_UID, _SERIES_INSTANCE_UID)
_REQUIRED = frozenset(_UIDS)

# Longer values are rare, and memory is bounded.
_REMEMBERED_BYTES, _REMEMBERED_SEQUENCE_BYTES = 64, 4096


@dataclass(frozen=True, slots=True)
class Header:
    """What the index keeps of one instance; all UIDs are validated.

    `values` maps keywords of the catalogue (source STORED) to text as `conversion` makes it; absent and empty
    ones are left out. TimezoneOffsetFromUTC is among them. `character_sets` are those that text was read in:
    the values of (0008,0005), empty for the default repertoire, unless the sender's rule says otherwise.
    """

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    values: Mapping[str, str]
    character_sets: tuple[str, ...]


def scan(
    data: bytes,
    transfer_syntax_uid: str,
    *,
    is_complete: bool = True,
    rule: CharacterSetRule = AS_SAID,
    catalogue: Catalogue = STANDARD,
) -> Header:
    """Return the header of a data set, of which `data` may be a prefix if not `is_complete`.

    `rule` is that of who has sent it. Values are cut at 1,024 characters (LT: 10,240) and are otherwise as sent,
    right or wrong; items that cannot be read are left out. Raises `Incomplete` when a longer prefix is needed,
    `DataSetMismatch` if one of the four UIDs is missing, `InvalidUID`, and `UnreadableDataSet`.
    """
    wanted = _wanted(catalogue, is_overridden=rule.override is not None)
    if not uid.is_deflated(transfer_syntax_uid):
        return _scanned(data, encoding.declared(transfer_syntax_uid), wanted, rule, is_complete=is_complete)
    return first_answer(
        data,
        lambda prefix, is_whole: _scanned(
            prefix, encoding.EXPLICIT_LITTLE, wanted, rule, is_complete=is_whole
        ),
        is_complete=is_complete,
    )


class _Wanted:
    """What of a data set the scan looks for; made once for a catalogue, and for peers with an override."""

    def __init__(self, catalogue: Catalogue, *, is_overridden: bool) -> None:
        converted = partial(conversion, is_overridden=is_overridden)
        stored = [one for one in catalogue.attributes if one.source is Source.STORED]
        public = [one for one in (*stored, ZONES[Level.IMAGE]) if not one.creator]
        self.conversions = {one.tag: (one.keyword, converted(one)) for one in public}
        self.sequences = sequences_in(public)
        self.private = tuple((one, converted(one)) for one in stored if one.creator)
        blocks = (tag for one, _ in self.private for tag in _in_any_block(one.tag))
        self.tags = frozenset((*self.conversions, SPECIFIC_CHARACTER_SET, *blocks))
        self.last_tag = max(self.tags)


_wanted = lru_cache(maxsize=8)(_Wanted)


def _in_any_block(tag: int) -> list[int]:
    """Return all tags that a private attribute may have, and those of the blocks' creators (PS3.5 7.8.1)."""
    group = tag & 0xFFFF0000
    return [one for block in range(0x10, 0x100) for one in (group | block, group | block << 8 | tag & 0xFF)]


def _scanned(
    data: encoding.Data,
    claim: encoding.Encoding,
    wanted: _Wanted,
    rule: CharacterSetRule,
    *,
    is_complete: bool,
) -> Header:
    how = encoding.detected(data, claim)
    found = elements.values_of(
        data,
        how,
        wanted.tags,
        _NEEDED_TAG,
        required=_REQUIRED,
        sequences=wanted.sequences,
        further_tag=wanted.last_tag,
        is_complete=is_complete,
    )
    uids = _validated_uids(found)
    character_sets = rule.applied(character_sets_of(bytes(found.pop(SPECIFIC_CHARACTER_SET, b"")[:256])))
    values: dict[str, str] = {}
    for tag, raw in found.items():
        entry = wanted.conversions.get(tag)
        if entry is None:
            continue
        short = len(raw) <= _REMEMBERED_BYTES
        text = (_remembered if short else _long_text)(entry[1], raw, character_sets, how)
        if text:
            values[entry[0]] = text
    if wanted.private:
        values |= _private_values(found, wanted, character_sets, how)
    return Header(uids[0], uids[1], uids[2], uids[3], values, character_sets)


def _long_text(convert: Conversion, raw: bytes, character_sets: CharacterSets, how: encoding.Encoding) -> str:
    if len(raw) <= _REMEMBERED_SEQUENCE_BYTES:
        return _remembered_sequence(convert, raw, character_sets, how)
    return convert(raw, character_sets, how)


def _converted(convert: Conversion, raw: bytes, character_sets: CharacterSets, how: encoding.Encoding) -> str:
    return convert(raw, character_sets, how)


# Most values of an instance are those of the one before it: a look costs a fifth of a conversion.
_remembered = lru_cache(maxsize=4096)(_converted)
_remembered_sequence = lru_cache(maxsize=256)(_converted)


def _private_values(
    found: Mapping[int, bytes], wanted: _Wanted, character_sets: CharacterSets, how: encoding.Encoding
) -> dict[str, str]:
    """Return the private values: those in the blocks that their creators have reserved in this data set."""
    blocks = sorted((tag, creator_of(raw)) for tag, raw in found.items() if is_creator(tag))
    values = {}
    for attribute, convert in wanted.private:
        group, element = attribute.tag & 0xFFFF0000, attribute.tag & 0xFF
        for tag, creator in blocks:
            if tag & 0xFFFF0000 != group or creator != attribute.creator:
                continue
            if raw := found.get(group | (tag & 0xFF) << 8 | element):
                values[attribute.keyword] = convert(raw, character_sets, how)
    return {keyword: text for keyword, text in values.items() if text}


def _validated_uids(found: Mapping[int, bytes]) -> list[str]:
    missing = tuple(tag for tag in _UIDS if not found.get(tag, b"").rstrip(b"\0 "))
    if missing:
        names = ", ".join(STANDARD.by_tag[tag].keyword for tag in missing)
        raise DataSetMismatch(f"the data set has no {names}", offending=missing)
    return [_validated(found[tag], tag) for tag in _UIDS]


def _validated(raw: bytes, tag: int) -> str:
    try:
        return uid.validated(raw)
    except InvalidUID as error:
        raise InvalidUID(f"{STANDARD.by_tag[tag].keyword}: {error}", offending=(tag,)) from None
