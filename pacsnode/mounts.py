"""What kind of file system a path lies on, from /proc/self/mountinfo (proc(5))."""

import re
from pathlib import Path

_OCTAL = re.compile(r"\\([0-7]{3})")


def file_system_of(path: Path) -> str:
    """Return the type of the file system that holds a path (`ext4`, `xfs`, `nfs4`), "" where nothing tells."""
    try:
        mountinfo = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape")
    except OSError:
        return ""
    return file_system_type(mountinfo, str(path.resolve()))


def file_system_type(mountinfo: str, path: str) -> str:
    """Return the type of the mount that holds an absolute path, "" if none does.

    The longest mount point wins, of equal ones the last: it covers the earlier.
    """
    longest, found = -1, ""
    for line in mountinfo.splitlines():
        mount, _, source = line.partition(" - ")
        fields = mount.split()
        if len(fields) < 5 or not source:
            continue
        point = _OCTAL.sub(lambda octal: chr(int(octal[1], 8)), fields[4]).rstrip("/")
        if (path == point or path.startswith(point + "/")) and len(point) >= longest:
            longest, found = len(point), source.split()[0]
    return found
