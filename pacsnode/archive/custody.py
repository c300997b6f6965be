"""Custody: what happened to things that the node is responsible for, told to the state.

An event that cannot be recorded never fails what it tells of: the bytes of a C-STORE are safe in spool and index
whether or not the state says that they are a further version, and refusing them would lose what is worth keeping.
It is said in the log instead, whole, and tried again until it is recorded or the process ends. Only what can be
left undone waits for it: a start sets a damaged spool entry aside when that is recorded, and otherwise leaves it
where it is.

When the state is damaged nothing is written to it any more, and `trouble` says so: the node receives only.
"""

import logging
from collections import deque
from collections.abc import Callable

from pacsnode.errors import PacsNodeError, PermanentError
from pacsnode.state.base import CustodyEvent, CustodyKind, State

log = logging.getLogger(__name__)

_MAX_UNWRITTEN = 1000
_RETRY_SECONDS = 30.0


class Custody:
    """Records events. Any thread may call any method; `step` is a job's."""

    def __init__(
        self, state: State | None, *, process: str, now_ms: Callable[[], int], trouble: str | None = None
    ) -> None:
        """Without a state `trouble` says why; without both, events go nowhere."""
        self._state = state
        self._process = process
        self._now_ms = now_ms
        self._trouble = trouble
        self._unwritten: deque[CustodyEvent] = deque(maxlen=_MAX_UNWRITTEN)

    @property
    def trouble(self) -> str | None:
        """Why the node receives only, None if it does not."""
        return self._trouble

    @property
    def unwritten(self) -> int:
        """How many events wait to be recorded."""
        return len(self._unwritten)

    def note(
        self,
        kind: CustodyKind,
        detail: str,
        *,
        name: str = "",
        sop_instance_uid: str = "",
        association_id: str = "",
    ) -> bool:
        """Record an event; return whether it is durable. Never raises, and logs what it could not record."""
        event = CustodyEvent(
            kind, self._now_ms(), self._process, detail, name, sop_instance_uid, association_id
        )
        if self._record([event]):
            return True
        if self._trouble is None and self._state is not None:
            self._unwritten.append(event)
        return False

    def note_later(self, kind: CustodyKind, detail: str, *, name: str = "") -> None:
        """Leave an event to the next `step`: for a thread that must not wait for a disk that has just failed."""
        event = CustodyEvent(kind, self._now_ms(), self._process, detail, name)
        if self._trouble is None:
            self._unwritten.append(event)
        else:
            _log(event, self._trouble)

    def disk_failed(self, place: str, reason: str) -> None:
        """Note that a write that should be durable failed."""
        self.note_later(CustodyKind.DISK_FAILED, reason, name=place)

    def damaged(self, trouble: str) -> None:
        """Write nothing to the state from now on: it was found damaged while it was used."""
        if self._trouble is None:
            self._trouble = trouble
            log.error("%s; this node receives only from now on", trouble)

    def step(self) -> float:
        """Record what waits; return after how many seconds to come again."""
        waiting = list(self._unwritten)
        if waiting and self._record(waiting):
            for _ in waiting:  # only this thread takes from the left
                self._unwritten.popleft()
        return _RETRY_SECONDS

    def _record(self, events: list[CustodyEvent]) -> bool:
        trouble = None if self._trouble is None else "the state is damaged or missing"
        if trouble is None:
            if self._state is None:
                return False
            try:
                self._state.record(events)
            except PacsNodeError as error:
                trouble = str(error)
                if isinstance(error, PermanentError):
                    self.damaged(trouble)
            else:
                return True
        for event in events:
            _log(event, trouble)
        return False


def _log(event: CustodyEvent, reason: str) -> None:
    about = " ".join(filter(None, (event.sop_instance_uid, event.name)))
    log.error("custody: %s %s: %s; not recorded: %s", event.kind.value, about or "-", event.detail, reason)
