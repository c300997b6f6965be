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

    def read(self, size: int, offset: int) -> bytes:
        """Return the bytes from `offset` on, fewer than the size only at the end; raises `DamagedObject`."""
        pieces = list[bytes]()
        while size:
            try:
                piece = os.pread(self.descriptor, size, offset)
            except OSError as error:
                raise DamagedObject(f"a stored file cannot be read at {offset}: {error.strerror}") from error
            if not piece:
                break
            pieces.append(piece)
            size, offset = size - len(piece), offset + len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        """Close the file."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
