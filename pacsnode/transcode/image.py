"""The attributes of an image: what its pixels are, and what they are once converted (PS3.3 C.7.6.3, PS3.5 8).

The codestream says what its samples are, the data set what they mean; where both are stated and differ so
that one of them is wrong, nothing is guessed. Nothing here knows a codec.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from pacsnode.dicom import convertible
from pacsnode.errors import CannotConvert
from pacsnode.transcode.codestreams import CodedFrame, Colour

Elements = Mapping[int, tuple[bytes, bytes]]  # tag: VR and value, little endian
Replaced = dict[int, tuple[str, bytes] | None]  # elements to put, or (None) to leave out

NUMBER_OF_FRAMES = 0x00280008
SAMPLES_PER_PIXEL = 0x00280002
PHOTOMETRIC_INTERPRETATION = 0x00280004
PLANAR_CONFIGURATION = 0x00280006
ROWS = 0x00280010
COLUMNS = 0x00280011
BITS_ALLOCATED = 0x00280100
BITS_STORED = 0x00280101
HIGH_BIT = 0x00280102
PIXEL_REPRESENTATION = 0x00280103
LOSSY_IMAGE_COMPRESSION = 0x00282110
LOSSY_RATIO = 0x00282112
LOSSY_METHOD = 0x00282114
EXTENDED_OFFSET_TABLE = 0x7FE00001
EXTENDED_OFFSET_TABLE_LENGTHS = 0x7FE00002
ENCAPSULATED_TOTAL_LENGTH = 0x7FE00003

_ONLY_ENCAPSULATED = (EXTENDED_OFFSET_TABLE, EXTENDED_OFFSET_TABLE_LENGTHS, ENCAPSULATED_TOTAL_LENGTH)
_MAX_NATIVE_BYTES = 0xFFFFFFFE  # PS3.5 7.1: a length of 32 bits, even
_WHOLE_CELLS = (8, 16, 32)
_SUBSAMPLED = frozenset(("YBR_FULL_422", "YBR_PARTIAL_422", "YBR_PARTIAL_420"))
_TRANSFORMED = frozenset(("YBR_RCT", "YBR_ICT"))
_GREY = frozenset(("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"))


@dataclass(frozen=True, slots=True)
class Limits:
    """What one instance may cost; checked against its header before anything is decoded."""

    max_frame_bytes: int = 512 << 20  # of one frame, decoded; also of one compressed frame
    max_pixel_data_bytes: int = 16 << 30  # of all frames, decoded
    max_frames: int = 1_000_000


@dataclass(frozen=True, slots=True)
class Image:
    """The Image Pixel attributes of a data set, valid and within the limits."""

    rows: int
    columns: int
    samples: int
    frames: int
    allocated: int
    stored: int
    high_bit: int
    is_signed: bool
    is_planar: bool
    photometric: str

    @property
    def frame_bytes(self) -> int:
        """Return the length of one native frame."""
        return self.rows * self.columns * self.samples * self.allocated // 8

    @property
    def total_bytes(self) -> int:
        """Return the length of all native frames, without padding."""
        return self.frame_bytes * self.frames


def read_image(elements: Elements, limits: Limits) -> Image:
    """Return the image that a data set describes; raises `CannotConvert` if it is none or too large."""
    stored = _number(elements, BITS_STORED, _number(elements, BITS_ALLOCATED))
    image = Image(
        rows=_number(elements, ROWS),
        columns=_number(elements, COLUMNS),
        samples=_number(elements, SAMPLES_PER_PIXEL, 1),
        frames=_frames(elements),
        allocated=_number(elements, BITS_ALLOCATED),
        stored=stored,
        high_bit=_number(elements, HIGH_BIT, stored - 1),
        is_signed=_number(elements, PIXEL_REPRESENTATION, 0) == 1,
        is_planar=_number(elements, PLANAR_CONFIGURATION, 0) == 1,
        photometric=_text(elements, PHOTOMETRIC_INTERPRETATION),
    )
    _check(image)
    _check_limits(image, limits)
    return image


def check_frame(image: Image, coded: CodedFrame) -> None:
    """Refuse a codestream that is not the image that the data set describes."""
    if (coded.rows, coded.columns) != (image.rows, image.columns):
        raise CannotConvert(
            f"a coded frame has {coded.rows} rows and {coded.columns} columns, "
            f"the data set says {image.rows} and {image.columns}"
        )
    if coded.samples != image.samples:
        raise CannotConvert(
            f"a coded frame has {coded.samples} samples per pixel, the data set says {image.samples}"
        )
    if coded.precision > image.allocated:
        raise CannotConvert(
            f"a coded frame has {coded.precision} bits a sample, Bits Allocated says {image.allocated}"
        )


def is_coded_as_ybr(image: Image, coded: CodedFrame) -> bool:
    """Return whether the three components of a lossy JPEG are YBR: its own markers go before the data set."""
    if image.samples != 3 or coded.colour is Colour.RGB:
        return False
    return coded.colour is Colour.YBR or image.photometric.startswith("YBR_")


def decoded(image: Image, stored: str, coded: CodedFrame | None) -> Image:
    """Return what the image is once decoded from the syntax `stored`; None is a syntax without codestreams."""
    if coded is None:
        if image.photometric in _SUBSAMPLED | _TRANSFORMED:
            raise CannotConvert(f"{image.photometric} is not for this transfer syntax")
        return image
    image = replace(image, is_planar=False, photometric=_decoded_photometric(image, stored, coded))
    if coded.precision > image.stored:
        if not coded.is_lossy or coded.is_signed != image.is_signed:
            return image  # the coder took whole cells, and whole cells come back
        # A lossy coder may reach beyond what was stored, where fewer bits would turn bright into dark.
        return replace(image, stored=coded.precision, high_bit=coded.precision - 1)
    return replace(image, high_bit=image.stored - 1)


def _decoded_photometric(image: Image, stored: str, coded: CodedFrame) -> str:
    if image.samples == 1:
        return image.photometric
    if stored in convertible.JPEG and coded.is_lossy:
        return "RGB"
    if image.photometric in _TRANSFORMED:
        return "RGB"
    # Each codestream has all its samples here, whatever the data set says of subsampling.
    return "YBR_FULL" if image.photometric in _SUBSAMPLED else image.photometric


def encoded(image: Image, wanted: str) -> Image:
    """Return what a native image is once encoded in the syntax `wanted`; raises `CannotConvert`."""
    if image.allocated not in _WHOLE_CELLS or (image.allocated == 32 and wanted != convertible.RLE_LOSSLESS):
        raise CannotConvert(f"an image with Bits Allocated {image.allocated} is not compressed")
    if image.photometric in _SUBSAMPLED | _TRANSFORMED:
        raise CannotConvert(f"an image that is {image.photometric} is not compressed")
    if wanted == convertible.RLE_LOSSLESS:
        return image
    if wanted == convertible.JPEG_2000_LOSSLESS and image.photometric == "RGB":
        return replace(image, is_planar=False, photometric="YBR_RCT")
    return replace(image, is_planar=False)


def changed_elements(before: Image, after: Image) -> Replaced:
    """Return the elements to put, and those to leave out, where an image becomes another."""
    changes: Replaced = dict.fromkeys(_ONLY_ENCAPSULATED)
    if after.photometric != before.photometric:
        text = after.photometric
        changes[PHOTOMETRIC_INTERPRETATION] = ("CS", text.encode() + b" " * (len(text) % 2))
    if after.samples > 1:
        changes[PLANAR_CONFIGURATION] = ("US", _us(int(after.is_planar)))
    if after.stored != before.stored:
        changes[BITS_STORED] = ("US", _us(after.stored))
    if after.high_bit != before.high_bit:
        changes[HIGH_BIT] = ("US", _us(after.high_bit))
    return changes


def lossy_history(elements: Elements, method: str, native_bytes: int, coded_bytes: int) -> Replaced:
    """Return what says that pixels were compressed with loss (PS3.3 C.7.6.1.1.5), if nothing says it yet.

    While they are, the transfer syntax tells it; once they are decoded nothing else would.
    """
    if _text(elements, LOSSY_IMAGE_COMPRESSION) == "01":
        return {}
    history: Replaced = {LOSSY_IMAGE_COMPRESSION: ("CS", b"01")}
    if LOSSY_RATIO not in elements and LOSSY_METHOD not in elements:
        ratio = f"{native_bytes / max(coded_bytes, 1):.2f}"
        history[LOSSY_RATIO] = ("DS", ratio.encode() + b" " * (len(ratio) % 2))
        history[LOSSY_METHOD] = ("CS", method.encode() + b" " * (len(method) % 2))
    return history


def _check(image: Image) -> None:
    if image.allocated not in _WHOLE_CELLS:
        raise CannotConvert(f"Bits Allocated {image.allocated} is none of 8, 16 and 32")
    if not 0 < image.stored <= image.allocated or not image.stored <= image.high_bit + 1 <= image.allocated:
        raise CannotConvert(
            f"Bits Stored {image.stored} and High Bit {image.high_bit} do not fit Bits Allocated {image.allocated}"
        )
    if not image.rows or not image.columns:
        raise CannotConvert("the image has no rows or no columns")
    is_colour = image.photometric == "RGB" or image.photometric.startswith("YBR_")
    if image.samples not in (1, 3) or (image.photometric in _GREY if image.samples == 3 else is_colour):
        raise CannotConvert(f"Samples per Pixel {image.samples} does not fit the Photometric Interpretation")


def _check_limits(image: Image, limits: Limits) -> None:
    if image.frames > limits.max_frames:
        raise CannotConvert(f"the image has {image.frames} frames; {limits.max_frames} are allowed")
    if image.frame_bytes > limits.max_frame_bytes:
        raise CannotConvert(
            f"a frame has {image.frame_bytes} bytes decoded; {limits.max_frame_bytes} are allowed"
        )
    if image.total_bytes > limits.max_pixel_data_bytes:
        raise CannotConvert(
            f"the image has {image.total_bytes} bytes decoded; {limits.max_pixel_data_bytes} are allowed"
        )


def check_native_length(image: Image) -> None:
    """Refuse what native Pixel Data has no length for."""
    if image.total_bytes > _MAX_NATIVE_BYTES:
        raise CannotConvert(
            f"the image has {image.total_bytes} bytes decoded, too many to be sent uncompressed"
        )


def _frames(elements: Elements) -> int:
    text = _text(elements, NUMBER_OF_FRAMES) or "1"
    if not text.isascii() or not text.isdigit() or len(text) > 12 or int(text) < 1:
        raise CannotConvert("Number of Frames is not a positive number")
    return int(text)


def _number(elements: Elements, tag: int, default: int | None = None) -> int:
    _, value = elements.get(tag, (b"US", b""))
    if len(value) < 2:
        if default is None:
            raise CannotConvert(
                f"the data set has no ({tag >> 16:04X},{tag & 0xFFFF:04X}), which an image needs"
            )
        return default
    return int.from_bytes(value[:2], "little")


def _text(elements: Elements, tag: int) -> str:
    _, value = elements.get(tag, (b"CS", b""))
    return value.split(b"\\")[0].strip(b" \0").decode("ascii", "replace")


def _us(number: int) -> bytes:
    return number.to_bytes(2, "little")
