"""Decoders that are not ours, as programs: DCMTK's, GDCM's and OpenJPEG's, each on a file of its own.

What they wrote is compared by value: cells are read with the sign and the bits that their data set states,
colours by pixel, and YBR as the RGB that it means (PS3.3 C.7.6.3.1.2).
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from pacsnode.dicom import convertible
from tests.interop.dcmtk import tool

Samples = NDArray[np.int64]  # frames, rows, columns, samples

_SECONDS = 60.0


def samples(data_set: Dataset) -> Samples:
    """Return the samples of native Pixel Data."""
    allocated, frames = data_set.BitsAllocated, int(data_set.get("NumberOfFrames") or 1)
    rows, columns, count = data_set.Rows, data_set.Columns, data_set.SamplesPerPixel
    size = frames * rows * columns * count * allocated // 8
    flat = np.frombuffer(data_set.PixelData[:size], f"<u{allocated // 8}").astype(np.int64)
    if count > 1 and data_set.PlanarConfiguration == 1:
        cells = flat.reshape(frames, count, rows, columns).transpose(0, 2, 3, 1)
    else:
        cells = flat.reshape(frames, rows, columns, count)
    return _as_rgb(_signed(cells, data_set), data_set.PhotometricInterpretation)


def _signed(cells: Samples, data_set: Dataset) -> Samples:
    if not data_set.PixelRepresentation:
        return cells
    sign = 1 << (data_set.BitsStored - 1)
    return ((cells & (2 * sign - 1)) ^ sign) - sign


def _as_rgb(cells: Samples, photometric: str) -> Samples:
    if not photometric.startswith("YBR_FULL"):
        return cells
    y, b, r = cells[..., 0], cells[..., 1] - 128, cells[..., 2] - 128
    rgb = np.stack([y + 1.402 * r, y - 0.344136 * b - 0.714136 * r, y + 1.772 * b], axis=-1)
    return np.clip(np.rint(rgb), 0, 255).astype(np.int64)


def others(path: Path, transfer_syntax: str, work: Path) -> Iterator[tuple[str, Samples]]:
    """Yield the samples of the file as other decoders read them, with their names."""
    for name, command in _programs(path, transfer_syntax, work / "other.dcm"):
        (work / "other.dcm").unlink(missing_ok=True)
        ran = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False)
        if ran.returncode == 0 and (work / "other.dcm").exists():
            yield name, samples(pydicom.dcmread(work / "other.dcm", force=True))
    if transfer_syntax in convertible.JPEG_2000:
        yield "openjpeg", _by_openjpeg(path, work)


def _programs(path: Path, transfer_syntax: str, out: Path) -> Iterator[tuple[str, list[str]]]:
    yield "gdcm", [tool("gdcmconv"), "--raw", str(path), str(out)]
    if transfer_syntax in convertible.JPEG:
        yield "dcmtk", [tool("dcmdjpeg"), str(path), str(out)]
    elif transfer_syntax in convertible.JPEG_LS:
        yield "dcmtk", [tool("dcmdjpls"), str(path), str(out)]
    elif transfer_syntax == convertible.RLE_LOSSLESS:
        yield "dcmtk", [tool("dcmdrle"), str(path), str(out)]


def _by_openjpeg(path: Path, work: Path) -> Samples:
    """Decode with opj_decompress to raw files, which are big endian and by plane."""
    data_set = pydicom.dcmread(path, force=True)
    frames = []
    count = int(data_set.get("NumberOfFrames") or 1)
    for frame in pydicom.encaps.generate_frames(data_set.PixelData, number_of_frames=count):
        codestream = frame[frame.find(b"\xff\x4f\xff\x51") :]
        (work / "frame.j2k").write_bytes(codestream)
        command = [tool("opj_decompress"), "-i", work / "frame.j2k", "-o", work / "frame.rawl", "-quiet"]
        subprocess.run(command, check=True, capture_output=True, timeout=_SECONDS)
        depth = codestream[42]
        kind = ("i" if depth > 0x7F else "u") + str(((depth & 0x7F) + 8) // 8)
        flat = np.frombuffer((work / "frame.rawl").read_bytes(), "<" + kind).astype(np.int64)
        planes = flat.reshape(data_set.SamplesPerPixel, data_set.Rows, data_set.Columns)
        if depth > 0x7F:  # written in as many bits as it has
            sign = 1 << (depth & 0x7F)
            planes = ((planes & (2 * sign - 1)) ^ sign) - sign
        frames.append(planes.transpose(1, 2, 0))
    decoded = np.stack(frames)
    return decoded if depth > 0x7F else _signed(decoded, data_set)
