from pacsnode.dicom import convertible, uid
from pacsnode.dicom.convertible import can_convert

JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
MPEG2 = "1.2.840.10008.1.2.4.100"


def test_all_that_is_listed_is_kept() -> None:
    listed = convertible.UNCOMPRESSED | convertible.DECODED | convertible.ENCODED
    assert listed <= set(uid.ACCEPTED_TRANSFER_SYNTAXES)
    assert not convertible.DECODED & convertible.UNCOMPRESSED


def test_each_syntax_is_sent_as_it_is() -> None:
    assert all(can_convert(syntax, syntax) for syntax in (*uid.ACCEPTED_TRANSFER_SYNTAXES, "1.2.3"))


def test_what_is_decoded_comes_in_both_little_endian_syntaxes_and_in_lossless_ones() -> None:
    made = {wanted for wanted in uid.ACCEPTED_TRANSFER_SYNTAXES if can_convert(JPEG_BASELINE, wanted)}
    little = {uid.IMPLICIT_VR_LITTLE_ENDIAN, uid.EXPLICIT_VR_LITTLE_ENDIAN}
    assert made == little | convertible.ENCODED | {JPEG_BASELINE}


def test_nothing_becomes_lossy_and_films_stay_films() -> None:
    assert not can_convert(uid.EXPLICIT_VR_LITTLE_ENDIAN, JPEG_BASELINE)
    assert not can_convert(MPEG2, uid.EXPLICIT_VR_LITTLE_ENDIAN)


def test_uncompressed_ones_change_among_each_other() -> None:
    assert all(can_convert(a, b) for a in convertible.UNCOMPRESSED for b in convertible.UNCOMPRESSED)
    assert can_convert(uid.EXPLICIT_VR_LITTLE_ENDIAN, convertible.RLE_LOSSLESS)
    assert not can_convert(uid.EXPLICIT_VR_BIG_ENDIAN, convertible.RLE_LOSSLESS)
