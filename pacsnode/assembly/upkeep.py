"""What the jobs do: recovery, filing, checkpoints of the index, on one thread that takes turns."""

import logging
import threading
import time

from pacsnode.assembly.archive import Archive
from pacsnode.config import Config
from pacsnode.jobs.checkpoint import Checkpoint
from pacsnode.jobs.filing import Filing
from pacsnode.jobs.loop import Loop
from pacsnode.jobs.reconcile import Reconcile
from pacsnode.jobs.rota import Rota

log = logging.getLogger(__name__)

# A start waits so long for recovery; what is left then is dealt with behind it (RELIABILITY D5: ready within 10 s).
_RECOVERY_SECONDS = 5.0


class Upkeep:
    """The jobs of a node. `recover`, then `start` once, `stop` once."""

    def __init__(self, config: Config, archive: Archive) -> None:
        self._is_stopping = threading.Event()
        self._reconcile = Reconcile(
            index=archive.index, spool=archive.spool, store=archive.store(config, stored=self.ring)
        )
        filing = Filing(
            index=archive.index, spool=archive.spool, storage=archive.storage, stop=self._is_stopping.is_set
        )
        checkpoint = Checkpoint(archive.index)
        rota = Rota({"reconcile": self._reconcile.step, "filing": filing.step, "checkpoint": checkpoint.step})
        self._loop = Loop("jobs", rota.step)

    def recover(self) -> None:
        """Bring spool and index together before anybody is served; raises `PacsNodeError`."""
        deadline = time.monotonic() + _RECOVERY_SECONDS
        self._reconcile.ask()
        while self._reconcile.step_or_raise() == 0.0:
            if time.monotonic() > deadline:
                log.warning(
                    "the spool has %d entries that the index does not know yet: until they are looked at, "
                    "what is in them is not found",
                    self._reconcile.left,
                )
                break
        self._reconcile.report()

    def start(self) -> None:
        """Begin to work in the background."""
        self._loop.start()

    def ring(self) -> None:
        """Say that something waits in the spool. Never blocks."""
        self._loop.ring()

    def reconcile(self) -> None:
        """Say that a process has died that may have left something in the spool. Never blocks."""
        self._reconcile.ask()
        self._loop.ring()

    def stop(self) -> None:
        """End between two instances."""
        self._is_stopping.set()
        self._loop.stop()
