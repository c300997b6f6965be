"""What the service class providers share: the port that the server calls, and the head of their events."""

from typing import Protocol

from pacsnode.dimse.association.conversation import Conversation, Message


class SCP(Protocol):
    """Serves one request. It has answered when it returns; an `AssociationOver` passes through it."""

    def serve(self, conversation: Conversation, message: Message) -> None:
        """Serve a request, whose data set, if any, was not read yet."""
