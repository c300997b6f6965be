"""Person names as they are compared: without regard to case, accents, width and padding.

PS3.4 C.2.2.2.1 leaves to the node what is insignificant in a PN; here it is what people do not type alike:

- case, by Unicode's full case folding: `STRASSE` is `Straße`;
- accents on letters that have them (`Müller` is `Muller`), and letters with a stroke or two in one (`ł`, `ø`, `æ`).
  Marks that make another letter stay: the vowels of Thai or Devanagari, the points of Hebrew, the voicing marks of
  kana (`か` is not `が`);
- width, that is the half-width katakana of ISO IR 13 and full-width Latin letters. What would become a delimiter or
  a wildcard (`＾`, `＝`, `＼`, `＊`, `？`) stays as it is;
- how a character is composed (NFC and NFD are the same);
- spaces around delimiters, trailing `^` of a component group and trailing empty groups (PS3.5 6.2.1.1: they may be
  left out).
"""

import re
import unicodedata

_WIDTHS = {
    code: unicodedata.normalize("NFKC", chr(code))
    for code in (0x3000, *range(0xFF01, 0xFFEF))
    if unicodedata.decomposition(chr(code)).startswith(("<wide>", "<narrow>"))
    and chr(code) not in "＊＝？＼＾"
}
_LETTERS = str.maketrans(
    {"ø": "o", "đ": "d", "ð": "d", "ħ": "h", "ı": "i", "ł": "l", "ŧ": "t", "æ": "ae", "œ": "oe", "þ": "th"}
)
_STROKE = "\u0338"  # the only mark that a delimiter would be composed with: `=` becomes `≠`
_DELIMITER = re.compile(r"([\\^=])")
_ACCENT = r"[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]"
_ACCENTS = re.compile(rf"(?<=\w){_ACCENT}+")
_IS_ACCENT = re.compile(_ACCENT)
_MARKED = re.compile(rf"\w[^\w\s]*?{_ACCENT}")


def folded(text: str) -> str:
    """Return a person name, or several, as it is compared. Idempotent."""
    if text.isascii():
        normal = text.lower()
    else:
        parts = _DELIMITER.split(text) if _STROKE in text else [text]
        normal = "".join(part if at % 2 else _composed(part) for at, part in enumerate(parts))
    return "\\".join(map(_without_padding, normal.split("\\")))


def folded_pattern(pattern: str) -> str:
    """Return a wildcard pattern to match against `folded` names.

    A trailing `^` or `=` goes even behind a wildcard: a folded name ends with none, so `smith*^^` would match
    nothing, where `smith*` matches what was meant. A `^` before a trailing `*` stays: `smith^*` does not
    match a folded `smith`, though PS3.4 lets a name without components stand for empty ones; who matches has
    to see to it.
    """
    return folded(pattern)


def _composed(text: str) -> str:
    """Fold letters and compose what is left."""
    text = unicodedata.normalize("NFD", text.translate(_WIDTHS))
    text = unicodedata.normalize("NFD", _without_accents(text).casefold())
    return unicodedata.normalize("NFC", _without_accents(text).translate(_LETTERS))


def _without_accents(text: str) -> str:
    """Remove the accents of letters from decomposed text, those too that stand behind marks that stay."""
    text = _ACCENTS.sub("", text)
    if not _MARKED.search(text):
        return text
    kept, is_letter = [], False
    for char in text:
        if not unicodedata.combining(char):
            is_letter = char.isalnum()
        elif is_letter and _IS_ACCENT.fullmatch(char):
            continue
        kept.append(char)
    return "".join(kept)


def _without_padding(name: str) -> str:
    groups = ("^".join(part.strip() for part in group.split("^")).rstrip("^") for group in name.split("="))
    return "=".join(groups).rstrip("=")
