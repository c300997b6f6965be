"""The value of an attribute as SQL, in a row (`schema`) or in the item of a sequence. Pure."""

from dataclasses import dataclass

from pacsnode.dicom.attributes import Attribute, Source
from pacsnode.index import schema


@dataclass(frozen=True, slots=True)
class Value:
    """One attribute as SQL expressions, which are NULL or empty where it has no value.

    `folded` is a name as it is matched. A value that is not `is_typed` is text, also where its VR is numeric; one that
    `is_packed` is a UID in another form (`schema.is_uid`).
    """

    attribute: Attribute
    text: str
    folded: str = ""
    is_typed: bool = False
    is_packed: bool = False

    @property
    def matched(self) -> str:
        """The expression that is compared."""
        return self.folded or self.text


def of(attribute: Attribute) -> Value:
    """Return where an entity of the index has the attribute."""
    if schema.is_folded(attribute):
        return Value(attribute, schema.text(attribute), schema.matched(attribute))
    is_count = attribute.source is Source.COMPUTED and not attribute.multi_valued
    return Value(
        attribute,
        schema.matched(attribute),
        is_typed=is_count or schema.is_numeric(attribute),
        is_packed=schema.is_uid(attribute),
    )


def within(attribute: Attribute, item: str) -> Value:
    """Return where an item has the attribute: in JSON, where a name has its folded form beside it."""
    text = f"json_extract({item}.value, '$.{attribute.keyword}')"
    folded = f"json_extract({item}.value, '$.{attribute.keyword}_folded')"
    return Value(attribute, text, folded if schema.is_folded(attribute) else "")


def one_of(value: Value, name: str) -> Value:
    """Return one of several values, which stand in a table as text."""
    return Value(value.attribute, f"{name}.value", f"{name}.value" if value.folded else "")
