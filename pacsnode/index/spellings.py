"""Person names as SQL conditions on their folded form, with the meaning that `dicom.matching` gives them. Pure.

The component groups of a name stand in one text, joined by `=`, and are split there (`fragments.split_at`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pacsnode.dicom import charset, names
from pacsnode.index.fragments import NOT_ASCII, Fragment, all_of, any_of, as_glob, beginning, split_at

Agreeing = Callable[[str, str], Fragment]


def equal(value: str, wanted: str) -> Fragment:
    """Return the condition that a name, or its component groups, are what is wanted."""
    return _is_name(value, charset.folded(wanted), _same)


def like(value: str, pattern: str) -> Fragment:
    """Return the condition that a pattern covers a name, or its component groups."""
    return _is_name(value, charset.folded_pattern(pattern), _covered)


def _same(value: str, wanted: str) -> Fragment:
    return Fragment(f"{value} = ?", (wanted,))


def _covered(value: str, pattern: str) -> Fragment:
    return any_of([Fragment(f"{value} GLOB ?", (as_glob(one),)) for one in names.patterns(pattern)])


def _is_name(value: str, wanted: str, agrees: Agreeing) -> Fragment:
    whole = agrees(value, wanted)
    if "=" not in wanted:
        one = agrees("spelling.value", wanted)
        return any_of(
            [
                whole,
                Fragment(
                    f"(instr({value}, '=') AND EXISTS (SELECT 1 FROM json_each({_groups(value)})"
                    " AS spelling WHERE spelling.value <> '' AND "
                )
                + one
                + Fragment("))"),
            ]
        )
    asked = [(at, one) for at, one in enumerate(wanted.split("=")) if one]
    return any_of([whole, all_of([agrees(_group(value, at), one) for at, one in asked])])


def _groups(value: str) -> str:
    return split_at(value, "=")


def _group(value: str, at: int) -> str:
    return f"coalesce(json_extract({_groups(value)}, '$[{at}]'), '')"


def with_words(value: str, words: Sequence[str], exact: Fragment) -> Fragment:
    """Return a condition about words that is only looked at where a folded name, or several, can have them.

    Names that are not ASCII always can: the words of a name are folded further than the name (`names`).
    """
    text = f"' ' || {value}"
    for apostrophe in _APOSTROPHES:
        text = f"replace({text}, {apostrophe}, '')"
    can = [Fragment(f"{text} GLOB ?", (f"*{_BETWEEN}{as_glob(word)}*",)) for word in words]
    is_possible = Fragment(f"{value} GLOB ? OR ", (NOT_ASCII,)) + all_of(can)
    return Fragment("CASE WHEN ") + is_possible + Fragment(" THEN ") + exact + Fragment(" END")


# What stands between the words of a name, and what is no part of them, as far as it is ASCII (`names`).
_BETWEEN = "[ \t\n\v\f\r\x1c\x1d\x1e\x1f\\^=,;./-]"
_APOSTROPHES = ("''''", "'\"'", "'`'")


@dataclass(frozen=True, slots=True)
class Beginnings:
    """What one of the texts of a name begins with, folded: the whole name, or a group behind its first."""

    name: str
    group: str | None  # None where no group behind the first one needs to be looked for


def beginnings(pattern: str) -> Beginnings | None:
    """Return where to look for the names that a pattern, or a name, matches; None where that is everywhere."""
    wanted = charset.folded_pattern(pattern)
    asked = wanted.split("=")
    first = next((one for one in asked if one), "")
    if "=" not in wanted:
        found = Beginnings(_literal(wanted), _literal(wanted))
    elif asked[0]:
        found = Beginnings(_literal(asked[0]), None)
    else:
        found = Beginnings(_literal(wanted), _literal(first))
    return None if found.name == "" or found.group == "" else found


def _literal(pattern: str) -> str:
    """Return what everything begins with that a pattern covers."""
    return beginning(names.patterns(pattern)[-1])
