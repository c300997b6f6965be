"""An index file of an older version keeps its content and is searched like a new one."""

import contextlib
from pathlib import Path

from pacsnode.database import Database
from pacsnode.index.migrations import MIGRATIONS

_PATIENT = """INSERT INTO patient (character_set, patient_id, patient_name, patient_name_folded, other_patient_names,
    other_patient_names_folded) VALUES (1, ?, ?, ?, ?, ?)"""
_FOLDED = "SELECT patient_name_folded, other_patient_names_folded FROM patient ORDER BY patient_id"


def test_names_of_version_1_are_folded_anew(tmp_path: Path) -> None:
    """Version 1 folded case alone."""
    path = tmp_path / "index.db"
    with contextlib.closing(Database(path, MIGRATIONS[:1], synchronous="OFF")) as database:
        for row in (
            ("P1", "Müller^Jürgen", "müller^jürgen", "X\\Wałęsa", "x\\wałęsa"),
            ("P2", "ﾔﾏﾀﾞ", "ﾔﾏﾀﾞ", None, None),
            ("P3", "DOE^JOHN", "doe^john", None, None),
        ):
            database.write(lambda connection, row=row: connection.execute(_PATIENT, row))
    with contextlib.closing(Database(path, MIGRATIONS, synchronous="OFF")) as database:
        rows = database.read(_FOLDED)
    assert rows == [("muller^jurgen", "x\\walesa"), ("ヤマダ", None), ("doe^john", None)]
