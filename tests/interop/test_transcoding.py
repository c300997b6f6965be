"""Every compressed file of the corpus decoded, against DCMTK, GDCM and OpenJPEG; attributes against dciodvfy."""

import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pydicom
import pytest

from pacsnode.dicom import convertible
from pacsnode.errors import CannotConvert
from tests.corpus import CorpusFile
from tests.decoders import others, samples
from tests.interop.dcmtk import tool
from tests.transcoded import NATIVE, compressed_files, convert

# Lossy codecs may round differently: no sample by more than this, and all of them by so little in the mean.
_MAX_DIFFERENCE = 2
_MAX_MEAN_DIFFERENCE = 0.1
_LOSSLESS = frozenset(
    "1.2.840.10008.1.2." + last for last in ("5", "4.57", "4.70", "4.80", "4.90", "4.201", "4.202")
)

_DAMAGED = {
    "GH1339.dcm": "ends within an element",
    "JPEG2000-embedded-sequence-delimiter.dcm": "3722445056 columns",
    "SC_rgb_jpeg.dcm": "ends within an element",
}
# Chroma is subsampled, which says YBR, or a JFIF marker does; both programs believe the RGB of the data set and
# show false colours.
_YBR_THAT_SAY_RGB = frozenset(("GH195.dcm", "JPEGBaseline/SC_rgb_jpeg_lossy_gdcm.dcm"))
_NO_OTHER_READS = frozenset(("GH364.dcm",))  # a wrong group length in its File Meta Information
# PS3.3 C.8.5.6 has YBR_FULL for ultrasound with RLE only. Making RGB of it would round, hence lose.
_ONLY_WITH_RLE = frozenset(("ybrFull-RLE.dcm",))
_GDCM_ERRS = frozenset(("SC_rgb_rle_16bit.dcm", "SC_rgb_rle_32bit.dcm"))


def _name(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def _named(path: Path, names: frozenset[str]) -> bool:
    return path.name in names or _name(path) in names


def _checked(file: CorpusFile, work: Path) -> tuple[str, int]:
    """Return the stored syntax and how many other decoders agree."""
    stored = convert(file.path, work / "ours.dcm", NATIVE)
    ours = pydicom.dcmread(work / "ours.dcm", force=True)
    if "PixelData" not in ours or _named(file.path, _YBR_THAT_SAY_RGB | _NO_OTHER_READS):
        return stored, 0
    agreed = 0
    for decoder, theirs in others(file.path, stored, work):
        if decoder == "gdcm" and file.path.name in _GDCM_ERRS:
            continue
        difference = np.abs(samples(ours) - theirs)
        limit = 0 if stored in _LOSSLESS else _MAX_DIFFERENCE
        assert difference.max() <= limit, (file.path, decoder, difference.max())
        assert difference.mean() <= (_MAX_MEAN_DIFFERENCE if limit else 0), (file.path, decoder)
        agreed += 1
    assert agreed, file.path
    return stored, agreed


def test_every_compressed_file_has_the_pixels_that_other_decoders_see(tmp_path: Path) -> None:
    syntaxes: Counter[str] = Counter()
    for file in compressed_files():
        if file.path.name in _DAMAGED:
            with pytest.raises(CannotConvert, match=_DAMAGED[file.path.name]):
                convert(file.path, tmp_path / "ours.dcm", NATIVE)
            continue
        stored, agreed = _checked(file, tmp_path)
        syntaxes[stored] += agreed
    assert all(agreed >= 1 for agreed in syntaxes.values())
    assert len(syntaxes) >= 11


def _errors(path: Path) -> Counter[str]:
    ran = subprocess.run([tool("dciodvfy"), str(path)], capture_output=True, timeout=60, check=False)
    lines = (ran.stderr + ran.stdout).decode("latin-1").splitlines()
    return Counter(line for line in lines if line.startswith("Error"))


@pytest.mark.parametrize("wanted", [NATIVE, *sorted(convertible.ENCODED)])
def test_dciodvfy_finds_no_error_that_the_stored_file_did_not_have(wanted: str, tmp_path: Path) -> None:
    checked, new = 0, {}
    for file in compressed_files():
        if _named(file.path, _NO_OTHER_READS | _ONLY_WITH_RLE):
            continue
        try:
            convert(file.path, tmp_path / "ours.dcm", wanted)
        except CannotConvert:
            continue
        if errors := _errors(tmp_path / "ours.dcm") - _errors(file.path):
            new[file.path.name] = errors
        checked += 1
    assert not new
    assert checked > 70


@pytest.mark.parametrize(
    ("wanted", "program"),
    [
        (convertible.RLE_LOSSLESS, "dcmdrle"),
        (convertible.JPEG_LS_LOSSLESS, "dcmdjpls"),
        (convertible.JPEG_2000_LOSSLESS, "gdcmconv"),
    ],
)
def test_other_decoders_read_what_is_encoded(wanted: str, program: str, tmp_path: Path) -> None:
    read = 0
    for file in compressed_files():
        try:
            convert(file.path, tmp_path / "native.dcm", NATIVE)
            convert(tmp_path / "native.dcm", tmp_path / "coded.dcm", wanted)
        except CannotConvert:
            continue
        native = pydicom.dcmread(tmp_path / "native.dcm", force=True)
        if "PixelData" not in native:
            continue
        names = {"gdcmconv": "gdcm"}
        for decoder, theirs in others(tmp_path / "coded.dcm", wanted, tmp_path):
            if decoder != names.get(program, "dcmtk"):
                continue
            assert np.array_equal(samples(native), theirs), file.path
            read += 1
    assert read > 60
