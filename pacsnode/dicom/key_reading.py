"""The raw values of an Identifier as keys, those in the item of a sequence too (PS3.4 C.2.2.2.6, PS3.5 7.5).

Unlike what is stored, a question that cannot be read whole is refused: to leave out a key would answer another one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from pacsnode.dicom import charset, items
from pacsnode.dicom.catalogue import CHARACTER_SET_VRS, Attribute, is_creator, sequences_in
from pacsnode.dicom.character_sets import AS_SAID, CharacterSetRule
from pacsnode.dicom.conversion import character_sets_of
from pacsnode.dicom.encoding import DELIMITERS, SEQUENCE_DELIMITATION, Encoding
from pacsnode.dicom.keys import CASE_VRS, check_order, invalid, matching_of
from pacsnode.dicom.query import Items, Key, Matching, Options

MAX_KEY_BYTES = 256 << 10  # of all values of a key that is no UID
EVERY_TAG = range(1 << 32)

_SPECIFIC_CHARACTER_SET = 0x00080005
_MAX_CHARACTER_SET_BYTES = 256
_ITEM_HEADER_BYTES = 8


class SequenceKey(NamedTuple):
    """What the item of a sequence asks for: a condition or None, and which of its attributes are to be answered.

    `is_known` tells whether the index knows every attribute that was asked for.
    """

    matching: Items | None
    attribute: Attribute
    is_known: bool


@dataclass(frozen=True, slots=True)
class KeyReader:
    """Reads keys as they were negotiated, written in one encoding."""

    options: Options
    timezone: int | None
    match_case: bool
    rule: CharacterSetRule = AS_SAID

    def key(self, attribute: Attribute, matching: Matching) -> Key:
        """Return a key in whose range the ends are in order; raises `InvalidIdentifier`."""
        check_order(attribute, matching)
        return Key(attribute, matching, self.match_case or attribute.vr not in CASE_VRS)

    def matching(
        self, attribute: Attribute, raw: bytes, how: Encoding, character_sets: tuple[str, ...]
    ) -> Matching | None:
        """Return what a value asks for, None if it matches universally."""
        return matching_of(attribute, _text(attribute, raw, how, character_sets), self.options, self.timezone)

    def sequence(
        self, attribute: Attribute, raw: bytes, how: Encoding, character_sets: tuple[str, ...]
    ) -> SequenceKey:
        """Return what a sequence asks for: nothing and all of it, if it has no item or an empty one.

        Raises `InvalidIdentifier` if there are several items (PS3.4 C.2.2.2.6), or what is none.
        """
        item = _single_item(attribute, raw, how)
        if item is None or not item.values:
            return SequenceKey(None, attribute, is_known=True)
        sets = self.rule.applied(_own_sets(item.values) or character_sets)
        keys, answered = list[Key](), list[Attribute]()
        asked = [
            tag for tag in sorted(item.values) if not is_structure(tag) and tag != _SPECIFIC_CHARACTER_SET
        ]
        by_tag, is_known = {one.tag: one for one in attribute.items}, True
        for tag in asked:
            if tag not in by_tag:
                is_known = False
                continue
            matching, one, is_one_known = self._in_item(by_tag[tag], item.values[tag], item.encoding, sets)
            is_known = is_known and is_one_known
            answered.append(one)
            if matching is not None:
                keys.append(self.key(by_tag[tag], matching))
        narrowed = replace(attribute, items=tuple(answered)) if asked else attribute
        return SequenceKey(Items(tuple(keys)) if keys else None, narrowed, is_known)

    def _in_item(
        self, attribute: Attribute, raw: bytes, how: Encoding, character_sets: tuple[str, ...]
    ) -> tuple[Matching | None, Attribute, bool]:
        if attribute.vr == "SQ":
            return self.sequence(attribute, raw, how, character_sets)
        return self.matching(attribute, raw, how, character_sets), attribute, True


def is_structure(tag: int) -> bool:
    """Return whether an element holds the data set together and says nothing (PS3.5 7.2, 7.5, 7.8.1).

    That is a group length, a stray item, or the creator of a private block.
    """
    return tag & 0xFFFF == 0 or tag >> 16 == DELIMITERS or is_creator(tag)


def _single_item(attribute: Attribute, raw: bytes, how: Encoding) -> items.Item | None:
    if len(raw) > items.MAX_BYTES:
        raise invalid(attribute, f"{attribute.keyword} is longer than {items.MAX_BYTES} bytes")
    found = list(items.items_of(raw, how, EVERY_TAG, EVERY_TAG[-1], sequences_in(attribute.items)))
    if len(found) > 1:
        raise invalid(attribute, f"{attribute.keyword} has several items, one is allowed")
    if not found and len(raw) >= _ITEM_HEADER_BYTES:
        group, element, _ = how.order.implicit(raw, 0)
        if group << 16 | element != SEQUENCE_DELIMITATION:
            raise invalid(attribute, f"{attribute.keyword} has an item that cannot be read")
    return found[0] if found else None


def _own_sets(values: Mapping[int, bytes]) -> tuple[str, ...]:
    return character_sets_of(values.get(_SPECIFIC_CHARACTER_SET, b"")[:_MAX_CHARACTER_SET_BYTES])


def _text(attribute: Attribute, raw: bytes, how: Encoding, character_sets: tuple[str, ...]) -> str:
    if len(raw) > MAX_KEY_BYTES and attribute.vr != "UI" and len(raw.strip(b" \0")) > MAX_KEY_BYTES:
        raise invalid(attribute, f"{attribute.keyword} is longer than {MAX_KEY_BYTES} bytes")
    if attribute.vr == "US":
        return _unsigned(attribute, raw, how)
    sets = character_sets if attribute.vr in CHARACTER_SET_VRS else ()
    text = charset.decode(raw, attribute.vr, sets)
    return text if attribute.vr == "PN" else charset.normalized(text)


def _unsigned(attribute: Attribute, raw: bytes, how: Encoding) -> str:
    if len(raw) % 2:
        raise invalid(attribute, f"{attribute.keyword} is not a 16-bit number")
    return "\\".join(str(how.order.uint16(raw, at)) for at in range(0, len(raw), 2))
