"""UIDs: validation (PS3.5 9.1) and the packed form that the index keeps.

A UID from the network passes `validated` before it becomes a path, an object name or SQL. Packed, a UID is one
nibble a character (digits as they are, `A` for a dot, `F` to fill the last byte): half the size of the text, and
SQLite turns it back with `rtrim(replace(hex(uid), 'A', '.'), 'F')`.
"""

import re

from pacsnode.errors import InvalidUID

MAX_LENGTH = 64

_UID = re.compile(r"[0-9]+(?:\.[0-9]+)*", re.ASCII)


def validated(value: str | bytes) -> str:
    """Return the UID without its padding, or raise `InvalidUID`.

    One trailing NUL or trailing spaces are padding. Leading zeros in a component are accepted, since real devices
    send them (`has_leading_zeros` tells).
    """
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else value
    text = text.removesuffix("\0").rstrip(" ")
    if not 1 <= len(text) <= MAX_LENGTH or not _UID.fullmatch(text):
        raise InvalidUID(f"{text[:MAX_LENGTH]!r} is not a UID: 1 to 64 digits and dots, as in 1.2.840")
    return text


def has_leading_zeros(uid: str) -> bool:
    """Return whether a component has a leading zero, which PS3.5 9.1 forbids and devices send."""
    return any(len(component) > 1 and component[0] == "0" for component in uid.split("."))


def packed(uid: str) -> bytes:
    """Return a validated UID at one nibble a character."""
    return bytes.fromhex(uid.replace(".", "a") + "f" * (len(uid) & 1))


def unpacked(blob: bytes) -> str:
    """Return the UID that `packed` was given."""
    return blob.hex().replace("a", ".").rstrip("f")
