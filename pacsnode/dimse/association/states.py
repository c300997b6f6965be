"""The DICOM upper layer protocol machine, as the table that PS3.8 9.2.3 prints (table 9-10).

Pure: states, events and actions are values, and the table says what is done and what the state is then. The machine is
the Standard's whole. What a PDU means where it arrives is asked of it by whoever reads one: the lobby (state 2), a
requestor that awaits its answer (5), a conversation (6) and its release (7 and after). Cells that the table leaves
empty cannot happen: to ask for one is an error of the caller.
"""

from enum import Enum, IntEnum

from pacsnode.dimse.association.endings import AbortReason, ProtocolViolation
from pacsnode.dimse.association.pdu import PDUType


class State(IntEnum):
    """State of the association (PS3.8 tables 9-1 to 9-5)."""

    IDLE = 1
    AWAITING_REQUEST = 2  # transport connection open, A-ASSOCIATE-RQ due
    AWAITING_LOCAL_ANSWER = 3  # the user decides on the request
    AWAITING_CONNECTION = 4  # transport connection is being opened
    AWAITING_ANSWER = 5  # A-ASSOCIATE-AC or RJ due
    ESTABLISHED = 6
    AWAITING_RELEASE_RESPONSE = 7
    AWAITING_LOCAL_RELEASE = 8  # the user responds to a release request
    COLLISION_REQUESTOR_LOCAL = 9  # release collision, requestor side, our response due
    COLLISION_ACCEPTOR_REMOTE = 10  # release collision, acceptor side, their response due
    COLLISION_REQUESTOR_REMOTE = 11  # release collision, requestor side, their response due
    COLLISION_ACCEPTOR_LOCAL = 12  # release collision, acceptor side, our response due
    AWAITING_CLOSE = 13  # the peer closes the transport connection


class Event(IntEnum):
    """What happens (PS3.8 table 9-10, its rows)."""

    ASSOCIATE_REQUEST = 1
    CONNECTION_CONFIRMED = 2
    A_ASSOCIATE_AC = 3
    A_ASSOCIATE_RJ = 4
    CONNECTION_INDICATED = 5
    A_ASSOCIATE_RQ = 6
    ASSOCIATE_ACCEPTED = 7
    ASSOCIATE_REJECTED = 8
    DATA_REQUEST = 9
    P_DATA_TF = 10
    RELEASE_REQUEST = 11
    A_RELEASE_RQ = 12
    A_RELEASE_RP = 13
    RELEASE_RESPONSE = 14
    ABORT_REQUEST = 15
    A_ABORT = 16
    CONNECTION_CLOSED = 17
    ARTIM_EXPIRED = 18
    INVALID_PDU = 19


class Action(Enum):
    """What is done (PS3.8 tables 9-6 to 9-9)."""

    AE_1 = "connect"
    AE_2 = "send A-ASSOCIATE-RQ"
    AE_3 = "confirm the association"
    AE_4 = "confirm the rejection and close"
    AE_5 = "answer the connection, start ARTIM"
    AE_6 = "indicate the request, or reject it"
    AE_7 = "send A-ASSOCIATE-AC"
    AE_8 = "send A-ASSOCIATE-RJ, start ARTIM"
    DT_1 = "send P-DATA-TF"
    DT_2 = "indicate data"
    AR_1 = "send A-RELEASE-RQ"
    AR_2 = "indicate the release"
    AR_3 = "confirm the release and close"
    AR_4 = "send A-RELEASE-RP, start ARTIM"
    AR_5 = "stop ARTIM"
    AR_6 = "indicate data while a release is due"
    AR_7 = "send P-DATA-TF while a release is due"
    AR_8 = "indicate the release collision"
    AR_9 = "send A-RELEASE-RP in a collision"
    AR_10 = "confirm the release in a collision"
    AA_1 = "send A-ABORT as user, start ARTIM"
    AA_2 = "stop ARTIM and close"
    AA_3 = "indicate the abort and close"
    AA_4 = "indicate that the connection is lost"
    AA_5 = "stop ARTIM, the connection is closed"
    AA_6 = "ignore the PDU"
    AA_7 = "send A-ABORT again"
    AA_8 = "send A-ABORT as provider, indicate it, start ARTIM"


