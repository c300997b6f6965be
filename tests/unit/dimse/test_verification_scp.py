"""C-ECHO."""

from pacsnode.dimse.association.command import Element
from pacsnode.dimse.verification_scp import VerificationSCP
from pacsnode.observe import Verified
from tests.dimse_peers import Script, conversation_on, echo_request, parsed, us_of
from tests.factories import Heard


def test_it_is_answered_and_heard_of() -> None:
    heard, script = Heard(), Script([echo_request(9)])
    conversation = conversation_on(script)
    message = conversation.receive()
    assert message is not None
    VerificationSCP(heard).serve(conversation, message)
    (answer,) = parsed(b"".join(script.sent))
    assert us_of(answer.command, Element.COMMAND_FIELD) == 0x8030
    assert us_of(answer.command, Element.MESSAGE_ID_BEING_RESPONDED_TO) == 9
    assert us_of(answer.command, Element.STATUS) == 0
    assert heard.events == [Verified("0badcafe", "CT1", 0)]
