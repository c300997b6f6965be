"""The jobs: recovery, filing, checkpoints and copies, away from the processor time of the workers."""

from pacsnode.assembly.archive import Holdings
from pacsnode.assembly.upkeep import Upkeep
from pacsnode.config import Config
from pacsnode.processes.child import Bell
from pacsnode.processes.program import Arguments, run


class Jobs:
    """The role of the process that does the jobs."""

    def __init__(self, arguments: Arguments, _: Bell) -> None:
        self._takes_over = arguments.take_over

    def start(self, config: Config, number: int) -> int:
        """See `Role.start`: workers begin when this has returned, so that what was acknowledged is found."""
        self._holdings = Holdings(config, process="jobs")
        self._upkeep = Upkeep(self._holdings, files=config.storage.bucket is None)
        self._upkeep.recover(is_first=number == 0, take_over=self._takes_over)
        return self._upkeep.start(number)

    def adopt(self, config: Config, number: int) -> None:
        """See `Role.adopt`: it is recorded; of the jobs only what peers' texts are read in can change."""
        self._upkeep.adopt(config, number)

    def look(self) -> None:
        """See `Role.look`."""
        self._upkeep.ring()

    def reconcile(self) -> None:
        """See `Role.reconcile`."""
        self._upkeep.reconcile()

    def receive_only(self, trouble: str) -> None:
        """See `Role.receive_only`."""
        self._holdings.state.custody.damaged(trouble)

    def trouble(self) -> str | None:
        """See `Role.trouble`."""
        return self._holdings.state.trouble

    def moves(self) -> bool:
        """See `Role.moves`: a step may take as long as the storage does."""
        return True

    def report(self) -> dict[str, object]:
        """See `Role.report`."""
        return self._upkeep.report()

    def stop(self) -> None:
        """See `Role.stop`."""
        self._upkeep.stop()
        self._holdings.close()


if __name__ == "__main__":
    run("jobs", Jobs)