# One row per event, one column per state 1 to 13; "-" cannot happen. The next state follows the action's name,
# except for AE-6 (3, or 13 when it rejects) and AR-8 (9 for a requestor, 10 for an acceptor): the first is written.
_ROWS: dict[Event, str] = {
    Event.ASSOCIATE_REQUEST: "AE_1:4 - - - - - - - - - - - -",
    Event.CONNECTION_CONFIRMED: "- - - AE_2:5 - - - - - - - - -",
    Event.A_ASSOCIATE_AC: (
        "- AA_1:13 AA_8:13 - AE_3:6 AA_8:13 AA_8:13 AA_8:13 AA_8:13 AA_8:13 AA_8:13 AA_8:13 AA_6:13"
    ),
    Event.A_ASSOCIATE_RJ: (
        "- AA_1:13 AA_8:13 - AE_4:1 AA_8:13 AA_8:13 AA_8:13 AA_8:13 AA_8:13 AA_8:13 AA_8:13 AA_6:13"
    ),
    Event.CONNECTION_INDICATED: "AE_5:2 - - - - - - - - - - - -",
    Event.A_ASSOCIATE_RQ: (
        "- AE_6:3 AA_8:13 - AA_8:13 AA_8:13 AA_8:13 AA_8:13 AA_8:13 AA_8:13 AA_8:13 AA_8:13 AA_7:13"
    ),
    Event.ASSOCIATE_ACCEPTED: "- - AE_7:6 - - - - - - - - - -",
    Event.ASSOCIATE_REJECTED: "- - AE_8:13 - - - - - - - - - -",
    Event.DATA_REQUEST: "- - - - - DT_1:6 - AR_7:8 - - - - -",
    Event.P_DATA_TF: (
        "- AA_1:13 AA_8:13 - AA_8:13 DT_2:6 AR_6:7 AA_8:13 AA_8:13 AA_8:13 AA_8:13 AA_8:13 AA_6:13"
    ),
    Event.RELEASE_REQUEST: "- - - - - AR_1:7 - - - - - - -",
    Event.A_RELEASE_RQ: (
        "- AA_1:13 AA_8:13 - AA_8:13 AR_2:8 AR_8:9 AA_8:13 AA_8:13 AA_8:13 AA_8:13 AA_8:13 AA_6:13"
    ),
    Event.A_RELEASE_RP: (
        "- AA_1:13 AA_8:13 - AA_8:13 AA_8:13 AR_3:1 AA_8:13 AA_8:13 AR_10:12 AR_3:1 AA_8:13 AA_6:13"
    ),
    Event.RELEASE_RESPONSE: "- - - - - - - AR_4:13 AR_9:11 - - AR_4:13 -",
    Event.ABORT_REQUEST: (
        "- - AA_1:13 AA_2:1 AA_1:13 AA_1:13 AA_1:13 AA_1:13 AA_1:13 AA_1:13 AA_1:13 AA_1:13 -"
    ),
    Event.A_ABORT: "- AA_2:1 AA_3:1 - AA_3:1 AA_3:1 AA_3:1 AA_3:1 AA_3:1 AA_3:1 AA_3:1 AA_3:1 AA_2:1",
    Event.CONNECTION_CLOSED: (
        "- AA_5:1 AA_4:1 AA_4:1 AA_4:1 AA_4:1 AA_4:1 AA_4:1 AA_4:1 AA_4:1 AA_4:1 AA_4:1 AR_5:1"
    ),
    Event.ARTIM_EXPIRED: "- AA_2:1 - - - - - - - - - - AA_2:1",
    Event.INVALID_PDU: (
        "- AA_1:13 AA_8:13 - AA_8:13 AA_8:13 AA_8:13 AA_8:13 AA_8:13 AA_8:13 AA_8:13 AA_8:13 AA_7:13"
    ),
}

_ARRIVALS = {
    PDUType.A_ASSOCIATE_RQ: Event.A_ASSOCIATE_RQ,
    PDUType.A_ASSOCIATE_AC: Event.A_ASSOCIATE_AC,
    PDUType.A_ASSOCIATE_RJ: Event.A_ASSOCIATE_RJ,
    PDUType.P_DATA_TF: Event.P_DATA_TF,
    PDUType.A_RELEASE_RQ: Event.A_RELEASE_RQ,
    PDUType.A_RELEASE_RP: Event.A_RELEASE_RP,
    PDUType.A_ABORT: Event.A_ABORT,
}


def _cell(text: str) -> tuple[Action, State]:
    action, _, state = text.partition(":")
    return Action[action], State(int(state))


_TABLE = {
    (event, State(column)): _cell(text)
    for event, row in _ROWS.items()
    for column, text in enumerate(row.split(), 1)
    if text != "-"
}

# By the number on the wire: this is asked for each PDU, and one look has to do.
_ON_PDU = {
    (state, int(pdu_type)): _TABLE[event, state]
    for pdu_type, event in _ARRIVALS.items()
    for state in State
    if (event, state) in _TABLE
}


def next_step(state: State, event: Event) -> tuple[Action, State]:
    """Return what is done and the state after it; raises `KeyError` for what cannot happen."""
    return _TABLE[event, state]


def on_pdu(state: State, pdu_type: int) -> tuple[Action, State]:
    """Return what is done when a PDU of a type that exists arrives, and the state after it.

    A type that does not exist is the event 19, which `pdu.check_length` tells before anybody asks.
    """
    return _ON_PDU[state, pdu_type]


def unexpected(pdu_type: int, where: str) -> ProtocolViolation:
    """Return how AA-1 and AA-8 end an association, for a PDU that must not come `where` it came.

    The Standard lets AA-1, before the association, abort as the service user. Source and reason of the provider are
    sent there too: a user's A-ABORT has no reason (PS3.8 9.3.8), and the peer's log should tell what was wrong.
    """
    return ProtocolViolation(f"{PDUType(pdu_type).name} {where}", AbortReason.UNEXPECTED_PDU)
