"""A worker: associations on the socket that the supervisor listens on.

Where the storage is memory, which processes cannot share, one worker does the jobs too.
"""

import socket
import sys

from pacsnode.assembly.archive import Archive
from pacsnode.assembly.service import Service
from pacsnode.assembly.upkeep import Upkeep
from pacsnode.association_log import AssociationLog
from pacsnode.config import Config
from pacsnode.processes.child import Bell
from pacsnode.processes.program import Arguments, run
from pacsnode.turns import Turns

_SWITCH_SECONDS = 0.0001


class Worker:
    """The role of a worker."""

    def __init__(self, arguments: Arguments, bell: Bell) -> None:
        self._number = arguments.number
        self._listening = socket.socket(fileno=arguments.listening)
        self._turns = Turns(arguments.turns if arguments.turns >= 0 else None, arguments.number)
        self._with_jobs = arguments.with_jobs
        self._bell = bell
        self._upkeep: Upkeep | None = None

    def start(self, config: Config) -> int:
        """See `Role.start`."""
        # One thread that computes would otherwise hold back all others by 5 ms at each system call of theirs.
        sys.setswitchinterval(_SWITCH_SECONDS)
        self._archive = Archive(config, worker=self._number)
        stored = self._bell.ring
        if self._with_jobs:
            self._upkeep = Upkeep(config, self._archive)
            self._upkeep.recover()
            self._upkeep.start()
            stored = self._upkeep.ring
        self._service = Service(config, self._archive, AssociationLog(), stored=stored)
        self._service.start(self._listening, self._turns)
        return self._service.port

    def adopt(self, config: Config) -> None:
        """See `Role.adopt`."""
        self._service.adopt(config)

    def look(self) -> None:
        """See `Role.look`."""
        if self._upkeep is not None:
            self._upkeep.ring()

    def reconcile(self) -> None:
        """See `Role.reconcile`."""
        if self._upkeep is not None:
            self._upkeep.reconcile()

    def moves(self) -> bool:
        """See `Role.moves`."""
        return self._service.is_accepting()

    def report(self) -> dict[str, object]:
        """See `Role.report`."""
        return {}

    def stop(self) -> None:
        """See `Role.stop`."""
        self._service.stop()
        if self._upkeep is not None:
            self._upkeep.stop()
        self._archive.close()


if __name__ == "__main__":
    run("worker", Worker)
