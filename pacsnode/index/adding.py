"""Adding an instance: what is known of its UID, what the policy says, its row.

Everything here runs inside the writer's transaction, which makes the decision on duplicates and the row one
step.
"""

import sqlite3

from pacsnode.dicom.attributes import Catalogue, Level
from pacsnode.dicom.uid import packed
from pacsnode.dicom.zones import ZONES
from pacsnode.duplicates import DuplicatePolicy
from pacsnode.index import schema
from pacsnode.index.base import Added, Adding, Arrival, Located
from pacsnode.index.columns import COLUMNS, Value, columns_of
from pacsnode.index.commons import Commons
from pacsnode.index.dictionaries import Dictionaries
from pacsnode.index.entities import Entities
from pacsnode.index.sql import LOCATED, UPWARDS

_OWN = (
    "series, sop_instance_uid, uid_hash, version, is_served, sop_class, transfer_syntax, sender, "
    "character_set, received_at_ms, file_length, file_crc32c, file_meta_length, data_set_crc32c, "
    "common, timezone_offset_from_utc"
)
_MARKS = ", ".join("?" * len(_OWN.split(", ")))
_NAMES, _VALUES = COLUMNS[Level.IMAGE].names, COLUMNS[Level.IMAGE].marks
_INSERT = f"INSERT INTO instance ({_OWN}, {_NAMES}) VALUES ({_MARKS}, {_VALUES})"
_SPOOL = "INSERT INTO spooled (token, instance) VALUES (?, ?)"
_IS_KNOWN = "SELECT 1 FROM instance WHERE uid_hash = ? AND sop_instance_uid = ? LIMIT 1"
_VERSIONS = f"""SELECT instance.is_served, {LOCATED} FROM instance {UPWARDS}
    WHERE instance.uid_hash = ? AND instance.sop_instance_uid = ? ORDER BY instance.version"""
_NEW = Added(Adding.NEW)


class Additions:
    """The one who adds; `forget` as in `Entities`."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._dictionaries = Dictionaries()
        self._entities = Entities(self._dictionaries, catalogue)
        self._commons = Commons()
        self._image = columns_of(catalogue)[Level.IMAGE]

    def forget(self) -> None:
        """Read everything anew from now on."""
        self._dictionaries.forget()
        self._commons.forget()
        self._entities.forget()

    def outdated(self) -> None:
        """Read anew what another process may have changed. A number once given to a text is not."""
        self._entities.forget()

    def add(
        self,
        connection: sqlite3.Connection,
        arrival: Arrival,
        policy: DuplicatePolicy,
        known_different: frozenset[int],
    ) -> Added:
        """Do what `Index.add` promises."""
        uid = packed(arrival.header.sop_instance_uid)
        if connection.execute(_IS_KNOWN, (schema.uid_hash(uid), uid)).fetchone() is None:
            self._insert(connection, arrival, uid, version=0, is_served=True)
            return _NEW
        rows = connection.execute(_VERSIONS, (schema.uid_hash(uid), uid)).fetchall()
        versions = tuple(Located(*row[1:]) for row in rows)
        if any(version.token == arrival.token for version in versions):
            return Added(Adding.ALREADY, versions)
        if any(version.instance_id not in known_different for version in versions):
            return Added(Adding.COMPARE, versions)
        if policy in (DuplicatePolicy.KEEP_FIRST, DuplicatePolicy.REFUSE):
            return Added(Adding.REFUSED, versions)
        is_served = policy is DuplicatePolicy.REPLACE
        for row in rows if is_served else ():
            if row[0]:
                self._entities.hide(connection, row[1])
        self._insert(connection, arrival, uid, version=versions[-1].version + 1, is_served=is_served)
        return Added(Adding.VERSION_SERVED if is_served else Adding.VERSION_KEPT, versions)

    def _insert(
        self, connection: sqlite3.Connection, arrival: Arrival, uid: bytes, *, version: int, is_served: bool
    ) -> None:
        header, entities, dictionaries = arrival.header, self._entities, self._dictionaries
        series = entities.series_of(connection, arrival)
        timezone = header.values.get(ZONES[Level.IMAGE].keyword)
        row: list[Value] = [
            series.id,
            uid,
            schema.uid_hash(uid),
            version,
            is_served,
            dictionaries.sop_class(connection, header.sop_class_uid),
            dictionaries.transfer_syntax(connection, arrival.transfer_syntax_uid),
            dictionaries.sender(connection, arrival.calling_ae_title),
            dictionaries.character_set(connection, header.character_sets),
            arrival.received_at_ms,
            arrival.file_length,
            schema.signed(arrival.file_crc32c),
            arrival.file_length - arrival.data_set_length,
            schema.signed(arrival.data_set_crc32c),
            self._commons.number(connection, header.values),
            None if timezone == series.timezone else timezone,
            *self._image.row(header.values),
        ]
        instance_id = connection.execute(_INSERT, row).lastrowid
        connection.execute(_SPOOL, (arrival.token, instance_id))
        if is_served:
            entities.serve(connection, series, arrival)
