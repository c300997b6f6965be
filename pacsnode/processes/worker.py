"""A worker: associations on the socket that the supervisor listens on.

Where the storage is memory, which processes cannot share, one worker does the jobs too.
"""

import socket
import sys

from pacsnode.accepting import Turns
from pacsnode.assembly.archive import Holdings
from pacsnode.assembly.service import Service
from pacsnode.assembly.upkeep import Upkeep
from pacsnode.association_log import AssociationLog
from pacsnode.config import Config
from pacsnode.dimse.admission import Admission
from pacsnode.jobs.loop import Loop
from pacsnode.metrics import Metrics
from pacsnode.observe import Observers
from pacsnode.processes.child import Bell
from pacsnode.processes.program import Arguments, run

_SWITCH_SECONDS = 0.0001


class Worker:
    """The role of a worker."""

    def __init__(self, arguments: Arguments, bell: Bell) -> None:
        self._number = arguments.number
        self._listening = socket.socket(fileno=arguments.listening)
        self._turns = Turns(_given(arguments.turns), arguments.number)
        self._admission = Admission(_given(arguments.admission))
        self._with_jobs = arguments.with_jobs
        self._bell = bell
        self._metrics = Metrics()
        self._upkeep: Upkeep | None = None

    def start(self, config: Config, number: int) -> int:
        """See `Role.start`."""
        # One thread that computes would otherwise hold back all others by 5 ms at each system call of theirs.
        sys.setswitchinterval(_SWITCH_SECONDS)
        self._holdings = Holdings(config, process=f"worker {self._number}", worker=self._number)
        self._custody = Loop("custody", self._holdings.state.custody.step)
        stored = self._bell.ring
        if self._with_jobs:
            self._upkeep = Upkeep(self._holdings)
            self._upkeep.recover()
            number = self._upkeep.start(number)
            stored = self._upkeep.ring
        else:
            self._custody.start()
        self._service = Service(
            self._holdings,
            Observers((AssociationLog(), self._metrics)),
            stored=stored,
            admission=self._admission,
            number=number,
        )
        self._service.start(self._listening, self._turns)
        return number

    def adopt(self, config: Config, number: int) -> None:
        """See `Role.adopt`."""
        self._service.adopt(config, number)
        if self._upkeep is not None:
            self._upkeep.adopt(config, number)

    def look(self) -> None:
        """See `Role.look`."""
        if self._upkeep is not None:
            self._upkeep.ring()

    def reconcile(self) -> None:
        """See `Role.reconcile`."""
        if self._upkeep is not None:
            self._upkeep.reconcile()

    def receive_only(self, trouble: str) -> None:
        """See `Role.receive_only`."""
        self._holdings.state.custody.damaged(trouble)

    def trouble(self) -> str | None:
        """See `Role.trouble`."""
        return self._holdings.state.trouble

    def moves(self) -> bool:
        """See `Role.moves`."""
        return self._service.is_accepting()

    def report(self) -> dict[str, object]:
        """See `Role.report`."""
        reports = self._metrics.report() | self._service.report()
        return reports | ({} if self._upkeep is None else self._upkeep.report())

    def stop(self) -> None:
        """See `Role.stop`."""
        self._service.stop()
        self._custody.stop()
        if self._upkeep is not None:
            self._upkeep.stop()
        self._holdings.close()


def _given(descriptor: int) -> int | None:
    return None if descriptor < 0 else descriptor


if __name__ == "__main__":
    run("worker", Worker)
