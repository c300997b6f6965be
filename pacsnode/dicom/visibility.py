"""What a requester sees: a condition on instances that a query carries beside its keys.

Visibility is decided for each instance, by what is known of it, its series, its patient and its sender. A
series, study or patient is seen if one of its served instances is; a retrieve sends those instances and no others. So
C-FIND, C-MOVE and C-GET follow one rule.

A `View` holds if all of its traits hold for the same instance; of a `Visibility` one view suffices, and an empty one
shows nothing. Where a requester's view and that of the AE title that it calls both count, `both` is their conjunction:
again for the same instance, so that a study in which one series suits the one and another series the other stays
hidden.

A trait never holds for an instance that lacks the attribute: what is not known to be visible is hidden.
`dicom.matching.is_visible` says in Python what the SQL of the index must do.
"""

from dataclasses import dataclass

from pacsnode.dicom.attributes import BY_KEYWORD, Attribute, Level

INSTITUTION = BY_KEYWORD["InstitutionName"]
DEPARTMENT = BY_KEYWORD["InstitutionalDepartmentName"]
ISSUER = BY_KEYWORD["IssuerOfPatientID"]


@dataclass(frozen=True, slots=True)
class Trait:
    """One property of an instance that must be one of several values.

    With an attribute the values are matched as in a query, `*` and `?` being wildcards (PS3.4 C.2.2.2.4). Without one
    they are the AE titles that may have sent the instance, compared as they are: such a title comes from the peer.
    """

    attribute: Attribute | None
    values: tuple[str, ...]

    @property
    def level(self) -> Level:
        """The level of the entity that has the property."""
        return Level.IMAGE if self.attribute is None else self.attribute.level


@dataclass(frozen=True, slots=True)
class View:
    """Instances for which all of the traits hold; without traits, all instances."""

    traits: tuple[Trait, ...]


Visibility = tuple[View, ...]


def both(one: Visibility | None, other: Visibility | None) -> Visibility | None:
    """Return what is visible by both; None is everything."""
    if one is None or other is None:
        return other if one is None else one
    return tuple(View(first.traits + second.traits) for first in one for second in other)
