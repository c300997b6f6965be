"""`pacsnode serve`: what the supervisor needs, made before it and undone after it."""

import errno
import logging
import os
import resource
import socket
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from pacsnode.accepting import listening_socket, shared_counts, shown
from pacsnode.assembly.folders import locked
from pacsnode.config import Config
from pacsnode.dimse.admission import Admission, shared_memory
from pacsnode.errors import ConfigError, TemporaryError
from pacsnode.processes.listening import inherited_socket
from pacsnode.processes.notify import Notifier
from pacsnode.processes.post import Duty, Post, command
from pacsnode.processes.program import UMASK
from pacsnode.processes.report import NAME as REPORT_NAME
from pacsnode.processes.report import ReportSocket
from pacsnode.processes.signals import Signals
from pacsnode.processes.summary import node_report
from pacsnode.processes.supervisor import Events, Supervisor

log = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0


class Listening(NamedTuple):
    """Where the node listens: of an inherited socket, what it is bound to."""

    host: str
    port: int


class _Told(Events):
    """Tells whoever started the node, and the service manager; frees the places of processes that have died."""

    def __init__(
        self,
        listening: Listening,
        ready: Callable[[Listening], None] | None,
        notifier: Notifier,
        admission: Admission,
    ) -> None:
        self._listening = listening
        self._ready = ready
        self._notifier = notifier
        self._admission = admission
        self._dead: list[int] = []
        self._is_ready = False

    def ready(self) -> None:
        """See `Events`."""
        self._is_ready = True
        if self._ready is not None:
            self._ready(self._listening)
        self._notifier.ready(f"listens on port {self._listening.port}")

    def reloading(self) -> None:
        """See `Events`."""
        self._notifier.reloading()

    def reloaded(self, text: str) -> None:
        """See `Events`."""
        self._notifier.ready(f"listens on port {self._listening.port}; {text}")

    def stopping(self) -> None:
        """See `Events`."""
        self._notifier.stopping("finishes what is under way")

    def child_died(self, pid: int) -> None:
        """See `Events`."""
        self._dead.append(pid)
        self._free_places()

    def beat(self) -> float | None:
        """See `Events`."""
        self._free_places()
        starting = None if self._is_ready else self._notifier.starting("brings spool and index together")
        retry = _RETRY_SECONDS if self._dead else None
        return min((one for one in (starting, self._notifier.beat(), retry) if one is not None), default=None)

    def _free_places(self) -> None:
        """Free the places of the dead, now or in a later round: the lock may be held by one that hangs."""
        self._dead = [pid for pid in self._dead if not self._admission.forget_process(pid)]


def serve(
    config: Config,
    *,
    read: Callable[[], Config] | None = None,
    ready: Callable[[Listening], None] | None = None,
    take_over: bool = False,
) -> None:
    """Run a node until SIGTERM or SIGINT; `ready` is called once all of it works.

    `read` gives the configuration of now when SIGHUP asks for it, raising `ConfigError` for a wrong one. A socket
    that a service manager has opened is used in place of `dicom.host` and `dicom.port`. Raises `PacsNodeError` if the
    node cannot start. `take_over` takes a bucket from the node that has it. A second signal does not hurry the stop,
    which is bounded.
    """
    os.umask(UMASK)
    _raise_descriptor_limit()
    with ExitStack() as opened:
        signals = opened.enter_context(Signals())
        notifier = Notifier.from_environment()
        opened.callback(notifier.close)
        inherited = inherited_socket()
        opened.callback(os.close, locked(config.node.data_dir))
        listening = inherited or _listening(config.dicom.host, config.dicom.port)
        opened.callback(listening.close)
        admission = shared_memory()
        opened.callback(os.close, admission)
        places = Admission(admission)
        opened.callback(places.close)
        at = Listening(*listening.getsockname()[:2])
        duties = _duties(config, listening, admission, opened, take_over=take_over)
        supervisor = Supervisor(
            config,
            [Post(duty, command=command) for duty in duties],
            read=read or (lambda: config),
            stop_accepting=listening.close,
            events=_Told(at, ready, notifier, places),
        )

        def report() -> Mapping[str, object]:
            about = {
                "data_dir": str(config.node.data_dir),
                "listening": [
                    {"ae_title": supervisor.config.dicom.ae_title, "host": at.host, "port": at.port}
                ],
            }
            return node_report({**supervisor.status(), **about}, now=datetime.now(UTC))

        asked = _asked(config.node.data_dir, report)
        opened.callback(asked.close)
        supervisor.watch(asked, asked.accept_one)
        supervisor.run(signals)


def _listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens: an address in use may become free, a forbidden one will not."""
    try:
        return listening_socket(host, port)
    except OSError as error:
        kind = TemporaryError if error.errno == errno.EADDRINUSE else ConfigError
        is_system = error.errno is not None and error.errno > 0
        reason = os.strerror(error.errno or 0) if is_system else error.strerror
        raise kind(f"cannot serve {shown(host, port)}: {reason}") from error


def _asked(data_dir: Path, report: Callable[[], Mapping[str, object]]) -> ReportSocket:
    try:
        return ReportSocket(data_dir, report)
    except OSError as error:
        raise ConfigError(f"{data_dir / REPORT_NAME} cannot be made: {error.strerror}") from error


def _duties(
    config: Config, listening: socket.socket, admission: int, opened: ExitStack, *, take_over: bool = False
) -> list[Duty]:
    """Return what children there are to be. Memory cannot be shared: with it, one worker does everything."""
    workers, at = config.dicom.workers, listening.fileno()
    if config.storage.is_memory:
        if workers > 1:
            log.warning("storage.url is memory:, which processes cannot share: there is one worker")
        return [Duty("worker", listening=at, admission=admission, with_jobs=True)]
    turns = -1
    if workers > 1:
        turns = shared_counts(workers)
        opened.callback(os.close, turns)
    uploaders = 0 if config.storage.bucket is None else config.storage.gcs.uploaders
    return [
        Duty("jobs", take_over=take_over),
        *(Duty("uploader", number) for number in range(uploaders)),
        *(
            Duty("worker", number, listening=at, turns=turns, admission=admission)
            for number in range(workers)
        ),
    ]


def _raise_descriptor_limit() -> None:
    """Allow as many descriptors as this user may have: each connection that waits takes one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
