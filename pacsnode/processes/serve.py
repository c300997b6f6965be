"""`pacsnode serve`: one process that runs a node until it is told to stop."""

import resource
import signal
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue
from types import FrameType

from pacsnode.config import Config
from pacsnode.node import Node

_SWITCH_SECONDS = 0.0001


def serve(config: Config, *, ready: Callable[[str, int], None] | None = None) -> None:
    """Run a node until SIGTERM or SIGINT; `ready` is called with AE title and port once it listens.

    Raises `PacsNodeError` or `OSError` if it cannot start. A second signal does not hurry the stop, which is
    bounded.
    """
    # One thread that computes would otherwise hold back all others by 5 ms at each system call of theirs.
    sys.setswitchinterval(_SWITCH_SECONDS)
    _raise_descriptor_limit()
    # Not an Event: its `set`, run by a signal within its `wait`, waits for the lock that it interrupted.
    stop: SimpleQueue[None] = SimpleQueue()

    def request_stop(_: int, __: FrameType | None) -> None:
        stop.put(None)

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, request_stop)
        signal.signal(signal.SIGINT, request_stop)
    with Node(config) as node:
        if ready is not None:
            ready(node.ae_title, node.port)
        stop.get()


def _raise_descriptor_limit() -> None:
    """Allow as many descriptors as this user may have: each connection that waits takes one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
