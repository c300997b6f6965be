"""Whole data sets through every codec there and back, and bad ones refused with a reason."""

import struct
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_fragments
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from pacsnode.dicom import convertible, uid
from pacsnode.errors import CannotConvert
from pacsnode.transcode.transcoding import Limits, transcode
from tests.transcoded import NATIVE, converted, read

RLE, JPEG_LS, JPEG_2000 = (
    convertible.RLE_LOSSLESS,
    convertible.JPEG_LS_LOSSLESS,
    convertible.JPEG_2000_LOSSLESS,
)
BASELINE, EXTENDED, LOSSLESS = (f"1.2.840.10008.1.2.4.{last}" for last in ("50", "51", "70"))
HTJ2K = "1.2.840.10008.1.2.4.201"
IRREVERSIBLE = "1.2.840.10008.1.2.4.91"
ROWS, COLUMNS = 19, 21


def written(data_set: Dataset) -> bytes:
    file = DicomBytesIO()
    file.is_implicit_VR, file.is_little_endian = False, True
    write_dataset(file, data_set)
    return file.getvalue()


def image(pixels: bytes, *, vr: str = "OB", frames: int = 1, **values: object) -> Dataset:
    data_set = Dataset()
    data_set.SOPInstanceUID = "1.2.3"
    attributes = {
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": ROWS,
        "Columns": COLUMNS,
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelRepresentation": 0,
    }
    for keyword, value in (attributes | values).items():
        setattr(data_set, keyword, value)
    if frames > 1:
        data_set.NumberOfFrames = frames
    data_set.add_new(0x7FE00010, vr, pixels)
    data_set["PixelData"].is_undefined_length = vr == "OB" and pixels[:4] == b"\xfe\xff\x00\xe0"
    return data_set


def cells(allocated: int, stored: int, samples: int = 1, frames: int = 1) -> NDArray[np.uint32]:
    rng = np.random.default_rng(allocated + stored)
    size = (frames, ROWS, COLUMNS, samples)
    return rng.integers(0, 1 << stored, size).astype(f"<u{allocated // 8}")


def attributes(allocated: int, stored: int, samples: int = 1, signed: int = 0) -> dict[str, object]:
    found: dict[str, object] = {
        "BitsAllocated": allocated,
        "BitsStored": stored,
        "HighBit": stored - 1,
        "SamplesPerPixel": samples,
        "PixelRepresentation": signed,
    }
    if samples > 1:
        found |= {"PlanarConfiguration": 0, "PhotometricInterpretation": "RGB"}
    return found


def extended(pixels: NDArray[np.uint32], stored: int) -> NDArray[np.int64]:
    sign = 1 << (stored - 1)
    return ((pixels.astype(np.int64) & (2 * sign - 1)) ^ sign) - sign


SHAPES = [
    (RLE, 8, 8, 1, 0),
    (RLE, 16, 12, 1, 1),
    (RLE, 32, 32, 1, 0),
    (RLE, 8, 8, 3, 0),
    (RLE, 16, 16, 3, 0),
    (JPEG_LS, 8, 8, 1, 0),
    (JPEG_LS, 8, 1, 1, 0),
    (JPEG_LS, 16, 12, 1, 0),
    (JPEG_LS, 16, 12, 1, 1),
    (JPEG_LS, 16, 16, 1, 1),
    (JPEG_LS, 8, 8, 3, 0),
    (JPEG_2000, 8, 8, 1, 0),
    (JPEG_2000, 8, 8, 1, 1),
    (JPEG_2000, 16, 12, 1, 0),
    (JPEG_2000, 16, 12, 1, 1),
    (JPEG_2000, 16, 16, 1, 1),
    (JPEG_2000, 8, 8, 3, 0),
    (JPEG_2000, 16, 10, 3, 0),
]


