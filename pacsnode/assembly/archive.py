"""What is kept: index, spool and storage of a configuration, opened together."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from pacsnode.archive.objects import Objects, chunks_of
from pacsnode.archive.store import Store
from pacsnode.assembly.folders import make_folder
from pacsnode.config import Config
from pacsnode.index.base import Located
from pacsnode.index.sqlite import SqliteIndex
from pacsnode.spool import Spool
from pacsnode.storage.base import Storage
from pacsnode.storage.directory import DirectoryStorage
from pacsnode.storage.memory import MemoryStorage

_INDEX_FILE = "index-1.db"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class Archive:
    """Index, spool and storage of a configuration, opened together. A context manager."""

    def __init__(self, config: Config, *, worker: int = 0) -> None:
        """Open what there is, creating what is not; raises `PacsNodeError`. `worker` as in `Spool`."""
        make_folder(config.node.data_dir, "node.data_dir")
        make_folder(config.spool.path, "spool.path")
        make_folder(config.index.path, "index.path")
        with ExitStack() as opened:
            self.spool = Spool(
                config.spool.path, min_free_bytes=config.spool.min_free, now_ms=_now_ms, worker=worker
            )
            opened.callback(self.spool.close)
            self.storage = _storage(config)
            opened.callback(self.storage.close)
            self.index = SqliteIndex(config.index.path / _INDEX_FILE)
            opened.pop_all()
        self.objects = Objects(self.spool, self.storage)

    def store(self, config: Config, *, stored: Callable[[], None]) -> Store:
        """Return the use case that stores here; `stored` is rung when something waits in the spool."""
        return Store(
            index=self.index,
            spool=self.spool,
            objects=self.objects,
            policy=config.storage.duplicates,
            max_data_set_bytes=config.limits.max_dataset,
            stored=stored,
        )

    def read(self, located: Located) -> Iterator[bytes]:
        """Yield the bytes of an instance's Part 10 file, wherever it lies; raises `ObjectNotFound`."""
        readable = self.objects.open(located)
        try:
            yield from chunks_of(readable)
        finally:
            readable.close()

    def close(self) -> None:
        """Close everything."""
        self.index.close()
        self.storage.close()
        self.spool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _storage(config: Config) -> Storage:
    directory = config.storage.directory
    return MemoryStorage() if directory is None else DirectoryStorage(directory)
