"""One codec at a time: Python's, with what devices and later standards mean beyond them.

What is read is more than what is written: Windows has added characters to the national sets of East Asia, and its
programs write them under the Standard's names.
"""

# Supersets, by the codec of what the Standard has.
_WIDER = {"euc_kr": "cp949", "gb2312": "gb18030", "shift_jis": "cp932", "gbk": "gb18030"}

# GB 18030 of 2005 and 2022 has characters where that of 2000, which is Python's, has code points for private use.
_GB_18030 = {
    **dict(zip(range(0xE78D, 0xE797), (0xFE10, 0xFE12, 0xFE11, *range(0xFE13, 0xFE1A)), strict=True)),
    0xE7C7: 0x1E3F,
    0xE816: 0x20087,
    0xE817: 0x20089,
    0xE818: 0x200CC,
    0xE81E: 0x9FB4,
    0xE826: 0x9FB5,
    0xE82B: 0x9FB6,
    0xE82C: 0x9FB7,
    0xE831: 0x215D7,
    0xE832: 0x9FB8,
    0xE83B: 0x2298F,
    0xE843: 0x9FB9,
    0xE854: 0x9FBA,
    0xE855: 0x241FE,
    0xE864: 0x9FBB,
}
_PRIVATE = frozenset(map(chr, _GB_18030))


def read(value: bytes, codec: str) -> str:
    """Return text in one codec, or in the wider one that devices mean by it; what means nothing is U+FFFD."""
    try:
        text = value.decode(codec)
    except UnicodeDecodeError:
        codec = _WIDER.get(codec, codec)
        text = value.decode(codec, "replace")
    return text if codec != "gb18030" else text.translate(_GB_18030)


def written(text: str, codec: str) -> bytes | None:
    """Return the bytes of a text in one codec, None if it lacks a character."""
    if codec == "gb18030" and not _PRIVATE.isdisjoint(text):
        return None
    try:
        return text.encode(codec)
    except UnicodeEncodeError:
        return None
