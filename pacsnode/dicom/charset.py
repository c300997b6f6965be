"""Specific Character Set: text to bytes and back (PS3.5 6.1, PS3.3 C.12.1.1.2).

pydicom's tables and Python's codecs do the work; pydicom's own functions are not called, since what they do
with bad input depends on its global configuration and on warnings. Here nothing warns and decoding never
fails:

- A character set that is misspelt is understood where it can be (`ISO IR 100`, `iso_ir_192 `, `UTF-8`), else
  taken for the default repertoire. Names from a data set are never handed to `codecs.lookup`, which knows
  slow codecs.
- Bytes above 127 in the default repertoire are read as Latin-1, as pydicom does: most such devices are
  Western.
- Bytes that mean nothing in their character set become U+FFFD, one or more in each place: marked, never left
  out in silence. The object keeps the original.
"""

import re
import unicodedata
from functools import lru_cache

from pydicom.charset import CODES_TO_ENCODINGS, python_encoding

DEFAULT_REPERTOIRE = "iso8859"  # pydicom's name for ISO IR 6, read as Latin-1
_STAND_ALONE = frozenset(("UTF8", "GB18030", "GBK"))  # without code extensions (PS3.5 6.1.2.5.4 d)
_STATEFUL = frozenset(("iso2022_jp", "iso2022_jp_2"))  # Python's codec wants and writes the escape sequences
_MAX_CHARACTER_SETS = 16  # PS3.3 knows no use of more than four

_NAME = re.compile(r"ISO[ _-]?(2022[ _-]?)?IR[ _-]?([0-9]{1,3})", re.ASCII)
_LATIN = re.compile(r"ISO[ _-]?8859[ _-]([0-9]{1,2})", re.ASCII)
_LATIN_REGISTRATIONS = {
    "1": 100,
    "2": 101,
    "3": 109,
    "4": 110,
    "5": 144,
    "6": 127,
    "7": 126,
    "8": 138,
    "9": 148,
}
_ALIASES = {"UTF-8": "UTF8", "UTF8": "UTF8", "UTF_8": "UTF8", "ASCII": DEFAULT_REPERTOIRE}

# An escape sequence and what follows it up to the next; or what stands before the first.
_FRAGMENT = re.compile(rb"\x1b[^\x1b]*|[^\x1b]+")
_RESET = re.compile(rb"[\t\n\f\r\\]")  # control characters and the delimiter of values (PS3.5 6.1.2.5.3)
_RESET_NAME = re.compile(rb"[\t\n\f\r\\^=]")
_SEPARATOR = re.compile(r"([\t\n\f\r\\])")
_SEPARATOR_NAME = re.compile(r"([\t\n\f\r\\^=])")

_ESCAPES = {code: codec for code, codec in CODES_TO_ENCODINGS.items() if code != b"\x1b(B"}
_ESCAPE_OF = {codec: code for code, codec in _ESCAPES.items() if codec != "shift_jis"}
_KANA, _ROMAJI, _ASCII = b"\x1b)I", b"\x1b(J", b"\x1b(B"


def decode(value: bytes, vr: str, character_sets: tuple[str, ...]) -> str:
    """Return the text of a whole value, of several values too; never raises."""
    if value.isascii() and b"\x1b" not in value:
        return value.decode("ascii")
    codecs = codecs_of(character_sets)
    if b"\x1b" not in value or codecs[0] in _STAND_ALONE:
        return value.decode(codecs[0], "replace")
    reset = _RESET_NAME if vr == "PN" else _RESET
    return "".join(_decoded_fragment(fragment, codecs[0], reset) for fragment in _FRAGMENT.findall(value))


def encode(text: str, vr: str, character_sets: tuple[str, ...]) -> bytes | None:
    """Return the bytes of a text, or None if it can't be written such that it is read back the same."""
    if text.isascii() and "\x1b" not in text:
        return text.encode("ascii")
    codecs = codecs_of(character_sets)
    separator = _SEPARATOR_NAME if vr == "PN" else _SEPARATOR
    # Each component starts anew in the first character set (PS3.5 6.1.2.5.3).
    encoded = [_encoded_component(component, codecs) for component in separator.split(text)]
    value = b"".join(component for component in encoded if component is not None)
    return value if None not in encoded and decode(value, vr, character_sets) == text else None


