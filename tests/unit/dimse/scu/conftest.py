"""Endings that do not wait, and a folder in which nothing stray may be left."""

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def short_endings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pacsnode.dimse.association.conversation._ABORT_SECONDS", 0.2)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "got").mkdir()
    yield tmp_path / "got"
    assert [path for path in (tmp_path / "got").iterdir() if path.name.startswith(".")] == [], "nothing stray"
