"""A stand-in for the supervisor: a thread whose loop answers who asks for the report."""

import os
import selectors
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pacsnode.metrics import Metrics
from pacsnode.processes.report import ReportSocket
from pacsnode.processes.summary import NodeState, ProcessState

STARTED_AT = "2026-01-31T09:30:00Z"
SPOOL = {
    "waiting": 12,
    "bytes": 6 << 20,
    "oldest_age_seconds": 2.5,
    "damaged": 0,
    "free_bytes": 800 << 30,
    "min_free_bytes": 1 << 30,
}
INDEX = {"patients": 2, "studies": 3, "series": 9, "instances": 1234, "versions_hidden": 0, "waiting": 12}
JOBS = {
    "spool": SPOOL,
    "index": INDEX,
    "filing": {"failures": 0, "trouble": None, "kept": 0},
    "storage": {"url": "file:///var/lib/pacsnode/archive", "free_bytes": 800 << 30},
    "state": {"problem": None},
}


def node_state(**changed: Any) -> NodeState:
    listening = ({"ae_title": "PACSNODE", "host": "127.0.0.1", "port": 11112},)
    state = {
        "node": "pacs-1", "version": "0.1.0", "pid": 100, "started_at": STARTED_AT, "snapshot": 1,
        "data_dir": "/var/lib/pacsnode", "listening": listening,
    }  # fmt: skip
    return NodeState(**{**state, **changed})


def process_state(role: str, number: int = 1, **changed: Any) -> ProcessState:
    report: Mapping[str, Any] = JOBS if role == "jobs" else Metrics().report()
    state = {
        "pid": 100 + number, "state": "running", "snapshot": 1, "started_at": STARTED_AT,
        "heartbeat_age_seconds": 0.4, "report": report,
    }  # fmt: skip
    return ProcessState(role, number, **{**state, **changed})


@contextmanager
def answering(data_dir: Path, report: Callable[[], Mapping[str, object]]) -> Iterator[None]:
    """Answer on a data folder until the block ends."""
    bell = os.eventfd(0)
    with selectors.DefaultSelector() as selector:
        own = ReportSocket(data_dir, report)
        selector.register(own, selectors.EVENT_READ)
        selector.register(bell, selectors.EVENT_READ)

        def loop() -> None:
            while bell not in [key.fd for key, _ in selector.select()]:
                own.accept_one()

        thread = threading.Thread(target=loop)
        thread.start()
        try:
            yield
        finally:
            os.eventfd_write(bell, 1)
            thread.join()
            own.close()
            os.close(bell)
