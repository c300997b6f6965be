"""A stand-in for the supervisor: a thread whose loop answers who asks for the report."""

import os
import selectors
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pacsnode.metrics import Metrics
from pacsnode.processes.report import ReportSocket
from pacsnode.processes.summary import node_report

STARTED_AT = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
NOW = STARTED_AT + timedelta(days=3, hours=4, minutes=5)
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
    "filing": {"failures": 0, "trouble": None, "kept": 0, "reasons": []},
    "storage": {"url": "file:///var/lib/pacsnode/archive", "free_bytes": 800 << 30},
    "state": {"trouble": None},
}


def process(role: str, number: int = 0, **changed: Any) -> dict[str, Any]:
    """Return a process as the supervisor knows it."""
    return {
        "role": role,
        "number": number,
        "pid": 101 + number,
        "state": "ready",
        "snapshot": 1,
        "started_at": STARTED_AT.isoformat(),
        "restarts": 0,
        "heartbeat_age_seconds": 0.4,
        "report": JOBS if role == "jobs" else Metrics().report(),
        **changed,
    }


def reported(*processes: Mapping[str, Any], **changed: Any) -> dict[str, Any]:
    """Return the report of a node with these processes."""
    status = {
        "node": "pacs-1",
        "version": "0.1.0",
        "pid": 100,
        "started_at": STARTED_AT.isoformat(),
        "snapshot": 1,
        "processes": list(processes),
        "data_dir": "/var/lib/pacsnode",
        "listening": [{"ae_title": "PACSNODE", "host": "127.0.0.1", "port": 11112}],
        **changed,
    }
    return node_report(status, now=NOW)


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
