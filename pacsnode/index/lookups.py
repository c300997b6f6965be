"""What the index is searched by beside the plain columns: version 3 of the schema.

- `study.moment` is what studies are ordered by and found by date: date and time as one text. A study without a date
  has the order of its arrival there, and that comes before every date.
- `patient.patient_id_caseless` and `study.accession_number_caseless` are what these are found by: without regard to
  case. `lower` does that for A to Z; what text has to be compared as beyond that stands in `<column>_other_case`,
  which is NULL where it is the same.
- `patient_name_part` has the parts of a patient's name that an index over the whole name does not find: its words, and
  behind a `=` its component groups from the second on. It may have those of a name that the patient had before.

`moment` and the `_caseless` columns are generated: they take no place but that of their index, and nobody has to
keep them.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from pacsnode.database import Migration
from pacsnode.dicom import charset, names
from pacsnode.dicom.attributes import BY_KEYWORD, Attribute
from pacsnode.dicom.matching import without_case
from pacsnode.index.fragments import NOT_ASCII
from pacsnode.index.schema import INDEX_OF, TABLES

if TYPE_CHECKING:
    import sqlite3

    import sqlite_utils

CASELESS = (BY_KEYWORD["PatientID"], BY_KEYWORD["AccessionNumber"])
_DATE = "[0-9]" * 8
_PART = "INSERT OR IGNORE INTO patient_name_part (part, patient) VALUES (?, ?)"

_CHANGES = (
    f"""ALTER TABLE study ADD COLUMN moment TEXT GENERATED ALWAYS AS (
        CASE WHEN study_date GLOB '{_DATE}' THEN study_date || coalesce(study_time, '')
        ELSE printf('!%019d', id) END) VIRTUAL""",
    "DROP INDEX study_by_date",
    "CREATE INDEX study_by_moment ON study (moment)",
    """CREATE TABLE patient_name_part (part TEXT NOT NULL, patient INTEGER NOT NULL REFERENCES patient,
        PRIMARY KEY (part, patient)) WITHOUT ROWID""",
)


def caseless(attribute: Attribute) -> str:
    """Return the column of an attribute of `CASELESS` that is without regard to case."""
    return f"{attribute.column}_caseless"


def other_case(text: str) -> str | None:
    """Return what `<column>_other_case` holds for a text."""
    if text.isascii():
        return None
    folded = without_case(text)
    return None if folded == _lower(text) else folded


def _lower(text: str) -> str:
    """Return what SQLite's `lower` gives."""
    return "".join(char.lower() if char.isascii() else char for char in text)


def parts(name: str) -> list[str]:
    """Return the parts of a patient's name for `patient_name_part`."""
    groups = charset.folded(name).split("=")[1:] if "=" in name else []
    return [*names.words(name), *(f"={group}" for group in groups if group)]


def keep_parts(connection: "sqlite3.Connection", patient: int, name: str) -> None:
    """Let a patient be found by the parts of a name."""
    connection.executemany(_PART, [(part, patient) for part in parts(name)])


def _change(database: "sqlite_utils.Database") -> None:
    for statement in _CHANGES:
        database.execute(statement)
    for attribute in CASELESS:
        for statement in _caseless_column(attribute):
            database.execute(statement)
        fill(database.conn, attribute, "_other_case", other_case)
    for patient, name in database.conn.execute(_NAMES).fetchall():
        keep_parts(database.conn, patient, name)


_NAMES = "SELECT id, patient_name FROM patient WHERE patient_name IS NOT NULL"


def _caseless_column(attribute: Attribute) -> tuple[str, ...]:
    table, column, index = TABLES[attribute.level].name, attribute.column, INDEX_OF[attribute.keyword]
    return (
        f"ALTER TABLE {table} ADD COLUMN {column}_other_case TEXT",
        f"""ALTER TABLE {table} ADD COLUMN {caseless(attribute)} TEXT GENERATED ALWAYS AS (
            coalesce({column}_other_case, lower({column}))) VIRTUAL""",
        f"DROP INDEX {index}",
        f"CREATE INDEX {index} ON {table} ({caseless(attribute)})",
    )


def fill(
    connection: "sqlite3.Connection", attribute: Attribute, suffix: str, make: Callable[[str], str | None]
) -> None:
    """Make the column beside an attribute's anew for all texts that are not ASCII."""
    table, column = TABLES[attribute.level].name, attribute.column
    rows = connection.execute(f"SELECT id, {column} FROM {table} WHERE {column} GLOB ?", (NOT_ASCII,))
    made = [(make(text), row_id) for row_id, text in rows.fetchall()]
    connection.executemany(f"UPDATE {table} SET {column}{suffix} = ? WHERE id = ?", made)


MIGRATION = Migration(3, _change)
