"""Object names: `<StudyInstanceUID>/<SeriesInstanceUID>/<SOPInstanceUID>.dcm`; a further version: `~<n>`.

What begins with an underscore is no instance: `_state/` holds the copies of the node's state, `_node.json` is the
lease of the node that writes.
"""

import re

from pacsnode.dicom.uid import MAX_LENGTH

_UID = r"([0-9]+(?:\.[0-9]+)*)"
_NAME = re.compile(rf"{_UID}/{_UID}/{_UID}(?:~([1-9][0-9]*))?\.dcm", re.ASCII)
_STATE = "_state/"
LEASE_NAME = "_node.json"


def object_name(
    study_instance_uid: str, series_instance_uid: str, sop_instance_uid: str, version: int = 0
) -> str:
    """Return the name of an instance's object. The UIDs must be validated; versions count from 0."""
    suffix = f"~{version}" if version else ""
    return f"{study_instance_uid}/{series_instance_uid}/{sop_instance_uid}{suffix}.dcm"


def parse(name: str) -> tuple[str, str, str, int] | None:
    """Return study, series and SOP Instance UID and version of an object name; None if it is not ours."""
    match = _NAME.fullmatch(name)
    if match is None or any(len(uid) > MAX_LENGTH for uid in match.groups()[:3]):
        return None
    study, series, instance, version = match.groups()
    return study, series, instance, int(version or 0)


def state_copy_name(file_name: str) -> str:
    """Return the name of the object that holds a copy of the node's state."""
    return f"{_STATE}{file_name}"


def parse_state_copy(name: str) -> str | None:
    """Return the file name of a copy of the state by its object's name; None if it is another object."""
    return name.removeprefix(_STATE) if name.startswith(_STATE) else None


def is_of_the_node(name: str) -> bool:
    """Return whether an object is about a node and not of the archive: a copy of its state, its lease."""
    return name == LEASE_NAME or name.startswith(_STATE)
