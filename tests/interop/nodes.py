"""A node in this process, on a free port and in a folder of its own, and what can be seen of it."""

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pacsnode.config import Config
from pacsnode.dicom.attributes import Level
from pacsnode.dicom.query import InformationModel, Query
from pacsnode.dimse.association.requestor import Remote
from pacsnode.node import Node
from pacsnode.observe import Event

AE_TITLE = "PACSNODE"
WAIT_SECONDS = 20.0


@dataclass
class Events:
    """An observer that keeps every event and lets a test wait for one."""

    seen: list[Event] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def __call__(self, event: Event) -> None:
        with self._changed:
            self.seen.append(event)
            self._changed.notify_all()

    def of(self, kind: type[Any]) -> list[Any]:
        """Return the events of a kind so far."""
        with self._changed:
            return [event for event in self.seen if isinstance(event, kind)]

    def wait_for(self, kind: type[Any], number: int = 1) -> list[Any]:
        """Return the events of a kind once there are that many; fails after a while."""
        with self._changed:
            there = self._changed.wait_for(
                lambda: sum(isinstance(event, kind) for event in self.seen) >= number, WAIT_SECONDS
            )
            assert there, f"no {kind.__name__} number {number}: {self.seen}"
        return self.of(kind)


@dataclass(frozen=True)
class Running:
    """A node that serves, and the folder that it keeps its data in."""

    node: Node
    folder: Path
    events: Events
    remote: Remote

    @property
    def port(self) -> int:
        return self.remote.port

    def entities(self) -> tuple[int, ...]:
        """Return how many patients, studies, series and instances are found."""
        return tuple(
            self.node.index.count(Query(InformationModel.PATIENT_ROOT, level, (), ()), at_most=1_000_000)
            for level in Level
        )

    def spooled(self) -> list[str]:
        """Return the names in the spool's folder."""
        return sorted(path.name for path in (self.folder / "spool" / "ready").iterdir())

    def stored(self) -> list[Path]:
        """Return the objects of the storage."""
        return sorted(path for path in (self.folder / "archive").rglob("*") if path.is_file())

    def assert_empty(self) -> None:
        """Check that nothing at all was kept: no row, no file."""
        assert self.entities() == (0, 0, 0, 0)
        assert self.spooled() == []
        assert self.stored() == []


def assert_no_association_left() -> None:
    """Check that the threads of all associations, and of what they have begun, end by themselves."""
    deadline = time.monotonic() + WAIT_SECONDS
    for thread in threading.enumerate():
        if thread.name.startswith(("association-", "move-to-", "read-ahead")):
            thread.join(deadline - time.monotonic())
            assert not thread.is_alive(), f"{thread.name} does not end"


StartNode = Callable[..., Running]


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return base | {
        key: base[key] | value if isinstance(base.get(key), dict) else value for key, value in changes.items()
    }


def starting(stack: ExitStack, root: Path) -> StartNode:
    def start(**sections: Any) -> Running:
        folder = root / f"node-{len(list(root.glob('node-*')))}"
        base: dict[str, Any] = {
            "node": {"data_dir": str(folder)},
            "dicom": {"port": 0, "ae_title": AE_TITLE},
            "access": {"unknown_peers": "all"},
            "spool": {"min_free": "1 MiB"},
        }
        events = Events()
        node = stack.enter_context(Node(Config.model_validate(_merged(base, sections)), observers=(events,)))
        return Running(node, folder, events, Remote(AE_TITLE, "127.0.0.1", node.port))

    return start
