"""What is proposed to a destination (PS3.5 10.1, 10.2; PS3.8 9.3.2.2)."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacsnode.dimse.proposing import contexts_of, kind_of, parts_of
from tests.factories import CT, JPEG_LOSSLESS, MR, Sample, located

EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
JPEG_57, JPEG_2000 = "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.90"
JPEG_LS, RLE = "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.5"


@pytest.mark.parametrize(
    ("kinds", "contexts"),
    [
        ([(CT, EXPLICIT)], [(CT, (EXPLICIT,)), (CT, (EXPLICIT, IMPLICIT))]),
        ([(CT, IMPLICIT), (CT, IMPLICIT)], [(CT, (IMPLICIT,)), (CT, (EXPLICIT, IMPLICIT))]),
        (
            [(CT, JPEG_57), (CT, JPEG_2000)],
            [(CT, (JPEG_57,)), (CT, (JPEG_2000,)), (CT, (JPEG_LOSSLESS,)), (CT, (EXPLICIT, IMPLICIT))],
        ),
        ([(CT, JPEG_LOSSLESS)], [(CT, (JPEG_LOSSLESS,)), (CT, (EXPLICIT, IMPLICIT))]),
        (
            [(CT, EXPLICIT), (MR, JPEG_57)],
            [
                (CT, (EXPLICIT,)), (MR, (JPEG_57,)), (MR, (JPEG_LOSSLESS,)),
                (CT, (EXPLICIT, IMPLICIT)), (MR, (EXPLICIT, IMPLICIT)),
            ],
        ),
    ],
)  # fmt: skip
def test_what_is_proposed(kinds: list[tuple[str, str]], contexts: list[tuple[str, tuple[str, ...]]]) -> None:
    assert contexts_of(kinds) == contexts


@pytest.mark.parametrize(
    ("kinds", "preferred", "contexts"),
    [
        ([(CT, EXPLICIT)], (IMPLICIT,), [(CT, (IMPLICIT,))]),
        ([(CT, EXPLICIT)], (JPEG_LS, EXPLICIT), [(CT, (JPEG_LS,)), (CT, (EXPLICIT,)), (CT, (IMPLICIT,))]),
        ([(CT, JPEG_57)], (JPEG_57, JPEG_LOSSLESS), [(CT, (JPEG_57,)), (CT, (IMPLICIT,))]),
        ([(CT, JPEG_57)], (EXPLICIT,), [(CT, (EXPLICIT,)), (CT, (IMPLICIT,))]),
        (
            [(CT, EXPLICIT), (MR, EXPLICIT)],
            (RLE,),
            [(CT, (RLE,)), (MR, (RLE,)), (CT, (IMPLICIT,)), (MR, (IMPLICIT,))],
        ),
    ],
)
def test_what_is_proposed_to_a_peer_with_a_list(
    kinds: list[tuple[str, str]], preferred: tuple[str, ...], contexts: list[tuple[str, tuple[str, ...]]]
) -> None:
    assert contexts_of(kinds, preferred) == contexts


@given(
    st.lists(
        st.tuples(st.integers(0, 90), st.sampled_from([*"12345", "1.2.840.10008.1.2.4.57"])), max_size=300
    )
)
def test_each_part_fits_into_an_association_and_none_could_be_longer(kinds: list[tuple[int, str]]) -> None:
    plan = [
        replace(located(Sample(), 1), sop_class_uid=f"1.2.{sop_class}", transfer_syntax_uid=syntax)
        for sop_class, syntax in kinds
    ]
    start = 0
    for end, found in parts_of(plan):
        part = plan[start:end]
        assert set(found) == {kind_of(place) for place in part}
        assert 0 < len(contexts_of(found)) <= 128
        if end < len(plan):
            assert len(contexts_of([*found, kind_of(plan[end])])) > 128
        start = end
    assert start == len(plan)
