"""Tables and views of the index, derived from the attribute table.

The tables are compact and the views are for people: `patients`, `studies`, `study_series` and `instances`
show UIDs as text and all attributes, so that `sqlite3 index-1.db 'SELECT * FROM studies'` answers questions
by hand.

- A STORED or COMPUTED attribute of a level is a column of that level's table, under `Attribute.column`. A PN
  has a second one, `<column>_folded`, which is what is matched.
- UIDs of studies, series and instances are packed blobs; SOP classes, transfer syntaxes, senders and
  character sets are numbers of a small table. Character set 0 is the default repertoire.
- A numeric attribute (IS, DS, US) is kept as a number, since that is how it is matched; text that is no
  number stays text. Where the number does not give the text back (`01`, `1.50`), `as_sent` has it: a JSON
  object by keyword.
- Counts and lists over children are kept in the transaction that changes them. They cover what is served; an
  entity whose number of instances is 0 is vacant, and not answered.
- A series belongs to its study: the same UID under another study is another row.
- Instances are found by `uid_hash`, the CRC32 of the packed UID. The index over 4 bytes takes a third of one
  over whole UIDs, which is 34 bytes an instance; that two UIDs share a hash costs one more look.
- `spooled` has a row only for what the storage does not hold yet.

What is in a column of version 1 is pinned by a test: a change of the attribute table is a migration here.
"""

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pacsnode.database import Migration
from pacsnode.dicom.attributes import ATTRIBUTES, UNIQUE_KEY, Attribute, Level, Source
from pacsnode.dicom.matching import NUMERIC_VRS

if TYPE_CHECKING:
    import sqlite_utils


@dataclass(frozen=True, slots=True)
class Table:
    """The table of one level. `parent` is the column that holds the parent's id, and the parent's table."""

    name: str
    level: Level
    parent: str | None

    @property
    def stored(self) -> tuple[Attribute, ...]:
        """The attributes that are a column by their name."""
        return tuple(a for a in _of(self.level, Source.STORED) if a not in _SPECIAL)

    @property
    def computed(self) -> tuple[Attribute, ...]:
        """The attributes that are kept over the children."""
        return tuple(a for a in _of(self.level, Source.COMPUTED) if a not in _SPECIAL)

    @property
    def visible(self) -> str:
        """The condition under which a row is answered."""
        if self.level is Level.IMAGE:
            return "instance.is_served"
        return f"{self.name}.{counting(self.level, Level.IMAGE)} > 0"


def _of(level: Level, source: Source) -> tuple[Attribute, ...]:
    return tuple(a for a in ATTRIBUTES if a.level is level and a.source is source)


# Kept in another form than as a column of text: packed UIDs, and numbers of a small table.
_SPECIAL = tuple(UNIQUE_KEY[level] for level in (Level.STUDY, Level.SERIES, Level.IMAGE)) + tuple(
    a for a in ATTRIBUTES if a.keyword in ("SOPClassUID", "AvailableTransferSyntaxUID")
)

TABLES = {
    Level.PATIENT: Table("patient", Level.PATIENT, None),
    Level.STUDY: Table("study", Level.STUDY, "patient"),
    Level.SERIES: Table("series", Level.SERIES, "study"),
    Level.IMAGE: Table("instance", Level.IMAGE, "series"),
}

# Attributes with an index of their own over the column that is matched, and its name.
INDEX_OF = {
    "PatientID": "patient_by_patient_id",
    "PatientName": "patient_by_name",
    "StudyInstanceUID": "study_by_uid",
    "StudyDate": "study_by_moment",
    "AccessionNumber": "study_by_accession_number",
    "SeriesInstanceUID": "series_by_uid",
    "SOPInstanceUID": "instance_by_uid_hash",
}

_CHILDREN = {Level.STUDY: "studies", Level.SERIES: "series", Level.IMAGE: "instances"}


def counting(level: Level, below: Level) -> str:
    """Return the column of a level's table that counts the served entities of a level below."""
    return f"number_of_{TABLES[level].name}_related_{_CHILDREN[below]}"


