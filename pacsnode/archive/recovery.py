"""What is done about the spool at a start and after a death: entries are indexed, dropped, or set aside with a reason.

After a power cut the index may lack transactions that its spool entries still prove (it runs with
`synchronous=NORMAL`; entries leave only after a synced checkpoint). Each entry that the index does not list
as waiting is checked against the length and CRC32C in its name and indexed from its own bytes.

After a killed process both may be right in the page cache only, and a power cut may still come: index and
entries are synced before anything is built on them.

It is run while workers store, when one of them has died. What one that lives has linked and not indexed yet must be
left to it: indexed here, and dropped there because its own transaction failed, the index would name an instance
that is nowhere. Neither an age nor a process number could tell (a disk may hang for minutes, and a worker that is
replaced has its predecessor's number), so an entry is locked by its process from before it has a name until it is
decided, and the kernel unlocks it when the process dies (`Spool.is_undecided`). An entry that is not locked is
nobody's or decided; of those decided meanwhile,

- one that was indexed is added once more under the same token, which `Index.add` knows (`Adding.ALREADY`);
- one that was dropped is gone: `ObjectNotFound`, and there is nothing to do.

Where a directory is filed into, filing and this take turns on one thread. An uploader may have recorded an entry as
stored meanwhile and not removed it yet: that is found to be the same by comparing bytes, and it goes once the index is
synced. Two entries of one instance, as
when its sender repeats it to another worker while the first one is still here, are found to be the same by
comparing bytes, in whatever order they come.
"""

from collections import deque
from dataclasses import dataclass

from pacsnode.archive.custody import Custody
from pacsnode.archive.store import DataSetFacts, Outcome, Store, StoreRequest
from pacsnode.dicom.attributes import STANDARD, Catalogue
from pacsnode.dicom.character_sets import CharacterSetRule
from pacsnode.dicom.header import HEADER_LIMIT_BYTES, Header, Incomplete, scan
from pacsnode.dicom.part10 import Meta, parse_meta
from pacsnode.errors import DamagedObject, ObjectNotFound, RequestError
from pacsnode.index.base import Index
from pacsnode.spool import Entry, Spool
from pacsnode.state.base import CustodyKind
from pacsnode.storage.base import Readable
from pacsnode.storage.files import FileReadable
from pacsnode.storage.reading import bytes_of, crc32c_of

_PAGE = 1000
_META_BYTES = 4096


@dataclass(slots=True)
class Recovered:
    """How many spool entries were found in which state."""

    waiting: int = 0
    indexed: int = 0
    dropped: int = 0
    set_aside: int = 0
    left: int = 0


