"""The composition root: a configuration becomes a running node, or an archive to look into.

The only module that knows every adapter. A node is one process here: a listener with a thread per
association, and the filing job in a thread of its own.
"""

import fcntl
import logging
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

import pydicom.config

from pacsnode import __version__
from pacsnode.archive.custody import Custody
from pacsnode.archive.find import Find
from pacsnode.archive.objects import Objects
from pacsnode.archive.recovery import recover
from pacsnode.archive.retrieve import Retrieve
from pacsnode.archive.store import Store
from pacsnode.association_log import AssociationLog
from pacsnode.config import Config
from pacsnode.dimse.admission import Limits
from pacsnode.dimse.query_scp import QuerySCP
from pacsnode.dimse.retrieve_scp import GetSCP, MoveSCP
from pacsnode.dimse.rules import Rules, Timeouts
from pacsnode.dimse.server import DimseServer, SCPs
from pacsnode.dimse.storage_scp import StorageSCP
from pacsnode.dimse.verification_scp import VerificationSCP
from pacsnode.errors import ConfigError, OutOfResources
from pacsnode.index.base import Located
from pacsnode.index.sqlite import SqliteIndex
from pacsnode.jobs.filing import Filing
from pacsnode.jobs.loop import Loop
from pacsnode.jobs.survey import Part, Survey
from pacsnode.node_state import NodeState, state_path
from pacsnode.observe import Observer, Observers
from pacsnode.spool import Spool
from pacsnode.state.folder import Opened, StateFolder
from pacsnode.storage.base import Storage
from pacsnode.storage.directory import DirectoryStorage
from pacsnode.storage.memory import MemoryStorage
from pacsnode.storage.reading import chunks_of

log = logging.getLogger(__name__)

_INDEX_FILE = "index-1.db"
_STOP_SECONDS = 20.0


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class Archive:
    """Index, spool and storage of a configuration, opened together. A context manager."""

    def __init__(
        self, config: Config, *, disk_failed: Callable[[str, str], None] = lambda _place, _reason: None
    ) -> None:
        """Open what there is, creating what is not; raises `PacsNodeError`. `disk_failed`: see `Spool`."""
        _make_folder(config.node.data_dir, "node.data_dir")
        _make_folder(config.spool.path, "spool.path")
        _make_folder(config.index.path, "index.path")
        with ExitStack() as opened:
            self.spool = Spool(
                config.spool.path,
                min_free_bytes=config.spool.min_free,
                now_ms=_now_ms,
                failed=disk_failed,
            )
            opened.callback(self.spool.close)
            self.storage = _storage(config)
            opened.callback(self.storage.close)
            self.index = SqliteIndex(config.index.path / _INDEX_FILE)
            opened.pop_all()
        self.objects = Objects(self.spool, self.storage)

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
        return "" if next(self.storage.list(), None) is None else "the storage holds objects"

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


