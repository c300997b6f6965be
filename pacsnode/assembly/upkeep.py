"""What the jobs do: recovery, filing, checkpoints of the index, the state's copy, and what `status` shows of it all.

Those that move what is kept take turns on one thread; the others, which may take long, have one each.
"""

import logging
import shutil
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict

from pacsnode import __version__
from pacsnode.assembly.archive import Holdings
from pacsnode.assembly.filing import filing_of
from pacsnode.assembly.leasing import lease_of
from pacsnode.config import Config
from pacsnode.dicom.character_sets import AS_SAID, CharacterSetRule
from pacsnode.errors import StorageAway, StorageRefused
from pacsnode.jobs.checkpoint import Checkpoint
from pacsnode.jobs.loop import Loop
from pacsnode.jobs.reconcile import Reconcile
from pacsnode.jobs.rota import Rota
from pacsnode.jobs.survey import Survey
from pacsnode.jobs.trimming import Trimming

log = logging.getLogger(__name__)

# A start waits so long for recovery; what is left then is dealt with behind it (RELIABILITY D5: ready within 10 s).
_RECOVERY_SECONDS = 5.0


class Upkeep:
    """The jobs of a node. `recover`, then `start` once, `stop` once."""

    def __init__(self, holdings: Holdings, *, files: bool = True) -> None:
        """`files` is whether what waits in the spool is filed here, and not by processes of its own."""
        self._holdings = holdings
        archive, state = holdings.archive, holdings.state
        self._is_stopping = threading.Event()
        self._policy = holdings.config.policy()
        self._reconcile = Reconcile(
            index=archive.index,
            spool=archive.spool,
            store=holdings.store(stored=self.ring, character_sets_of=self._character_sets_of),
            custody=state.custody,
        )
        bucket = holdings.config.storage.bucket
        self._lease = None if bucket is None else lease_of(holdings.config, bucket)
        self._filing = filing_of(holdings, self._is_stopping.is_set) if files else None
        self._survey = Survey(
            {
                "spool": lambda: asdict(archive.spool.use()),
                "index": lambda: asdict(archive.index.statistics()),
                "storage": self._storage,
                "state": state.report,
            }
            | ({} if self._filing is None else {"filing": self._filing.report})
            | ({} if archive.cache is None else {"cache": archive.cache.use})
            | ({} if self._lease is None else {"lease": self._lease.report})
        )
        checkpoint = Checkpoint(archive.index)
        jobs = {"reconcile": self._reconcile.step, "checkpoint": checkpoint.step}
        if self._filing is not None:
            jobs["filing"] = self._filing.step
        if archive.cache is not None:
            jobs["cache"] = Trimming(archive.cache.trim).step
        rota = Rota(jobs)
        steps = state.steps(archive.storage, self._is_stopping.is_set) | {"survey": self._survey.step}
        if self._lease is not None:
            steps["lease"] = self._lease.step
        self._loop = Loop("jobs", rota.step)
        self._loops = [*(Loop(name, step) for name, step in steps.items()), self._loop]

    def recover(self, *, is_first: bool = True, take_over: bool = False) -> None:
        """Bring spool and index together before anybody is served; raises `PacsNodeError`.

        `is_first` is the start of a node: one that another keeps from its bucket does not start, unless it is to
        `take_over`. Later the jobs go on, whoever has the bucket.
        """
        if self._lease is not None:
            if is_first:
                self._lease.claim(take_over=take_over)
            else:
                self._lease.resume()
        deadline = time.monotonic() + _RECOVERY_SECONDS
        self._reconcile.ask()
        while self._recovers():
            if time.monotonic() > deadline:
                log.warning(
                    "the spool has %d entries that the index does not know yet: until they are looked at, "
                    "what is in them is not found",
                    self._reconcile.left,
                )
                break
        self._reconcile.say()

    def _recovers(self) -> bool:
        """Take a step, and return whether there is more to do; a bucket that is away holds back no start."""
        try:
            return self._reconcile.step_or_raise() == 0.0
        except (StorageAway, StorageRefused) as error:
            log.warning("what the spool has may be stored already, which is found out later: %s", error)
            self._reconcile.ask()
            return False

    def start(self, number: int = 0) -> int:
        """Begin to work in the background, which begins a run of the node; return the snapshot's number.

        A snapshot without one, which is 0, is given the next number of the state; one that has a number is in force
        already, and so is the run.
        """
        state = self._holdings.state
        state.begin_run(__version__, number)
        for loop in self._loops:
            loop.start()
        return number or state.snapshot_number or 1

    def ring(self) -> None:
        """Say that something waits in the spool. Never blocks."""
        self._loop.ring()

    def reconcile(self) -> None:
        """Say that a process has died that may have left something in the spool. Never blocks."""
        self._reconcile.ask()
        self._loop.ring()

    def adopt(self, config: Config, number: int) -> None:
        """Record that another configuration is in force, the snapshot of that number. Never blocks."""
        self._policy = config.policy()
        record, words = self._holdings.state.add_snapshot, (config, "SIGHUP", number)
        threading.Thread(target=record, args=words, name="snapshot", daemon=True).start()

    def report(self) -> dict[str, object]:
        """Return what was found last of spool, index, filing, storage and state."""
        return self._survey.report()

    def _character_sets_of(self, calling_ae_title: str) -> CharacterSetRule:
        peer = self._policy.peer(calling_ae_title)
        return AS_SAID if peer is None else peer.character_sets

    def _storage(self) -> Mapping[str, object]:
        storage = self._holdings.config.storage
        self._holdings.archive.check_storage()
        free = None if storage.directory is None else shutil.disk_usage(storage.directory).free
        return {"url": storage.url, "free_bytes": free}

    def stop(self) -> None:
        """End between two instances."""
        self._is_stopping.set()
        self._holdings.archive.stop_waiting()
        for loop in self._loops:
            loop.stop()
        if self._lease is not None:
            self._lease.release()
