"""Instances to send: pydicom's CT_small and MR_small with UIDs, patients and sizes of a benchmark's own.

A template is encoded once; each instance of it differs in its SOP Instance UID, which always has 64 characters.
"""

import io
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.data import get_testdata_file
from pydicom.uid import UID

from pacsnode.dicom.uid import EXPLICIT_VR_LITTLE_ENDIAN

_ROOT = "1.2.826.0.1.3680043.8.498."
_UID_CHARACTERS = 64
_TRAILING_PADDING = 0xFFFCFFFC
_BEFORE_META_BYTES = 128 + 4 + 12  # preamble, DICM, group length (PS3.10 7.1)
_PIXEL_DATA = b"\xe0\x7f\x10\x00OW\0\0"


@dataclass(frozen=True)
class Template:
    """A file (PS3.10) of which copies with new UIDs are made."""

    file: bytes
    data_set: bytes
    sop_class_uid: str
    sop_instance_uid: str

    def instance(self) -> tuple[str, bytes]:
        """Return a new SOP Instance UID and the file with it."""
        uid = new_uid()
        return uid, self.file.replace(self.sop_instance_uid.encode(), uid.encode())

    def prologue(self, uid: str, pixel_bytes: int) -> bytes:
        """Return a data set up to its Pixel Data, which are announced to have so many bytes."""
        head, _, _ = self.data_set.partition(_PIXEL_DATA)
        head = head.replace(self.sop_instance_uid.encode(), uid.encode())
        return head + _PIXEL_DATA + pixel_bytes.to_bytes(4, "little")


def new_uid() -> str:
    """Return a UID as long as may be."""
    digits = _UID_CHARACTERS - len(_ROOT)
    return _ROOT + str(random.randrange(10 ** (digits - 1), 10**digits))


def ct512() -> Template:
    """Return a CT slice of 512 x 512, 530 kB."""
    return _template("CT_small.dcm", enlarged=4)


def mr64() -> Template:
    """Return an MR slice of 64 x 64, 10 kB."""
    return _template("MR_small.dcm", enlarged=1)


def write(template: Template, folder: Path, count: int) -> Path:
    """Write instances into a new folder, and return it."""
    folder.mkdir(parents=True)
    for at in range(count):
        (folder / f"{at:06}.dcm").write_bytes(template.instance()[1])
    return folder


def split(template: Template, folder: Path, count: int, parts: int) -> list[Path]:
    """Write instances into `parts` new folders, `count` in all."""
    return [write(template, folder / str(part), count // parts) for part in range(parts)]


def _template(name: str, *, enlarged: int) -> Template:
    path = get_testdata_file(name)
    assert isinstance(path, str)
    ds = pydicom.dcmread(path)
    ds.pop(_TRAILING_PADDING, None)
    ds.PixelData = b"".join(_enlarged(ds.PixelData, ds.Columns, enlarged))
    ds.Rows, ds.Columns = ds.Rows * enlarged, ds.Columns * enlarged
    ds.StudyInstanceUID, ds.SeriesInstanceUID = UID(new_uid()), UID(new_uid())
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID(new_uid())
    ds.file_meta.TransferSyntaxUID = UID(EXPLICIT_VR_LITTLE_ENDIAN)
    whole = io.BytesIO()
    ds.save_as(whole, enforce_file_format=True)
    file = whole.getvalue()
    meta_bytes = _BEFORE_META_BYTES + int.from_bytes(
        file[_BEFORE_META_BYTES - 4 : _BEFORE_META_BYTES], "little"
    )
    return Template(file, file[meta_bytes:], str(ds.SOPClassUID), str(ds.SOPInstanceUID))


def _enlarged(pixels: bytes, columns: int, times: int) -> Iterator[bytes]:
    """Yield the rows of an image of 16 bits a pixel, each pixel and each row so many times."""
    for at in range(0, len(pixels), 2 * columns):
        row = pixels[at : at + 2 * columns]
        wide = b"".join(row[x : x + 2] * times for x in range(0, len(row), 2))
        yield from itertools.repeat(wide, times)
