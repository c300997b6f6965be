"""Whether the condition of a key holds for one instance: by SQLite and, to be sure, by the oracle."""

from pacsnode.dicom.attributes import BY_KEYWORD, Attribute, Level
from pacsnode.dicom.query import InformationModel, Key, Matching, Query
from pacsnode.duplicates import DuplicatePolicy
from pacsnode.index.sqlite import SqliteIndex
from tests.index_checks import emptied
from tests.index_model import Model
from tests.unit.index.arriving import arrival


def holds(
    index: SqliteIndex,
    attribute: Attribute | str,
    matching: Matching,
    *,
    match_case: bool = True,
    timezone: int | None = None,
    **values: str,
) -> bool:
    """Return whether an instance with these values, alone in the index, is found by one key."""
    emptied(index)
    one, model = arrival(1, **values), Model()
    index.add(one, DuplicatePolicy.KEEP_BOTH)
    model.add(one, DuplicatePolicy.KEEP_BOTH)
    known = BY_KEYWORD[attribute] if isinstance(attribute, str) else attribute
    key = Key(known, matching, match_case=match_case)
    query = Query(InformationModel.PATIENT_ROOT, Level.IMAGE, (key,), (), timezone=timezone)
    found = sum(map(len, index.find(query)))
    assert found == len(model.answers(query))
    return bool(found)
