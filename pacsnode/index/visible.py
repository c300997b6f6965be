"""What a requester may see (`dicom.visibility`) as an SQL condition on the entities of a level.

Pure. Traits of the entity itself and of those above it are conditions on its own row and on the rows that the
statement joins upwards (`levels`). Traits of what lies below it become one EXISTS for each view, which runs down to the
lowest trait: all of them must hold for the same instance. CROSS JOIN keeps that order, so that each step is a look
into the index of the parent's id.

A series whose instances are all hidden by the duplicates policy counts none, and so is not seen either.
"""

import json

from pacsnode.dicom import matching
from pacsnode.dicom.attributes import Level
from pacsnode.dicom.visibility import Trait, View, Visibility
from pacsnode.index import conditions, schema
from pacsnode.index.fragments import NOTHING, Fragment, any_of, joined

_SENT_BY = "instance.sender IN (SELECT id FROM sender WHERE ae_title IN (SELECT value FROM json_each(?)))"


def levels(visibility: Visibility, level: Level) -> set[Level]:
    """Return the levels at and above `level` whose tables the condition needs."""
    return {trait.level for view in visibility for trait in view.traits if trait.level <= level}


def condition(visibility: Visibility, level: Level) -> Fragment:
    """Return the condition that an entity of the level has a served instance that is seen."""
    return any_of([_seen(view, level) for view in visibility]) if visibility else NOTHING


def _seen(view: View, level: Level) -> Fragment:
    own = [_holds(trait) for trait in view.traits if trait.level <= level]
    below = [trait for trait in view.traits if trait.level > level]
    parts = [*own, _below(below, level)] if below else own
    return joined(parts, " AND ") if parts else Fragment("1")


def _below(traits: list[Trait], level: Level) -> Fragment:
    lowest = max(trait.level for trait in traits)
    first = schema.TABLES[Level(level + 1)]
    tables = first.name
    for child in (schema.TABLES[Level(below)] for below in range(level + 2, lowest + 1)):
        tables += f" CROSS JOIN {child.name} ON {child.name}.{child.parent} = {child.parent}.id"
    start = f"{first.name}.{first.parent} = {schema.TABLES[level].name}.id"
    held = joined([Fragment(schema.TABLES[lowest].visible), *map(_holds, traits)], " AND ")
    return Fragment(f"EXISTS (SELECT 1 FROM {tables} WHERE {start} AND ") + held + Fragment(")")


def _holds(trait: Trait) -> Fragment:
    if trait.attribute is None:
        return Fragment(_SENT_BY, (json.dumps(trait.values),))
    keys = matching.trait_keys(trait.attribute, trait.values)
    return any_of([conditions.condition(key) for key in keys]) if keys else NOTHING
