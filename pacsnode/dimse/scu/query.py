"""C-ECHO and C-FIND as SCU (PS3.4 A.4, C.4.1)."""

import time
from collections.abc import Callable, Iterator

from pydicom import Dataset

from pacsnode.dicom.query import BASELINE, Options
from pacsnode.dimse import extended
from pacsnode.dimse.association.command import CommandField, Element
from pacsnode.dimse.association.requestor import Caller, Remote
from pacsnode.dimse.contexts import FIND_MODELS, VERIFICATION, options_of
from pacsnode.dimse.scu.association import PENDING, PLAIN, Association, RemoteFailure, model_of
from pacsnode.dimse.status import GeneralStatus


def echo(caller: Caller, remote: Remote) -> float:
    """Return the seconds that a C-ECHO takes on a new association; raises `NetworkError`, `RemoteFailure`."""
    with Association(caller, remote, [(VERIFICATION, PLAIN)]) as association:
        context = association.context(VERIFICATION)
        started = time.perf_counter()
        answer = association.ask(context, CommandField.C_ECHO)
        seconds = time.perf_counter() - started
        if answer.command.status != GeneralStatus.SUCCESS:
            raise RemoteFailure(answer.command.status, answer.command.text(Element.ERROR_COMMENT))
        return seconds


def find(
    caller: Caller,
    remote: Remote,
    identifier: Dataset,
    *,
    patient_root: bool,
    options: Options = BASELINE,
    on_agreed: Callable[[Options], None] = lambda _: None,
) -> Iterator[Dataset]:
    """Yield the matches of a C-FIND; raises `NetworkError`, `RemoteFailure`.

    `options` are proposed (PS3.4 C.5.1.1); those that the remote accepts go to `on_agreed` before the query is sent.
    """
    model = model_of(FIND_MODELS, patient_root=patient_root)
    proposed = extended.proposal(options, extended.FIND)
    with Association(
        caller, remote, [(model, PLAIN)], extended={model: proposed} if proposed else None
    ) as association:
        context = association.context(model)
        on_agreed(options_of(context))
        answer = association.ask(context, CommandField.C_FIND, identifier)
        while answer.command.status in PENDING:
            yield association.data_set(answer)
            answer = association.conversation.next_message()
        if answer.command.status != GeneralStatus.SUCCESS:
            raise RemoteFailure(answer.command.status, answer.command.text(Element.ERROR_COMMENT))
