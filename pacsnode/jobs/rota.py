"""Several jobs that take turns on one thread, so that none of them meets another at work."""

import logging
from collections.abc import Callable, Mapping

from pacsnode.errors import PacsNodeError

log = logging.getLogger(__name__)

_AFTER_FAILURE_SECONDS = 30.0


class Rota:
    """One step that takes a step of each job, in order. A job that has nothing to do must be cheap to ask.

    It is the named boundary of its jobs: what one raises is logged, and the others are not held back.
    """

    def __init__(self, jobs: Mapping[str, Callable[[], float]]) -> None:
        """Each job returns after how many seconds it wants to be asked again, 0 at once."""
        self._jobs = jobs

    def step(self) -> float:
        """Ask each job; return after how many seconds the first of them wants to be asked again."""
        return min(
            [self._asked(name, job) for name, job in self._jobs.items()], default=_AFTER_FAILURE_SECONDS
        )

    @staticmethod
    def _asked(name: str, job: Callable[[], float]) -> float:
        try:
            return job()
        except PacsNodeError as error:
            log.error("job %s: %s; it is tried again in %.0f s", name, error, _AFTER_FAILURE_SECONDS)
        except Exception:  # the named boundary of a job
            log.exception("job %s: unexpected error, tried again in %.0f s", name, _AFTER_FAILURE_SECONDS)
        return _AFTER_FAILURE_SECONDS
