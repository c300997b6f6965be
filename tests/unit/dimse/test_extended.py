"""SOP Class Extended Negotiation: which bytes are answered, and what they agree upon (PS3.4 C.5)."""

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacsnode.dicom.query import BASELINE, Options
from pacsnode.dimse import extended
from pacsnode.dimse.extended import FIND, RETRIEVE

OPTIONS = st.builds(Options, **{field.name: st.booleans() for field in fields(Options)})


@pytest.mark.parametrize(
    ("proposed", "answered", "agreed"),
    [
        # C.5.1.1: one byte for one byte; more for more
        (b"", b"", BASELINE),
        (b"\1", b"\1", Options(relational=True)),
        (b"\0", b"\0", BASELINE),
        (b"\1\1\1", b"\1\1\1", Options(relational=True, combined_date_time=True, fuzzy_names=True)),
        (b"\0\0\1", b"\0\0\1", Options(fuzzy_names=True)),
        (b"\0\0\0\1", b"\0\0\0\1", Options(timezone_adjustment=True)),
        # byte 5, Enhanced Multi-Frame Image Conversion, is turned down
        (b"\0\0\0\0\1", bytes(5), BASELINE),
        (b"\0\0\0\0\1\1", b"\0\0\0\0\0\1", Options(empty_value=True)),
        (b"\1" * 7, b"\1\1\1\1\0\1\1", Options(True, True, True, True, True, True)),
        # at most seven, whatever later editions add
        (b"\1" * 12, b"\1\1\1\1\0\1\1", Options(True, True, True, True, True, True)),
        # a byte is 0 or 1, others mean nothing
        (b"\2\xff\1", b"\0\0\1", Options(fuzzy_names=True)),
    ],
)
def test_a_query_class(proposed: bytes, answered: bytes, agreed: Options) -> None:
    assert extended.answer(proposed, FIND) == answered
    assert extended.agreed(answered, FIND) == agreed


@pytest.mark.parametrize(
    ("proposed", "answered", "agreed"),
    [
        # C.5.2.1, C.5.3.1: relational retrieval, Enhanced Multi-Frame Image Conversion
        (b"\1", b"\1", Options(relational=True)),
        (b"\1\1", b"\1\0", Options(relational=True)),
        (b"\0\1", b"\0\0", BASELINE),
        (b"\1\1\1", b"\1\0", Options(relational=True)),
    ],
)
def test_a_retrieve_class(proposed: bytes, answered: bytes, agreed: Options) -> None:
    assert extended.answer(proposed, RETRIEVE) == answered
    assert extended.agreed(answered, RETRIEVE) == agreed


@given(st.binary(max_size=20))
def test_an_answer_accepts_only_what_was_proposed_and_is_not_longer(proposed: bytes) -> None:
    answered = extended.answer(proposed, FIND)
    assert len(answered) == min(len(proposed), 7)
    assert all(
        answer in (0, 1) and answer <= asked for answer, asked in zip(answered, proposed, strict=False)
    )


@given(OPTIONS)
def test_what_is_proposed_is_answered_and_agreed_upon(options: Options) -> None:
    proposed = extended.proposal(options, FIND)
    assert proposed[-1:] in (b"", b"\1"), "as short as it can be"
    assert extended.agreed(extended.answer(proposed, FIND), FIND) == options


def test_options_are_in_one_place_each() -> None:
    assert sorted(filter(None, FIND)) == sorted(field.name for field in fields(Options))
    assert FIND.index("") == 4
