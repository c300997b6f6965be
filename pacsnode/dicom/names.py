"""Person names as words: fuzzy semantic matching (PS3.4 C.2.2.2.1.1); and patterns for names (C.2.2.2.4).

What the Standard leaves open is decided here, for the names in the index and for those asked for alike:

- A name is a set of words. They stand between component delimiters, component groups, spaces, commas, dots,
  hyphens and middle dots; apostrophes are no part of them (`O'Brien` is one word, `obrien`). Whether a word
  is a family or a given name, and in which spelling of the name it stands, does not count (PS3.5 6.2.1.1).
- Words are folded (`folding`: case, accents, width); compatibility forms such as ligatures are replaced, too.
- A word that is asked for matches each word that begins with it.
"""

import re
import unicodedata

from pacsnode.dicom.folding import folded

MAX_WORDS = 16  # of one key; the longest names have fewer
MAX_GROUPS = 3  # alphabetic, ideographic and phonetic (PS3.5 6.2.1.2)

_APOSTROPHES = re.compile("['\"`\u00b4\u02bb\u02bc\u02be\u02bf\u2018\u2019]")
_BETWEEN = re.compile(r"[\s\\^=,;./\-\u2010-\u2015\u00b7\u30fb\uff3c\uff3e\uff1d\0]+")
_STARS = re.compile(r"\*{2,}")


def words(name: str) -> tuple[str, ...]:
    """Return the different words of a stored name, of several names too, in their order."""
    text = _APOSTROPHES.sub("", name)
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return tuple(dict.fromkeys(filter(None, _BETWEEN.split(folded(text)))))


def asked_words(name: str) -> tuple[str, ...]:
    """Return the words of a name that is asked for, which may hold `*` and `?`; none match universally.

    A `*` at the end says nothing: each word stands for those that begin with it.
    """
    found = (_STARS.sub("*", word).rstrip("*") for word in words(name))
    return tuple(dict.fromkeys(filter(None, found)))


def patterns(pattern: str) -> tuple[str, ...]:
    """Return the folded patterns of which one must cover a folded name, or a group of it.

    Components at the end may be left out with their delimiters (PS3.5 6.2.1.1): `smith` is `smith^`, and
    `smith^*` covers it. There are two at most, and the last is the shortest.
    """
    shortest, before = pattern, pattern
    while shortest.endswith("^*"):
        before, shortest = shortest, shortest[:-2].rstrip("^")
    # What ends with a wildcard covers all that is longer: `smith^*` covers what `smith^*^*` does.
    return (shortest,) if shortest.endswith("*") or shortest == before else (before, shortest)
