"""C-GET's and C-MOVE's use case: what to send, the counts and how it ended (PS3.4 C.4.2, C.4.3)."""

from dataclasses import dataclass, field
from enum import Enum

from pacsnode.archive.objects import Objects
from pacsnode.dicom.query import Query
from pacsnode.index.base import Index, Located
from pacsnode.storage.base import Readable


class Ending(Enum):
    """How a retrieve ended, before it is a status."""

    SUCCESS = "success"
    WARNING = "warning"  # some sub-operations failed or warned, or all warned
    FAILURE = "failure"  # all failed
    CANCELLED = "cancelled"


@dataclass(slots=True)
class SubOperations:
    """The counts of a retrieve. Each sub-operation ends once, as completed, failed or warned."""

    total: int
    completed: int = 0
    failed: int = 0
    warned: int = 0
    failed_uids: list[str] = field(default_factory=list)
    first_failure: str = ""
    bytes_sent: int = 0

    @property
    def remaining(self) -> int:
        """How many have not ended."""
        return self.total - self.completed - self.failed - self.warned

    def complete(self) -> None:
        """Count one that succeeded."""
        self.completed += 1

    def warn(self) -> None:
        """Count one that succeeded with a warning; it is not in the failed list."""
        self.warned += 1

    def fail(self, sop_instance_uid: str, reason: str) -> None:
        """Count one that failed, with its UID for the Failed SOP Instance UID List (0008,0058)."""
        self.failed += 1
        self.failed_uids.append(sop_instance_uid)
        said = reason if sop_instance_uid in reason else f"instance {sop_instance_uid}: {reason}"
        self.first_failure = self.first_failure or said

    def ending(self, *, is_cancelled: bool) -> Ending:
        """Return how the retrieve ended. A cancel that came too late to stop anything changes nothing."""
        if is_cancelled and self.remaining:
            return Ending.CANCELLED
        if not self.failed and not self.warned:
            return Ending.SUCCESS
        return Ending.FAILURE if self.failed == self.total else Ending.WARNING


class Retrieve:
    """Finds the instances of a retrieve and opens them. Any thread may call any method."""

    def __init__(self, index: Index, objects: Objects) -> None:
        self._index = index
        self._objects = objects

    def plan(self, query: Query) -> list[Located]:
        """Return the instances to send, in order; raises `PatientConflict`, `TemporaryError`."""
        return self._index.locate(query)

    def open(self, located: Located) -> Readable:
        """Open one that was checked; raises `DamagedObject`, `ObjectNotFound`, `OutOfResources`."""
        return self._objects.open_checked(located)
