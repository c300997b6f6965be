"""One codec at a time, and what is meant beyond it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacsnode.dicom.codec import read, written


@pytest.mark.parametrize(
    ("value", "codec", "text"),
    [
        (b"\xc8\xab", "euc_kr", "홍"),
        (b"\x94\xee", "euc_kr", "뷁"),  # code page 949
        (b"\x96\x7c", "gb2312", "東"),  # GBK
        (b"\xfb\xfc", "shift_jis", "髙"),  # code page 932
        (b"\x95\x32\x82\x36", "gbk", "𠀀"),  # GB 18030
        (b"\xfe\x52", "gb18030", "𠂉"),  # that of 2005
        (b"\xfe\x59", "gbk", "\u9fb4"),
        (b"\xa6\xd9\xa6\xf3", "gb18030", "\ufe10\ufe19"),  # that of 2022
        (b"a\xffb", "utf_8", "a\ufffdb"),
        (b"\xff", "gb2312", "\ufffd"),
    ],
)
def test_what_is_meant_is_read(value: bytes, codec: str, text: str) -> None:
    assert read(value, codec) == text


@pytest.mark.parametrize(
    ("text", "codec"), [("뷁a", "latin_1"), ("\ue817", "gb18030"), ("\ud800", "utf_8"), ("€", "gbk")]
)
def test_what_would_be_read_otherwise_is_not_written(text: str, codec: str) -> None:
    assert written(text, codec) is None


@given(st.text())
def test_what_is_written_is_read_back(text: str) -> None:
    for codec in ("utf_8", "gb18030", "gbk", "latin_1", "tis_620"):
        value = written(text, codec)
        assert value is None or read(value, codec) == text


@given(
    st.binary(), st.sampled_from(["utf_8", "gb18030", "gbk", "gb2312", "euc_kr", "shift_jis", "iso8859_6"])
)
def test_reading_never_fails(value: bytes, codec: str) -> None:
    read(value, codec)
