"""Senders that remember what was acknowledged, and a checker that compares it with what a node still has.

    ledger = Ledger()
    with Senders(ledger, node.remote, round_number=1):
        ...  # until something happens to the node
    ...  # it is started again
    Checker(ledger, data_dir).check(node.remote).require_clean()

The ledger lives in the test's memory, away from the disk that fails. An instance is made from its UID, so
that its bytes can be made again: nothing that was sent needs to be kept. What was in flight when the fault
came may be there or not; the next senders send it again, as a modality does, and then it must be there once.
"""

import hashlib
import json
import struct
import subprocess
import tempfile
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Self

from pydicom import Dataset

from pacsnode.dicom.part10 import parse_meta
from pacsnode.dicom.uid import EXPLICIT_VR_LITTLE_ENDIAN
from pacsnode.dimse import scu
from pacsnode.dimse.association.conversation import Conversation
from pacsnode.dimse.association.endings import AssociationOver
from pacsnode.dimse.association.requestor import Caller, Remote, associate
from pacsnode.dimse.association.sender import Outgoing, Sender
from pacsnode.dimse.status import StorageStatus
from pacsnode.errors import NetworkError
from pacsnode.storage import names
from pacsnode.storage.memory import BytesReadable
from tests.served import PROGRAM, ROOT, is_filed

CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"

_ROOT_UID = "2.999"  # the arc for examples (ITU-T X.660)
_LEAST_BYTES, _MOST_BYTES = 2 << 10, 1 << 20
_PER_SERIES = 25
_PER_ASSOCIATION = 40
_SENT_AGAIN_EVERY = 20
_STUDIES_PER_QUERY = 50
_VERIFY_SECONDS = 1200.0
_NODE_FILES = frozenset(("lock", "status.sock"))
_STATE_FILES = frozenset(
    f"state/state-1.{suffix}" for suffix in ("db", "db-wal", "db-shm", "db.lock", "in-use")
) | {"state/lock"}
_LOSSES = frozenset(("lost", "damaged", "unreadable", "not filed"))
_INDEX_FILES = frozenset(f"index/index-1.db{suffix}" for suffix in ("", "-wal", "-shm", ".lock"))


@dataclass(frozen=True, slots=True)
class Instance:
    """A synthetic instance: all of it, its size too, follows from its UID."""

    sop_instance_uid: str

    @classmethod
    def numbered(cls, round_number: int, sender: int, number: int) -> "Instance":
        """Return an instance of its own for each triple; a round and sender are a study."""
        series = 1 + number // _PER_SERIES
        return cls(f"{_ROOT_UID}.{round_number}.{sender}.{series}.{number}")

    @property
    def study_instance_uid(self) -> str:
        """The study that it belongs to."""
        return self.sop_instance_uid.rsplit(".", 2)[0]

    def data_set(self) -> bytes:
        """Return its data set, Explicit VR Little Endian, from 2 KiB to 1 MiB and mostly small."""
        uid = self.sop_instance_uid
        series_instance_uid = uid.rpartition(".")[0]
        draw = hashlib.blake2b(uid.encode(), digest_size=4).digest()
        share = int.from_bytes(draw) / (1 << 32)
        size = int(_LEAST_BYTES * (_MOST_BYTES / _LEAST_BYTES) ** share**6) // 2 * 2
        elements = (
            (0x00080016, b"UI", CT_IMAGE_STORAGE),
            (0x00080018, b"UI", uid),
            (0x00080020, b"DA", "20240229"),
            (0x00080060, b"CS", "CT"),
            (0x00100010, b"PN", f"SYNTHETIC^{uid.split('.')[2]}"),
            (0x00100020, b"LO", f"CHECK-{uid.split('.')[2]}"),
            (0x0020000D, b"UI", self.study_instance_uid),
            (0x0020000E, b"UI", series_instance_uid),
            (0x00200011, b"IS", series_instance_uid.rpartition(".")[2]),
            (0x00200013, b"IS", uid.rpartition(".")[2]),
        )
        header = b"".join(_element(tag, vr, value) for tag, vr, value in elements)
        pixels = hashlib.shake_256(uid.encode()).digest(size)
        return header + struct.pack("<HH2sxxI", 0x7FE0, 0x0010, b"OW", size) + pixels


