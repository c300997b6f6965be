"""The log line per association, and a line for each thing that failed: an observer.

Peer strings are escaped and cut, so that no peer can forge a line; there are UIDs, titles, counts and
statuses, and never patient data.
"""

import logging
import threading
from collections import Counter

from pacsnode.observe import (
    AssociationEnded,
    AssociationRejected,
    Event,
    InstanceStored,
    QueryAnswered,
    RetrieveEnded,
    Verified,
)

log = logging.getLogger(__name__)

_MAX_CHARACTERS = 256


def escaped(text: str) -> str:
    """Return a peer's text so that it stays on one line and within 256 characters."""
    cut = text.encode("unicode_escape").decode("ascii").replace('"', '\\"')[:_MAX_CHARACTERS]
    # Every backslash belongs to a pair or an escape, unless the cut went through it.
    is_cut_through = (len(cut) - len(cut.rstrip("\\"))) % 2
    return cut[:-1] if is_cut_through else cut


class AssociationLog:
    """Writes an INFO line when an association ends, and WARNING lines for refusals and failures."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        escaped("")  # loads its codec while there are descriptors left
        self._counts: dict[str, Counter[str]] = {}

    def __call__(self, event: Event) -> None:
        """Hear of an event."""
        match event:
            case AssociationRejected():
                log.warning(
                    'association %s from %s "%s" to "%s" refused: %s',
                    event.association_id or "-",
                    event.peer_address,
                    escaped(event.calling_ae_title),
                    escaped(event.called_ae_title),
                    escaped(event.reason),
                )
            case AssociationEnded():
                self._ended(event)
            case Verified():
                self._count(event.association_id, "echoed")
            case InstanceStored():
                self._stored(event)
            case QueryAnswered():
                self._count(event.association_id, "queries")
                if event.status & 0xF000 in (0xA000, 0xC000):
                    self._failed(
                        event.association_id, f"C-FIND {event.level or '-'}", event.status, event.comment
                    )
            case RetrieveEnded():
                self._retrieved(event)

    def _count(self, association_id: str, what: str, number: int = 1) -> None:
        with self._lock:
            self._counts.setdefault(association_id, Counter())[what] += number

    def _stored(self, event: InstanceStored) -> None:
        self._count(event.association_id, "stored" if event.status == 0 else "not stored")
        if event.status != 0:
            what = f"C-STORE {event.sop_instance_uid}"
            self._failed(event.association_id, what, event.status, event.outcome)
        elif event.outcome not in ("stored", "already stored"):
            log.warning(
                "association %s: instance %s has other content than before: %s",
                event.association_id,
                escaped(event.sop_instance_uid),
                event.outcome,
            )

    def _retrieved(self, event: RetrieveEnded) -> None:
        self._count(event.association_id, "retrieves")
        self._count(event.association_id, "sent", event.completed + event.warned)
        if event.status not in (0x0000, 0xFE00):
            to = f" to {event.destination_ae_title}" if event.destination_ae_title else ""
            what = f"retrieve {event.level or '-'}{to}: {event.failed} failed, {event.warned} warned"
            self._failed(event.association_id, what, event.status, event.comment)

    def _failed(self, association_id: str, what: str, status: int, why: str) -> None:
        log.warning(
            "association %s: %s: status %#06x: %s", association_id, escaped(what), status, escaped(why)
        )

    def _ended(self, event: AssociationEnded) -> None:
        with self._lock:
            counts = self._counts.pop(event.association_id, Counter())
        done = ", ".join(f"{number} {what}" for what, number in counts.items()) or "nothing done"
        log.info(
            'association %s from %s "%s" to "%s" %s after %.3f s: %s; contexts %d accepted, %d refused; '
            "%d bytes received, %d sent%s",
            event.association_id,
            event.peer_address,
            escaped(event.calling_ae_title),
            escaped(event.called_ae_title),
            escaped(event.ending),
            event.seconds,
            done,
            event.contexts_accepted,
            event.contexts_rejected,
            event.bytes_received,
            event.bytes_sent,
            f"; refused: {escaped(event.refused)}" if event.refused else "",
        )
