"""The real DICOM files that tests use in place, beside the project (`../shared/corpus`)."""

import csv
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pydicom
import pytest
from pydicom.multival import MultiValue

from tests.canary import watch_for

ROOT = Path(__file__).resolve().parent.parent.parent / "shared" / "corpus"


@dataclass(frozen=True)
class CorpusFile:
    """One file of the corpus and its row in MANIFEST.tsv."""

    path: Path
    sop_class: str
    transfer_syntax: str
    character_set: str
    flags: frozenset[str]


# Attributes of the Patient module and of the request that name or number a person (PS3.3 C.7.1.1, C.7.2.1).
_PERSONAL = (
    "PatientName",
    "PatientID",
    "OtherPatientIDs",
    "OtherPatientNames",
    "PatientAddress",
    "AccessionNumber",
)


def corpus_files() -> list[CorpusFile]:
    """Return all files of the corpus; skips the test without it, but fails in CI."""
    manifest = ROOT / "MANIFEST.tsv"
    if not manifest.exists():
        if os.environ.get("CI"):
            pytest.fail(f"{manifest} is missing: in CI the corpus is not optional")
        pytest.skip(f"needs the corpus at {ROOT}")
    files = _files(manifest)
    _watch_for_patients(tuple(file.path for file in files))
    return files


@cache
def _watch_for_patients(paths: tuple[Path, ...]) -> None:
    """Let no log name a patient of these files; those that pydicom cannot read name nobody that it knows."""
    for path in paths:
        try:
            found = pydicom.dcmread(path, force=True, stop_before_pixels=True, specific_tags=list(_PERSONAL))
            watch_for(str(value) for keyword in _PERSONAL for value in _values_of(found, keyword))
        except Exception:
            continue


def _values_of(data_set: pydicom.Dataset, keyword: str) -> list[object]:
    value = data_set.get(keyword) or []
    return list(value) if isinstance(value, MultiValue) else [value]


def _files(manifest: Path) -> list[CorpusFile]:
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
