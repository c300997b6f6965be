"""Tables of the state. Times are milliseconds since 1970; the view is for people.

`custody` has one row for each thing that happened, however often it is found again: `storage verify` run daily
over a damaged object raises `times`. `node` has one row; its revision rises with every write.
"""

from pacsnode.database import Migration

_FIRST = (
    "CREATE TABLE node (revision INTEGER NOT NULL, created_at_ms INTEGER NOT NULL)",
    "INSERT INTO node VALUES (1, CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER))",
    """CREATE TABLE run (
        number INTEGER PRIMARY KEY AUTOINCREMENT, version TEXT NOT NULL,
        started_at_ms INTEGER NOT NULL, ended_at_ms INTEGER)""",
    """CREATE TABLE snapshot (
        number INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL,
        reason TEXT NOT NULL, digest TEXT NOT NULL)""",
    """CREATE TABLE custody (
        number INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, at_ms INTEGER NOT NULL,
        process TEXT NOT NULL, association_id TEXT NOT NULL, sop_instance_uid TEXT NOT NULL,
        name TEXT NOT NULL, detail TEXT NOT NULL,
        times INTEGER NOT NULL DEFAULT 1, last_at_ms INTEGER NOT NULL)""",
    "CREATE UNIQUE INDEX custody_once ON custody (kind, sop_instance_uid, name, process, detail)",
    """CREATE VIEW custody_events AS SELECT
        number, datetime(at_ms / 1000, 'unixepoch') AS at, kind, sop_instance_uid, name, detail,
        process, association_id, times, datetime(last_at_ms / 1000, 'unixepoch') AS last_at
        FROM custody ORDER BY number""",
)

MIGRATIONS = (Migration(1, _FIRST),)
VERSION = MIGRATIONS[-1].version