def _make_folder(path: Path, key: str) -> None:
    """Create a folder that only we can enter; raises `ConfigError` if that cannot be."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{key}: the folder {path} cannot be made: {error.strerror}") from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise ConfigError(f"{key}: the folder {path} cannot be written by this user")


def _storage(config: Config) -> Storage:
    directory = config.storage.directory
    return MemoryStorage() if directory is None else DirectoryStorage(directory)


def open_archive(config: Config) -> Archive:
    """Open the archive of a configuration to look into it, beside a node that may be serving it."""
    return Archive(config)


@contextmanager
def open_state(config: Config, *, exclusively: bool = False) -> Iterator[StateFolder]:
    """Open the folder of a node's state to look into it; `exclusively` holds the data folder: no node runs.

    Raises `ConfigError` if there is no data folder, `OutOfResources` if a node runs that should not.
    """
    if not config.node.data_dir.is_dir():
        raise ConfigError(f"node.data_dir: there is no folder {config.node.data_dir}")
    with ExitStack() as opened:
        if exclusively:
            opened.callback(os.close, _locked(config.node.data_dir))
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
        yield Custody(opened.state, process=process, now_ms=_now_ms, trouble=opened.trouble)
    finally:
        if opened.state is not None:
            opened.state.close()


@contextmanager
def open_storage(config: Config) -> Iterator[Storage]:
    """Open the storage of a configuration."""
    storage = _storage(config)
    try:
        yield storage
    finally:
        storage.close()


class Node:
    """A whole node. Entering starts it, leaving stops it; `port` and `ae_title` tell where it listens."""

    def __init__(
        self,
        config: Config,
        *,
        observers: tuple[Observer, ...] = (),
        listening: socket.socket | None = None,
    ) -> None:
        """`observers` hear of every event besides the log; `listening` is a socket that listens already."""
        self._config = config
        self._listening = listening
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
        return self._server.port

    def start(self) -> None:
        """Lock the data folder, recover, listen; raises `PacsNodeError`, or `OSError` (address taken).

        One that cannot start has let go of everything.
        """
        _silence_libraries()
        _make_folder(self._config.node.data_dir, "node.data_dir")
        with ExitStack() as opened:
            self._data_dir_lock = _locked(self._config.node.data_dir)
            opened.callback(os.close, self._data_dir_lock)
            self.archive = Archive(self._config, disk_failed=self._disk_failed)
            opened.callback(self.archive.close)
            self.state = NodeState(self._config, process="serve", holds=self.archive.holds, now_ms=_now_ms)
            opened.callback(self.state.close)
            self._start_serving()
            opened.pop_all()

    def _disk_failed(self, place: str, reason: str) -> None:
        self.state.custody.disk_failed(place, reason)  # the archive is open before the state is

    def _start_serving(self) -> None:
        config = self._config
        self.index, self.storage, self.spool = self.archive.index, self.archive.storage, self.archive.spool
        self._is_stopping = threading.Event()
        filing = Filing(
            index=self.index,
            spool=self.spool,
            storage=self.storage,
            custody=self.state.custody,
            stop=self._is_stopping.is_set,
        )
        self._jobs = Loop("filing", filing.step)
        steps = self.state.steps(self.storage, self._is_stopping.is_set)
        self._survey = Survey(self._surveyed(filing))
        steps["survey"] = self._survey.step
        self._more_jobs = [Loop(name, step) for name, step in steps.items()]
        store = Store(
            index=self.index,
            spool=self.spool,
            objects=self.archive.objects,
            policy=config.storage.duplicates,
            custody=self.state.custody,
            max_data_set_bytes=config.limits.max_dataset,
            stored=self._jobs.ring,
            duplicates_of=config.duplicates_of(),
        )
        self._recover(store)
        self._server = self._make_server(store)
        self._server.start(self._listening)
        self.state.begin_run(__version__)
        self.snapshot_number = self.state.snapshot_number or 1
        for job in (*self._more_jobs, self._jobs):
            job.start()

    def _surveyed(self, filing: Filing) -> dict[str, Part]:
        """Return what `pacsnode status` shows of the node, by part."""
        directory = self._config.storage.directory

        def storage() -> Mapping[str, object]:
            free = None if directory is None else shutil.disk_usage(directory).free
            return {"url": self._config.storage.url, "free_bytes": free}

        return {
            "spool": lambda: asdict(self.spool.use()),
            "index": lambda: asdict(self.index.statistics()),
            "filing": filing.report,
            "storage": storage,
            "state": self.state.report,
        }

    def survey(self) -> dict[str, object]:
        """Return what was found last of spool, index, filing and storage."""
        return self._survey.report()

    def adopt(self, config: Config) -> None:
        """Accept associations by another configuration from now on: the next snapshot."""
        self.snapshot_number = self.state.add_snapshot(config, "SIGHUP") or self.snapshot_number + 1
        self._server.adopt(rules_of(config, self.snapshot_number))

    def _recover(self, store: Store) -> None:
        recovered, reasons = recover(self.index, self.spool, store, self.state.custody)
        for reason in reasons:
            log.error(reason, extra={"limit_by": reason})  # each has its own remedy
        log.info(
            "spool: %d waiting, %d indexed now, %d dropped as stored already, %d set aside, %d left",
            recovered.waiting,
            recovered.indexed,
            recovered.dropped,
            recovered.set_aside,
            recovered.left,
        )

    def _make_server(self, store: Store) -> DimseServer:
        config, observer = self._config, self._observer
        answering = self.state.answering(self.index)
        retrieve = Retrieve(answering, self.archive.objects)
        find = Find(answering, max_results=config.index.max_find_results)
        scps = SCPs(
            verification=VerificationSCP(observer),
            storage=StorageSCP(store, observer),
            query=QuerySCP(find, observer),
            get=GetSCP(retrieve, observer),
            move=MoveSCP(retrieve, observer),
        )
        return DimseServer(rules_of(config), scps, observer, host=config.dicom.host, port=config.dicom.port)

    def stop(self) -> None:
        """Stop accepting, finish what is in flight within 20 s, close."""
        self._server.stop(_STOP_SECONDS)
        self._is_stopping.set()
        for job in (self._jobs, *self._more_jobs):
            job.stop()
        self.state.close()
        self.archive.close()
        os.close(self._data_dir_lock)


def rules_of(config: Config, number: int = 0) -> Rules:
    """Return the rules of the associations by a configuration, the snapshot of that number."""
    dicom, limits = config.dicom, config.limits
    return Rules(
        policy=config.policy(),
        limits=Limits(
            associations=dicom.max_associations,
            per_ip=limits.per_ip,
            per_ae=limits.per_ae,
            pre_association=limits.pre_association,
        ),
        timeouts=Timeouts(dicom.acse_timeout, dicom.dimse_timeout, dicom.network_timeout),
        max_pdu_bytes=dicom.max_pdu,
        private_sop_classes=dicom.private_sop_classes,
        max_data_set_bytes=limits.max_dataset,
        duplicates=config.storage.duplicates,
        duplicates_of=config.duplicates_of(),
        number=number,
    )


def _silence_libraries() -> None:
    """Keep pydicom and pynetdicom from warning of and logging what peers send: it is said once, by our own log.

    Both write peers' values as they are, control characters and patient data included. Their settings exist once
    in a process, so this is for the process.
    """
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    for library in ("pydicom", "pynetdicom"):
        logging.getLogger(library).setLevel(logging.CRITICAL)


def _locked(data_dir: Path) -> int:
    """Return a descriptor that holds the data folder for us; raises `OutOfResources` if another node does."""
    descriptor = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise OutOfResources(
            f"{data_dir} is used by another pacsnode that runs; one node has one data folder"
        ) from error
    return descriptor
