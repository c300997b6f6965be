"""`pacsnode serve`: one process that runs a node until it is told to stop.

The main thread is one loop that waits for signals, for those who ask how the node is (`processes.report`), and for
the service manager's watchdog. Handlers only record: the interpreter writes each signal's number into a socket
(signal.set_wakeup_fd), and the loop does what it means.

SIGTERM and SIGINT stop; a further one does not hurry the stop, which is bounded. SIGHUP reads the configuration again:
peers, access, limits and time-outs hold for associations that are accepted from then on, and the level of the log at
once. A configuration with a mistake is not taken, and what needs a restart is named.
"""

import logging
import os
import resource
import selectors
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

from pacsnode import __version__
from pacsnode.config import Config
from pacsnode.errors import ConfigError
from pacsnode.metrics import Metrics
from pacsnode.node import Node
from pacsnode.processes import logs
from pacsnode.processes.listening import inherited_socket
from pacsnode.processes.notify import Notifier
from pacsnode.processes.report import ReportSocket
from pacsnode.processes.summary import READY, node_report

log = logging.getLogger(__name__)

_SWITCH_SECONDS = 0.0001
_STOPPING = frozenset((signal.SIGTERM, signal.SIGINT))

# What a running node takes over from a configuration that is read again; all else needs a restart.
RELOADED = frozenset(
    (
        *("access", "peers", "ae_titles", "limits", "logging", "node.name", "storage.duplicates"),
        *("dicom.max_associations", "dicom.max_pdu", "dicom.acse_timeout", "dicom.dimse_timeout"),
        *("dicom.network_timeout", "dicom.check_called_ae", "dicom.private_sop_classes"),
        *("dicom.ae_title", "dicom.ae_title_aliases"),
    )
)


def serve(
    config: Config,
    *,
    read: Callable[[], Config] | None = None,
    ready: Callable[[str, int], None] | None = None,
) -> None:
    """Run a node until SIGTERM or SIGINT; `ready` is called with AE title and port once it listens.

    `read` gives the configuration again on SIGHUP. Raises `PacsNodeError` or `OSError` if it cannot start.
    """
    # One thread that computes would otherwise hold back all others by 5 ms at each system call of theirs.
    sys.setswitchinterval(_SWITCH_SECONDS)
    _raise_descriptor_limit()
    with ExitStack() as opened:
        signals = opened.enter_context(_recorded_signals())
        notifier = Notifier.from_environment()
        opened.callback(notifier.close)
        metrics = Metrics()
        node = opened.enter_context(Node(config, observers=(metrics,), listening=inherited_socket()))
        service = _Service(config, node, metrics, read)
        asked = ReportSocket(config.node.data_dir, service.report)
        opened.callback(asked.close)
        if ready is not None:
            ready(node.ae_title, node.port)
        notifier.ready(f"listens on port {node.port}")
        _loop(service, signals, asked, notifier)
        notifier.stopping("finishes what is under way")


class _Service:
    """A node that runs. `_started_by` stays what it runs by, whatever a later configuration says of a restart."""

    def __init__(
        self, config: Config, node: Node, metrics: Metrics, read: Callable[[], Config] | None
    ) -> None:
        self._started_by = config
        self._name = config.node.name
        self._node = node
        self._metrics = metrics
        self._read = read
        self._started_at = datetime.now(UTC).isoformat(timespec="seconds")

    def reload(self) -> None:
        """Take over a configuration that is read again, or say why not."""
        if self._read is None:
            return
        try:
            config = self._read()
        except ConfigError as error:
            mistakes = "; ".join(str(error).splitlines())
            log.error("the configuration is not taken, the one before stays: %s", mistakes)
            return
        self._node.adopt(config)
        self._name, said = config.node.name, config.logging
        logs.configure(self._name, said.level.value, said.format.value, patient_data=said.patient_data)
        number = self._node.snapshot_number
        if kept := restart_keys(self._started_by, config):
            log.warning("configuration %d is taken; a restart is needed for %s", number, ", ".join(kept))
        else:
            log.info("configuration %d is taken", number)

    def report(self) -> Mapping[str, object]:
        """Return how the node is."""
        own = {
            "role": "serve",
            "number": 0,
            "pid": os.getpid(),
            "state": READY,
            "snapshot": self._node.snapshot_number,
            "started_at": self._started_at,
            "restarts": 0,
            "heartbeat_age_seconds": 0.0,
            "report": self._metrics.report() | self._node.survey(),
        }
        status = {
            "node": self._name,
            "version": __version__,
            "pid": os.getpid(),
            "started_at": self._started_at,
            "snapshot": self._node.snapshot_number,
            "data_dir": str(self._started_by.node.data_dir),
            "listening": [
                {
                    "ae_title": self._node.ae_title,
                    "host": self._started_by.dicom.host,
                    "port": self._node.port,
                }
            ],
            "processes": [own],
        }
        return node_report(status, now=datetime.now(UTC))


def restart_keys(before: Config, after: Config) -> list[str]:
    """Return the keys whose new values a running node does not take over."""
    changed = []
    for section in type(before).model_fields:
        one, other = getattr(before, section), getattr(after, section)
        if section in RELOADED or one == other:
            continue
        changed += [
            f"{section}.{key}"
            for key in type(one).model_fields
            if f"{section}.{key}" not in RELOADED and getattr(one, key) != getattr(other, key)
        ]
    return changed


def _loop(service: _Service, signals: socket.socket, asked: ReportSocket, notifier: Notifier) -> None:
    """Do what signals and those who ask want, until a signal stops."""
    with selectors.DefaultSelector() as selector:
        selector.register(signals, selectors.EVENT_READ)
        selector.register(asked, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select(notifier.beat()):
                if key.fileobj is asked:
                    asked.accept_one()
                    continue
                received = set(signals.recv(64))
                if received & _STOPPING:
                    return
                if signal.SIGHUP in received:
                    notifier.reloading()
                    service.reload()
                    notifier.ready("has read its configuration again")


@contextmanager
def _recorded_signals() -> Iterator[socket.socket]:
    """Give a socket that has a byte for each signal received; outside the main thread it stays silent.

    The handlers stay to the end of the process, so that a signal while it ends is one more that says what is known.
    """
    receiving, sending = socket.socketpair()
    with receiving, sending:
        for one in (receiving, sending):
            one.setblocking(False)  # noqa: FBT003 - the socket module's own signature
        is_main = threading.current_thread() is threading.main_thread()
        if is_main:
            for number in (*_STOPPING, signal.SIGHUP):
                signal.signal(number, lambda *_: None)
            signal.set_wakeup_fd(sending.fileno(), warn_on_full_buffer=False)
        try:
            yield receiving
        finally:
            if is_main:
                signal.set_wakeup_fd(-1)


def _raise_descriptor_limit() -> None:
    """Allow as many descriptors as this user may have: each connection that waits takes one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
