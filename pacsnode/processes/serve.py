"""`pacsnode serve`: what the supervisor needs, made before it and undone after it."""

import logging
import os
import resource
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from pacsnode.assembly.folders import locked
from pacsnode.config import Config
from pacsnode.processes.post import Duty, Post, command
from pacsnode.processes.program import UMASK
from pacsnode.processes.signals import Signals
from pacsnode.processes.supervisor import Events, Supervisor
from pacsnode.turns import shared_counts

log = logging.getLogger(__name__)

_BACKLOG = 1024


class _Told(Events):
    """Tells whoever started the node."""

    def __init__(self, ready: Callable[[str, int], None] | None, ae_title: str) -> None:
        self._ready = ready
        self._ae_title = ae_title

    def ready(self, port: int) -> None:
        """See `Events`."""
        if self._ready is not None:
            self._ready(self._ae_title, port)


def serve(
    config: Config,
    *,
    read: Callable[[], Config] | None = None,
    ready: Callable[[str, int], None] | None = None,
    sockets: Sequence[socket.socket] = (),
) -> None:
    """Run a node until SIGTERM or SIGINT; `ready` is called with AE title and port once all of it works.

    `read` gives the configuration of now when SIGHUP asks for it, raising `ConfigError` for a wrong one. `sockets`
    that listen already, as a service manager has them, are used in place of `dicom.host` and `dicom.port`. Raises
    `PacsNodeError` or `OSError` if the node cannot start. A second signal does not hurry the stop, which is bounded.
    """
    os.umask(UMASK)
    _raise_descriptor_limit()
    with ExitStack() as opened:
        data_dir_lock = locked(config.node.data_dir)
        opened.callback(os.close, data_dir_lock)
        listening = sockets[0] if sockets else _listening(config.dicom.host, config.dicom.port)
        opened.callback(listening.close)
        supervisor = Supervisor(
            config,
            [Post(duty, command=command) for duty in _duties(config, listening, opened)],
            read=read or (lambda: config),
            stop_accepting=listening.close,
            events=_Told(ready, config.dicom.ae_title),
        )
        supervisor.run(opened.enter_context(Signals()))


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=_BACKLOG)


def _duties(config: Config, listening: socket.socket, opened: ExitStack) -> list[Duty]:
    """Return what children there are to be. Memory cannot be shared: with it, one worker does everything."""
    workers = config.dicom.workers
    if config.storage.directory is None:
        if workers > 1:
            log.warning("storage.url is memory:, which processes cannot share: there is one worker")
        return [Duty("worker", listening=listening.fileno(), with_jobs=True)]
    turns = -1
    if workers > 1:
        turns = shared_counts(workers)
        opened.callback(os.close, turns)
    return [
        Duty("jobs"),
        *(Duty("worker", number, listening.fileno(), turns) for number in range(workers)),
    ]


def _raise_descriptor_limit() -> None:
    """Allow as many descriptors as this user may have: each connection that waits takes one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
