"""Which transfer syntaxes a stored instance can be converted to (PS3.5 10 and Annex A).

Tables only, so that a worker can negotiate by them without a codec; what they promise is what
`pacsnode.transcode` does. Nothing here loses anything: a lossy syntax is read, never made, so that the
SOP Instance UID stays (PS3.3 C.7.6.1.1.5). A single instance may still turn out to be damaged.
"""

from pacsnode.dicom import uid

RLE_LOSSLESS = "1.2.840.10008.1.2.5"
JPEG_LS_LOSSLESS = "1.2.840.10008.1.2.4.80"
JPEG_2000_LOSSLESS = "1.2.840.10008.1.2.4.90"
ENCAPSULATED_UNCOMPRESSED = "1.2.840.10008.1.2.1.98"

# Those whose Pixel Data are one coded image a frame: JPEG by ISO/IEC 10918-1 (PS3.5 8.2.1) but for the
# hierarchical and the arithmetic ones, which no codec reads and no device has made.
JPEG = frozenset("1.2.840.10008.1.2.4." + last for last in ("50", "51", "53", "55", "57", "70"))
JPEG_LS = frozenset((JPEG_LS_LOSSLESS, "1.2.840.10008.1.2.4.81"))
HTJ2K = frozenset("1.2.840.10008.1.2.4." + last for last in ("201", "202", "203"))  # PS3.5 8.2.14
JPEG_2000 = frozenset((JPEG_2000_LOSSLESS, "1.2.840.10008.1.2.4.91")) | HTJ2K

UNCOMPRESSED = frozenset(
    (
        uid.IMPLICIT_VR_LITTLE_ENDIAN,
        uid.EXPLICIT_VR_LITTLE_ENDIAN,
        uid.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
        uid.EXPLICIT_VR_BIG_ENDIAN,
    )
)
DECODED = frozenset((RLE_LOSSLESS, ENCAPSULATED_UNCOMPRESSED)) | JPEG | JPEG_LS | JPEG_2000
ENCODED = frozenset((RLE_LOSSLESS, JPEG_LS_LOSSLESS, JPEG_2000_LOSSLESS))

# Big endian is retired and a deflated data set is read forward only: they change among the uncompressed ones.
_LITTLE = frozenset((uid.IMPLICIT_VR_LITTLE_ENDIAN, uid.EXPLICIT_VR_LITTLE_ENDIAN))


def can_convert(stored: str, wanted: str) -> bool:
    """Return whether instances in the syntax `stored` can be sent in another, `wanted`."""
    if stored == wanted:
        return True
    if stored in UNCOMPRESSED and wanted in UNCOMPRESSED:
        return True
    return stored in _LITTLE | DECODED and wanted in _LITTLE | ENCODED
