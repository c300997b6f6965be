"""The header scan: what the index needs to know of a data set.

`scan` runs on each C-STORE between the last byte and the acknowledgement. It reads the elements of the
attribute table, up to the last of these or to the Pixel Data, and nothing behind: what stands there is kept
as it is and cannot hurt. All that devices do to data sets is handled by `elements`, `nesting` and `encoding`;
nothing falls back to pydicom, whose recursion and global settings have no bounds.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from pacsnode.dicom import charset, elements, encoding, uid
from pacsnode.dicom.attributes import ATTRIBUTES, SPECIFIC_CHARACTER_SET, Attribute, Source
from pacsnode.dicom.character_sets import AS_SAID, CharacterSetRule
from pacsnode.dicom.deflate import first_answer, inflated
from pacsnode.dicom.nesting import Incomplete
from pacsnode.errors import DataSetMismatch, InvalidUID

__all__ = [
    "HEADER_LIMIT_BYTES",
    "MAX_CHARACTERS",
    "MAX_CHARACTERS_LT",
    "Header",
    "Incomplete",
    "inflated",
    "scan",
]

HEADER_LIMIT_BYTES = 8 << 20  # a caller refuses a data set whose header is longer
MAX_CHARACTERS = 1024  # a longer value is cut for the index: sixteen times what LO may have (PS3.5 6.2)
MAX_CHARACTERS_LT = 10240

_SOP_CLASS_UID = 0x00080016
_SOP_INSTANCE_UID = 0x00080018
_STUDY_INSTANCE_UID = 0x0020000D
_SERIES_INSTANCE_UID = 0x0020000E
_UIDS = (_SOP_CLASS_UID, _SOP_INSTANCE_UID, _STUDY_INSTANCE_UID, _SERIES_INSTANCE_UID)
_REQUIRED = frozenset(_UIDS)

_PADDING = " \0"
_REMEMBERED_BYTES = 64  # longer values are rare, and memory is bounded
_BYTES_PER_CHARACTER = 8  # at most, escape sequences included; a value is cut to that before it is decoded
_TEXT_VRS = frozenset(("LO", "LT", "PN", "SH", "ST", "UC", "UT"))  # that (0008,0005) governs (PS3.5 6.1.2.3)


@dataclass(frozen=True, slots=True)
class Header:
    """What the index keeps of one instance; all UIDs are validated.

    `values` maps keywords of `attributes.ATTRIBUTES` (source STORED) to decoded text without padding; several
    values are joined by a backslash, absent and empty ones are left out. Dates and times are normalised (no
    dots, no colons), and text is composed (NFC); only names are as sent, since they are compared folded.
    `character_sets` are those that text was read in: the values of (0008,0005), empty for the default repertoire,
    unless the sender's rule says otherwise.
    """

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    values: Mapping[str, str]
    character_sets: tuple[str, ...]


def scan(
    data: bytes, transfer_syntax_uid: str, *, is_complete: bool = True, rule: CharacterSetRule = AS_SAID
) -> Header:
    """Return the header of a data set, of which `data` may be a prefix if not `is_complete`.

    `rule` is that of who has sent it.
    Values are cut at 1,024 characters (LT: 10,240) and are otherwise as sent, right or wrong. Raises
    `Incomplete` when a longer prefix is needed, `DataSetMismatch` if one of the four UIDs is missing,
    `InvalidUID`, and `UnreadableDataSet`.
    """
    if not uid.is_deflated(transfer_syntax_uid):
        return _scanned(data, encoding.declared(transfer_syntax_uid), rule, is_complete=is_complete)
    return first_answer(
        data,
        lambda prefix, is_whole: _scanned(prefix, encoding.EXPLICIT_LITTLE, rule, is_complete=is_whole),
        is_complete=is_complete,
    )


def _scanned(
    data: encoding.Data, claim: encoding.Encoding, rule: CharacterSetRule, *, is_complete: bool
) -> Header:
    found_encoding = encoding.detected(data, claim)
    found = elements.values_of(
        data, found_encoding, _WANTED, _LAST_TAG, required=_REQUIRED, is_complete=is_complete
    )
    uids = _validated_uids(found)
    character_sets = rule.applied(_character_sets(bytes(found.pop(SPECIFIC_CHARACTER_SET, b"")[:256])))
    values: dict[str, str] = {}
    order = found_encoding.order
    for tag, raw in found.items():
        if len(raw) <= _REMEMBERED_BYTES:
            keyword, text = _remembered(tag, raw, character_sets, order)
        else:
            keyword, text = _converted(tag, raw, character_sets, order)
        if text:
            values[keyword] = text
    return Header(uids[0], uids[1], uids[2], uids[3], values, character_sets)


def _converted(
    tag: int, raw: bytes, character_sets: tuple[str, ...], order: encoding.ByteOrder
) -> tuple[str, str]:
    keyword, convert = _CONVERSIONS[tag]
    return keyword, convert(raw, character_sets, order)


# Most values of an instance are those of the one before it: a look costs a fifth of a conversion.
_remembered = lru_cache(maxsize=4096)(_converted)


def _validated_uids(found: Mapping[int, bytes]) -> list[str]:
    missing = tuple(tag for tag in _UIDS if not found.get(tag, b"").rstrip(b"\0 "))
    if missing:
        names = ", ".join(_CONVERSIONS[tag][0] for tag in missing)
        raise DataSetMismatch(f"the data set has no {names}", offending=missing)
    return [_validated(found[tag], tag) for tag in _UIDS]


def _validated(raw: bytes, tag: int) -> str:
    try:
        return uid.validated(raw)
    except InvalidUID as error:
        raise InvalidUID(f"{_CONVERSIONS[tag][0]}: {error}", offending=(tag,)) from None


@lru_cache(maxsize=256)
def _character_sets(raw: bytes) -> tuple[str, ...]:
    names = tuple(name.strip(_PADDING) for name in raw.decode("latin-1").split("\\"))
    return names if any(names) else ()


_Conversion = Callable[[bytes, tuple[str, ...], encoding.ByteOrder], str]


def _conversion(attribute: Attribute) -> _Conversion:
    """Return how the raw value of an attribute becomes the text that the index keeps."""
    if attribute.vr == "US":
        return _number
    text = _text_conversion(attribute.vr)
    if attribute.vr == "DA":
        return lambda raw, sets, order: _date(text(raw, sets, order))
    if attribute.vr == "TM":
        return lambda raw, sets, order: text(raw, sets, order).replace(":", "")
    if attribute.multi_valued:
        return lambda raw, sets, order: _several(text(raw, sets, order))
    return text


def _text_conversion(vr: str) -> _Conversion:
    limit = MAX_CHARACTERS_LT if vr == "LT" else MAX_CHARACTERS
    limit_bytes = limit * _BYTES_PER_CHARACTER
    is_governed, leading = vr in _TEXT_VRS, "" if vr == "LT" else _PADDING  # PS3.5 6.2: spaces begin an LT
    normalized = str if vr == "PN" else charset.normalized

    def convert(raw: bytes, character_sets: tuple[str, ...], order: encoding.ByteOrder) -> str:  # noqa: ARG001
        text = charset.decode(raw[:limit_bytes], vr, character_sets if is_governed else ())
        return normalized(text.rstrip(_PADDING).lstrip(leading)[:limit])

    return convert


def _number(raw: bytes, character_sets: tuple[str, ...], order: encoding.ByteOrder) -> str:  # noqa: ARG001
    """Return a US as decimal text; four bytes are taken for a UL, any other length for no number."""
    return str(int.from_bytes(raw, order.name)) if len(raw) in (2, 4) else ""


def _date(text: str) -> str:
    """Turn the form of ACR-NEMA, `2020.01.15` (PS3.5 6.2), into that of DICOM."""
    return text.replace(".", "") if len(text) == 10 and text[4] == text[7] == "." else text


def _several(text: str) -> str:
    if "\\" not in text:
        return text
    values = [value.strip(_PADDING) for value in text.split("\\")]
    return "\\".join(values) if any(values) else ""


_CONVERSIONS = {a.tag: (a.keyword, _conversion(a)) for a in ATTRIBUTES if a.source is Source.STORED}
_WANTED = frozenset((*_CONVERSIONS, SPECIFIC_CHARACTER_SET))
_LAST_TAG = max(_WANTED)