@pytest.mark.parametrize(("wanted", "allocated", "stored", "samples", "signed"), SHAPES)
@pytest.mark.parametrize("frames", [1, 3])
def test_pixels_come_back_from_each_lossless_syntax(
    wanted: str, allocated: int, stored: int, samples: int, signed: int, frames: int
) -> None:
    pixels = cells(allocated, stored, samples, frames)
    raw = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    source = written(image(raw, vr="OW", frames=frames, **attributes(allocated, stored, samples, signed)))
    coded = converted(source, NATIVE, wanted)
    again = read(converted(coded, wanted))
    back = np.frombuffer(again.PixelData[: pixels.nbytes], pixels.dtype).reshape(pixels.shape)
    if signed:
        assert np.array_equal(extended(back, stored), extended(pixels, stored))
    else:
        assert np.array_equal(back, pixels)
    assert (again.BitsStored, again.HighBit, again.PixelRepresentation) == (stored, stored - 1, signed)
    assert len(again.PixelData) % 2 == 0
    vr = again["PixelData"].VR
    assert vr == ("OW" if allocated > 8 else "OB")
    coded_photometric = read(coded).PhotometricInterpretation
    if samples == 3:
        assert coded_photometric == ("YBR_RCT" if wanted == JPEG_2000 else "RGB")
        assert again.PhotometricInterpretation == "RGB"
    assert "LossyImageCompression" not in again


@pytest.mark.parametrize("wanted", [RLE, JPEG_LS, JPEG_2000])
def test_bits_above_those_stored_are_kept(wanted: str) -> None:
    pixels = cells(16, 16)
    source = written(image(pixels.tobytes(), vr="OW", **attributes(16, 12)))
    again = read(converted(converted(source, NATIVE, wanted), wanted))
    assert again.PixelData[: pixels.nbytes] == pixels.tobytes()
    assert (again.BitsStored, again.HighBit) == (12, 11)


@pytest.mark.parametrize("wanted", [RLE, JPEG_LS, JPEG_2000])
def test_colours_by_plane_become_colours_by_pixel_where_the_syntax_has_them_so(wanted: str) -> None:
    pixels = cells(8, 8, 3)
    planes = pixels.transpose(0, 3, 1, 2).tobytes()
    values = attributes(8, 8, 3) | {"PlanarConfiguration": 1}
    source = written(image(planes + b"\0" * (len(planes) % 2), **values))
    again = read(converted(converted(source, NATIVE, wanted), wanted))
    assert again.PlanarConfiguration == (1 if wanted == RLE else 0)
    assert again.PixelData[: len(planes)] == (planes if wanted == RLE else pixels.tobytes())


def grey16() -> NDArray[np.uint16]:
    return np.linspace(0, 4095, ROWS * COLUMNS).astype(np.uint16).reshape(ROWS, COLUMNS)


def test_htj2k_is_read() -> None:
    coded = bytes(imagecodecs.htj2k_encode(grey16(), reversible=True))
    source = written(image(encapsulate([coded]), **attributes(16, 16)))
    assert read(converted(source, HTJ2K)).PixelData[: grey16().nbytes] == grey16().tobytes()


def lossy() -> bytes:
    return bytes(imagecodecs.jpeg8_encode((grey16() >> 4).astype(np.uint8), level=90))


def test_a_loss_is_written_down_once_the_syntax_does_not_tell_it() -> None:
    found = read(converted(written(image(encapsulate([lossy()]))), BASELINE))
    assert (found.LossyImageCompression, found.LossyImageCompressionMethod) == ("01", "ISO_10918_1")
    assert float(found.LossyImageCompressionRatio) == pytest.approx(ROWS * COLUMNS / len(lossy()), abs=0.02)


def test_a_history_that_is_there_stays() -> None:
    history = {
        "LossyImageCompression": "01",
        "LossyImageCompressionRatio": ["2", "10"],
        "LossyImageCompressionMethod": ["ISO_14495_1", "ISO_10918_1"],
    }
    found = read(converted(written(image(encapsulate([lossy()]), **history)), BASELINE))
    assert list(found.LossyImageCompressionRatio) == [2, 10]
    assert list(found.LossyImageCompressionMethod) == ["ISO_14495_1", "ISO_10918_1"]


@pytest.mark.parametrize("stated", ["YBR_FULL_422", "YBR_FULL", "RGB"])
def test_the_markers_of_a_jpeg_say_that_it_is_ybr(stated: str) -> None:
    colours = np.full((ROWS, COLUMNS, 3), (200, 40, 90), np.uint8)
    coded = bytes(imagecodecs.jpeg8_encode(colours, level=95))
    values = attributes(8, 8, 3) | {"PhotometricInterpretation": stated}
    found = read(converted(written(image(encapsulate([coded]), **values)), BASELINE))
    assert (found.PhotometricInterpretation, found.PlanarConfiguration) == ("RGB", 0)
    assert np.abs(np.frombuffer(found.PixelData[:3], np.uint8).astype(int) - (200, 40, 90)).max() <= 3


