"""What is kept: index, spool and storage of a configuration, and the state beside them, opened together."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Self

from pacsnode.archive.objects import Objects
from pacsnode.archive.store import Store
from pacsnode.assembly.folders import make_folder
from pacsnode.assembly.leasing import lease_file
from pacsnode.config import Config
from pacsnode.config.storage import Bucket
from pacsnode.dicom.character_sets import AS_SAID, CharacterSetRule
from pacsnode.errors import StorageAway, StorageRefused
from pacsnode.index.base import Located
from pacsnode.index.sqlite import SqliteIndex
from pacsnode.node_state import NodeState
from pacsnode.spool import Spool
from pacsnode.storage.base import Storage
from pacsnode.storage.cache import Cache
from pacsnode.storage.directory import DirectoryStorage
from pacsnode.storage.leased import LeasedStorage
from pacsnode.storage.memory import MemoryStorage
from pacsnode.storage.names import LEASE_NAME
from pacsnode.storage.reading import chunks_of
from pacsnode.storage.retry import Retry, RetryingStorage

if TYPE_CHECKING:
    from pacsnode.storage.gcs.adapter import BucketStorage

log = logging.getLogger(__name__)

_INDEX_FILE = "index-1.db"


def now_ms() -> int:
    """Return the time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class Archive:
    """Index, spool and storage of a configuration, opened together. A context manager."""

    def __init__(
        self,
        config: Config,
        *,
        worker: int = 0,
        disk_failed: Callable[[str, str], None] = lambda _place, _reason: None,
    ) -> None:
        """Open what there is, creating what is not; raises `PacsNodeError`. The rest is the `Spool`'s."""
        self._config = config
        self._stop_waiting = threading.Event()
        make_folder(config.node.data_dir, "node.data_dir")
        make_folder(config.spool.path, "spool.path")
        make_folder(config.index.path, "index.path")
        with ExitStack() as opened:
            self.spool = Spool(
                config.spool.path,
                min_free_bytes=config.spool.min_free,
                max_bytes=config.spool.max_bytes,
                now_ms=now_ms,
                worker=worker,
                failed=disk_failed,
            )
            opened.callback(self.spool.close)
            self._asked = storage_of(config, retry=Retry(stop=self._stop_waiting))
            opened.callback(self._asked.close)
            self.storage = self._asked
            if config.storage.bucket is not None:
                self.storage = LeasedStorage(self._asked, lease_file(config).check)
            self.cache = cache_of(config)
            if self.cache is not None:
                opened.callback(self.cache.close)
            self.index = SqliteIndex(config.index.path / _INDEX_FILE, catalogue=config.catalogue())
            opened.pop_all()
        self.objects = Objects(self.spool, self.storage, self.cache)

    def read(self, located: Located) -> Iterator[bytes]:
        """Yield the bytes of an instance's Part 10 file, wherever it lies; raises `ObjectNotFound`."""
        readable = self.objects.open(located)
        try:
            yield from chunks_of(readable)
        finally:
            readable.close()

    def holds(self) -> str:
        """Say what is kept here, nothing if that is nothing: then nobody was ever told Success."""
        if instances := self.index.statistics().instances:
            return f"the index holds {instances} instances"
        if entries := self.spool.entries():
            return f"the spool holds {len(entries)} instances"
        return self._held_in_storage()

    def _held_in_storage(self) -> str:
        """Ask once, without retries: a node whose bucket is away has to start all the same."""
        storage = storage_of(self._config, retry=Retry(budget_seconds=0.0))
        try:
            is_empty = all(info.name == LEASE_NAME for info in islice(storage.list(), 2))
            return "" if is_empty else "the storage holds objects"
        except (StorageAway, StorageRefused) as error:
            log.error(
                "it is not known whether the storage holds objects; the data folder counts as new: %s", error
            )
            return ""
        finally:
            storage.close()

    def check_storage(self) -> None:
        """Ask a bucket whether all that a node does can be done; raises `StorageRefused`, `StorageAway`."""
        if isinstance(self._asked, RetryingStorage):
            self._asked.check()

    def stop_waiting(self) -> None:
        """Give a bucket up that does not answer now, instead of asking it again. Any thread may call it."""
        self._stop_waiting.set()

    def close(self) -> None:
        """Close everything."""
        self.stop_waiting()
        self.index.close()
        if self.cache is not None:
            self.cache.close()
        self.storage.close()
        self.spool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def existing_index(config: Config) -> SqliteIndex:
    """Open the index of a configuration as `SqliteIndex.existing` does, without folders, spool and storage."""
    return SqliteIndex.existing(config.index.path / _INDEX_FILE, catalogue=config.catalogue())


