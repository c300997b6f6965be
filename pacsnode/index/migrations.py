"""From one version of the index to the next. A file of an older version keeps its content.

What an older version did not read is empty in its rows, until a rebuild of the index reads the objects again.
A later change of the attribute table needs a further version that does what version 2 does: add what is missing.
"""

from functools import partial
from typing import TYPE_CHECKING

from pacsnode.database import Migration
from pacsnode.dicom.attributes import Attribute, Level
from pacsnode.index import lookups, version_1
from pacsnode.index.columns import as_folded
from pacsnode.index.schema import TABLES, Table, common, is_folded
from pacsnode.index.views import VIEWS

if TYPE_CHECKING:
    import sqlite3

    import sqlite_utils

_OF_IMAGE = ("common INTEGER", "timezone_offset_from_utc")
_COMMON = "CREATE TABLE IF NOT EXISTS image_common (id INTEGER PRIMARY KEY, content_hash INTEGER NOT NULL)"
_COMMON_INDEX = "CREATE INDEX IF NOT EXISTS image_common_by_hash ON image_common (content_hash)"


def _add_what_is_missing(database: "sqlite_utils.Database") -> None:
    """Add the columns of the attribute table that the file does not have, and make the views anew."""
    for name in VIEWS:
        database.execute(f"DROP VIEW IF EXISTS {name}")
    for level, table in TABLES.items():
        further = _OF_IMAGE if level is Level.IMAGE else ()
        _add(database, table.name, (*_columns(table.stored), "extra TEXT", *further))
    database.execute(_COMMON)
    database.execute(_COMMON_INDEX)
    _add(database, "image_common", _columns(common()))
    for name, select in VIEWS.items():
        database.create_view(name, select)
    for table in TABLES.values():
        _fold_anew(database.conn, table)


def _columns(attributes: tuple[Attribute, ...]) -> tuple[str, ...]:
    folded = tuple(f'"{one.column}_folded"' for one in attributes if is_folded(one))
    return (*(f'"{one.column}"' for one in attributes), *folded)


def _add(database: "sqlite_utils.Database", table: str, columns: tuple[str, ...]) -> None:
    known = {name for (name,) in database.execute(f"SELECT name FROM pragma_table_xinfo('{table}')")}
    for column in columns:
        if column.split()[0].strip('"') not in known:
            database.execute(f"ALTER TABLE {table} ADD COLUMN {column}")


def _fold_anew(connection: "sqlite3.Connection", table: Table) -> None:
    """Fold names as this version does: without accents and width. Plain ASCII stays as it was."""
    for attribute in filter(is_folded, table.stored):
        lookups.fill(connection, attribute, "_folded", partial(as_folded, attribute))


MIGRATIONS = (
    Migration(1, version_1.create),
    Migration(2, _add_what_is_missing),
    lookups.MIGRATION,
)
