"""What happened, as frozen events, and the port that hears of it.

Each SCP ends by emitting one event, so that logs, audit, metrics and custody never edit an SCP. Events name
no patient: UIDs, titles, counts, durations, statuses.

`current_association` is the one exception to "no state of a module": what is done for an association, however deep
below it, is to say for which. It is set by the association's thread and inherited by those that it starts.
"""

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

current_association: ContextVar[str] = ContextVar("current_association", default="")

# What names patients is written to this logger, at DEBUG, and to no other. It is off unless `logging.patient_data`
# is set.
PATIENT_DATA_LOGGER = "pacsnode.patient_data"

NODE_STOPS = "the node stops"  # why an association was refused or cut off, where nobody is at fault

_SUCCESS, _CANCEL = 0x0000, 0xFE00  # PS3.7 C.1, C.5
_FAILURES = frozenset((0xA000, 0xC000))  # PS3.7 C.4, by their first digit


@dataclass(frozen=True, slots=True)
class AssociationRejected:
    """An association that was refused or never became one (PS3.8 9.3.4)."""

    association_id: str
    calling_ae_title: str
    called_ae_title: str
    peer_address: str
    reason: str


@dataclass(frozen=True, slots=True)
class ConnectionProbed:
    """A connection that was closed before it had sent a byte, as health checks of load balancers do."""

    peer_address: str


@dataclass(frozen=True, slots=True)
class AssociationAccepted:
    """An association that is about to be accepted; exactly one `AssociationEnded` follows."""

    association_id: str
    calling_ae_title: str
    called_ae_title: str
    peer_address: str


@dataclass(frozen=True, slots=True)
class AssociationEnded:
    """An established association that is over. `ending` is `released`, `aborted`, `lost` or a sentence.

    `refused` is the rule by which services that it proposed were refused to it, empty if none was.
    """

    association_id: str
    calling_ae_title: str
    called_ae_title: str
    peer_address: str
    ending: str
    seconds: float
    contexts_accepted: int
    contexts_rejected: int
    operations: int
    bytes_received: int
    bytes_sent: int
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Verified:
    """A C-ECHO was answered."""

    association_id: str
    calling_ae_title: str
    status: int


@dataclass(frozen=True, slots=True)
class InstanceStored:
    """A C-STORE was answered. `outcome` is an `archive.store.Outcome` value, or the error's name."""

    association_id: str
    calling_ae_title: str
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    outcome: str
    status: int
    comment: str
    data_set_bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class QueryAnswered:
    """A C-FIND was answered."""

    association_id: str
    calling_ae_title: str
    model: str
    level: str
    matches: int
    status: int
    comment: str
    seconds: float

    @property
    def has_failed(self) -> bool:
        """Whether the status is a failure."""
        return self.status & 0xF000 in _FAILURES


@dataclass(frozen=True, slots=True)
class RetrieveEnded:
    """A C-GET or C-MOVE was answered, or its requestor lost. `destination_ae_title` is empty for C-GET.

    `comment` is the first reason of failure; `associations` are those to the destination; `converted` is how many were
    sent in another transfer syntax than they are stored in.
    """

    association_id: str
    calling_ae_title: str
    destination_ae_title: str
    level: str
    completed: int
    failed: int
    warned: int
    remaining: int
    status: int
    comment: str
    bytes_sent: int
    seconds: float
    associations: int = 0
    converted: int = 0

    @property
    def has_failed(self) -> bool:
        """Whether it ended in neither success nor a cancel: something failed, or was sent with a warning."""
        return self.status not in (_SUCCESS, _CANCEL)


Event = (
    AssociationRejected
    | ConnectionProbed
    | AssociationAccepted
    | AssociationEnded
    | Verified
    | InstanceStored
    | QueryAnswered
    | RetrieveEnded
)


class Observer(Protocol):
    """Hears each event on the thread where it happened; must be quick, thread-safe and must not raise."""

    def __call__(self, event: Event, /) -> None: ...


class Observers:
    """Hands each event to several observers, in order."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = tuple(observers)

    def __call__(self, event: Event) -> None:
        for observer in self._observers:
            observer(event)
