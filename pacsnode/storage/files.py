"""A local file as a `Readable`."""

import os

from pacsnode.errors import DamagedObject


class FileReadable:
    """An open file. The descriptor is public: storages on the same file system can link instead of copy.

    Reads use `pread` into the caller's buffer: mapped memory would turn an I/O error into SIGBUS.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.length = os.fstat(descriptor).st_size

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fill the buffer from `offset` on; return the bytes read; raises `DamagedObject`."""
        done = 0
        while done < len(buffer):
            try:
                size = os.preadv(self.descriptor, [buffer[done:]], offset + done)
            except OSError as error:
                raise DamagedObject(
                    f"a stored file cannot be read at {offset + done}: {error.strerror}"
                ) from error
            if size == 0:
                break
            done += size
        return done

    def close(self) -> None:
        """Close the file."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
