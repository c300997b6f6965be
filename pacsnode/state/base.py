"""The state as the use cases see it: what the node took responsibility for, and how it ran.

Unlike the index it cannot be rebuilt from anything: what is lost here is lost. The contract that every adapter
keeps:

- Every method may be called from any thread, in several processes at a time.
- What a method has written survives a power cut once it has returned, and is written whole or not at all.
- A normal new instance writes nothing here: only what is unusual does, and starts, stops and configurations.
- `TemporaryError` where the file is busy or the disk full, `PermanentError` where the file is damaged.

A later table (commitments, forwards, holds) brings a port of its own in a module of its own over the same file;
its writes raise the same revision, so that the hourly copy knows of them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol

_PAGE = 1000


class CustodyKind(Enum):
    """What happened to something that the node is responsible for."""

    SET_ASIDE = "set aside"  # a spool entry that cannot be indexed, moved to damaged/
    LOST = "lost"  # acknowledged, and neither spool nor storage has it
    DAMAGED = "damaged"  # acknowledged, and its bytes are not those that were received
    UNREADABLE = "unreadable"  # acknowledged, and the disk does not give it back
    NOT_FILED = "not filed"  # the storage has another object under its name, it stays in the spool
    VERSION_KEPT = "version kept"  # other content under a known UID, kept and not served
    VERSION_SERVED = "version served"  # other content under a known UID, served from now on
    DISK_FAILED = "disk failed"  # a write that should be durable failed
    STATE_RESTORED = "state restored"  # this file began as a copy of an earlier one
    STATE_BEGUN = "state begun"  # this file began empty in place of an earlier one


@dataclass(frozen=True, slots=True)
class CustodyEvent:
    """One thing that happened. `name` is the object, spool entry, file or folder; nothing names a patient."""

    kind: CustodyKind
    at_ms: int
    process: str
    detail: str
    name: str = ""
    sop_instance_uid: str = ""
    association_id: str = ""


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event as it was recorded: the first of its like, how often it was seen, and when last."""

    number: int
    event: CustodyEvent
    times: int
    last_at_ms: int


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the node. `ended_at_ms` is None while it runs, and ever after if it did not end cleanly."""

    number: int
    version: str
    started_at_ms: int
    ended_at_ms: int | None


@dataclass(frozen=True, slots=True)
class Revision:
    """How often the file was written, ever ascending, and when it was begun."""

    number: int
    created_at_ms: int


class State(Protocol):
    """Custody events, runs and configuration snapshots of one node."""

    def record(self, events: Sequence[CustodyEvent]) -> None:
        """Record events. One that differs from a recorded one in its time and association only is counted there."""

    def events(self, *, after: int = 0, limit: int) -> list[Recorded]:
        """Return recorded events in the order of their numbers, from `after` on."""

    def begin_run(self, version: str, at_ms: int) -> tuple[Run, Run | None]:
        """Record a start; return this run and the one before if there was one."""

    def last_run(self) -> Run | None:
        """Return the run that began last."""

    def end_run(self, number: int, at_ms: int) -> None:
        """Record that a run ended cleanly."""

    def add_snapshot(self, digest: str, reason: str, at_ms: int, *, number: int = 0) -> int:
        """Record a configuration that is handed out, and return its number.

        That is one more than any before, or `number` unless that is 0. What is recorded of a number already stays.
        """

    def revision(self) -> Revision:
        """Return the revision that is committed."""

    def copy(self, target: Path, *, stop: Callable[[], bool]) -> int | None:
        """Write a consistent copy into a new file and return its revision; None if told to stop.

        Neither readers nor writers wait for it. The file is not durable yet, and useless if this raises.
        """


def every_event(state: State) -> Iterator[Recorded]:
    """Yield all recorded events, page by page."""
    after = 0
    while page := state.events(after=after, limit=_PAGE):
        yield from page
        after = page[-1].number
