"""In which transfer syntax an instance is sent: as stored wherever that can be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacsnode.dicom.convertible import can_convert
from pacsnode.dicom.syntax_names import UIDS
from pacsnode.dimse.choosing import chosen

IMPLICIT, EXPLICIT, BIG = UIDS["implicit"], UIDS["explicit"], UIDS["big-endian"]
JPEG, JPEG_LS, RLE = UIDS["jpeg-lossless"], UIDS["jpeg-ls-lossless"], UIDS["rle"]
MPEG = "1.2.840.10008.1.2.4.100"


@pytest.mark.parametrize(
    ("stored", "accepted", "preferred", "expected"),
    [
        (EXPLICIT, [IMPLICIT, EXPLICIT], (), EXPLICIT),
        (JPEG, [EXPLICIT, JPEG], (), JPEG),
        (EXPLICIT, [IMPLICIT], (), IMPLICIT),
        (JPEG, [IMPLICIT, EXPLICIT], (), EXPLICIT),
        (EXPLICIT, [JPEG_LS, BIG], (), BIG),
        (EXPLICIT, [RLE], (), RLE),
        (EXPLICIT, [JPEG], (), None),
        (MPEG, [EXPLICIT], (), None),
        (MPEG, [EXPLICIT, MPEG], (), MPEG),
        (EXPLICIT, [], (), None),
        # With a list
        (EXPLICIT, [EXPLICIT, JPEG_LS], (JPEG_LS,), JPEG_LS),
        (EXPLICIT, [EXPLICIT, JPEG_LS], (EXPLICIT, JPEG_LS), EXPLICIT),
        (JPEG, [JPEG, JPEG_LS], (JPEG_LS, JPEG), JPEG),
        (JPEG, [JPEG, EXPLICIT], (EXPLICIT,), EXPLICIT),
        (JPEG, [JPEG, IMPLICIT], (EXPLICIT,), JPEG),
        (JPEG, [IMPLICIT], (EXPLICIT,), IMPLICIT),
        (EXPLICIT, [EXPLICIT], (JPEG,), EXPLICIT),
    ],
)
def test_what_is_chosen(
    stored: str, accepted: list[str], preferred: tuple[str, ...], expected: str | None
) -> None:
    assert chosen(stored, accepted, preferred) == expected


SYNTAXES = st.sampled_from([*UIDS.values(), MPEG])


@given(SYNTAXES, st.lists(SYNTAXES, max_size=5), st.lists(SYNTAXES, max_size=4))
def test_what_is_chosen_can_be_had_and_is_accepted(
    stored: str, accepted: list[str], preferred: list[str]
) -> None:
    found = chosen(stored, accepted, preferred)
    if found is None:
        assert not any(can_convert(stored, one) for one in accepted)
    else:
        assert found in accepted
        assert can_convert(stored, found)
        assert preferred or stored not in accepted or found == stored
