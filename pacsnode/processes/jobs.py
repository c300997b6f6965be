"""The jobs: recovery, filing and checkpoints, away from the processor time of the workers."""

from pacsnode.assembly.archive import Archive
from pacsnode.assembly.upkeep import Upkeep
from pacsnode.config import Config
from pacsnode.processes.child import Bell
from pacsnode.processes.program import Arguments, run


class Jobs:
    """The role of the process that does the jobs."""

    def __init__(self, _: Arguments, __: Bell) -> None: ...

    def start(self, config: Config) -> None:
        """See `Role.start`: workers begin when this has returned, so that what was acknowledged is found."""
        self._archive = Archive(config)
        self._upkeep = Upkeep(config, self._archive)
        self._upkeep.recover()
        self._upkeep.start()

    def adopt(self, config: Config) -> None:
        """See `Role.adopt`: no key of the jobs can change while they run."""

    def look(self) -> None:
        """See `Role.look`."""
        self._upkeep.ring()

    def reconcile(self) -> None:
        """See `Role.reconcile`."""
        self._upkeep.reconcile()

    def moves(self) -> bool:
        """See `Role.moves`: a step may take as long as the storage does."""
        return True

    def report(self) -> dict[str, object]:
        """See `Role.report`."""
        return {}

    def stop(self) -> None:
        """See `Role.stop`."""
        self._upkeep.stop()
        self._archive.close()


if __name__ == "__main__":
    run("jobs", Jobs)
