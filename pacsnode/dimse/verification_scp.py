"""C-ECHO (PS3.4 annex A)."""

from pacsnode.dimse.association.command import response
from pacsnode.dimse.association.conversation import Conversation, Message
from pacsnode.dimse.status import GeneralStatus
from pacsnode.observe import Observer, Verified


class VerificationSCP:
    """Answers C-ECHO."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def serve(self, conversation: Conversation, message: Message) -> None:
        """Answer Success."""
        conversation.skip_data_set()
        conversation.respond(message.context, response(message.command, GeneralStatus.SUCCESS))
        parties = conversation.parties
        self._observer(Verified(parties.association_id, parties.calling_ae_title, GeneralStatus.SUCCESS))
