"""What many tests need: instances, and an archive of real parts."""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import google_crc32c

from pacsnode.archive.custody import Custody
from pacsnode.archive.objects import Objects
from pacsnode.archive.store import Outcome, Store, StoreRequest
from pacsnode.dicom.character_sets import AS_SAID, CharacterSetRule
from pacsnode.dicom.header import Header
from pacsnode.dicom.part10 import file_meta
from pacsnode.dicom.uid import EXPLICIT_VR_BIG_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from pacsnode.duplicates import DuplicatePolicy
from pacsnode.index.base import Arrival, Located
from pacsnode.index.sqlite import SqliteIndex
from pacsnode.observe import Event
from pacsnode.spool import Entry, Spool
from pacsnode.state.base import CustodyEvent
from pacsnode.state.sqlite import SqliteState
from pacsnode.storage.base import Storage
from pacsnode.storage.memory import MemoryStorage

CT = "1.2.840.10008.5.1.4.1.1.2"


MR = "1.2.840.10008.5.1.4.1.1.4"


JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"


NOW_MS = 1_700_000_000_000


_LONG_VRS = frozenset(("OB", "OW", "SQ", "UN", "UT"))


def element(tag: int, vr: str, value: bytes, syntax: str = EXPLICIT_VR_LITTLE_ENDIAN) -> bytes:
    """Return one element of a data set, its value as it is."""
    order = ">" if syntax == EXPLICIT_VR_BIG_ENDIAN else "<"
    head = struct.pack(f"{order}HH", tag >> 16, tag & 0xFFFF)
    if syntax == IMPLICIT_VR_LITTLE_ENDIAN:
        return head + struct.pack("<I", len(value)) + value
    if vr in _LONG_VRS:
        return head + vr.encode() + b"\0\0" + struct.pack(f"{order}I", len(value)) + value
    return head + vr.encode() + struct.pack(f"{order}H", len(value)) + value


def padded(value: str) -> bytes:
    """Return a UID padded to even length."""
    return value.encode() + b"\0" * (len(value) % 2)


@dataclass(frozen=True)
class Sample:
    """An instance to store; the UIDs are those of patient 7."""

    number: int = 1
    study: str = "1.2.826.7.1"
    series: str = "1.2.826.7.1.1"
    sop_class: str = CT
    transfer_syntax: str = EXPLICIT_VR_LITTLE_ENDIAN
    words: bytes = b"\x01\x02\x03\x04"
    comment: str = ""
    more: tuple[tuple[int, str, bytes], ...] = ()

    @property
    def uid(self) -> str:
        return f"{self.series}.{self.number}"

    @property
    def data_set(self) -> bytes:
        elements = {
            0x00080016: ("UI", padded(self.sop_class)),
            0x00080018: ("UI", padded(self.uid)),
            0x00080060: ("CS", b"CT"),
            0x00100010: ("PN", b"CANARY^SEVEN"),
            0x00100020: ("LO", b"CANARY-7"),
            0x0020000D: ("UI", padded(self.study)),
            0x0020000E: ("UI", padded(self.series)),
            0x7FE00010: ("OW", self.words),
            **{tag: (vr, value) for tag, vr, value in self.more},
        }
        if self.comment:
            elements[0x00204000] = ("LT", self.comment.encode() + b" " * (len(self.comment) % 2))
        return b"".join(
            element(tag, vr, value, self.transfer_syntax) for tag, (vr, value) in sorted(elements.items())
        )

    @property
    def request(self) -> StoreRequest:
        return StoreRequest(self.sop_class, self.uid, self.transfer_syntax, "CT1", "PACSNODE")

    @property
    def file(self) -> bytes:
        request = self.request
        meta = file_meta(
            sop_class_uid=request.sop_class_uid,
            sop_instance_uid=request.sop_instance_uid,
            transfer_syntax_uid=request.transfer_syntax_uid,
            calling_ae_title=request.calling_ae_title,
            called_ae_title=request.called_ae_title,
        )
        return meta + self.data_set


