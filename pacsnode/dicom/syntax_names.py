"""Transfer syntaxes (PS3.6 annex A) by the names that the configuration, the command line and comments have."""

from collections.abc import Mapping
from types import MappingProxyType

from pacsnode.dicom import uid

UIDS: Mapping[str, str] = MappingProxyType(
    {
        "implicit": uid.IMPLICIT_VR_LITTLE_ENDIAN,
        "explicit": uid.EXPLICIT_VR_LITTLE_ENDIAN,
        "big-endian": uid.EXPLICIT_VR_BIG_ENDIAN,
        "deflated": uid.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
        "rle": "1.2.840.10008.1.2.5",
        "jpeg-baseline": "1.2.840.10008.1.2.4.50",
        "jpeg-extended": "1.2.840.10008.1.2.4.51",
        "jpeg-lossless-14": "1.2.840.10008.1.2.4.57",
        "jpeg-lossless": "1.2.840.10008.1.2.4.70",
        "jpeg-ls-lossless": "1.2.840.10008.1.2.4.80",
        "jpeg-ls": "1.2.840.10008.1.2.4.81",
        "jpeg-2000-lossless": "1.2.840.10008.1.2.4.90",
        "jpeg-2000": "1.2.840.10008.1.2.4.91",
        "htj2k-lossless": "1.2.840.10008.1.2.4.201",
        "htj2k-lossless-rpcl": "1.2.840.10008.1.2.4.202",
        "htj2k": "1.2.840.10008.1.2.4.203",
    }
)
_NAMES: Mapping[str, str] = MappingProxyType({value: name for name, value in UIDS.items()})


def name_of(transfer_syntax_uid: str) -> str:
    """Return the name of a transfer syntax, its UID if it has none."""
    return _NAMES.get(transfer_syntax_uid, transfer_syntax_uid)


def names_of(transfer_syntax_uids: tuple[str, ...]) -> str:
    """Return the names of several in words."""
    return ", ".join(map(name_of, transfer_syntax_uids)) or "none"


def transfer_syntax(text: str) -> str:
    """Return the UID of a transfer syntax by its name or UID; raises `ValueError` for one that is not kept here."""
    known = UIDS.get(text.strip().lower(), text.strip())
    if not uid.is_accepted_transfer_syntax(known):
        raise ValueError(f"expected a transfer syntax: its UID, or one of {', '.join(UIDS)}")
    return known