def _element(tag: int, vr: bytes, text: str) -> bytes:
    value = text.encode("ascii")
    if len(value) % 2:
        value += b"\0" if vr == b"UI" else b" "
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value


CONTEXTS = ((CT_IMAGE_STORAGE, (EXPLICIT_VR_LITTLE_ENDIAN,)),)
CALLER = Caller("CHECKER", acse_timeout_seconds=30.0, dimse_timeout_seconds=60.0)


class Ledger:
    """What was sent and what became of it. Any thread may call any method."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.acknowledged: dict[str, str] = {}  # SOP Instance UID: SHA-256 of the data set
        self.sent: set[str] = set()
        self.refused: Counter[int] = Counter()
        self.in_flight: list[Instance] = []

    def will_send(self, instance: Instance) -> None:
        """Note that an instance is about to be sent."""
        with self._lock:
            self.sent.add(instance.sop_instance_uid)

    def answered(self, instance: Instance, data_set: bytes, status: int) -> None:
        """Note what the node has answered."""
        digest = hashlib.sha256(data_set).hexdigest()
        with self._lock:
            if status == StorageStatus.SUCCESS:
                self.acknowledged[instance.sop_instance_uid] = digest
            else:
                self.refused[status] += 1

    def unanswered(self, instance: Instance) -> None:
        """Note that the association ended before the answer."""
        with self._lock:
            self.in_flight.append(instance)

    def taken_in_flight(self) -> Instance | None:
        """Return an instance that had no answer and is to be sent again."""
        with self._lock:
            return self.in_flight.pop() if self.in_flight else None


class Senders:
    """Associations that store at the same time until they are told to stop. A context manager."""

    def __init__(self, ledger: Ledger, remote: Remote, *, round_number: int, associations: int = 4) -> None:
        """`round_number` keeps the studies of one round apart from all others."""
        self._ledger = ledger
        self._remote = remote
        self._round_number = round_number
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(sender,), name=f"sender-{sender}")
            for sender in range(1, associations + 1)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Let each sender finish what it sends; the node must answer or be gone."""
        self._stop.set()
        for thread in self._threads:
            thread.join(120)
            assert not thread.is_alive(), "a sender waits for a node that neither answers nor goes away"

    def _run(self, sender: int) -> None:
        instances = self._instances(sender)
        while not self._stop.is_set():
            part = islice(self._until_stopped(instances), _PER_ASSOCIATION)
            try:
                send_some(self._ledger, self._remote, part)
            except NetworkError:
                self._stop.wait(0.02)  # it was killed, or refuses for now

    def _until_stopped(self, instances: Iterator[Instance]) -> Iterator[Instance]:
        while not self._stop.is_set():
            yield next(instances)

    def _instances(self, sender: int) -> Iterator[Instance]:
        number = 0
        while True:
            if (left_over := self._ledger.taken_in_flight()) is not None:
                yield left_over
            number += 1
            yield Instance.numbered(self._round_number, sender, number)
            if number % _SENT_AGAIN_EVERY == 0:
                yield Instance.numbered(self._round_number, sender, number - _SENT_AGAIN_EVERY // 2)


def send_some(ledger: Ledger, remote: Remote, instances: Iterable[Instance]) -> None:
    """Send instances over one association, as far as it goes; raises `NetworkError` if there is none."""
    conversation = associate(CALLER, remote, CONTEXTS)
    sender = Sender(conversation)
    try:
        for instance in instances:
            send_one(ledger, conversation, sender, instance)
        conversation.release()
    except AssociationOver as over:
        conversation.abort(over)


def send_one(ledger: Ledger, conversation: Conversation, sender: Sender, instance: Instance) -> int:
    """Send one instance, enter it in the ledger and return its status; raises `AssociationOver`."""
    (context,) = conversation.contexts.values()
    data_set = instance.data_set()
    ledger.will_send(instance)
    outgoing = Outgoing(CT_IMAGE_STORAGE, instance.sop_instance_uid, BytesReadable(data_set), 0)
    try:
        status = sender.store(context, outgoing).status
    except BaseException:
        ledger.unanswered(instance)
        raise
    ledger.answered(instance, data_set, status)
    return status


@dataclass(slots=True)
class Report:
    """What a check has found wrong, a line each."""

    acknowledged: int = 0
    lost: list[str] = field(default_factory=list)  # acknowledged, and not found or not given back
    torn: list[str] = field(default_factory=list)  # there, with other bytes than were sent
    stray: list[str] = field(default_factory=list)  # files, rows and counts that have no reason
    set_aside: list[str] = field(default_factory=list)  # damaged files that nobody was promised

    @property
    def is_clean(self) -> bool:
        """Whether everything is as it should be."""
        return not (self.lost or self.torn or self.stray)

    def figures(self) -> str:
        """Return the figures in one line."""
        kinds = {"lost": self.lost, "torn": self.torn, "stray": self.stray}
        found = [f"{len(lines):,} {kind}" for kind, lines in kinds.items()]
        return ", ".join([f"{self.acknowledged:,} acknowledged", *found])

    def require_clean(self) -> None:
        """Raise `AssertionError` with the first findings of each kind."""
        kinds = (("lost", self.lost), ("torn", self.torn), ("stray", self.stray))
        lines = [f"{kind}: {line}" for kind, found in kinds for line in found[:10]]
        assert self.is_clean, "\n".join([self.figures(), *lines])


class Checker:
    """Compares a running node and its data folder with the ledger. The senders have stopped."""

    def __init__(self, ledger: Ledger, data_dir: Path) -> None:
        self._ledger = ledger
        self._data_dir = data_dir
        self._checked: set[str] = set()

    def check(self, remote: Remote) -> Report:
        """Check all that was ever sent, each byte of it, and every file of the data folder."""
        report = Report(acknowledged=len(self._ledger.acknowledged))
        if not is_filed(self._data_dir):
            report.stray.append("spool entries that are not filed")
        found = self._check_studies(remote, sorted(self._ledger.sent), report)
        self._check_files(report)
        self._verify_storage(found, report)
        self._verify_state(report)
        self._checked = set(self._ledger.sent)
        return report

    def check_new(self, remote: Remote) -> Report:
        """Check what was sent since the last check, and what was in flight then."""
        new = sorted(self._ledger.sent - self._checked)
        report = Report(acknowledged=sum(uid in self._ledger.acknowledged for uid in new))
        self._check_studies(remote, new, report)
        self._checked.update(set(new).difference(item.sop_instance_uid for item in self._ledger.in_flight))
        return report

    def _check_studies(self, remote: Remote, uids: Sequence[str], report: Report) -> int:
        """Find and fetch the studies of these instances; return how many instances were found."""
        studies = defaultdict[str, list[str]](list)
        for uid in uids:
            studies[Instance(uid).study_instance_uid].append(uid)
        found, wanted = 0, list(studies)
        for at in range(0, len(wanted), _STUDIES_PER_QUERY):
            part = wanted[at : at + _STUDIES_PER_QUERY]
            listed = self._listed(remote, part, report)
            self._compare(remote, part, listed, [uid for study in part for uid in studies[study]], report)
            found += len(listed)
        return found

    def _listed(self, remote: Remote, studies: Sequence[str], report: Report) -> set[str]:
        """Return what C-FIND lists on IMAGE level, after comparing it with the counts on STUDY level."""
        listed = Counter[str]()
        for match in scu.find(CALLER, remote, _identifier("IMAGE", studies), patient_root=False):
            listed[match.SOPInstanceUID] += 1
        report.stray += [f"{uid} is listed {times} times" for uid, times in listed.items() if times > 1]
        report.stray += [f"{uid} is listed and was never sent" for uid in listed.keys() - self._ledger.sent]
        of_study = Counter(Instance(uid).study_instance_uid for uid in listed)
        counting = _identifier("STUDY", studies)
        counting.NumberOfStudyRelatedInstances = None
        counts = {
            str(match.StudyInstanceUID): int(match.NumberOfStudyRelatedInstances)
            for match in scu.find(CALLER, remote, counting, patient_root=False)
        }
        if counts != of_study:
            report.stray.append(
                f"the studies' counts {counts} are not those of the instances {dict(of_study)}"
            )
        return set(listed)

    def _compare(
        self, remote: Remote, studies: Sequence[str], listed: set[str], uids: Sequence[str], report: Report
    ) -> None:
        acknowledged = self._ledger.acknowledged
        with tempfile.TemporaryDirectory(prefix="pacsnode-check-") as folder:
            if listed:
                *_, final = scu.get(
                    CALLER, remote, _identifier("STUDY", studies), patient_root=False, folder=Path(folder)
                )
                report.torn += [f"{uid} fails in C-GET: {final.comment}" for uid in final.failed_uids]
            for uid in uids:
                path = Path(folder, f"{uid}.dcm")
                if uid in acknowledged and uid not in listed:
                    report.lost.append(f"{uid} is not found")
                elif path.exists():
                    self._compare_bytes(uid, path.read_bytes(), report)
                elif uid in listed:
                    report.lost.append(f"{uid} is found and not given back")

    def _compare_bytes(self, uid: str, file: bytes, report: Report) -> None:
        data_set = file[parse_meta(file).data_set_offset :]
        digest = hashlib.sha256(data_set).hexdigest()
        if digest != self._ledger.acknowledged.get(uid, digest) or data_set != Instance(uid).data_set():
            report.torn.append(f"{uid} has {len(data_set)} bytes that are not those that were sent")

    def _check_files(self, report: Report) -> None:
        for path in self._data_dir.rglob("*"):
            if path.is_dir():
                continue
            name = path.relative_to(self._data_dir).as_posix()
            if name.startswith("spool/damaged/"):
                report.set_aside.append(f"{name}, of which there are {path.stat().st_size} bytes")
            elif name.startswith("archive/"):
                self._check_object(name.removeprefix("archive/"), report)
            elif name not in _NODE_FILES | _INDEX_FILES | _STATE_FILES:
                report.stray.append(f"a file {name}")

    def _check_object(self, name: str, report: Report) -> None:
        parsed = names.parse(name)
        if parsed is None or parsed[2] not in self._ledger.sent:
            report.stray.append(f"an object {name} that was never sent")
        elif parsed[3]:
            report.stray.append(f"an object {name}: a second version of what was sent with the same bytes")

    def _verify_storage(self, found: int, report: Report) -> None:
        """Compare with what `pacsnode storage verify` says."""
        ended = subprocess.run(
            [*PROGRAM, "storage", "verify", "--data-dir", str(self._data_dir), "--json"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=_VERIFY_SECONDS,
            check=False,
        )
        lines = [json.loads(line) for line in ended.stdout.splitlines()]
        report.stray += [f"storage verify: {line['problem']}" for line in lines if "problem" in line]
        result = lines[-1]["result"] if lines else {}
        if ended.returncode or result.get("correct") != found:
            report.stray.append(
                f"storage verify exits {ended.returncode} with {result}, C-FIND lists {found}: {ended.stderr}"
            )

    def _verify_state(self, report: Report) -> None:
        """Ask `pacsnode state verify`, and whether the node has had to say that anything was lost."""
        for command in ("verify", "events"):
            ended = subprocess.run(
                [*PROGRAM, "state", command, "--data-dir", str(self._data_dir), "--json"],
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=_VERIFY_SECONDS,
                check=False,
            )
            lines = [json.loads(line) for line in ended.stdout.splitlines()]
            if ended.returncode:
                report.stray.append(f"state {command} exits {ended.returncode}: {ended.stdout}{ended.stderr}")
            report.stray += [
                f"an event: {line['event']}" for line in lines if line.get("event", {}).get("kind") in _LOSSES
            ]


def _identifier(level: str, studies: Sequence[str]) -> Dataset:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = level
    identifier.StudyInstanceUID = list(studies)
    if level == "IMAGE":
        identifier.SOPInstanceUID = None
    return identifier
