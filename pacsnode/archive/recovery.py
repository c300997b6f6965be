"""What a start does with the spool: each file is indexed, dropped as a duplicate, or set aside with a reason.

After a power cut the index may lack transactions that its spool entries still prove (it runs with
`synchronous=NORMAL`; entries leave only after a synced checkpoint). Each entry that the index does not list
as waiting is checked against the length and CRC32C in its name and indexed from its own bytes.

After a killed process both may be right in the page cache only, and a power cut may still come: index and
entries are synced before anything is built on them.
"""

from dataclasses import dataclass

from pacsnode.archive.custody import Custody
from pacsnode.archive.store import DataSetFacts, Outcome, Store, StoreRequest
from pacsnode.dicom.header import HEADER_LIMIT_BYTES, Header, Incomplete, scan
from pacsnode.dicom.part10 import Meta, parse_meta
from pacsnode.errors import DamagedObject, RequestError
from pacsnode.index.base import Index
from pacsnode.spool import Entry, Spool
from pacsnode.state.base import CustodyKind
from pacsnode.storage.base import Readable
from pacsnode.storage.reading import crc32c_of

_PAGE = 1000
_META_BYTES = 4096


@dataclass(slots=True)
class Recovered:
    """How many spool entries a start found in which state."""

    waiting: int = 0
    indexed: int = 0
    dropped: int = 0
    set_aside: int = 0
    left: int = 0


def recover(index: Index, spool: Spool, store: Store, custody: Custody) -> tuple[Recovered, list[str]]:
    """Bring index and spool together; return counts and a line for each entry that cannot be indexed.

    It is set aside once that is recorded, and left for the next start if it cannot be.

    Raises `TemporaryError` or `PermanentError` if the index fails; nothing is lost then.
    """
    recovered, reasons = Recovered(), list[str]()
    index.sync()  # rows that a killed process left in the page cache: entries are dropped on their word
    known = _waiting_tokens(index)
    for entry in spool.entries():
        if entry.token in known:
            recovered.waiting += 1
            continue
        try:
            outcome = _adopt(entry, spool, store)
        except (RequestError, DamagedObject) as error:
            # Other content that the policy refuses too: that it was refused before the crash is not known.
            if custody.note(CustodyKind.SET_ASIDE, str(error), name=entry.name):
                recovered.set_aside += 1
                reasons.append(f"spool entry {entry.name}: {error}; moved to {spool.set_aside(entry)}")
            else:
                recovered.left += 1
                reasons.append(f"spool entry {entry.name}: {error}; left where it is")
            continue
        if outcome is Outcome.ALREADY_STORED:
            recovered.dropped += 1
        else:
            recovered.indexed += 1
    return recovered, reasons


def _waiting_tokens(index: Index) -> set[int]:
    tokens, last = set[int](), 0
    while page := index.waiting(after_token=last, limit=_PAGE):
        tokens.update(located.token for located in page if located.token is not None)
        last = max(tokens)
    return tokens


def _adopt(entry: Entry, spool: Spool, store: Store) -> Outcome:
    readable = spool.open(entry)
    try:
        if readable.length != entry.length or crc32c_of(readable) != entry.crc32c:
            raise DamagedObject("its bytes are not those that its name promises")
        spool.sync(entry, readable)  # whoever linked it may have been killed before its fsync
        meta = parse_meta(_head(readable, _META_BYTES))
        request = StoreRequest(
            sop_class_uid=meta.sop_class_uid,
            sop_instance_uid=meta.sop_instance_uid,
            transfer_syntax_uid=meta.transfer_syntax_uid,
            calling_ae_title=meta.calling_ae_title,
            called_ae_title=meta.called_ae_title,
        )
        crc32c = crc32c_of(readable, meta.data_set_offset)
        facts = DataSetFacts(entry.length - meta.data_set_offset, crc32c)
        header = header_of(readable, meta)
    finally:
        readable.close()
    return store.adopt(entry, request, header, facts)


def header_of(readable: Readable, meta: Meta) -> Header:
    """Return the header of a stored Part 10 file; raises `UnreadableDataSet` and other `RequestError`s."""
    length = _META_BYTES
    while True:
        head = _head(readable, meta.data_set_offset + length)
        is_complete = len(head) == readable.length
        try:
            return scan(head[meta.data_set_offset :], meta.transfer_syntax_uid, is_complete=is_complete)
        except Incomplete:
            if length >= HEADER_LIMIT_BYTES:
                raise DamagedObject("its header is longer than 8 MiB") from None
            length *= 4


def _head(readable: Readable, length: int) -> bytes:
    buffer = bytearray(min(length, readable.length))
    return bytes(buffer[: readable.read_into(memoryview(buffer), 0)])