class Recovery:
    """Brings index and spool together, as often as a process has died. One thread uses it."""

    def __init__(self, index: Index, spool: Spool, store: Store, custody: Custody) -> None:
        self._index = index
        self._spool = spool
        self._store = store
        self._custody = custody
        self._unknown: deque[Entry] = deque()
        self.undecided: list[Entry] = []  # a live process had them in hand
        self.recovered = Recovered()

    def look(self) -> None:
        """Find the entries that the index does not list; raises `TemporaryError` or `PermanentError`."""
        self._index.sync()  # rows that a killed process left in the page cache: entries are dropped on their word
        known = _waiting_tokens(self._index)
        entries = self._spool.entries()
        self._unknown, self.undecided = deque(entry for entry in entries if entry.token not in known), []
        self.recovered = Recovered(waiting=len(entries) - len(self._unknown))

    def look_again(self) -> None:
        """Find what has become of `undecided`; raises as `look`."""
        self._index.sync()
        self._unknown, self.undecided = deque(self.undecided), []

    def next(self) -> str | None:
        """Deal with the next entry; return a line if it cannot be indexed, None otherwise.

        It is set aside once that is recorded, and left for the next start if it cannot be.

        Raises `TemporaryError` or `PermanentError` if the index or the disk fails; the entry is the next one again.
        """
        entry, reason = self._unknown[0], None
        try:
            self._adopt(entry)
        except ObjectNotFound:
            pass  # whoever made it has dropped it meanwhile
        except (RequestError, DamagedObject) as error:
            # Other content that the policy refuses too: that it was refused before the crash is not known.
            if self._custody.note(CustodyKind.SET_ASIDE, str(error), name=entry.name):
                self.recovered.set_aside += 1
                reason = f"spool entry {entry.name}: {error}; moved to {self._spool.set_aside(entry)}"
            else:
                self.recovered.left += 1
                reason = f"spool entry {entry.name}: {error}; left where it is"
        self._unknown.popleft()
        return reason

    @property
    def left(self) -> int:
        """How many entries are still to be dealt with."""
        return len(self._unknown)

    def _adopt(self, entry: Entry) -> None:
        readable = self._spool.open(entry)
        try:
            if self._spool.is_undecided(readable):
                self.undecided.append(entry)
                return
            request, header, facts = self._read(entry, readable)
        finally:
            readable.close()
        if self._store.adopt(entry, request, header, facts) is Outcome.ALREADY_STORED:
            self.recovered.dropped += 1
        else:
            self.recovered.indexed += 1

    def _read(self, entry: Entry, readable: FileReadable) -> tuple[StoreRequest, Header, DataSetFacts]:
        """Check an entry's bytes, make them durable, and return what its C-STORE knew of them."""
        if readable.length != entry.length or crc32c_of(readable) != entry.crc32c:
            raise DamagedObject("its bytes are not those that its name promises")
        self._spool.sync(entry, readable)  # whoever linked it may have been killed before its fsync
        meta = parse_meta(_head(readable, _META_BYTES))
        rule = self._store.character_sets_of(meta.calling_ae_title)
        request = StoreRequest(
            sop_class_uid=meta.sop_class_uid,
            sop_instance_uid=meta.sop_instance_uid,
            transfer_syntax_uid=meta.transfer_syntax_uid,
            calling_ae_title=meta.calling_ae_title,
            called_ae_title=meta.called_ae_title,
            character_sets=rule,
        )
        crc = crc32c_of(readable, meta.data_set_offset)
        return (
            request,
            header_of(readable, meta, rule, self._store.catalogue),
            DataSetFacts(entry.length - meta.data_set_offset, crc),
        )


def recover(index: Index, spool: Spool, store: Store, custody: Custody) -> tuple[Recovered, list[str]]:
    """Bring index and spool together; return counts and a line for each entry that cannot be indexed.

    Raises `TemporaryError` or `PermanentError` if the index fails; nothing is lost then.
    """
    recovery, reasons = Recovery(index, spool, store, custody), list[str]()
    recovery.look()
    while recovery.left:
        if (reason := recovery.next()) is not None:
            reasons.append(reason)
    return recovery.recovered, reasons


def _waiting_tokens(index: Index) -> set[int]:
    tokens, last = set[int](), 0
    while page := index.waiting(after_token=last, limit=_PAGE):
        tokens.update(located.token for located in page if located.token is not None)
        last = max(tokens)
    return tokens


def header_of(
    readable: Readable, meta: Meta, rule: CharacterSetRule, catalogue: Catalogue = STANDARD
) -> Header:
    """Return the header of a stored Part 10 file by the rule of its sender.

    Raises `UnreadableDataSet` and other `RequestError`s.
    """
    length = _META_BYTES
    while True:
        head = _head(readable, meta.data_set_offset + length)
        is_complete = len(head) == readable.length
        try:
            data = head[meta.data_set_offset :]
            return scan(
                data, meta.transfer_syntax_uid, is_complete=is_complete, rule=rule, catalogue=catalogue
            )
        except Incomplete:
            if length >= HEADER_LIMIT_BYTES:
                raise DamagedObject("its header is longer than 8 MiB") from None
            length *= 4


def _head(readable: Readable, length: int) -> bytes:
    return bytes_of(readable, min(length, readable.length), 0)