class Holdings:
    """The archive and the state of a node, as one of its processes has them open."""

    def __init__(self, config: Config, *, process: str, worker: int = 0) -> None:
        """Open or create them; raises `PacsNodeError`. `process` is the name for events, `worker` as in `Spool`."""
        self.config = config
        with ExitStack() as opened:
            self.archive = Archive(config, worker=worker, disk_failed=self._disk_failed)
            opened.callback(self.archive.close)
            self.state = NodeState(config, process=process, holds=self.archive.holds, now_ms=now_ms)
            opened.pop_all()

    def _disk_failed(self, place: str, reason: str) -> None:
        self.state.custody.disk_failed(place, reason)  # nothing is written before both are open

    def store(
        self,
        *,
        stored: Callable[[], None],
        character_sets_of: Callable[[str], CharacterSetRule] = lambda _: AS_SAID,
    ) -> Store:
        """Return the use case that stores here; `stored` is rung when something waits in the spool.

        `character_sets_of` a calling AE title is needed where a crash's remains are adopted.
        """
        return Store(
            index=self.archive.index,
            spool=self.archive.spool,
            objects=self.archive.objects,
            policy=self.config.storage.duplicates,
            custody=self.state.custody,
            max_data_set_bytes=self.config.limits.max_dataset,
            stored=stored,
            duplicates_of=self.config.duplicates_of(),
            character_sets_of=character_sets_of,
            catalogue=self.archive.index.catalogue,
        )

    def close(self) -> None:
        """Close both; what waits to be recorded is recorded."""
        self.state.close()
        self.archive.close()


def cache_of(config: Config) -> Cache | None:
    """Open the cache of a storage that is far away; None for others."""
    if config.storage.bucket is None:
        return None
    make_folder(config.cache.path, "cache.path")
    is_of_the_spool = os.stat(config.cache.path).st_dev == os.stat(config.spool.path).st_dev
    # Twice what the spool must have, so that it never comes to refuse an image for want of a cache's room.
    reserve_bytes = 2 * config.spool.min_free if is_of_the_spool else 0
    return Cache(config.cache.path, max_bytes=config.cache.max_bytes, reserve_bytes=reserve_bytes)


def storage_of(config: Config, *, retry: Retry | None = None) -> Storage:
    """Open the storage of a configuration. `retry` is how a bucket is tried again."""
    directory, bucket = config.storage.directory, config.storage.bucket
    if bucket is not None:
        return RetryingStorage(bucket_storage(config, bucket), retry or Retry())
    if directory is None:
        return MemoryStorage()
    make_folder(directory, "storage.url")
    return DirectoryStorage(directory)


def bucket_storage(config: Config, bucket: Bucket) -> "BucketStorage":
    """Open a bucket as it is, without retries; it is not asked for anything yet."""
    # Here, because what it imports takes a third of a second that nodes without a bucket do not have to spend.
    from pacsnode.storage.gcs.adapter import BucketStorage
    from pacsnode.storage.gcs.upload import BucketOptions

    gcs = config.storage.gcs
    return BucketStorage(
        BucketOptions(
            bucket=bucket.name,
            prefix=bucket.prefix,
            storage_class=gcs.storage_class,
            kms_key=gcs.kms_key,
            user_project=gcs.user_project,
        ),
        connections=gcs.threads,
        timeout_seconds=gcs.timeout,
    )
