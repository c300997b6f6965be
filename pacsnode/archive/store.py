"""C-STORE's use case: bytes in, durable in the spool, indexed, and only then acknowledged.

    begin -> write ... -> finish: link and fsync (spool) -> header scan -> index transaction -> Stored

Success always comes from the spool, whatever the storage is. The order cannot be changed: indexed before it is
durable, an instance could be found and lost; acknowledged before it is indexed, it could be kept and not found.
A file that is durable and not indexed (a crash between the two) is indexed by `adopt` at the next start.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

import google_crc32c

from pacsnode.archive.custody import Custody
from pacsnode.archive.equality import is_comparable, same_bytes, same_elements
from pacsnode.archive.objects import Objects, name_of
from pacsnode.dicom.attributes import STANDARD, Catalogue
from pacsnode.dicom.character_sets import AS_SAID, CharacterSetRule
from pacsnode.dicom.header import HEADER_LIMIT_BYTES, Header, Incomplete, scan
from pacsnode.dicom.part10 import file_meta
from pacsnode.duplicates import DuplicatePolicy
from pacsnode.errors import (
    DamagedObject,
    DataSetMismatch,
    DataSetTooLong,
    DifferentContent,
    ObjectNotFound,
    OutOfResources,
    PacsNodeError,
    UnreadableDataSet,
)
from pacsnode.index.base import Added, Adding, Arrival, Index, Located
from pacsnode.spool import Entry, Incoming, Spool
from pacsnode.state.base import CustodyKind
from pacsnode.storage.base import Readable
from pacsnode.storage.names import object_name

_HEAD_BYTES = 64 << 10

_KIND_OF = {Adding.VERSION_KEPT: CustodyKind.VERSION_KEPT, Adding.VERSION_SERVED: CustodyKind.VERSION_SERVED}
_MAX_NAMED = 8  # of the versions before

_AFFECTED_SOP_CLASS_UID = 0x00080016
_AFFECTED_SOP_INSTANCE_UID = 0x00080018


class Outcome(Enum):
    """What became of an instance that was acknowledged."""

    STORED = "stored"
    ALREADY_STORED = "already stored"
    KEPT_AS_VERSION = "kept as a version"
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True)
class StoreRequest:
    """What a C-STORE-RQ and its association say of the data set that follows; UIDs are validated.

    `duplicates` and `max_data_set_bytes` are those of the association, where it has its own; `character_sets` says
    how far the calling AE title is believed about them.
    """

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    calling_ae_title: str
    called_ae_title: str
    association_id: str = ""
    duplicates: DuplicatePolicy | None = None
    max_data_set_bytes: int | None = None
    character_sets: CharacterSetRule = AS_SAID


@dataclass(frozen=True, slots=True)
class DataSetFacts:
    """What is known of a data set's bytes: their number and CRC32C, without the file meta."""

    length: int
    crc32c: int


