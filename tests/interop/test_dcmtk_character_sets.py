"""DCMTK's dcmconv as an oracle: what is written in each character set, and what is read from it.

It converts with the iconv of the C library, whose tables are none of Python's. It knows neither ISO_IR 203 nor
`ISO 2022 IR n` as the only value, and does not notice the escape sequences that follow ISO IR 58; with the C library's
iconv it lacks ISO IR 87 and 159.
"""

import subprocess
from pathlib import Path

import pytest
from pydicom import dcmread

from pacsnode.dicom import charset
from tests.character_sets import REPERTOIRES, sample
from tests.factories import Sample
from tests.interop import dcmtk
from tests.unit.dicom.headers import element, item, sequence

_UNKNOWN = {"ISO_IR 203", "ISO 2022 IR 203"}
_NEEDS_ANOTHER_LIBRARY = {"ISO 2022 IR 87", "ISO 2022 IR 159"}


def _can(sets: tuple[str, ...]) -> bool:
    is_only_value = len(sets) == 1 and "2022" in sets[0]
    is_lost = "ISO 2022 IR 58" in sets and sets[0] != ""
    return not (is_only_value or is_lost or (_UNKNOWN | _NEEDS_ANOTHER_LIBRARY) & set(sets))


_KNOWN = [sets for sets in REPERTOIRES if _can(sets)]
_WITHOUT_CODE_EXTENSIONS = [sets for sets in _KNOWN if len(sets) == 1]


def _names(sets: tuple[str, ...]) -> list[str]:
    return [f"{text[:6]}^{text[6:]}={text}" for text in sample(sets)]


def _file(path: Path, sets: tuple[str, ...], names: list[str]) -> Path:
    """Write a file with a person name in each item of a sequence, (0008,1120)."""
    items = b""
    for name in names:
        raw = charset.encode(name, "PN", sets)
        assert raw is not None
        items += item(element(0x00100010, "PN", raw + b" " * (len(raw) & 1)), undefined=False)
    said = "\\".join(sets).encode()
    value = sequence(0x00081120, items, undefined=False)[12:]
    path.write_bytes(
        Sample(more=((0x00080005, "CS", said + b" " * (len(said) & 1)), (0x00081120, "SQ", value))).file
    )
    return path


def _converted(path: Path, *options: str) -> Path:
    out = path.with_suffix(".out")
    done = subprocess.run(
        [dcmtk.tool("dcmconv"), *options, path, out], capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr.decode("latin-1")
    return out


def _raw_names(path: Path) -> list[bytes]:
    return [one.get_item(0x00100010).value.rstrip(b" ") for one in dcmread(path)[0x00081120]]


@pytest.mark.parametrize("sets", _KNOWN, ids="\\".join)
def test_dcmtk_reads_what_is_written(tmp_path: Path, sets: tuple[str, ...]) -> None:
    names = _names(sets)
    converted = _converted(_file(tmp_path / "in.dcm", sets, names), "+U8")
    assert [raw.decode() for raw in _raw_names(converted)] == [name.rstrip() for name in names]


@pytest.mark.parametrize("sets", _WITHOUT_CODE_EXTENSIONS, ids="\\".join)
def test_what_dcmtk_writes_is_read(tmp_path: Path, sets: tuple[str, ...]) -> None:
    names = _names(sets)
    converted = _converted(_file(tmp_path / "in.dcm", ("ISO_IR 192",), names), "+C", *sets)
    assert [charset.decode(raw, "PN", sets) for raw in _raw_names(converted)] == [
        name.rstrip() for name in names
    ]
