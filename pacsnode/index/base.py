"""The index as the use cases see it.

The index is a cache that can be rebuilt from the objects: losing it costs time, never images. Its port is the
contract that every adapter keeps:

- Every method may be called from any thread.
- `add` and `mark_stored` are atomic and seen by every later read. They survive the death of the process; they
  survive a power cut once `sync` has returned true after them. Until then the spool entry must stay.
- Reads are answered in pages of bounded size; no read transaction is open while the caller holds a page.
- `TemporaryError` where the database is busy or full, `PermanentError` where it is damaged.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from pacsnode.dicom.header import Header
from pacsnode.dicom.query import Query
from pacsnode.duplicates import DuplicatePolicy


@dataclass(frozen=True, slots=True)
class Arrival:
    """One instance that is durable in the spool, about to be indexed."""

    header: Header
    transfer_syntax_uid: str
    token: int
    file_length: int
    file_crc32c: int
    data_set_length: int
    data_set_crc32c: int
    calling_ae_title: str
    received_at_ms: int


@dataclass(frozen=True, slots=True)
class Located:
    """Where the bytes of one instance lie: in the spool under `token`, or in the storage if that is None.

    The file is Part 10; its data set is the last `data_set_length` bytes. Versions count from 0.
    """

    instance_id: int
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    version: int
    token: int | None
    file_length: int
    file_crc32c: int
    data_set_length: int
    data_set_crc32c: int


class Adding(Enum):
    """What `Index.add` did."""

    NEW = "new"
    VERSION_KEPT = "version kept"  # other content, kept as a version that is not served
    VERSION_SERVED = "version served"  # other content, now the one that is served
    REFUSED = "refused"  # other content, nothing added
    COMPARE = "compare"  # nothing added: the caller must compare bytes with `versions` first
    ALREADY = "already"  # this very token is indexed


@dataclass(frozen=True, slots=True)
class Added:
    """The outcome of `Index.add`; `versions` are the kept versions of the same SOP Instance UID."""

    adding: Adding
    versions: tuple[Located, ...] = ()


# The values of Query.returned, in its order (None where empty; several values joined by a backslash), then the
# character sets that the entity was stored with, joined by a backslash (None for the default repertoire).
Row = tuple[str | None, ...]

Check = Callable[[], None]  # raises where a search is to end


class Index(Protocol):
    """Patients, studies, series and instances, and where their bytes are."""

    def add(
        self, arrival: Arrival, policy: DuplicatePolicy, *, known_different: frozenset[int] = frozenset()
    ) -> Added:
        """Add an instance, deciding on duplicates within the transaction.

        When versions of the UID exist whose `instance_id` is not in `known_different`, nothing is added and
        COMPARE is returned with them: equality is decided on bytes, outside of the transaction, and never by
        the index. When all are known to differ, `policy` decides.
        """

    def find(self, query: Query, *, check: Check | None = None) -> Iterator[Sequence[Row]]:
        """Yield pages of one row per entity of `query.level`, each entity once.

        Studies come newest first: by date, time, and then arrival, those without a date last. The series of one study
        and the instances of one series come by their numbers, and all else newest arrival first. A study whose date or
        time changes meanwhile is answered once as well, maybe out of its place.

        `check` is called before each page, and some fifty times a second while one is searched for. What it raises
        ends the search and comes out here.
        """

    def count(self, query: Query, *, at_most: int, check: Check | None = None) -> int:
        """Return how many entities match, counting no further than `at_most`. `check` as in `find`."""

    def locate(self, query: Query) -> list[Located]:
        """Return the served instances below the entities that match, ordered by study, series and number.

        Raises `PatientConflict` for a PATIENT level query whose Patient ID belongs to more than one person.
        """

    def waiting(self, *, after_token: int = 0, limit: int) -> list[Located]:
        """Return instances that are in the spool only, in the order of their tokens, from `after_token` on."""

    def mark_stored(self, instance_ids: Sequence[int]) -> None:
        """Record that the storage holds these instances durably; they are no longer `waiting`."""

    def sync(self) -> bool:
        """Make everything committed so far survive a power cut; false if readers held it back (try again)."""
