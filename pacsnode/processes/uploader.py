"""An uploader: what waits in the spool goes to the bucket, away from the processor time of workers and jobs."""

import os
import threading

from pacsnode.assembly.archive import Holdings
from pacsnode.assembly.filing import filing_of
from pacsnode.config import Config
from pacsnode.jobs.loop import Loop
from pacsnode.processes.child import Bell
from pacsnode.processes.program import Arguments, run

_NICE = 10


class Uploader:
    """The role of an uploader."""

    def __init__(self, arguments: Arguments, _: Bell) -> None:
        self._number = arguments.number

    def start(self, config: Config, number: int) -> int:
        """See `Role.start`."""
        os.nice(_NICE)
        self._is_stopping = threading.Event()
        self._holdings = Holdings(config, process=f"uploader {self._number}")
        self._filing = filing_of(
            self._holdings,
            self._is_stopping.is_set,
            number=self._number,
            processes=config.storage.gcs.uploaders,
        )
        self._loops = [
            Loop("upload", self._filing.step),
            Loop("custody", self._holdings.state.custody.step),
        ]
        for loop in self._loops:
            loop.start()
        return number

    def adopt(self, config: Config, number: int) -> None:
        """See `Role.adopt`: nothing of an uploader follows without a restart."""

    def look(self) -> None:
        """See `Role.look`."""
        self._loops[0].ring()

    def reconcile(self) -> None:
        """See `Role.reconcile`: that is for the jobs."""

    def receive_only(self, trouble: str) -> None:
        """See `Role.receive_only`: what was acknowledged goes to the bucket all the same."""
        self._holdings.state.custody.damaged(trouble)

    def trouble(self) -> str | None:
        """See `Role.trouble`."""
        return self._holdings.state.trouble

    def moves(self) -> bool:
        """See `Role.moves`: a step may take as long as the bucket does."""
        return True

    def report(self) -> dict[str, object]:
        """See `Role.report`."""
        return {"filing": self._filing.report()}

    def stop(self) -> None:
        """See `Role.stop`: requests that are under way end or are given up."""
        self._is_stopping.set()
        self._holdings.archive.stop_waiting()
        for loop in self._loops:
            loop.stop()
        self._holdings.close()


if __name__ == "__main__":
    run("uploader", Uploader)
