"""Everything that is kept, read again and compared with the index, in both directions.

Works while the node runs: what comes or moves meanwhile is looked at a second time before it counts.
"""

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from hashlib import blake2b
from itertools import chain

from pacsnode.archive.custody import Custody
from pacsnode.archive.objects import Objects, name_of
from pacsnode.errors import DamagedObject, ObjectNotFound, OutOfResources
from pacsnode.index.base import Located
from pacsnode.spool import Spool
from pacsnode.state.base import CustodyKind
from pacsnode.storage.base import Storage
from pacsnode.storage.names import is_of_the_node
from pacsnode.storage.reading import crc32c_of


class Finding(Enum):
    """What is the matter with one instance or object."""

    CORRECT = "correct"
    MISSING = "missing"  # the index knows it, neither spool nor storage has it
    DAMAGED = "damaged"  # its length or checksum is not the one recorded
    UNREADABLE = "unreadable"  # the disk does not give it back
    NOT_INDEXED = "not indexed"  # spool or storage has it, the index does not know it


_KIND_OF = {
    Finding.MISSING: CustodyKind.LOST,
    Finding.DAMAGED: CustodyKind.DAMAGED,
    Finding.UNREADABLE: CustodyKind.UNREADABLE,
}


@dataclass(frozen=True, slots=True)
class Verified:
    """One instance or object that was looked at. `name` is its object or spool entry."""

    finding: Finding
    name: str
    file_bytes: int
    detail: str = ""
    sop_instance_uid: str = ""


def verify(
    everything: Callable[[], Iterable[Sequence[Located]]], spool: Spool, storage: Storage
) -> Iterator[Verified]:
    """Yield what was found for each row of the index, then each object and spool entry without a row.

    `everything` yields pages of all versions of all instances; it is called again when something has no row.
    """
    objects = Objects(spool, storage)
    names, tokens = array("Q"), set[int]()
    for located in chain.from_iterable(everything()):
        names.append(_hash(name_of(located)))
        if located.token is not None:
            tokens.add(located.token)
        yield replace(_read_again(located, objects), sop_instance_uid=located.sop_instance_uid)
    yield from _without_row(array("Q", sorted(names)), tokens, everything, spool, storage)


def note(custody: Custody, found: Verified) -> None:
    """Record what an acknowledged instance was found to be."""
    kind = _KIND_OF.get(found.finding)
    if kind is not None:
        custody.note(kind, found.detail, name=found.name, sop_instance_uid=found.sop_instance_uid)


def _read_again(located: Located, objects: Objects) -> Verified:
    name = name_of(located)
    try:
        readable = objects.open(located)
    except ObjectNotFound:
        return Verified(
            Finding.MISSING, name, 0, f"neither spool nor storage has {located.file_length} bytes"
        )
    except OutOfResources as error:
        return Verified(Finding.UNREADABLE, name, 0, str(error))
    try:
        if readable.length != located.file_length:
            return Verified(
                Finding.DAMAGED, name, readable.length, f"{readable.length} bytes, not {located.file_length}"
            )
        file_crc32c = crc32c_of(readable)
        data_set_crc32c = crc32c_of(readable, located.file_length - located.data_set_length)
    except (DamagedObject, OSError) as error:
        return Verified(Finding.UNREADABLE, name, 0, str(error))
    finally:
        readable.close()
    if (file_crc32c, data_set_crc32c) != (located.file_crc32c, located.data_set_crc32c):
        return Verified(
            Finding.DAMAGED,
            name,
            located.file_length,
            f"CRC32C {file_crc32c:08x}, not {located.file_crc32c:08x}",
        )
    return Verified(Finding.CORRECT, name, located.file_length)


def _without_row(
    names: "array[int]",
    tokens: set[int],
    everything: Callable[[], Iterable[Sequence[Located]]],
    spool: Spool,
    storage: Storage,
) -> Iterator[Verified]:
    """Yield objects and spool entries that no row has, also not after another look at the index."""
    strays = {
        info.name: info.length
        for info in storage.list()
        if not _holds(names, _hash(info.name)) and not is_of_the_node(info.name)
    }
    # An entry stays in the spool for a while after it was filed; its row has the same length and CRC32C.
    entries = {(entry.length, entry.crc32c): entry for entry in spool.entries() if entry.token not in tokens}
    if strays or entries:
        for located in chain.from_iterable(everything()):
            strays.pop(name_of(located), None)
            entries.pop((located.file_length, located.file_crc32c), None)
    for name, length in strays.items():
        yield Verified(Finding.NOT_INDEXED, name, length, "an object that the index does not know")
    for entry in entries.values():
        yield Verified(
            Finding.NOT_INDEXED, entry.name, entry.length, "a spool entry; serve indexes it at its start"
        )


def _hash(name: str) -> int:
    """Return 64 bits of a name: ten million of them fit in 80 MB, and the names do not."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest())


def _holds(ascending: "array[int]", value: int) -> bool:
    at = bisect_left(ascending, value)
    return at < len(ascending) and ascending[at] == value
