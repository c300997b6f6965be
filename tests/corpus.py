"""The real DICOM files that tests use in place, beside the project (`../shared/corpus`)."""

import csv
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent / "shared" / "corpus"


@dataclass(frozen=True)
class CorpusFile:
    """One file of the corpus and its row in MANIFEST.tsv."""

    path: Path
    sop_class: str
    transfer_syntax: str
    character_set: str
    flags: frozenset[str]


def corpus_files() -> list[CorpusFile]:
    """Return all files of the corpus; skips the test without it, but fails in CI."""
    manifest = ROOT / "MANIFEST.tsv"
    if not manifest.exists():
        if os.environ.get("CI"):
            pytest.fail(f"{manifest} is missing: in CI the corpus is not optional")
        pytest.skip(f"needs the corpus at {ROOT}")
    with manifest.open(newline="", encoding="utf-8") as lines:
        return [
            CorpusFile(
                ROOT / row["path"],
                row["sop_class"],
                row["transfer_syntax"],
                row["charset"],
                frozenset(filter(None, (row["flags"] or "").split(","))),
            )
            for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        ]
