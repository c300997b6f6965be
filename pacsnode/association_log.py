"""The log line per association, and a line for each thing that failed: an observer.

Peer strings are escaped and cut, so that no peer can forge a line; there are UIDs, titles, counts and statuses, and
never patient data: where a UID should stand and something else does, that is not shown. What an event holds goes
with its line as `fields`, for forms that keep fields apart. Which association a line belongs to is not in its
message: it is a field of the event, and each line of the association's thread has it.
"""

import logging
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import fields

from pacsnode.errors import PacsNodeError, PermanentError, TemporaryError
from pacsnode.observe import (
    NODE_STOPS,
    AssociationEnded,
    AssociationRejected,
    ConnectionProbed,
    Event,
    InstanceStored,
    QueryAnswered,
    RetrieveEnded,
    Verified,
)

log = logging.getLogger(__name__)

_MAX_CHARACTERS = 256

# "level" is how severe a line is, wherever lines have fields.
_FIELD_NAMES: Mapping[str, str] = {"level": "query_retrieve_level"}
_EVENT_NAMES: Mapping[type, str] = {
    AssociationRejected: "association_rejected",
    ConnectionProbed: "connection_probed",
    AssociationEnded: "association_ended",
    Verified: "verified",
    InstanceStored: "instance_stored",
    QueryAnswered: "query_answered",
    RetrieveEnded: "retrieve_ended",
}


def escaped(text: str) -> str:
    """Return a peer's text so that it stays on one line and within 256 characters."""
    cut = text.encode("unicode_escape").decode("ascii").replace('"', '\\"')[:_MAX_CHARACTERS]
    # Every backslash belongs to a pair or an escape, unless the cut went through it.
    is_cut_through = (len(cut) - len(cut.rstrip("\\"))) % 2
    return cut[:-1] if is_cut_through else cut


def shown_uid(text: str) -> str:
    """Return what a peer sent as a UID if it could be one (PS3.5 9.1); anything else might name a patient."""
    is_uid = "." in text and len(text) <= 64 and text.isascii() and text.replace(".", "").isdigit()
    return text if is_uid else f"(not shown, {len(text)} characters)"