def located(sample: Sample, token: int | None, *, instance_id: int = 1, version: int = 0) -> Located:
    """Return where a sample lies, as an index would."""
    return Located(
        instance_id=instance_id,
        study_instance_uid=sample.study,
        series_instance_uid=sample.series,
        sop_instance_uid=sample.uid,
        sop_class_uid=sample.sop_class,
        transfer_syntax_uid=sample.transfer_syntax,
        version=version,
        token=token,
        file_length=len(sample.file),
        file_crc32c=google_crc32c.value(sample.file),
        data_set_length=len(sample.data_set),
        data_set_crc32c=google_crc32c.value(sample.data_set),
    )


def arrival(sample: Sample, entry: Entry) -> Arrival:
    """Return the arrival of a sample that is in the spool."""
    header = Header(sample.sop_class, sample.uid, sample.study, sample.series, {"PatientID": "CANARY-7"}, ())
    place = located(sample, entry.token)
    return Arrival(
        header=header,
        transfer_syntax_uid=sample.transfer_syntax,
        token=entry.token,
        file_length=place.file_length,
        file_crc32c=place.file_crc32c,
        data_set_length=place.data_set_length,
        data_set_crc32c=place.data_set_crc32c,
        calling_ae_title="CT1",
        received_at_ms=entry.received_at_ms,
    )


def spooled(spool: Spool, data: bytes) -> Entry:
    """Put bytes into a spool."""
    incoming = spool.begin()
    try:
        incoming.write(data)
        return incoming.publish()
    finally:
        incoming.close()


class Clock:
    """Milliseconds that stand still until a test moves them."""

    def __init__(self, now_ms: int = NOW_MS) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms


class Parts:
    """Spool, index, storage and the store over them; all real, the index in a file of the folder."""

    def __init__(
        self,
        folder: Path,
        policy: DuplicatePolicy = DuplicatePolicy.KEEP_BOTH,
        *,
        storage: Storage | None = None,
        max_data_set_bytes: int = 1 << 20,
    ) -> None:
        self.clock = Clock()
        self.spool = Spool(folder / "spool", min_free_bytes=0, now_ms=self.clock)
        self.index = SqliteIndex(folder / "index.db")
        self.storage = storage if storage is not None else MemoryStorage()
        self.objects = Objects(self.spool, self.storage)
        self.rings = 0
        self.state = SqliteState(folder / "state.db")
        self.custody = Custody(self.state, process="test", now_ms=self.clock)
        self.store = self.with_policy(policy, max_data_set_bytes=max_data_set_bytes)

    def with_policy(
        self,
        policy: DuplicatePolicy,
        *,
        max_data_set_bytes: int = 1 << 20,
        character_sets_of: Callable[[str], CharacterSetRule] = lambda _: AS_SAID,
    ) -> Store:
        return Store(
            index=self.index,
            spool=self.spool,
            objects=self.objects,
            policy=policy,
            custody=self.custody,
            max_data_set_bytes=max_data_set_bytes,
            stored=self._ring,
            character_sets_of=character_sets_of,
        )

    def _ring(self) -> None:
        self.rings += 1

    def put(self, sample: Sample, *, store: Store | None = None, piece_bytes: int = 1 << 16) -> Outcome:
        """Store a sample as a C-STORE does."""
        receiving = (store or self.store).begin(sample.request)
        data = sample.data_set
        for at in range(0, len(data), piece_bytes):
            receiving.write(data[at : at + piece_bytes])
        return receiving.finish()

    def everything(self) -> list[Located]:
        """Return all versions of all instances."""
        return [place for page in self.index.everything() for place in page]

    def noted(self) -> list[CustodyEvent]:
        """Return what was recorded."""
        return [recorded.event for recorded in self.state.events(limit=1000)]

    def close(self) -> None:
        self.state.close()
        self.index.close()
        self.storage.close()
        self.spool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass
class Heard:
    """An observer that remembers."""

    events: list[Event] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]
