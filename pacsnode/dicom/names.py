"""Person names as words: fuzzy semantic matching (PS3.4 C.2.2.2.1.1).

What the Standard leaves open is decided here, for the names in the index and for those asked for alike:

- A name is a set of words. They stand between component delimiters, component groups, spaces, commas, dots,
  hyphens and middle dots; apostrophes are no part of them (`O'Brien` is one word, `obrien`). Whether a word
  is a family or a given name, and in which spelling of the name it stands, does not count (PS3.5 6.2.1.1).
- Words are compared without regard to case, accents and width: compatibility forms are replaced (half-width
  katakana, full-width Latin, ligatures), the combining diacritical marks of Latin, Greek and Cyrillic are left
  out, and the letters with a stroke become plain ones, which Unicode does not decompose.
- A word that is asked for matches each word that begins with it.
"""

import re
import unicodedata

MAX_WORDS = 16  # of one key; the longest names have fewer

_MARKS = re.compile("[\u0300-\u036f]")
_STROKES = str.maketrans(
    {"æ": "ae", "ð": "d", "ø": "o", "þ": "th", "đ": "d", "ħ": "h", "ı": "i", "ł": "l", "œ": "oe", "ŧ": "t"}
)
_APOSTROPHES = re.compile("['\"`\u00b4\u02bb\u02bc\u02be\u02bf\u2018\u2019]")
_BETWEEN = re.compile(r"[\s\\^=,;./\-\u2010-\u2015\u00b7\u30fb\0]+")
_STARS = re.compile(r"\*{2,}")


def simplified(text: str) -> str:
    """Return the text without case, accents and width. Idempotent."""
    folded = _unmarked(_unmarked(text).casefold()).translate(_STROKES)
    return unicodedata.normalize("NFKC", folded)


def _unmarked(text: str) -> str:
    return _MARKS.sub("", unicodedata.normalize("NFKD", text))


def words(name: str) -> tuple[str, ...]:
    """Return the different words of a stored name, of several names too, in their order."""
    return tuple(dict.fromkeys(filter(None, _BETWEEN.split(_APOSTROPHES.sub("", simplified(name))))))


def asked_words(name: str) -> tuple[str, ...]:
    """Return the words of a name that is asked for, which may hold `*` and `?`; none match universally.

    A `*` at the end says nothing: each word stands for those that begin with it.
    """
    found = (_STARS.sub("*", word).rstrip("*") for word in words(name))
    return tuple(dict.fromkeys(filter(None, found)))


def patterns(pattern: str) -> tuple[str, ...]:
    """Return the folded patterns of which one must cover a folded name, or a group of it.

    Components at the end may be left out with their delimiters (PS3.5 6.2.1.1): `smith` is `smith^`, and
    `smith^*` covers it.
    """
    found = [pattern]
    while found[-1].endswith("^*"):
        found.append(found[-1][:-2].rstrip("^"))
    return tuple(dict.fromkeys(found))