class AssociationLog:
    """Writes an INFO line when an association ends, lines for refusals and failures, and all else at DEBUG."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        escaped("")  # loads its codec while there are descriptors left
        self._counts: dict[str, Counter[str]] = {}
        self._failures_of_ours = frozenset(_names_below(TemporaryError) | _names_below(PermanentError))

    def __call__(self, event: Event) -> None:
        """Hear of an event."""
        match event:
            case InstanceStored():
                self._stored(event)
            case Verified():
                self._count(event.association_id, "echoed")
                self._done(event, "C-ECHO")
            case QueryAnswered():
                self._queried(event)
            case RetrieveEnded():
                self._retrieved(event)
            case AssociationEnded():
                self._ended(event)
            case AssociationRejected():
                self._rejected(event)
            case ConnectionProbed():
                self._probed(event)

    def _count(self, association_id: str, what: str, number: int = 1) -> None:
        with self._lock:
            self._counts.setdefault(association_id, Counter())[what] += number

    def _stored(self, event: InstanceStored) -> None:
        self._count(event.association_id, "stored" if event.status == 0 else "not stored")
        if event.status != 0:
            is_ours = event.outcome.partition(":")[0] in self._failures_of_ours
            what = f"C-STORE {shown_uid(event.sop_instance_uid)} failed"
            self._failed(event, what, event.outcome, logging.ERROR if is_ours else logging.WARNING)
        elif event.outcome not in ("stored", "already stored"):
            log.warning(
                "C-STORE %s has other content than before: %s",
                shown_uid(event.sop_instance_uid),
                event.outcome,
                extra=_extra(event, event.calling_ae_title, event.outcome),
            )
        elif log.isEnabledFor(logging.DEBUG):
            self._done(event, f"C-STORE {event.sop_instance_uid}: {event.outcome}")

    def _queried(self, event: QueryAnswered) -> None:
        self._count(event.association_id, "queries")
        what = f"C-FIND {event.level or '-'}"
        if event.has_failed:
            self._failed(event, f"{what} failed", event.comment)
        else:
            self._done(event, f"{what}: {event.matches} matches")

    def _retrieved(self, event: RetrieveEnded) -> None:
        self._count(event.association_id, "retrieves")
        self._count(event.association_id, "sent", event.completed + event.warned)
        to = f"C-MOVE to {event.destination_ae_title}" if event.destination_ae_title else "C-GET"
        left = f", {event.remaining} left" if event.remaining else ""
        over = f" over {event.associations} associations" if event.associations > 1 else ""
        converted = f", {event.converted} converted" if event.converted else ""
        what = (
            f"{to}, {event.level or '-'}: {event.completed} sent, {event.failed} failed, "
            f"{event.warned} warned{converted}{left}; "
            f"{event.bytes_sent} bytes in {event.seconds:.3f} s{over}"
        )
        if event.has_failed:
            self._failed(event, what, event.comment)
        else:
            self._done(event, what)

    def _failed(
        self,
        event: InstanceStored | QueryAnswered | RetrieveEnded,
        what: str,
        why: str,
        severity: int = logging.WARNING,
    ) -> None:
        log.log(
            severity,
            '%s, for "%s": status 0x%04X: %s',
            escaped(what),
            escaped(event.calling_ae_title),
            event.status,
            escaped(why),
            extra=_extra(event, event.calling_ae_title, event.status),
        )

    def _done(self, event: InstanceStored | QueryAnswered | RetrieveEnded | Verified, what: str) -> None:
        if log.isEnabledFor(logging.DEBUG):
            log.debug("%s, status 0x%04X", escaped(what), event.status, extra=_extra(event))

    def _probed(self, event: ConnectionProbed) -> None:
        if log.isEnabledFor(logging.DEBUG):
            where = event.peer_address
            log.debug("connection from %s closed before it sent anything", where, extra=_extra(event))

    def _rejected(self, event: AssociationRejected) -> None:
        log.log(
            logging.INFO if event.reason == NODE_STOPS else logging.WARNING,
            'association from %s "%s" to "%s" refused: %s',
            event.peer_address,
            escaped(event.calling_ae_title),
            escaped(event.called_ae_title),
            escaped(event.reason),
            extra=_extra(event, event.peer_address.rpartition(":")[0], escaped(event.reason)),
        )

    def _ended(self, event: AssociationEnded) -> None:
        with self._lock:
            counts = self._counts.pop(event.association_id, Counter())
        done = ", ".join(f"{number} {what}" for what, number in counts.items()) or "nothing done"
        numbers = {f"count_{what.replace(' ', '_')}": number for what, number in counts.items()}
        log.info(
            'association from %s "%s" to "%s" %s after %.3f s: %s; contexts %d accepted, %d refused; '
            "%d bytes received, %d sent%s",
            event.peer_address,
            escaped(event.calling_ae_title),
            escaped(event.called_ae_title),
            "cut off by the stop of the node" if event.ending == NODE_STOPS else escaped(event.ending),
            event.seconds,
            done,
            event.contexts_accepted,
            event.contexts_rejected,
            event.bytes_received,
            event.bytes_sent,
            f"; refused: {escaped(event.refused)}" if event.refused else "",
            extra=_extra(event, **numbers),
        )


def _extra(event: Event, *subject: object, **further: object) -> dict[str, object]:
    """Return the event's fields, and what `processes.log_limits` tells lines apart by."""
    values: dict[str, object] = {"event": _EVENT_NAMES[type(event)]}
    for field in fields(event):
        values[_FIELD_NAMES.get(field.name, field.name)] = _shown(field.name, getattr(event, field.name))
    return {"fields": values | further, "limit_by": subject}


def _shown(name: str, value: object) -> object:
    if name == "status":
        return f"0x{value:04X}"
    if name.endswith("_uid"):
        return shown_uid(str(value))
    return escaped(value) if isinstance(value, str) else value


def _names_below(kind: type[PacsNodeError]) -> set[str]:
    return {kind.__name__}.union(*(_names_below(one) for one in kind.__subclasses__()))