@lru_cache(maxsize=256)
def codecs_of(character_sets: tuple[str, ...]) -> tuple[str, ...]:
    """Return Python's names of the character sets; the first of them is in force where a value begins."""
    codecs = tuple(_codec(name) for name in character_sets[:_MAX_CHARACTER_SETS]) or (DEFAULT_REPERTOIRE,)
    if codecs[0] in _STAND_ALONE:
        return codecs[:1]
    return codecs[:1] + tuple(codec for codec in codecs[1:] if codec not in _STAND_ALONE)


def folded(text: str) -> str:
    """Return a person name as it is compared: without regard to case, and to padding of any kind.

    Unicode NFC and case folding; without spaces around delimiters, trailing `^` of a component group and
    trailing empty groups (PS3.5 6.2.1.1: they may be left out). Idempotent.
    """
    normal = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
    return "\\".join(_folded_name(name) for name in normal.split("\\"))


def folded_pattern(pattern: str) -> str:
    """Return a wildcard pattern to match against `folded` names.

    A trailing `^` or `=` goes even behind a wildcard: a folded name ends with none, so `smith*^^` would match
    nothing, where `smith*` matches what was meant. A `^` before a trailing `*` stays: `smith^*` does not
    match a folded `smith`, though PS3.4 lets a name without components stand for empty ones; who matches has
    to see to it.
    """
    return folded(pattern)


def _folded_name(name: str) -> str:
    groups = ("^".join(part.strip() for part in group.split("^")).rstrip("^") for group in name.split("="))
    return "=".join(groups).rstrip("=")


def _codec(name: str) -> str:
    tidy = " ".join(name[:32].replace("\0", " ").upper().split())
    if tidy in python_encoding or tidy in _ALIASES:
        return python_encoding.get(tidy) or _ALIASES[tidy]
    number = ""
    if match := _NAME.fullmatch(tidy):
        number = match[2].lstrip("0")
    elif match := _LATIN.fullmatch(tidy):
        number = str(_LATIN_REGISTRATIONS.get(match[1], ""))
    code_extension = python_encoding.get(f"ISO 2022 IR {number}", DEFAULT_REPERTOIRE)
    return python_encoding.get(f"ISO_IR {number}", code_extension)


def _decoded_fragment(fragment: bytes, first: str, reset: re.Pattern[bytes]) -> str:
    """Decode up to the next escape sequence; a known one is obeyed even if it is not declared."""
    length = 4 if fragment[1:3] in (b"$(", b"$)") else 3
    codec = _ESCAPES.get(fragment[:length])
    if codec in _STATEFUL:
        return fragment.decode(codec, "replace")
    if codec is None:
        # ASCII again, in G0 only: what the first character set has in G1 is still there.
        return fragment.removeprefix(_ASCII).decode(first, "replace")
    body = fragment[length:]
    back = reset.search(body)
    end = back.start() if back else len(body)
    return body[:end].decode(codec, "replace") + body[end:].decode(first, "replace")


def _encoded_component(text: str, codecs: tuple[str, ...]) -> bytes | None:
    """Encode text without delimiters, changing the character set as seldom as can be."""
    value, run, codec = b"", "", codecs[0]
    for char in text:
        if not _represents(codec, char):
            value += _encoded_run(run, codec, codecs[0])
            found = next((other for other in codecs if _represents(other, char)), None)
            if found is None:
                return None
            codec, run = found, ""
        run += char
    return value + _encoded_run(run, codec, codecs[0])


def _represents(codec: str, char: str) -> bool:
    if char.isascii() or codec == DEFAULT_REPERTOIRE:
        return char.isascii()
    try:
        encoded = char.encode(codec)
    except UnicodeEncodeError:
        return False
    return codec != "shift_jis" or len(encoded) == 1  # ISO IR 13 has half-width katakana, no kanji


def _encoded_run(run: str, codec: str, first: str) -> bytes:
    if not run:
        return b""
    encoded = run.encode("ascii" if codec == DEFAULT_REPERTOIRE else codec)
    if codec in _STATEFUL:
        return encoded if first != "shift_jis" else encoded.removesuffix(_ASCII) + _ROMAJI
    if codec == first:
        return encoded
    return (_KANA if codec == "shift_jis" else _ESCAPE_OF.get(codec, b"")) + encoded
