"""Instances that arrive, in a few words."""

from pacsnode.dicom.attributes import BY_KEYWORD, Level
from pacsnode.dicom.header import Header
from pacsnode.dicom.query import InformationModel, Key, Matching, Query, SingleValue
from pacsnode.index.base import Arrival
from pacsnode.index.sqlite import SqliteIndex

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
EXPLICIT = "1.2.840.10008.1.2.1"


def arrival(
    token: int,
    uid: str = "1.2.3.4.5",
    *,
    sop_class_uid: str = CT,
    character_sets: tuple[str, ...] = (),
    **values: str,
) -> Arrival:
    """Return an instance whose UID begins with those of its study and its series: `<study>.<n>.<n>`."""
    study = uid.rsplit(".", 2)[0]
    series = uid.rsplit(".", 1)[0]
    return Arrival(
        header=Header(sop_class_uid, uid, study, series, values, character_sets),
        transfer_syntax_uid=EXPLICIT,
        token=token,
        file_length=2000 + token,
        file_crc32c=0xFFFFFFFF - token,
        data_set_length=1000 + token,
        data_set_crc32c=token,
        calling_ae_title="CT1",
        received_at_ms=1_790_000_000_000 + token,
    )


def asking(level: Level, *returned: str, **keys: Matching | str) -> Query:
    """Return a Patient Root query; a key given as text is Single Value Matching."""
    conditions = tuple(
        Key(BY_KEYWORD[keyword], SingleValue(value) if isinstance(value, str) else value)
        for keyword, value in keys.items()
    )
    return Query(InformationModel.PATIENT_ROOT, level, conditions, tuple(BY_KEYWORD[one] for one in returned))


def rows(index: SqliteIndex, query: Query) -> list[tuple[str | None, ...]]:
    """Return all rows without their character sets."""
    return [row[:-1] for page in index.find(query) for row in page]