def is_folded(attribute: Attribute) -> bool:
    """Return whether the attribute is matched in its folded form, which has its own column."""
    return attribute.vr == "PN"


def is_numeric(attribute: Attribute) -> bool:
    """Return whether the attribute is kept as a number, with `as_sent` beside it."""
    return attribute.vr in NUMERIC_VRS and attribute.source is Source.STORED


def is_uid(attribute: Attribute) -> bool:
    """Return whether the attribute is a UID that is kept packed, or as the number of a small table."""
    return attribute in _SPECIAL


def matched(attribute: Attribute) -> str:
    """Return the SQL expression of the attribute as it is matched: names folded, UIDs packed."""
    suffix = "_folded" if is_folded(attribute) else ""
    return f'{TABLES[attribute.level].name}."{attribute.column}{suffix}"'


def uid_hash(packed_uid: bytes) -> int:
    """Return the hash that instances are found by, signed so that SQLite keeps it in 4 bytes."""
    return signed(zlib.crc32(packed_uid))


def signed(unsigned: int) -> int:
    """Return 32 bits as a signed number; `column & 0xffffffff` is the way back in SQL."""
    return unsigned - 0x1_0000_0000 if unsigned & 0x8000_0000 else unsigned


def uid_text(column: str) -> str:
    """Return the SQL that turns a packed UID into text."""
    return f"rtrim(replace(hex({column}), 'A', '.'), 'F')"


def text(attribute: Attribute) -> str:
    """Return the SQL expression of the attribute as the text that is answered."""
    table = TABLES[attribute.level].name
    if attribute.keyword == "SOPClassUID":
        return "(SELECT uid FROM sop_class WHERE sop_class.id = instance.sop_class)"
    if attribute.keyword == "AvailableTransferSyntaxUID":
        return "(SELECT uid FROM transfer_syntax WHERE transfer_syntax.id = instance.transfer_syntax)"
    column = f'{table}."{attribute.column}"'
    if attribute in _SPECIAL:
        return uid_text(column)
    if is_numeric(attribute):
        return (
            f"CASE WHEN {table}.as_sent IS NULL THEN CAST({column} AS TEXT) ELSE "
            f"coalesce(json_extract({table}.as_sent, '$.{attribute.keyword}'), CAST({column} AS TEXT)) END"
        )
    return f"CAST({column} AS TEXT)" if attribute.vr == "IS" else column


def _columns(table: Table) -> str:
    columns = [f'"{a.column}"' for a in table.stored]
    columns += [f'"{a.column}_folded"' for a in table.stored if is_folded(a)]
    columns += [
        f'"{a.column}"' if a.multi_valued else f'"{a.column}" INTEGER NOT NULL DEFAULT 0'
        for a in table.computed
    ]
    return ", ".join(columns)