def test_offset_tables_are_left_out() -> None:
    data_set = image(encapsulate([lossy()]))
    data_set.ExtendedOffsetTable = struct.pack("<Q", 0)
    data_set.ExtendedOffsetTableLengths = struct.pack("<Q", len(lossy()))
    assert "ExtendedOffsetTable" not in read(converted(written(data_set), BASELINE))


def test_frames_of_several_fragments_are_found_by_table_and_by_markers() -> None:
    frames = [lossy(), lossy()]
    with_table = encapsulate(frames, fragments_per_frame=3, has_bot=True)
    without = encapsulate(frames, fragments_per_frame=3, has_bot=False)
    results = {converted(written(image(value, frames=2)), BASELINE) for value in (with_table, without)}
    assert len(results) == 1


def test_an_icon_is_decoded_and_a_damaged_one_left_out() -> None:
    data_set = image(encapsulate([lossy()]))
    data_set.IconImageSequence = [image(encapsulate([lossy()]))]
    found = read(converted(written(data_set), BASELINE))
    assert len(found.IconImageSequence[0].PixelData) == ROWS * COLUMNS + 1
    data_set.IconImageSequence = [image(encapsulate([lossy()[:-30]]))]
    assert "IconImageSequence" not in read(converted(written(data_set), BASELINE))


def test_a_native_icon_in_a_compressed_image_stays() -> None:
    data_set = image(encapsulate([lossy()]))
    data_set.IconImageSequence = [image(bytes(ROWS * COLUMNS + 1))]
    found = read(converted(written(data_set), BASELINE))
    assert found.IconImageSequence[0].PixelData == bytes(ROWS * COLUMNS + 1)


def test_a_data_set_without_pixels_is_only_written_anew() -> None:
    data_set = Dataset()
    data_set.SOPInstanceUID = "1.2.3"
    assert converted(written(data_set), BASELINE) == written(data_set)


def test_the_rest_behind_the_pixels_stays() -> None:
    data_set = image(encapsulate([lossy()]))
    data_set.DataSetTrailingPadding = bytes(10)
    assert read(converted(written(data_set), BASELINE)).DataSetTrailingPadding == bytes(10)


