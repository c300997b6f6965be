"""`pacsnode manual query` and `attributes` say what the code does. Run as a program, this prints the attributes."""

import re
from collections.abc import Iterator
from importlib import resources
from textwrap import wrap

import pytest

from pacsnode.dicom import budget, keys, names
from pacsnode.dicom.attributes import STANDARD, Attribute, Level, Source
from pacsnode.dicom.wording import OPTION_NAMES
from tests.matrix.rules import RULES

_WIDTH = 110
_INDENT = " " * 23
_CODE = tuple(item.keyword for item in STANDARD.by_keyword["ProcedureCodeSequence"].items)


def attribute_table() -> str:
    """Return the attributes of each level, as the manual has them."""
    return "\n\n".join("\n".join([f"{level.name}", "", *_rows(level)]) for level in Level)


def _rows(level: Level) -> Iterator[str]:
    for attribute in sorted(STANDARD.attributes, key=lambda one: one.tag):
        if attribute.level is level and attribute.source is not Source.CONSTANT:
            yield _row(attribute)
            if attribute.items:
                text = ", ".join(_items(attribute))
                yield from wrap(text, _WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT)


def _row(attribute: Attribute) -> str:
    remarks = []
    if attribute.multi_valued:
        remarks.append("several values")
    if attribute.source is Source.COMPUTED:
        remarks.append("computed" if attribute.multi_valued else "computed, answered only")
    tag = f"{attribute.tag >> 16:04X},{attribute.tag & 0xFFFF:04X}"
    row = f"    ({tag})  {attribute.vr}  {attribute.key_type.value}  {attribute.keyword}"
    return f"{row}: {', '.join(remarks)}" if remarks else row


def _items(attribute: Attribute) -> list[str]:
    words = [
        f"{item.keyword} ({', '.join(_items(item))})" if item.items else item.keyword
        for item in attribute.items
    ]
    return ["a code", *words[len(_CODE) :]] if tuple(words[: len(_CODE)]) == _CODE else words


def topic(name: str) -> str:
    return (resources.files("pacsnode") / "manual" / f"{name}.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page() -> str:
    """The topic as it is read."""
    return topic("query")


def test_the_table_has_every_attribute_that_can_be_asked_for() -> None:
    said = "run tests/unit/test_query_manual.py and put what it prints into the manual"
    assert attribute_table() in topic("attributes"), said


def test_a_code_is_explained() -> None:
    assert f"`a code` is {', '.join(_CODE)}" in topic("attributes").replace("\n", " ")


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_of_the_matrix_has_a_line_in_the_comparison(page: str, rule: str) -> None:
    assert re.search(rf"(?m)^\| {re.escape(rule)} \|", page)


@pytest.mark.parametrize("name", OPTION_NAMES.values())
def test_each_option_that_can_be_negotiated_is_there(page: str, name: str) -> None:
    assert name in page.lower().replace("\n", " ")


@pytest.mark.parametrize(
    ("number", "of"),
    [
        (keys.MAX_KEY_CHARACTERS, "characters"),
        (keys.MAX_WILDCARDS, "wild cards"),
        (keys.MAX_ALTERNATIVES, "patterns and ranges"),
        (keys.MAX_COMPARED, "names, numbers, dates and times"),
        (names.MAX_WORDS, "words"),
        (names.MAX_GROUPS, "component groups"),
        (budget.MAX_COMPARISONS, "comparisons"),
    ],
)
def test_each_bound_is_there(page: str, number: int, of: str) -> None:
    assert f"{number:,} {of}" in page.replace("\n", " ")


if __name__ == "__main__":
    print(attribute_table())
