"""What the command line asks of other Application Entities: C-ECHO, C-FIND, C-MOVE, C-GET and C-STORE as SCU.

All of them use the node's own conversation, so that what is tested against other systems is what serves them.
"""

from pacsnode.dimse.association.requestor import Caller, Remote
from pacsnode.dimse.scu.association import RemoteFailure
from pacsnode.dimse.scu.query import echo, find
from pacsnode.dimse.scu.retrieve import RetrieveProgress, get, move
from pacsnode.dimse.scu.send import SendResult, send

__all__ = [
    "Caller",
    "Remote",
    "RemoteFailure",
    "RetrieveProgress",
    "SendResult",
    "echo",
    "find",
    "get",
    "move",
    "send",
]
