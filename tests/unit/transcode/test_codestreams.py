from collections.abc import Callable
from contextlib import suppress

import imagecodecs
import jpeg_ls
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacsnode.errors import CannotConvert
from pacsnode.transcode.codestreams import CodedFrame, Colour, jpeg_2000_frame, jpeg_frame

GREY = np.arange(600, dtype=np.uint16).reshape(20, 30)
COLOURS = np.dstack([GREY % 256] * 3).astype(np.uint8)


def test_a_jpeg_says_its_size_and_that_jfif_is_ybr() -> None:
    coded = bytes(imagecodecs.jpeg8_encode(COLOURS))
    assert jpeg_frame(coded) == CodedFrame(20, 30, 3, 8, is_lossy=True, colour=Colour.YBR)


@pytest.mark.parametrize(("transform", "colour"), [(0, Colour.RGB), (1, Colour.YBR)])
def test_adobe_goes_before_jfif(transform: int, colour: Colour) -> None:
    coded = bytes(imagecodecs.jpeg8_encode(COLOURS))
    adobe = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes((transform,))
    assert jpeg_frame(coded[:20] + adobe + coded[20:]).colour is colour
    assert jpeg_frame(coded[:2] + adobe + coded[2:]).colour is colour


def test_a_lossless_jpeg_tells_no_colour() -> None:
    coded = bytes(imagecodecs.jpeg8_encode(GREY, lossless=True, bitspersample=16))
    assert jpeg_frame(coded) == CodedFrame(20, 30, 1, 16)


@pytest.mark.parametrize("loss", [0, 2])
def test_jpeg_ls_is_lossy_if_it_is_near_lossless(loss: int) -> None:
    coded = jpeg_ls.encode_pixel_data(
        GREY.tobytes(), loss, rows=20, columns=30, samples_per_pixel=1, bits_stored=10
    )
    assert jpeg_frame(bytes(coded)) == CodedFrame(20, 30, 1, 10, is_lossy=loss > 0)


@pytest.mark.parametrize("boxed", ["j2k", "jp2"])
@pytest.mark.parametrize("reversible", [True, False])
def test_jpeg_2000_bare_and_in_boxes(boxed: str, reversible: bool) -> None:
    signed = GREY.astype(np.int16) - 300
    options = {"level": None if reversible else 30}
    coded = bytes(imagecodecs.jpeg2k_encode(signed, codecformat=boxed, reversible=reversible, **options))
    frame = jpeg_2000_frame(coded)
    assert (frame.rows, frame.columns, frame.samples, frame.precision) == (20, 30, 1, 16)
    assert frame.is_signed
    assert frame.is_lossy is not reversible
    assert coded[frame.start : frame.start + 2] == b"\xff\x4f"


@pytest.mark.parametrize("read", [jpeg_frame, jpeg_2000_frame])
@given(st.sampled_from([b"", b"\xff\xd8", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  "]), st.binary(max_size=200))
def test_anything_is_a_frame_or_refused(
    read: Callable[[bytes], CodedFrame], head: bytes, rest: bytes
) -> None:
    with suppress(CannotConvert):
        read(head + rest)


def test_each_cut_within_a_header_is_refused() -> None:
    for read, coded in (
        (jpeg_frame, bytes(imagecodecs.jpeg8_encode(COLOURS))),
        (jpeg_2000_frame, bytes(imagecodecs.jpeg2k_encode(COLOURS, codecformat="jp2"))[:180]),
    ):
        for length in range(100):
            with pytest.raises(CannotConvert):
                read(coded[:length])