class Store:
    """Receives instances. Any thread may call `begin`; each `Receiving` belongs to one thread."""

    def __init__(
        self,
        *,
        index: Index,
        spool: Spool,
        objects: Objects,
        policy: DuplicatePolicy,
        custody: Custody,
        max_data_set_bytes: int,
        stored: Callable[[], None],
        duplicates_of: Mapping[str, DuplicatePolicy] = MappingProxyType({}),
        character_sets_of: Callable[[str], CharacterSetRule] = lambda _calling_ae_title: AS_SAID,
        catalogue: Catalogue = STANDARD,
    ) -> None:
        """`stored` is rung when something waits in the spool; it must not block. Headers are read by `catalogue`.

        `policy` and `duplicates_of`, which has the called AE titles that do not follow it, decide on duplicates for
        requests that do not say so themselves: what a crash left. `character_sets_of` a calling AE title is for
        these, too.
        """
        self.catalogue = catalogue
        self._index = index
        self._spool = spool
        self._objects = objects
        self._policy = policy
        self._custody = custody
        self._duplicates_of = duplicates_of
        self._max_data_set_bytes = max_data_set_bytes
        self._stored = stored
        self.character_sets_of = character_sets_of

    def begin(self, request: StoreRequest) -> "Receiving":
        """Start to receive a data set. Never raises: what goes wrong is raised by `finish`."""
        limit = request.max_data_set_bytes
        return Receiving(self, self._spool, request, self._max_data_set_bytes if limit is None else limit)

    def keep(
        self, incoming: Incoming, request: StoreRequest, header: Header, data_set: DataSetFacts
    ) -> Outcome:
        """Make a complete file durable and index it; raises `RequestError`, `TemporaryError`."""
        entry = incoming.publish()
        try:
            outcome = self._index_entry(entry, request, header, data_set)
        except PacsNodeError:
            self._spool.remove(entry)  # never acknowledged, and the transaction is rolled back
            raise
        if outcome is Outcome.ALREADY_STORED:
            self._spool.remove(entry)
        else:
            self._stored()
        return outcome

    def adopt(self, entry: Entry, request: StoreRequest, header: Header, data_set: DataSetFacts) -> Outcome:
        """Index a durable file that a crash left unindexed; it is dropped if it was stored already."""
        outcome = self._index_entry(entry, request, header, data_set)
        if outcome is Outcome.ALREADY_STORED:
            self._index.sync()  # an uploader may have recorded this very entry as stored a moment ago
            self._spool.remove(entry)
        return outcome

    def _index_entry(
        self, entry: Entry, request: StoreRequest, header: Header, data_set: DataSetFacts
    ) -> Outcome:
        arrival = Arrival(
            header=header,
            transfer_syntax_uid=request.transfer_syntax_uid,
            token=entry.token,
            file_length=entry.length,
            file_crc32c=entry.crc32c,
            data_set_length=data_set.length,
            data_set_crc32c=data_set.crc32c,
            calling_ae_title=request.calling_ae_title,
            received_at_ms=entry.received_at_ms,
        )
        policy = request.duplicates or self._duplicates_of.get(request.called_ae_title, self._policy)
        different = frozenset[int]()
        added = self._index.add(arrival, policy)
        while added.adding is Adding.COMPARE:
            for version in added.versions:
                comparison = self._compare(arrival, entry, version, request)
                if comparison is _Comparison.SAME:
                    return Outcome.ALREADY_STORED
                if comparison is _Comparison.LOST:
                    policy = DuplicatePolicy.REPLACE  # this arrival is the only copy: it is the one to serve
                different |= {version.instance_id}
            added = self._index.add(arrival, policy, known_different=different)
            self._note_version(added, arrival, request)
        return _outcome(added, request.sop_instance_uid)

    def _note_version(self, added: Added, arrival: Arrival, request: StoreRequest) -> None:
        """Record other content under a known UID: it is kept and indexed by now, whatever becomes of the record."""
        kind = _KIND_OF.get(added.adding)
        if kind is None:
            return
        first = added.versions[0]
        number = added.versions[-1].version + 1
        before = ", ".join(
            f"version {one.version} {one.data_set_crc32c:08x} of {one.data_set_length} bytes"
            for one in added.versions[-_MAX_NAMED:]
        )
        self._custody.note(
            kind,
            f"data set with CRC32C {arrival.data_set_crc32c:08x} of {arrival.data_set_length} bytes "
            f"from {request.calling_ae_title!r}; before: {before}",
            name=object_name(
                arrival.header.study_instance_uid,
                arrival.header.series_instance_uid,
                first.sop_instance_uid,
                number,
            ),
            sop_instance_uid=first.sop_instance_uid,
            association_id=request.association_id,
        )

    def _compare(
        self, arrival: Arrival, entry: Entry, version: Located, request: StoreRequest
    ) -> "_Comparison":
        try:
            kept = self._objects.open_checked(version)
        except (ObjectNotFound, DamagedObject) as error:
            self._custody.note(
                CustodyKind.LOST if isinstance(error, ObjectNotFound) else CustodyKind.DAMAGED,
                f"{error}; it has arrived again, which is what is served from now on",
                name=name_of(version),
                sop_instance_uid=version.sop_instance_uid,
                association_id=request.association_id,
            )
            return _Comparison.LOST
        try:
            is_same = self._is_same(kept, arrival, entry, version)
        finally:
            kept.close()
        return _Comparison.SAME if is_same else _Comparison.DIFFERENT

    def _is_same(self, kept: Readable, arrival: Arrival, entry: Entry, version: Located) -> bool:
        syntaxes = (arrival.transfer_syntax_uid, version.transfer_syntax_uid)
        is_same_syntax = syntaxes[0] == syntaxes[1]
        facts = (arrival.data_set_length, arrival.data_set_crc32c)
        if is_same_syntax and facts != (version.data_set_length, version.data_set_crc32c):
            return False
        if not is_same_syntax and not is_comparable(*syntaxes, max(arrival.file_length, version.file_length)):
            return False
        new = self._spool.open(entry)
        try:
            if is_same_syntax:
                return same_bytes(kept, new, version.data_set_length)
            return same_elements(kept, new)
        finally:
            new.close()


class _Comparison(Enum):
    SAME = "same"
    DIFFERENT = "different"
    LOST = "lost"  # the version that is kept cannot be read or is damaged


