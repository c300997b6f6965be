"""What the codecs are asked for, and what is said without them; pixels are compared in test_transcoding."""

import importlib
from typing import Any

import pytest

from pacsnode.dicom import convertible
from pacsnode.errors import CannotConvert
from tests.unit.transcode.test_transcoding import NATIVE, RLE, converted, image, written

PIXELS = bytes(19 * 21 + 1)


@pytest.mark.parametrize("missing", ["numpy", "imagecodecs"])
def test_without_the_codecs_the_extra_is_named(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    imported = importlib.import_module

    def without(name: str, *rest: Any) -> Any:
        if name == missing:
            raise ImportError(name)
        return imported(name, *rest)

    coded = converted(written(image(PIXELS)), NATIVE, RLE)
    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(CannotConvert, match=r"pip install 'pacsnode\[images\]'"):
        converted(coded, RLE)


def test_a_frame_that_a_coder_damaged_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    jpeg_ls = importlib.import_module("jpeg_ls")
    encode = jpeg_ls.encode_pixel_data

    def near_lossless(source: bytes, **options: Any) -> Any:
        return encode(source, 3, **options)

    monkeypatch.setattr(jpeg_ls, "encode_pixel_data", near_lossless)
    pixels = bytes(index * 37 % 256 for index in range(19 * 21)) + b"\0"
    with pytest.raises(CannotConvert, match="does not come back from the coder as it was"):
        converted(written(image(pixels)), NATIVE, convertible.JPEG_LS_LOSSLESS)


def test_an_image_that_has_no_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    imagecodecs = importlib.import_module("imagecodecs")

    def exhausted(*_: Any, **__: Any) -> Any:
        raise MemoryError

    coded = converted(written(image(PIXELS)), NATIVE, convertible.JPEG_LS_LOSSLESS)
    monkeypatch.setattr(imagecodecs, "jpegls_decode", exhausted)
    with pytest.raises(CannotConvert, match="more memory"):
        converted(coded, convertible.JPEG_LS_LOSSLESS)
