"""Identifier -> Query: what a C-FIND, C-MOVE or C-GET asks for (PS3.4 C.2.2.2, C.4).

`parse` and `parse_retrieve` turn the bytes of a request Identifier into a `Query` that cannot exist invalid;
all that may go wrong is a `RequestError` with the tags at fault. What the value of a key means is in `keys`.
"""

from dataclasses import dataclass

from pacsnode.dicom import charset, deflate, elements, encoding, uid
from pacsnode.dicom.attributes import (
    BY_KEYWORD,
    BY_TAG,
    INSTANCE_AVAILABILITY,
    QUERY_RETRIEVE_LEVEL,
    RETRIEVE_AE_TITLE,
    SPECIFIC_CHARACTER_SET,
    TIMEZONE_OFFSET_FROM_UTC,
    UNIQUE_KEY,
    Attribute,
    Level,
    Source,
)
from pacsnode.dicom.character_sets import AS_SAID, CharacterSetRule
from pacsnode.dicom.keys import CHARACTER_SET_VRS, invalid, matching_of
from pacsnode.dicom.query import InformationModel, Key, Query, SingleValue, ValueList
from pacsnode.errors import InvalidIdentifier

MAX_CHARACTER_SET_BYTES = 256  # of (0008,0005); each answer may repeat it


_STEERING = frozenset(
    {
        SPECIFIC_CHARACTER_SET,
        QUERY_RETRIEVE_LEVEL,
        RETRIEVE_AE_TITLE,
        INSTANCE_AVAILABILITY,
        TIMEZONE_OFFSET_FROM_UTC,
    }
)
_EVERY_TAG = range(1 << 32)
_ISSUER_OF_PATIENT_ID = BY_KEYWORD["IssuerOfPatientID"]

_Elements = tuple[dict[int, bytes], encoding.ByteOrder]


def parse(
    identifier: bytes,
    transfer_syntax_uid: str,
    model: InformationModel,
    *,
    rule: CharacterSetRule = AS_SAID,
) -> Query:
    """Return the query of a C-FIND (PS3.4 C.4.1); `rule` is that of the requester.

    Attributes of levels below the one asked for are not answered and count as unsupported; those above are
    matched and answered. Raises `InvalidIdentifier`, `InvalidUID` or `UnreadableDataSet`.
    """
    request = _Request.read(identifier, transfer_syntax_uid, model, rule)
    known = [BY_TAG[tag] for tag in request.tags if _is_answered(tag, request.level)]
    keys = request.keys(known)
    unique = request.unique_keys()
    answered = {a for a in known if a.source is not Source.CONSTANT} | set(unique)
    return Query(
        model=model,
        level=request.level,
        keys=keys,
        returned=tuple(sorted(answered, key=lambda attribute: attribute.tag)),
        unsupported=tuple(tag for tag in request.tags if _is_unsupported(tag, request.level)),
        character_sets=request.character_sets,
        asks_retrieve_ae_title=RETRIEVE_AE_TITLE in request.values,
        asks_instance_availability=INSTANCE_AVAILABILITY in request.values,
        is_relational=_is_relational(unique, keys),
    )


def parse_retrieve(
    identifier: bytes,
    transfer_syntax_uid: str,
    model: InformationModel,
    *,
    rule: CharacterSetRule = AS_SAID,
) -> Query:
    """Return what a C-MOVE or C-GET asks for (PS3.4 C.4.2.1.4, C.4.3.1.3): unique keys, nothing returned.

    The unique key of the level must name something, one value or a list of UIDs: an empty or wildcard one
    never means everything. At PATIENT level the Issuer of Patient ID counts too, since the ID alone may be
    ambiguous. All other attributes are ignored. Raises as `parse`.
    """
    request = _Request.read(identifier, transfer_syntax_uid, model, rule)
    unique = request.unique_keys()
    issuer = (_ISSUER_OF_PATIENT_ID,) if request.level is Level.PATIENT else ()
    keys = request.keys([*unique, *issuer])
    own = UNIQUE_KEY[request.level]
    wanted = next((key.matching for key in keys if key.attribute is own), None)
    if not (isinstance(wanted, SingleValue) or (own.vr == "UI" and isinstance(wanted, ValueList))):
        raise invalid(own, f"a retrieve at {request.level.name} level needs a {own.keyword} and no wildcard")
    if any(key.attribute in issuer and not isinstance(key.matching, SingleValue) for key in keys):
        raise invalid(
            _ISSUER_OF_PATIENT_ID, "a retrieve needs one IssuerOfPatientID or none, and no wildcard"
        )
    return Query(
        model=model,
        level=request.level,
        keys=keys,
        returned=(),
        character_sets=request.character_sets,
        is_relational=_is_relational(unique, keys),
    )


