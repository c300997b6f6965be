"""C-MOVE as it is asked for by hand, for tests that cancel one or go away."""

import threading

from pydicom import Dataset

from pacsnode.dimse.move_job import MoveJob
from tests.interop import wire
from tests.interop.data_sets import encoded
from tests.interop.nodes import WAIT_SECONDS

STUDY_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"


def request_move(peer: wire.Wire, asked: Dataset, destination: bytes = b"STORESCP") -> None:
    """Send a C-MOVE-RQ with Message ID 5 in context 1."""
    request = wire.command(
        0x0021, message_id=5, has_data_set=True, e0002=STUDY_MOVE.encode(), e0600=destination, e0700=0
    )
    peer.send(
        wire.p_data(wire.pdv(1, request, is_command=True)),
        wire.p_data(wire.pdv(1, encoded(asked), is_command=False)),
    )


def wait_until_cancelled() -> None:
    """Wait until the node has heard of the cancel: only then is it to stop."""
    (line,) = [thread for thread in threading.enumerate() if thread.name.startswith("move-to-")]
    job = line._job  # type: ignore[attr-defined]
    assert isinstance(job, MoveJob)
    assert job._is_cancelled.wait(WAIT_SECONDS)
