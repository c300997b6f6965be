"""A small storage SCP that writes into a folder: a C-MOVE destination for demonstrations and tests.

It keeps no index and syncs nothing; a node does.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pacsnode.access.peer import CalledTitle
from pacsnode.access.policy import Policy, UnknownPeers
from pacsnode.dimse.admission import Limits
from pacsnode.dimse.association.conversation import Conversation, Message
from pacsnode.dimse.rules import Rules, Timeouts
from pacsnode.dimse.scu.instance_file import receive_instance
from pacsnode.dimse.server import DimseServer, SCPs
from pacsnode.dimse.verification_scp import VerificationSCP
from pacsnode.observe import Observers


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where a running receiver listens and writes."""

    ae_title: str
    port: int
    folder: Path


class _FolderSCP:
    """C-STORE into a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def serve(self, conversation: Conversation, message: Message) -> None:
        parties = conversation.parties
        receive_instance(
            conversation, message, parties.calling_ae_title, parties.called_ae_title, self._folder
        )


@contextmanager
def receiver(folder: Path, ae_title: str, *, port: int = 0) -> Iterator[Receiver]:
    """Receive on loopback into `folder` while the context lasts."""
    folder.mkdir(parents=True, exist_ok=True)
    rules = Rules(
        policy=Policy([CalledTitle(ae_title)], unknown_peers=UnknownPeers.ALL),
        limits=Limits(associations=20, pre_association=100),
        max_pdu_bytes=262_144,
        timeouts=Timeouts(acse=10.0, dimse=60.0, network=60.0),
    )
    nobody = Observers(())
    scps = SCPs(verification=VerificationSCP(nobody), storage=_FolderSCP(folder))
    server = DimseServer(rules, scps, nobody, port=port)
    server.start()
    try:
        yield Receiver(ae_title, server.port, folder)
    finally:
        server.stop(grace_seconds=5.0)
