"""How much a query may ask for in all of its keys together. Pure.

The bounds of `keys` are those of one key. Their sum would still be statements of megabytes, and while SQLite prepares
a statement nothing can end it, neither a C-CANCEL nor `index.max_find_time`; so what all keys ask for is counted in
comparisons. A comparison is about what it takes to look at a text once, and some hundred characters of SQL.
"""

from collections.abc import Iterable

from pacsnode.dicom.attributes import Attribute
from pacsnode.dicom.keys import invalid
from pacsnode.dicom.matching import NUMERIC_VRS
from pacsnode.dicom.query import AllOf, AnyOf, Items, Key, Matching, Moments, Range, ValueList, Words

MAX_COMPARISONS = 512  # of a query; one condition on each attribute of the table has far fewer
TIME_COMPARISONS = 8  # of a range of times: the parts of a time are checked and added
SPAN_COMPARISONS = 4  # of any other range


def refuse_excess(keys: Iterable[Key]) -> None:
    """Raise `InvalidIdentifier` if the keys ask for too much; at fault is the one that asks for most."""
    counted = [(comparisons(key), key.attribute) for key in keys]
    if sum(count for count, _ in counted) > MAX_COMPARISONS:
        _, most = max(counted, key=lambda one: one[0])
        raise invalid(most, f"more than {MAX_COMPARISONS} comparisons, most for {most.keyword}")


def comparisons(key: Key) -> int:
    """Return how many comparisons a key asks for; a list that is looked up is one, whatever its length."""
    return _of(key.attribute, key.matching)


def _of(attribute: Attribute, asked: Matching) -> int:
    match asked:
        case AnyOf(several) | AllOf(several):
            return sum(_of(attribute, one) for one in several)
        case Items(keys):
            return 1 + sum(map(comparisons, keys))
        case _:
            return _one(attribute, asked) + int(attribute.multi_valued)  # its values are taken apart


def _one(attribute: Attribute, asked: Matching) -> int:
    match asked:
        case Range() | Moments():
            is_of_times = attribute.vr == "TM" or isinstance(asked, Moments)
            return TIME_COMPARISONS if is_of_times else SPAN_COMPARISONS
        case Words(words):
            return 1 + len(words)
        case ValueList(values):
            return _listed(attribute, values)
    text = getattr(asked, "value", "") or getattr(asked, "pattern", "")
    return _name(text) if attribute.vr == "PN" else 1


def _listed(attribute: Attribute, values: tuple[str, ...]) -> int:
    if attribute.vr == "PN":
        return sum(map(_name, values))
    return len(values) if attribute.vr in NUMERIC_VRS else 1


def _name(text: str) -> int:
    """Count the whole name and its component groups, each also without components that may be left out."""
    return (text.count("=") + 2) * (2 if "^*" in text else 1)
