"""The composition root: a configuration becomes a running node in this process, or something to look into.

`serve` runs the same parts in several processes (`processes.worker`, `processes.jobs`); here they share one, which
is enough to try a node out and to test it.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Self

from pacsnode.archive.custody import Custody
from pacsnode.assembly.archive import Archive, Holdings, existing_index, now_ms, storage_of
from pacsnode.assembly.folders import locked
from pacsnode.assembly.service import Service
from pacsnode.assembly.upkeep import Upkeep
from pacsnode.association_log import AssociationLog
from pacsnode.config import Config
from pacsnode.errors import ConfigError
from pacsnode.index.sqlite import SqliteIndex
from pacsnode.node_state import state_path
from pacsnode.observe import Observer, Observers
from pacsnode.state.folder import Opened, StateFolder
from pacsnode.storage.base import Storage


def open_archive(config: Config) -> Archive:
    """Open the archive of a configuration to look into it, beside a node that may be serving it."""
    return Archive(config)


@contextmanager
def open_index(config: Config) -> Iterator[SqliteIndex]:
    """Open the index of a configuration to read it, beside a node that may be serving it.

    Raises `ConfigError` where a node has not made one of this version: nothing is created or migrated here.
    """
    index = existing_index(config)
    try:
        yield index
    finally:
        index.close()


@contextmanager
def open_state(config: Config, *, exclusively: bool = False) -> Iterator[StateFolder]:
    """Open the folder of a node's state to look into it; `exclusively` holds the data folder: no node runs.

    Raises `ConfigError` if there is no data folder, `OutOfResources` if a node runs that should not.
    """
    if not config.node.data_dir.is_dir():
        raise ConfigError(f"node.data_dir: there is no folder {config.node.data_dir}")
    with ExitStack() as opened:
        if exclusively:
            opened.callback(os.close, locked(config.node.data_dir))
        yield opened.enter_context(StateFolder(state_path(config)))


@contextmanager
def open_custody(config: Config, *, process: str) -> Iterator[Custody]:
    """Open what records events beside a node that may be serving; nothing is begun where there is no state.

    With a state that is damaged, events are only logged.
    """
    opened = Opened(None)
    if state_path(config).is_dir():
        with StateFolder(state_path(config)) as folder:
            opened = folder.existing()
    try:
        yield Custody(opened.state, process=process, now_ms=now_ms, trouble=opened.trouble)
    finally:
        if opened.state is not None:
            opened.state.close()


@contextmanager
def open_storage(config: Config) -> Iterator[Storage]:
    """Open the storage of a configuration."""
    storage = storage_of(config)
    try:
        yield storage
    finally:
        storage.close()


class Node:
    """A whole node. Entering starts it, leaving stops it; `port` and `ae_title` tell where it listens."""

    def __init__(self, config: Config, *, observers: tuple[Observer, ...] = ()) -> None:
        """`observers` hear of every event besides the log."""
        self._config = config
        self._observer = Observers((AssociationLog(), *observers))
        self._data_dir_lock = -1
        self.ae_title = config.dicom.ae_title

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """The TCP port that is listened on."""
        return self._service.port

    def start(self) -> None:
        """Lock the data folder, recover, listen; raises `PacsNodeError`, or `OSError` (address taken).

        One that cannot start has let go of everything.
        """
        with ExitStack() as opened:
            self._data_dir_lock = locked(self._config.node.data_dir)
            opened.callback(os.close, self._data_dir_lock)
            self._holdings = Holdings(self._config, process="serve")
            opened.callback(self._holdings.close)
            self.archive, self.state = self._holdings.archive, self._holdings.state
            self.index, self.storage = self.archive.index, self.archive.storage
            self.spool = self.archive.spool
            self._upkeep = Upkeep(self._holdings)
            self._service = Service(self._holdings, self._observer, stored=self._upkeep.ring)
            self._upkeep.recover()
            self._service.start()
            self._upkeep.start()
            opened.pop_all()

    def stop(self) -> None:
        """Stop accepting, finish what is in flight within 20 s, close."""
        self._service.stop()
        self._upkeep.stop()
        self._holdings.close()
        os.close(self._data_dir_lock)
