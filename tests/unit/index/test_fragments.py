"""Pieces of SQL: patterns, lists of any length, the end of a prefix."""

import sqlite3

import pytest

from pacsnode.index.fragments import Fragment, after, all_of, any_of, as_glob, in_blobs, in_numbers, in_texts


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("a[b]*", "a[b]c", True),
        ("a[b]*", "abc", False),
        ("*]", "a]", True),
        ("[*", "[", True),
        ("[^a]?", "[^a]b", True),
        ("?", "山", True),
        ("*%_*", "a%_b", True),
        ("*%_*", "axyb", False),
        ("A*", "a", False),
    ],
)
def test_glob_is_the_wildcard_match(pattern: str, text: str, matches: bool) -> None:
    connection = sqlite3.connect(":memory:")
    assert connection.execute("SELECT ? GLOB ?", (text, as_glob(pattern))).fetchone() == (matches,)
    connection.close()


@pytest.mark.parametrize("count", [1, 2, 1000, 40_000])
def test_lists_of_any_length_are_bound(count: int) -> None:
    connection = sqlite3.connect(":memory:")
    blobs = [number.to_bytes(1 + number % 9, "big") for number in range(256)] * (count // 256) + [b"\x01\x02"]
    found = in_blobs("x", blobs)
    assert connection.execute(
        f"SELECT {found.sql} FROM (SELECT x'0102' AS x)", found.parameters
    ).fetchone() == (1,)
    missed = connection.execute(f"SELECT {found.sql} FROM (SELECT x'0103' AS x)", found.parameters)
    assert missed.fetchone() == (0,)
    numbers = in_numbers("x", list(range(count)))
    assert connection.execute(
        f"SELECT {numbers.sql} FROM (SELECT 0 AS x)", numbers.parameters
    ).fetchone() == (1,)
    assert len(numbers.parameters) == 1
    texts = in_texts("x", [f"'{number}" for number in range(count)])
    assert connection.execute(
        f"SELECT {texts.sql} FROM (SELECT '''0' AS x)", texts.parameters
    ).fetchone() == (1,)
    connection.close()


@pytest.mark.parametrize(
    ("prefix", "end"),
    [("a", "b"), ("ab", "ac"), ("a\ud7ff", "a\ue000"), ("é", "ê"), ("20200131", "20200132"), ("9", ":")],
)
def test_the_end_of_a_prefix_is_the_next_text(prefix: str, end: str) -> None:
    assert after(prefix) == end


def test_fragments_are_joined_with_their_values_in_order() -> None:
    one, two = Fragment("a = ?", (1,)), Fragment("b = ?", (2,))
    assert any_of([one, two]) == Fragment("(a = ? OR b = ?)", (1, 2))
    assert all_of([two, one]) == Fragment("(b = ? AND a = ?)", (2, 1))
    assert any_of([one]) is one
