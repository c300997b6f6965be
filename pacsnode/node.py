"""The composition root: a configuration becomes a running node in this process, or an archive to look into.

`serve` runs the same parts in several processes (`processes.worker`, `processes.jobs`); here they share one, which
is enough to try a node out and to test it.
"""

import os
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from pacsnode.assembly.archive import Archive
from pacsnode.assembly.folders import locked
from pacsnode.assembly.service import Service
from pacsnode.assembly.upkeep import Upkeep
from pacsnode.association_log import AssociationLog
from pacsnode.config import Config
from pacsnode.observe import Observer, Observers

__all__ = ["Archive", "Node", "open_archive"]


def open_archive(config: Config) -> Archive:
    """Open the archive of a configuration to look into it, beside a node that may be serving it."""
    return Archive(config)


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
            self.archive = Archive(self._config)
            opened.callback(self.archive.close)
            self.index, self.storage, self.spool = (
                self.archive.index,
                self.archive.storage,
                self.archive.spool,
            )
            self._upkeep = Upkeep(self._config, self.archive)
            self._service = Service(self._config, self.archive, self._observer, stored=self._upkeep.ring)
            self._upkeep.recover()
            self._service.start()
            self._upkeep.start()
            opened.pop_all()

    def stop(self) -> None:
        """Stop accepting, finish what is in flight within 20 s, close."""
        self._service.stop()
        self._upkeep.stop()
        self.archive.close()
        os.close(self._data_dir_lock)
