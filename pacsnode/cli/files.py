"""The DICOM files that a command line means: files as they are, folders searched through."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

_PREAMBLE_BYTES = 128
# Without a preamble, a file begins with an element of group 0002 or 0008, in little or big endian byte order.
_FIRST_GROUPS = (b"\x02\x00", b"\x08\x00", b"\x00\x02", b"\x00\x08")
_DICOMDIR = "DICOMDIR"  # an index of a medium, no instance (PS3.10 8.6)


@dataclass(slots=True)
class Found:
    """Files to send, and those in folders that are no DICOM files."""

    paths: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)


def find_files(places: Iterable[Path]) -> Found:
    """Return all files: what is named is taken as it is, what is in a folder only if it looks like DICOM."""
    found = Found()
    for place in places:
        if not place.is_dir():
            found.paths.append(place)
            continue
        for path in _below(place):
            is_dicom = path.name.upper() != _DICOMDIR and looks_like_dicom(path)
            (found.paths if is_dicom else found.skipped).append(path)
    return found


def _below(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def looks_like_dicom(path: Path) -> bool:
    """Return whether a file begins as DICOM files do; one that cannot be read counts, to be reported."""
    try:
        with path.open("rb") as file:
            head = file.read(_PREAMBLE_BYTES + 4)
    except OSError:
        return True
    return head[_PREAMBLE_BYTES:] == b"DICM" or (len(head) > 8 and head.startswith(_FIRST_GROUPS))