def _cut(data: bytes) -> bytes:
    return data[: len(data) * 2 // 3]


def _without(coded: bytes, marker: int) -> bytes:
    at = coded.index(bytes((0xFF, marker)))
    (length,) = struct.unpack_from(">H", coded, at + 2)
    cut = coded[:at] + coded[at + 2 + length :]
    return _without(cut, marker) if bytes((0xFF, marker)) in cut.split(b"\xff\xda")[0] else cut


def bad_ones() -> Iterator[tuple[str, str, bytes]]:
    def jpeg(value: bytes, **values: object) -> bytes:
        return written(image(value, **values))

    whole = encapsulate([lossy()])
    yield "ends within", BASELINE, _cut(jpeg(whole))
    yield "cut off", BASELINE, jpeg(encapsulate([lossy()[:-20]]))
    yield "no Huffman tables", BASELINE, jpeg(encapsulate([_without(lossy(), 0xC4)]))
    yield "no quantization tables", BASELINE, jpeg(encapsulate([_without(lossy(), 0xDB)]))
    yield "says 20 and 21", BASELINE, jpeg(whole, Rows=20)
    yield "samples per pixel", BASELINE, jpeg(whole, **attributes(8, 8, 3))
    yield "do not fit Bits Allocated", BASELINE, jpeg(whole, BitsStored=12)
    yield "do not fit Bits Allocated", BASELINE, jpeg(whole, HighBit=9)
    yield "none of 8, 16 and 32", BASELINE, jpeg(whole, BitsAllocated=12, BitsStored=12)
    yield "1 fragments for 3 frames", BASELINE, jpeg(whole, frames=3)
    yield "hold 3 frames", BASELINE, jpeg(encapsulate([lossy()] * 3), frames=2)
    yield "not a positive number", BASELINE, jpeg(whole, NumberOfFrames=-1)
    yield "are allowed", BASELINE, jpeg(whole, Rows=65535, Columns=65535)
    yield "does not begin", BASELINE, jpeg(encapsulate([b"GIF89a" * 20]))
    yield "does not begin", JPEG_2000, jpeg(whole)
    yield "not encapsulated", BASELINE, jpeg(bytes(ROWS * COLUMNS + 1))
    yield "ends within its header", RLE, jpeg(encapsulate([b"\0" * 10]))
    yield "segments", RLE, jpeg(encapsulate([struct.pack("<16I", 1, 9999, *[0] * 14)]))
    yield "damaged", RLE, jpeg(encapsulate([struct.pack("<16I", 1, 64, *[0] * 14) + b"\x7f\x01"]))
    yield (
        "its plane takes",
        RLE,
        jpeg(encapsulate([struct.pack("<16I", 1, 64, *[0] * 14) + b"\x01\x01\x02\x80"])),
    )
    yield "each frame has one", RLE, jpeg(encapsulate([lossy()], fragments_per_frame=2))


@pytest.mark.parametrize(("reason", "stored", "data"), list(bad_ones()))
def test_what_cannot_be_converted_says_why(reason: str, stored: str, data: bytes) -> None:
    with pytest.raises(CannotConvert, match=reason):
        converted(data, stored)


def test_bits_that_do_not_fit_are_refused() -> None:
    coded = bytes(imagecodecs.jpeg8_encode(grey16(), level=90, bitspersample=12))
    with pytest.raises(CannotConvert, match="12 bits a sample, Bits Allocated says 8"):
        converted(written(image(encapsulate([coded]))), EXTENDED)


def test_samples_beyond_those_stored_by_a_lossy_coder_are_stored_in_more_bits() -> None:
    coded = bytes(imagecodecs.jpeg8_encode(grey16(), level=90, bitspersample=12))
    found = read(converted(written(image(encapsulate([coded]), **attributes(16, 10))), EXTENDED))
    assert (found.BitsStored, found.HighBit) == (12, 11)


def test_ten_thousand_frames_take_the_memory_of_one_and_their_index(tmp_path: Path) -> None:
    frames = 10_000
    (tmp_path / "source").write_bytes(
        written(image(encapsulate([lossy()] * frames, has_bot=False), frames=frames))
    )
    converted(written(image(encapsulate([lossy()]))), BASELINE)  # the codecs are imported
    with (tmp_path / "source").open("rb") as source, (tmp_path / "sink").open("wb") as sink:
        tracemalloc.start()
        try:
            transcode(source, sink, stored=BASELINE, wanted=NATIVE, limits=Limits())
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert (tmp_path / "sink").stat().st_size > frames * ROWS * COLUMNS
    assert peak_bytes < 1 << 20


def test_an_instance_over_its_limits_is_refused_before_anything_is_written() -> None:
    source, sink = written(image(encapsulate([lossy()] * 3), frames=3)), BytesIO()
    for limits in (Limits(max_frames=2), Limits(max_frame_bytes=300), Limits(max_pixel_data_bytes=1000)):
        with pytest.raises(CannotConvert, match="are allowed"):
            transcode(BytesIO(source), sink, stored=BASELINE, wanted=NATIVE, limits=limits)
    assert not sink.getvalue()


@settings(max_examples=150)
@given(
    st.sampled_from([BASELINE, RLE, JPEG_LS, JPEG_2000]),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_damaged_bytes_raise_nothing_else(stored: str, damages: list[tuple[float, int]]) -> None:
    source = written(image(bytes(ROWS * COLUMNS + 1)))
    data = bytearray(
        written(image(encapsulate([lossy()]))) if stored == BASELINE else converted(source, NATIVE, stored)
    )
    for place, value in damages:
        data[int(place * (len(data) - 1))] = value
    limits = Limits(max_frame_bytes=1 << 20, max_pixel_data_bytes=1 << 22)
    with suppress(CannotConvert):
        converted(bytes(data), stored, limits=limits)


def test_fragments_that_are_written_are_of_even_length() -> None:
    source = written(image(bytes(ROWS * COLUMNS + 1)))
    coded = read(converted(source, NATIVE, JPEG_LS))
    assert all(len(fragment) % 2 == 0 for fragment in generate_fragments(coded.PixelData))
    assert coded["PixelData"].VR == "OB"


def test_implicit_little_endian_has_its_pixels_in_words() -> None:
    data = converted(written(image(encapsulate([lossy()]))), BASELINE, uid.IMPLICIT_VR_LITTLE_ENDIAN)
    assert read(data, uid.IMPLICIT_VR_LITTLE_ENDIAN)["PixelData"].VR in ("OW", "OB or OW")
    assert converted(data, uid.IMPLICIT_VR_LITTLE_ENDIAN, RLE)
