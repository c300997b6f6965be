"""The codecs: one coded frame to an array of cells and back (PS3.5 8.2).

imagecodecs (libjpeg-turbo, CharLS, OpenJPEG; all permissive) reads everything, 12 and 16 bits included;
pyjpegls writes JPEG-LS, since it codes Bits Stored and not whole cells. Both are imported when first needed,
in the child program only. None of them is asked before `codestreams` has read what it is to expect.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from struct import Struct, error
from typing import TYPE_CHECKING, Any

from pacsnode.dicom import convertible
from pacsnode.errors import CannotConvert
from pacsnode.transcode.codestreams import CodedFrame, jpeg_2000_frame, jpeg_frame
from pacsnode.transcode.image import Image, is_coded_as_ybr

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Cells = NDArray[np.unsignedinteger[Any]]  # rows, columns, samples

_MISSING = "the codecs for this conversion are not installed: pip install 'pacsnode[images]'"
_RLE_HEADER = Struct("<16I")
_METHODS = {"jpeg": "ISO_10918_1", "jpegls": "ISO_14495_1", "j2k": "ISO_15444_1", "htj2k": "ISO_15444_15"}


@dataclass(frozen=True, slots=True)
class Decoder:
    """How one transfer syntax is read. `header` is None where a frame has none that says what it holds."""

    header: Callable[[bytes], CodedFrame] | None
    decode: "Callable[[bytes, Image, CodedFrame | None], Cells]"
    method: str = ""  # of a loss (PS3.3 C.7.6.1.1.5.1)


def decoder(transfer_syntax: str) -> Decoder:
    """Return the decoder of an encapsulated transfer syntax that `convertible` lists."""
    if transfer_syntax == convertible.RLE_LOSSLESS:
        return Decoder(None, _decode_rle)
    if transfer_syntax == convertible.ENCAPSULATED_UNCOMPRESSED:
        return Decoder(None, _decode_native)
    if transfer_syntax in convertible.JPEG:
        return Decoder(jpeg_frame, _decode_jpeg, _METHODS["jpeg"])
    if transfer_syntax in convertible.JPEG_LS:
        return Decoder(jpeg_frame, _decode_jpeg_ls, _METHODS["jpegls"])
    is_htj2k = transfer_syntax in convertible.HTJ2K
    return Decoder(jpeg_2000_frame, _decode_jpeg_2000, _METHODS["htj2k" if is_htj2k else "j2k"])


def encode(cells: "Cells", image: Image, wanted: str) -> bytes:
    """Return a frame of `image` in the lossless syntax `wanted`, after it has been decoded and compared."""
    coded = _ENCODERS[wanted](cells, image)
    reader = decoder(wanted)
    header = reader.header(coded) if reader.header else None
    again = reader.decode(coded, image, header)
    if not _is_same(cells, again, image):
        raise CannotConvert("a frame does not come back from the coder as it was")
    return coded


def native_cells(frame: bytes, image: Image) -> "Cells":
    """Return the cells of a native frame, little endian."""
    numpy = _numpy()
    flat = numpy.frombuffer(frame, _cell_type(image))
    if image.is_planar:
        planes: Cells = flat.reshape(image.samples, image.rows, image.columns).transpose(1, 2, 0)
        return planes
    pixels: Cells = flat.reshape(image.rows, image.columns, image.samples)
    return pixels


def native_bytes(cells: "Cells", image: Image) -> bytes:
    """Return a native frame, little endian, its colours by plane or by pixel as `image` has them."""
    ordered = cells.transpose(2, 0, 1) if image.is_planar else cells
    return ordered.astype(_cell_type(image), copy=False).tobytes()


def _decode_native(data: bytes, image: Image, _coded: CodedFrame | None) -> "Cells":
    if len(data) not in (image.frame_bytes, image.frame_bytes + image.frame_bytes % 2):
        raise CannotConvert(f"a frame has {len(data)} bytes, its image takes {image.frame_bytes}")
    return native_cells(data[: image.frame_bytes], image)


def _decode_rle(data: bytes, image: Image, _coded: CodedFrame | None) -> "Cells":
    """Put a frame together from its byte planes, the most significant of each sample first (PS3.5 G.2)."""
    numpy, packbits_decode = _numpy(), _imagecodecs("packbits").packbits_decode
    cell_bytes = image.allocated // 8
    out = numpy.empty((image.rows, image.columns, image.samples, cell_bytes), numpy.uint8)
    plane_bytes = image.rows * image.columns
    for number, segment in enumerate(_segments(data, image.samples * cell_bytes)):
        plane = _called(packbits_decode, segment, out=numpy.empty(plane_bytes, numpy.uint8))
        if plane.size != plane_bytes:
            raise CannotConvert(f"an RLE segment has {plane.size} bytes, its plane takes {plane_bytes}")
        sample, significance = divmod(number, cell_bytes)
        out[:, :, sample, cell_bytes - 1 - significance] = plane.reshape(image.rows, image.columns)
    cells: Cells = out.view(_cell_type(image))[..., 0]
    return cells


def _segments(data: bytes, expected: int) -> list[bytes]:
    try:
        count, *offsets = _RLE_HEADER.unpack_from(data)
    except error:
        raise CannotConvert("an RLE frame ends within its header") from None
    if count != expected:
        raise CannotConvert(f"an RLE frame has {count} segments, its image takes {expected}")
    bounds = [*offsets[:count], len(data)]
    if bounds[0] < _RLE_HEADER.size or bounds != sorted(bounds):
        raise CannotConvert("an RLE frame has segments outside of it")
    return [data[start:end] for start, end in pairwise(bounds)]


def _decode_jpeg(data: bytes, image: Image, coded: CodedFrame | None) -> "Cells":
    assert coded
    colours: dict[str, str] = {}
    if image.samples == 3:
        # Both alike: the components as they are, which is right for all that is lossless (PS3.5 8.2.1).
        is_ybr = coded.is_lossy and is_coded_as_ybr(image, coded)
        colours = {"colorspace": "YCBCR" if is_ybr else "RGB", "outcolorspace": "RGB"}
    return _cells(_called(_imagecodecs("jpeg8").jpeg8_decode, data, **colours), image, coded)


def _decode_jpeg_ls(data: bytes, image: Image, coded: CodedFrame | None) -> "Cells":
    assert coded
    return _cells(_called(_imagecodecs("jpegls").jpegls_decode, data), image, coded)


def _decode_jpeg_2000(data: bytes, image: Image, coded: CodedFrame | None) -> "Cells":
    assert coded
    codestream = data[coded.start :] if coded.start else data
    return _cells(_called(_imagecodecs("jpeg2k").jpeg2k_decode, codestream, numthreads=1), image, coded)


def _cells(samples: Any, image: Image, coded: CodedFrame) -> "Cells":
    """Return samples as cells of Bits Allocated, their signs as Pixel Representation has it.

    A coder that knows no signs, or did not use them, took the bits of negative numbers as they were: these
    are the bits that count, so the sign is spread over the cell again, or cut off.
    """
    numpy = _numpy()
    if samples.shape not in ((image.rows, image.columns), (image.rows, image.columns, image.samples)):
        raise CannotConvert("a frame is decoded to another size than its header says")
    signed = numpy.dtype(f"<i{image.allocated // 8}")
    cells = samples.reshape(image.rows, image.columns, image.samples)
    spare = image.allocated - coded.precision
    if image.is_signed and not coded.is_signed and coded.precision == image.stored and spare:
        cells = (cells.astype(signed) << spare) >> spare
    elif coded.is_signed and not image.is_signed:
        cells = cells.astype(signed) & ((1 << coded.precision) - 1)
    return cells.astype(signed, copy=False).view(_cell_type(image))  # type: ignore[no-any-return]


def _encode_rle(cells: "Cells", image: Image) -> bytes:
    numpy, packbits_encode = _numpy(), _imagecodecs("packbits").packbits_encode
    cell_bytes = image.allocated // 8
    planes = numpy.ascontiguousarray(cells).view(numpy.uint8)
    planes = planes.reshape(image.rows, image.columns, image.samples, cell_bytes)
    segments = []
    for sample in range(image.samples):
        for byte in reversed(range(cell_bytes)):
            plane = numpy.ascontiguousarray(planes[:, :, sample, byte])
            segment = bytes(packbits_encode(plane, axis=-1))  # each row for itself (PS3.5 G.3.1)
            segments.append(segment + b"\0" * (len(segment) % 2))
    offsets = [_RLE_HEADER.size]
    for segment in segments:
        offsets.append(offsets[-1] + len(segment))
    header = [len(segments), *offsets[:-1]]
    return _RLE_HEADER.pack(*header, *[0] * (16 - len(header))) + b"".join(segments)


def _encode_jpeg_ls(cells: "Cells", image: Image) -> bytes:
    jpeg_ls = _imported("jpeg_ls")
    precision = max(_precision(cells, image), 2)
    samples = cells & ((1 << precision) - 1) if precision < image.allocated else cells
    if image.is_signed and image.samples == 3:
        raise CannotConvert("a colour image with signed samples is not compressed")
    coded = _compressed(
        jpeg_ls.encode_pixel_data,
        samples.astype(_cell_type(image), copy=False).tobytes(),
        rows=image.rows,
        columns=image.columns,
        samples_per_pixel=image.samples,
        bits_stored=precision,
        planar_configuration=0,
    )
    return bytes(coded)


def _encode_jpeg_2000(cells: "Cells", image: Image) -> bytes:
    numpy = _numpy()
    kind = "i" if image.is_signed else "u"
    samples = cells.view(numpy.dtype(f"<{kind}{image.allocated // 8}"))
    precision = _precision(cells, image)
    if image.is_signed and precision < image.allocated:
        spare = image.allocated - precision
        samples = (samples << spare) >> spare
    coded = _compressed(
        _imagecodecs("jpeg2k").jpeg2k_encode,
        numpy.ascontiguousarray(samples if image.samples > 1 else samples[:, :, 0]),
        codecformat="j2k",
        reversible=True,
        bitspersample=precision,
        mct=image.photometric == "YBR_RCT",
        numthreads=1,
    )
    return bytes(coded)


_ENCODERS: "dict[str, Callable[[Cells, Image], bytes]]" = {
    convertible.RLE_LOSSLESS: _encode_rle,
    convertible.JPEG_LS_LOSSLESS: _encode_jpeg_ls,
    convertible.JPEG_2000_LOSSLESS: _encode_jpeg_2000,
}


def _precision(cells: "Cells", image: Image) -> int:
    """Return how many bits of the cells a coder has to keep: Bits Stored, or all where others are in use.

    Those may be an overlay's (retired, PS3.5 8.1.2) or belong to a stored value that is not at the bottom.
    """
    if image.high_bit != image.stored - 1:
        return image.allocated
    spare = image.allocated - image.stored
    is_clear = not spare or not (cells >> image.stored).any()
    if is_clear or _numpy().array_equal(cells, _extended(cells, image, spare)):
        return image.stored
    return image.allocated


def _extended(cells: "Cells", image: Image, spare: int) -> "Cells":
    """Return the cells with what is above Bits Stored as it has to be: the sign, or zeros."""
    numpy = _numpy()
    kind = "i" if image.is_signed else "u"
    signed = cells.view(numpy.dtype(f"<{kind}{image.allocated // 8}"))
    return ((signed << spare) >> spare).view(cells.dtype)  # type: ignore[no-any-return]


def _is_same(first: "Cells", second: "Cells", image: Image) -> bool:
    """Return whether cells are equal, but for unused bits that are zeros in one and the sign in the other."""
    numpy = _numpy()
    if numpy.array_equal(first, second):
        return True
    spare = image.allocated - image.stored
    if not spare or not image.is_signed or image.high_bit != image.stored - 1:
        return False
    return bool(numpy.array_equal(_extended(first, image, spare), _extended(second, image, spare)))


def _cell_type(image: Image) -> Any:
    return _numpy().dtype(f"<u{image.allocated // 8}")


def _called(codec: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Call a decoder. Whatever it raises is about the frame, and its words are not ours to send."""
    return _done("a frame is damaged", codec, *arguments, **options)


def _compressed(codec: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Call an encoder."""
    return _done("a frame cannot be compressed", codec, *arguments, **options)


def _done(failed: str, codec: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    try:
        return codec(*arguments, **options)
    except MemoryError:
        raise CannotConvert("a frame takes more memory than there is to convert it") from None
    except Exception as failure:
        raise CannotConvert(f"{failed}: {type(failure).__name__}") from failure


def _numpy() -> Any:
    return _imported("numpy")


def _imagecodecs(codec: str) -> Any:
    library = _imported("imagecodecs")
    if codec != "packbits" and not getattr(library, codec.upper()).available:
        raise CannotConvert(_MISSING)
    return library


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise CannotConvert(_MISSING) from None