@dataclass(frozen=True, slots=True)
class _Request:
    """An Identifier taken apart: raw values by tag, and what is needed to understand them."""

    values: dict[int, bytes]
    order: encoding.ByteOrder
    character_sets: tuple[str, ...]
    model: InformationModel
    level: Level

    @classmethod
    def read(
        cls, identifier: bytes, transfer_syntax_uid: str, model: InformationModel, rule: CharacterSetRule
    ) -> "_Request":
        values, order = _elements(identifier, transfer_syntax_uid)
        level = _level(values.get(QUERY_RETRIEVE_LEVEL, b""), model)
        sets = rule.applied(_character_sets(values.get(SPECIFIC_CHARACTER_SET, b"")))
        return cls(values, order, sets, model, level)

    @property
    def tags(self) -> list[int]:
        return sorted(self.values)

    def unique_keys(self) -> tuple[Attribute, ...]:
        """Return the unique keys of the model down to the level asked for."""
        return tuple(UNIQUE_KEY[level] for level in self.model.levels if level <= self.level)

    def keys(self, attributes: list[Attribute]) -> tuple[Key, ...]:
        """Return the conditions on these attributes, in tag order."""
        keys = []
        for attribute in sorted(attributes, key=lambda one: one.tag):
            matching = matching_of(attribute, self._text(attribute))
            if matching is not None:
                keys.append(Key(attribute, matching))
        return tuple(keys)

    def _text(self, attribute: Attribute) -> str:
        raw = self.values.get(attribute.tag, b"")
        if attribute.vr == "US":
            return _unsigned(attribute, raw, self.order)
        sets = self.character_sets if attribute.vr in CHARACTER_SET_VRS else ()
        text = charset.decode(raw, attribute.vr, sets)
        return text if attribute.vr == "PN" else charset.normalized(text)


def _elements(identifier: bytes, transfer_syntax_uid: str) -> _Elements:
    """Return the raw values of the top level by tag; the bounds of `elements` and `deflate` hold."""
    claim = encoding.declared(transfer_syntax_uid)

    def read(data: encoding.Data, is_whole: bool) -> _Elements:  # noqa: FBT001 - called by `first_answer`
        actual = encoding.detected(data, claim)
        values = elements.values_of(bytes(data), actual, _EVERY_TAG, _EVERY_TAG[-1], is_complete=is_whole)
        return values, actual.order

    if uid.is_deflated(transfer_syntax_uid):
        return deflate.first_answer(identifier, read, is_complete=True)
    return read(identifier, True)  # noqa: FBT003


def _level(raw: bytes, model: InformationModel) -> Level:
    name = raw.decode("ascii", "replace").strip(" \0")
    for level in model.levels:
        if level.name == name:
            return level
    allowed = ", ".join(level.name for level in model.levels)
    said = "Query/Retrieve Level is not one of" if name else "Query/Retrieve Level is missing:"
    raise InvalidIdentifier(f"{said} {allowed} ({model.value})", offending=(QUERY_RETRIEVE_LEVEL,))


def _character_sets(raw: bytes) -> tuple[str, ...]:
    if len(raw) > MAX_CHARACTER_SET_BYTES:
        raise InvalidIdentifier("Specific Character Set is too long", offending=(SPECIFIC_CHARACTER_SET,))
    names = tuple(name.strip(" \0") for name in raw.decode("ascii", "replace").split("\\"))
    return names if any(names) else ()


def _is_answered(tag: int, level: Level) -> bool:
    attribute = BY_TAG.get(tag)
    return attribute is not None and attribute.level <= level


def _is_unsupported(tag: int, level: Level) -> bool:
    """Return whether the requester is to hear that the key was left out (0xFF01, PS3.4 C.4.1.1.4)."""
    is_structure = (
        tag & 0xFFFF == 0 or tag >> 16 == encoding.DELIMITERS
    )  # group length (PS3.5 7.2), stray items
    return not (is_structure or tag in _STEERING or _is_answered(tag, level))


def _is_relational(unique: tuple[Attribute, ...], keys: tuple[Key, ...]) -> bool:
    """Return whether a unique key above the level is not one value (PS3.4 C.4.1.2.2.1)."""
    given = {key.attribute for key in keys if isinstance(key.matching, SingleValue)}
    return any(attribute not in given for attribute in unique[:-1])


def _unsigned(attribute: Attribute, raw: bytes, order: encoding.ByteOrder) -> str:
    if len(raw) % 2:
        raise invalid(attribute, f"{attribute.keyword} is not a 16-bit number")
    return "\\".join(str(order.uint16(raw, at)) for at in range(0, len(raw), 2))