def _outcome(added: Added, sop_instance_uid: str) -> Outcome:
    if added.adding is Adding.REFUSED:
        raise DifferentContent(f"instance {sop_instance_uid} is stored already with other content")
    return {
        Adding.NEW: Outcome.STORED,
        Adding.ALREADY: Outcome.STORED,
        Adding.VERSION_KEPT: Outcome.KEPT_AS_VERSION,
        Adding.VERSION_SERVED: Outcome.REPLACED,
    }[added.adding]


class Receiving:
    """One data set on its way into the spool. After a failure of ours the rest is drained, not written."""

    def __init__(self, store: Store, spool: Spool, request: StoreRequest, max_data_set_bytes: int) -> None:
        self._store = store
        self._request = request
        self._max_data_set_bytes = max_data_set_bytes
        self._failure: PacsNodeError | None = None
        self._head: list[bytes] = []
        self._head_bytes = 0
        self._crc32c = 0
        self.data_set_length = 0
        self._incoming: Incoming | None = None
        self._meta_length = 0
        try:
            self._incoming = spool.begin()
            meta = file_meta(
                sop_class_uid=request.sop_class_uid,
                sop_instance_uid=request.sop_instance_uid,
                transfer_syntax_uid=request.transfer_syntax_uid,
                calling_ae_title=request.calling_ae_title,
                called_ae_title=request.called_ae_title,
            )
            self._meta_length = len(meta)
            self._incoming.write(meta)
        except OutOfResources as error:
            self._fail(error)

    def _fail(self, failure: PacsNodeError) -> None:
        self._failure = failure
        self.abandon()

    def write(self, chunk: bytes) -> None:
        """Append bytes of the data set; never raises."""
        self.data_set_length += len(chunk)
        self._crc32c = google_crc32c.extend(self._crc32c, chunk)
        if self._incoming is None:
            return
        if self.data_set_length > self._max_data_set_bytes:
            self._fail(
                DataSetTooLong(f"data set of more than {self._max_data_set_bytes} bytes (limits.max_dataset)")
            )
            return
        if self._head_bytes < _HEAD_BYTES:
            self._head.append(chunk)
            self._head_bytes += len(chunk)
        try:
            self._incoming.write(chunk)
        except OutOfResources as error:
            self._fail(error)

    @property
    def is_over_limit(self) -> bool:
        """Whether the data set is longer than any that is taken, so that reading on is pointless."""
        return self.data_set_length > self._max_data_set_bytes

    def finish(self) -> Outcome:
        """Keep what was received; raises `RequestError`, `TemporaryError` or `PermanentError`, keeping nothing."""
        if self._incoming is None:
            assert self._failure is not None
            raise self._failure
        try:
            header = self._scan(self._incoming)
            _compare_with_command(header, self._request)
            facts = DataSetFacts(self.data_set_length, self._crc32c)
            return self._store.keep(self._incoming, self._request, header, facts)
        finally:
            self.abandon()

    def _scan(self, incoming: Incoming) -> Header:
        head = self._head[0] if len(self._head) == 1 else b"".join(self._head)
        while True:
            is_complete = len(head) == self.data_set_length
            try:
                return scan(
                    head,
                    self._request.transfer_syntax_uid,
                    is_complete=is_complete,
                    rule=self._request.character_sets,
                    catalogue=self._store.catalogue,
                )
            except Incomplete as incomplete:
                if incomplete.needed_bytes > HEADER_LIMIT_BYTES:
                    raise UnreadableDataSet("the header is longer than 8 MiB") from None
                size = min(
                    max(2 * len(head), incomplete.needed_bytes), HEADER_LIMIT_BYTES, self.data_set_length
                )
                head = incoming.read(size, self._meta_length)

    def abandon(self) -> None:
        """Let go of what was received; nothing remains of it unless `finish` kept it."""
        if self._incoming is not None:
            self._incoming.close()
            self._incoming = None
        self._head = []


def _compare_with_command(header: Header, request: StoreRequest) -> None:
    if header.sop_instance_uid != request.sop_instance_uid:
        raise DataSetMismatch(
            f"SOP Instance UID {header.sop_instance_uid} in a data set announced as {request.sop_instance_uid}",
            offending=(_AFFECTED_SOP_INSTANCE_UID,),
        )
    if header.sop_class_uid != request.sop_class_uid:
        raise DataSetMismatch(
            f"instance {request.sop_instance_uid}: SOP class {header.sop_class_uid} "
            f"announced as {request.sop_class_uid}",
            offending=(_AFFECTED_SOP_CLASS_UID,),
        )
