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

from pacsnode.errors import PacsNodeError, PermanentError, ProgramFault
from pacsnode.state.base import CustodyEvent, CustodyKind, State

log = logging.getLogger(__name__)

_MAX_UNWRITTEN = 1000
_RETRY_SECONDS = 30.0


class Custody:
    """Records events. Any thread may call any method; one at a time calls `step`, which is a job's."""

    def __init__(
        self,
        state: State | None,
        *,
        process: str,
        now_ms: Callable[[], int],
        trouble: str | None = None,
        advice: Callable[[], str] = lambda: "nothing is recorded any more",
    ) -> None:
        """Without a state `trouble` says why; without both, events go nowhere.

        `advice` is what to do when the state is found damaged while it is used.
        """
        self._state = state
        self._process = process
        self._now_ms = now_ms
        self._trouble = trouble
        self._advice = advice
        self._unwritten: deque[CustodyEvent] = deque()

    @property
    def trouble(self) -> str | None:
        """What is wrong with the state, so that the node receives only; None if nothing is."""
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
        reason = self._refusal([event])
        if reason:
            _log(event, reason)
            self._keep(event)
        return reason is None

    def note_later(self, kind: CustodyKind, detail: str, *, name: str = "") -> None:
        """Leave an event to the next `step`: for a thread that must not wait for a disk that has just failed."""
        event = CustodyEvent(kind, self._now_ms(), self._process, detail, name)
        if not self._keep(event):
            _log(event, self._trouble or "too many wait")

    def disk_failed(self, place: str, reason: str) -> None:
        """Note that a write that should be durable failed."""
        self.note_later(CustodyKind.DISK_FAILED, reason, name=place)

    def damaged(self, trouble: str) -> None:
        """Write nothing to the state from now on: it was found damaged while it was used."""
        if self._trouble is None:
            self._trouble = trouble
            log.error("%s; %s", trouble, self._advice())

    def step(self) -> float:
        """Record what waits; return after how many seconds to come again."""
        waiting = list(self._unwritten)
        if not waiting:
            return _RETRY_SECONDS
        reason = self._refusal(waiting)
        if reason is None:
            for _ in waiting:  # only a step takes from this end
                self._unwritten.popleft()
        else:
            log.warning("%d custody events still cannot be recorded: %s", len(waiting), reason)
        return _RETRY_SECONDS

    def _keep(self, event: CustodyEvent) -> bool:
        if self._state is None or self._trouble is not None or len(self._unwritten) >= _MAX_UNWRITTEN:
            return False
        self._unwritten.append(event)
        return True

    def _refusal(self, events: list[CustodyEvent]) -> str | None:
        """Record events; return why they are not recorded, nothing (but not None) if nobody keeps a state."""
        if self._trouble is not None:
            return "the state is damaged or missing"
        if self._state is None:
            return ""
        try:
            self._state.record(events)
        except PacsNodeError as error:
            if isinstance(error, PermanentError) and not isinstance(error, ProgramFault):
                self.damaged(str(error))
            return str(error)
        return None


def _log(event: CustodyEvent, reason: str) -> None:
    about = " ".join(filter(None, (event.sop_instance_uid, event.name)))
    log.error("custody: %s %s: %s; not recorded: %s", event.kind.value, about or "-", event.detail, reason)
