"""Frames and megabytes (decoded) a second, by transfer syntax, of a 512 by 512 slice in 16 bits, in this process.

Run it from the project's folder: `python -m tests.benchmarks.bench_transcode`
"""

import resource
import sys
import tempfile
import time
from collections.abc import Iterator

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import encapsulate

from pacsnode.dicom import convertible
from pacsnode.transcode.transcoding import Limits, transcode
from tests.transcoded import NATIVE
from tests.unit.transcode.test_transcoding import attributes, image, written

_FRAMES = 50
_SIZE = 512


def slices() -> NDArray[np.uint16]:
    """Return a body with noise, in 12 bits."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[-1 : 1 : _SIZE * 1j, -1 : 1 : _SIZE * 1j]
    body = np.where(x * x + y * y < 0.7, 1000 + 400 * np.sin(9 * x) * np.cos(7 * y), 0)
    noise = rng.normal(0, 12, (_SIZE, _SIZE)) * (body > 0)
    return np.clip(body + noise, 0, 4095).astype(np.uint16)


def stored_syntaxes(cells: NDArray[np.uint16]) -> Iterator[tuple[str, str, bytes]]:
    """Yield name, syntax and data set of images to be decoded that we do not encode."""
    extended = bytes(imagecodecs.jpeg8_encode(cells, level=90, bitspersample=12))
    lossless = bytes(imagecodecs.jpeg8_encode(cells, lossless=True, bitspersample=12))
    htj2k = bytes(imagecodecs.htj2k_encode(cells, reversible=True))
    for name, last, frame in (
        ("JPEG Extended", "51", extended),
        ("JPEG Lossless", "70", lossless),
        ("HTJ2K Lossless", "201", htj2k),
    ):
        value = encapsulate([frame] * _FRAMES)
        yield name, f"1.2.840.10008.1.2.4.{last}", data_set(value, "OB", 16 if last == "201" else 12)


def data_set(value: bytes, vr: str, stored: int = 12) -> bytes:
    """Return a multi-frame image."""
    size = {"Rows": _SIZE, "Columns": _SIZE}
    return written(image(value, vr=vr, frames=_FRAMES, **attributes(16, stored), **size))


def timed(name: str, data: bytes, stored: str, wanted: str) -> bytes:
    """Convert, print how fast, and return the result."""
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as sink:
        source.write(data)
        source.seek(0)
        began = time.perf_counter()
        transcode(source, sink, stored=stored, wanted=wanted, limits=Limits())
        seconds = time.perf_counter() - began
        sink.seek(0)
        result = sink.read()
    megabytes = _FRAMES * _SIZE * _SIZE * 2 / 1e6
    sys.stdout.write(f"{name:34} {_FRAMES / seconds:7.0f} frames/s {megabytes / seconds:7.0f} MB/s\n")
    return result


def main() -> None:
    """Print one line for each way."""
    cells = slices()
    native = data_set(cells.tobytes() * _FRAMES, "OW")
    warm = native
    for name, syntax in (
        ("RLE Lossless", convertible.RLE_LOSSLESS),
        ("JPEG-LS Lossless", convertible.JPEG_LS_LOSSLESS),
        ("JPEG 2000 Lossless", convertible.JPEG_2000_LOSSLESS),
    ):
        coded = timed(f"encode {name} (verified)", warm, NATIVE, syntax)
        timed(f"decode {name}", coded, syntax, NATIVE)
    for name, syntax, coded in stored_syntaxes(cells):
        timed(f"decode {name}", coded, syntax, NATIVE)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(
        f"peak memory {peak:.0f} MiB, of which {len(native) * 4 >> 20} are what this program holds\n"
    )


if __name__ == "__main__":
    main()