_ENTITIES = (
    f"""CREATE TABLE patient (
        id INTEGER PRIMARY KEY, character_set INTEGER NOT NULL, {_columns(TABLES[Level.PATIENT])})""",
    f"""CREATE TABLE study (
        id INTEGER PRIMARY KEY, patient INTEGER NOT NULL REFERENCES patient, study_instance_uid BLOB NOT NULL,
        character_set INTEGER NOT NULL, last_received_at_ms INTEGER NOT NULL, as_sent TEXT,
        {_columns(TABLES[Level.STUDY])})""",
    f"""CREATE TABLE series (
        id INTEGER PRIMARY KEY, study INTEGER NOT NULL REFERENCES study, series_instance_uid BLOB NOT NULL,
        character_set INTEGER NOT NULL, as_sent TEXT, {_columns(TABLES[Level.SERIES])})""",
    f"""CREATE TABLE instance (
        id INTEGER PRIMARY KEY, series INTEGER NOT NULL REFERENCES series, sop_instance_uid BLOB NOT NULL,
        uid_hash INTEGER NOT NULL, version INTEGER NOT NULL, is_served INTEGER NOT NULL,
        sop_class INTEGER NOT NULL, transfer_syntax INTEGER NOT NULL, sender INTEGER NOT NULL,
        character_set INTEGER NOT NULL, received_at_ms INTEGER NOT NULL, file_length INTEGER NOT NULL,
        file_crc32c INTEGER NOT NULL, file_meta_length INTEGER NOT NULL, data_set_crc32c INTEGER NOT NULL,
        as_sent TEXT, {_columns(TABLES[Level.IMAGE])})""",
    "CREATE TABLE spooled (token INTEGER PRIMARY KEY, instance INTEGER NOT NULL REFERENCES instance)",
)
# Small tables of an id and a text that is there once.
_DICTIONARIES = {
    "sop_class": "uid",
    "transfer_syntax": "uid",
    "sender": "ae_title",
    "character_set": "name",
}
# Name, table, columns, and whether they are unique.
_INDEXES = (
    ("patient_by_patient_id", "patient", ("patient_id",), False),
    ("patient_by_name", "patient", ("patient_name_folded",), False),
    ("study_by_uid", "study", ("study_instance_uid",), True),
    ("study_by_patient", "study", ("patient",), False),
    ("study_by_date", "study", ("study_date",), False),
    ("study_by_accession_number", "study", ("accession_number",), False),
    ("series_by_uid", "series", ("series_instance_uid", "study"), True),
    ("series_by_study", "series", ("study",), False),
    ("instance_by_uid_hash", "instance", ("uid_hash",), False),
    ("instance_by_series", "instance", ("series",), False),
    ("spooled_by_instance", "spooled", ("instance",), True),
)
_PARTIAL_INDEX = "CREATE INDEX instance_hidden ON instance (id) WHERE NOT is_served"


def _texts(level: Level) -> str:
    return ", ".join(f'{text(a)} AS "{a.column}"' for a in ATTRIBUTES if a.level is level)


_VIEWS = {
    "patients": f"""SELECT patient.id, {_texts(Level.PATIENT)} FROM patient
        WHERE {TABLES[Level.PATIENT].visible}""",
    "studies": f"""SELECT study.id, patient.patient_id, patient.patient_name,
        datetime(last_received_at_ms / 1000, 'unixepoch') AS last_received, {_texts(Level.STUDY)}
        FROM study JOIN patient ON patient.id = study.patient WHERE {TABLES[Level.STUDY].visible}""",
    "study_series": f"""SELECT series.id, {_texts(Level.SERIES)},
        {uid_text("study_instance_uid")} AS study_instance_uid
        FROM series JOIN study ON study.id = series.study WHERE {TABLES[Level.SERIES].visible}""",
    "instances": f"""SELECT instance.id, {_texts(Level.IMAGE)}, version, is_served,
        {uid_text("series_instance_uid")} AS series_instance_uid,
        {uid_text("study_instance_uid")} AS study_instance_uid,
        (SELECT ae_title FROM sender WHERE sender.id = instance.sender) AS sender,
        datetime(received_at_ms / 1000, 'unixepoch') AS received, file_length,
        printf('%08x', file_crc32c & 0xffffffff) AS file_crc32c,
        printf('%08x', data_set_crc32c & 0xffffffff) AS data_set_crc32c,
        (SELECT token FROM spooled WHERE spooled.instance = instance.id) AS spool_token
        FROM instance JOIN series ON series.id = instance.series JOIN study ON study.id = series.study""",
}


def _create(database: "sqlite_utils.Database") -> None:
    for statement in _ENTITIES:
        database.execute(statement)
    for table, column in _DICTIONARIES.items():
        database.table(table).create({"id": int, column: str}, pk="id", not_null={column})
        database.table(table).create_index([column], f"{table}_by_{column}", unique=True)
    for name, table, columns, unique in _INDEXES:
        database.table(table).create_index(columns, name, unique=unique)
    database.execute(_PARTIAL_INDEX)
    for name, select in _VIEWS.items():
        database.create_view(name, select)


MIGRATIONS = (Migration(1, _create),)
