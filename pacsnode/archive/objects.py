"""Where an instance's bytes lie, opened and checked: the spool or the storage.

An instance moves from the spool to the storage while it is served. The index names its place; if it has just
moved, the other place has it. What lies in a storage far away goes through a cache nearby. Damaged bytes are never
given out: `open_checked` compares length and CRC32C before the first byte, and what a retrieve sends is compared by
`read_ahead`.
"""

from pacsnode.errors import DamagedObject, ObjectNotFound
from pacsnode.index.base import Located
from pacsnode.spool import Entry, Spool
from pacsnode.storage.base import Readable, Storage
from pacsnode.storage.cache import Cache, Wanted
from pacsnode.storage.names import object_name
from pacsnode.storage.reading import crc32c_of


def name_of(located: Located) -> str:
    """Return the object name of an instance."""
    return object_name(
        located.study_instance_uid, located.series_instance_uid, located.sop_instance_uid, located.version
    )


def entry_of(located: Located) -> Entry | None:
    """Return the spool entry of an instance that waits there, None for one that is stored."""
    if located.token is None:
        return None
    return Entry(located.token, located.file_length, located.file_crc32c)


def wanted_of(located: Located) -> Wanted:
    """Return what the cache goes by."""
    return Wanted(name_of(located), located.file_length, located.file_crc32c)


class Objects:
    """Opens instances wherever they are. Any thread may call any method."""

    def __init__(self, spool: Spool, storage: Storage, cache: Cache | None = None) -> None:
        """A storage that is far away comes with a cache."""
        self._spool = spool
        self._storage = storage
        self._cache = cache

    @property
    def are_far(self) -> bool:
        """Whether what is stored has to be fetched, and may be fetched ahead."""
        return self._cache is not None

    def open(self, located: Located) -> Readable:
        """Open an instance's Part 10 file; raises `ObjectNotFound` if neither place has it."""
        entry = entry_of(located)
        if entry is not None:
            try:
                return self._spool.open(entry)
            except ObjectNotFound:
                pass  # filed since the index was read
        return self._open_stored(located)

    def _open_stored(self, located: Located, *, is_ahead: bool = False) -> Readable:
        name = name_of(located)
        if self._cache is None:
            return self._storage.open(name)
        return self._cache.open(wanted_of(located), lambda: self._storage.open(name), is_ahead=is_ahead)

    def fetch(self, located: Located) -> None:
        """Have an instance of a far storage nearby; raises as `open`."""
        if located.token is None:
            self._open_stored(located, is_ahead=True).close()

    def distrust(self, located: Located) -> bool:
        """Drop what is nearby of an instance that was found damaged; false if there was nothing."""
        return self._cache is not None and self._cache.drop(wanted_of(located))

    def open_checked(self, located: Located) -> Readable:
        """Open an instance whose length and CRC32C are as recorded; raises `DamagedObject` otherwise."""
        try:
            return self._opened_checked(located)
        except DamagedObject:
            if not self.distrust(located):
                raise
            return self._opened_checked(located)

    def _opened_checked(self, located: Located) -> Readable:
        readable = self.open(located)
        try:
            check_length(readable, located)
            check_crc32c(crc32c_of(readable), located)
        except BaseException:
            readable.close()
            raise
        return readable


def check_length(readable: Readable, located: Located) -> None:
    """Compare the length of an open instance with what the index recorded; raises `DamagedObject`."""
    if readable.length != located.file_length:
        raise DamagedObject(
            f"instance {located.sop_instance_uid}: {readable.length} bytes, not {located.file_length}"
        )


def check_crc32c(crc32c: int, located: Located) -> None:
    """Compare the checksum of an instance's bytes with what the index recorded; raises `DamagedObject`."""
    if crc32c != located.file_crc32c:
        raise DamagedObject(f"instance {located.sop_instance_uid}: its bytes are not those that were stored")
