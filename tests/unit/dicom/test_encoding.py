"""Which encoding a data set has, and how long an element without a proper VR is."""

import pytest
from pydicom.valuerep import EXPLICIT_VR_LENGTH_16, EXPLICIT_VR_LENGTH_32

from pacsnode.dicom import encoding
from pacsnode.dicom.encoding import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, Encoding
from pacsnode.dicom.uid import EXPLICIT_VR_BIG_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from tests.unit.dicom.headers import SYNTAXES, data_set, element

ENCODINGS = {
    EXPLICIT_VR_LITTLE_ENDIAN: EXPLICIT_LITTLE,
    IMPLICIT_VR_LITTLE_ENDIAN: IMPLICIT_LITTLE,
    EXPLICIT_VR_BIG_ENDIAN: EXPLICIT_BIG,
}


def test_the_vrs_are_those_of_pydicom() -> None:
    assert {vr.decode() for vr in encoding.SHORT_VRS} == set(EXPLICIT_VR_LENGTH_16)
    assert {vr.decode() for vr in encoding.LONG_VRS} == set(EXPLICIT_VR_LENGTH_32)


def test_transfer_syntaxes_are_explicit_little_endian_unless_they_say_otherwise() -> None:
    assert {syntax: encoding.declared(syntax) for syntax in SYNTAXES} == ENCODINGS
    assert encoding.declared("1.2.840.10008.1.2.4.50") is EXPLICIT_LITTLE


@pytest.mark.parametrize("claim", ENCODINGS.values())
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_the_first_element_tells_the_encoding_whatever_is_claimed(syntax: str, claim: Encoding) -> None:
    data = data_set(syntax=syntax)
    if claim == EXPLICIT_BIG and syntax == IMPLICIT_VR_LITTLE_ENDIAN:
        assert encoding.detected(data, claim) is IMPLICIT_LITTLE
    assert encoding.detected(data, claim) is ENCODINGS[syntax]


@pytest.mark.parametrize("claim", ENCODINGS.values())
def test_too_few_bytes_leave_the_claim(claim: Encoding) -> None:
    assert encoding.detected(b"\x08\0\x05\0CS\0", claim) is claim


def test_a_first_element_without_its_vr_does_not_make_the_data_set_implicit() -> None:
    careless = element(0x00080005, "  ", b"ISO_IR 100") + data_set()
    assert encoding.detected(careless, EXPLICIT_LITTLE) is EXPLICIT_LITTLE


FOLLOWING = element(0x00080060, "CS", b"CT")


@pytest.mark.parametrize(
    ("header", "start", "length"),
    [
        (b"QQ\x04\0", 8, 4),
        (b"QQ\0\0\x04\0\0\0", 12, 4),
        (b"  \x04\0", 8, 4),
        (b"\0\0\x04\0", 8, 4),
        (b"\x04\0\0\0", 8, 4),
        (b"??\0\0\x04\0\0\0", 12, 4),
        (b"\0\0\0\0\x04\0\0\0", 12, 4),
        (b"QQ\0\0", 8, 0),
    ],
)
def test_the_length_of_an_odd_vr_is_the_one_that_leads_to_the_next_element(
    header: bytes, start: int, length: int
) -> None:
    data = b"\x08\0\x50\0" + header + b"DATA"[:length] + FOLLOWING
    assert encoding.odd_header(data, 0, encoding.LITTLE_ENDIAN) == (start, length)
    last = b"\x08\0\x50\0" + header + b"DATA"[:length]
    assert sum(encoding.odd_header(last, 0, encoding.LITTLE_ENDIAN)) == len(last)


def test_an_odd_vr_that_leads_nowhere_is_read_as_pydicom_reads_it() -> None:
    assert encoding.odd_header(b"\x08\0\x50\0QQ\x10\0..", 0, encoding.LITTLE_ENDIAN) == (8, 16)
    assert encoding.odd_header(b"\x08\0\x50\0  \x10\0..", 0, encoding.LITTLE_ENDIAN) == (8, 0x00102020)
