"""What is wrong with a file is found before it is opened for writing, and looking changes nothing."""

import contextlib
import os
import re
import shutil
import sqlite3
from pathlib import Path

import pytest

from pacsnode.state import checks
from pacsnode.state.checks import Examined, examined
from pacsnode.state.sqlite import SqliteState
from tests.unit.state.damage import DAMAGES, PAGE, content, event, fill


@pytest.fixture
def path(tmp_path: Path) -> Path:
    fill(tmp_path / "state.db")
    return tmp_path / "state.db"


def test_a_file_in_order_has_its_revision(path: Path) -> None:
    for everything in (False, True):
        for alone in (False, True):
            assert examined(path, everything=everything, alone=alone) == Examined(None, 2)


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_is_found_and_left_alone(path: Path, kind: str) -> None:
    damage, expected = DAMAGES[kind]
    damage(path)
    before = content(path.parent)
    for everything in (False, True):
        trouble = examined(path, everything=everything).trouble
        assert trouble is not None
        assert re.search(expected, trouble)
        assert str(path) in trouble
    assert content(path.parent) == before


def test_a_wal_is_read_and_left_alone(path: Path, tmp_path: Path) -> None:
    """As after a crash: what is committed is in the WAL only."""
    state = SqliteState(path)
    state._database._writer._connection.execute("PRAGMA wal_autocheckpoint = 0")
    state._database.checkpoint = lambda *_: True  # type: ignore[method-assign]
    state.record([event(9999)])
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    for name in ("state.db", "state.db-wal"):
        shutil.copy(tmp_path / name, crashed / name)
    state.close()
    before = content(crashed)
    assert before["state.db-wal"]
    assert examined(crashed / "state.db", everything=True) == Examined(None, 3)
    assert content(crashed) == before


def test_a_large_file_is_read_whole_only_when_asked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "CHECKED_BYTES", 1)
    with path.open("r+b") as file:
        file.seek(-PAGE, os.SEEK_END)
        file.write(b"\xff" * PAGE)
    assert examined(path, everything=False).trouble is None
    assert examined(path, everything=True).trouble is not None


def test_a_name_with_characters_that_mean_something_in_a_uri(tmp_path: Path) -> None:
    folder = tmp_path / "a?b#c%20 d"
    folder.mkdir()
    fill(folder / "state.db", events=1)
    assert examined(folder / "state.db", everything=True).trouble is None


def test_a_state_without_its_row_is_damaged(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DELETE FROM node")
    assert "no revision" in str(examined(path, everything=False).trouble)
