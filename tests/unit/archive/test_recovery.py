"""What a start does with the spool, whatever the run before was doing when it ended."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import google_crc32c
import pytest

from pacsnode.archive.objects import name_of
from pacsnode.archive.recovery import Recovered, header_of, recover
from pacsnode.archive.store import Outcome, Store
from pacsnode.dicom.attributes import BY_KEYWORD, Level
from pacsnode.dicom.character_sets import AS_SAID, CharacterSetRule
from pacsnode.dicom.part10 import file_meta, parse_meta
from pacsnode.dicom.query import InformationModel, Query
from pacsnode.dicom.uid import DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN
from pacsnode.duplicates import DuplicatePolicy
from pacsnode.errors import DamagedObject, OutOfResources, TemporaryError
from pacsnode.spool import Entry
from pacsnode.state.base import CustodyKind
from pacsnode.storage.memory import BytesReadable
from tests.factories import Parts, Sample, spooled
from tests.objects import put

SAMPLE = Sample()


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    with Parts(tmp_path) as parts:
        yield parts


def recovered(
    parts: Parts, policy: DuplicatePolicy = DuplicatePolicy.KEEP_BOTH
) -> tuple[Recovered, list[str]]:
    return recover(parts.index, parts.spool, parts.with_policy(policy), parts.custody)


def test_an_empty_spool_needs_nothing(parts: Parts) -> None:
    assert recovered(parts) == (Recovered(), [])


def test_what_waits_goes_on_waiting(parts: Parts) -> None:
    for number in range(3):
        parts.put(Sample(number))
    assert recovered(parts) == (Recovered(waiting=3), [])
    assert len(parts.index.waiting(limit=10)) == 3


def test_an_entry_that_the_index_does_not_know_is_indexed_from_its_bytes(tmp_path: Path) -> None:
    """The index is a cache: what it says of an entry is what it said of the C-STORE."""
    with Parts(tmp_path / "before") as before:
        before.put(SAMPLE)
        (expected,) = before.everything()
        (entry,) = before.spool.entries()
    with Parts(tmp_path / "after") as after:
        (tmp_path / "before/spool/ready" / entry.name).rename(tmp_path / "after/spool/ready" / entry.name)
        assert recovered(after) == (Recovered(indexed=1), [])
        assert after.everything() == [expected]
        assert after.index.waiting(limit=10) == [expected]
        assert recovered(after) == (Recovered(waiting=1), [])


def test_what_is_stored_already_is_dropped(parts: Parts) -> None:
    parts.put(SAMPLE)
    (place,) = parts.everything()
    put(parts.storage, name_of(place), BytesReadable(SAMPLE.file))
    parts.index.mark_stored([place.instance_id])
    assert recovered(parts) == (Recovered(dropped=1), [])
    assert parts.spool.entries() == []
    assert len(parts.everything()) == 1


def test_two_entries_of_one_instance_become_one(parts: Parts) -> None:
    """The crash came before the second was found to be a duplicate."""
    spooled(parts.spool, SAMPLE.file)
    spooled(parts.spool, SAMPLE.file)
    assert recovered(parts) == (Recovered(indexed=1, dropped=1), [])
    assert len(parts.spool.entries()) == len(parts.everything()) == 1


def test_a_stored_copy_that_is_damaged_is_replaced_by_the_entry(parts: Parts) -> None:
    parts.put(SAMPLE)
    (place,) = parts.everything()
    put(parts.storage, name_of(place), BytesReadable(SAMPLE.file[:-1] + b"!"))
    parts.index.mark_stored([place.instance_id])
    assert recovered(parts) == (Recovered(indexed=1), [])
    assert len(parts.spool.entries()) == 1


@pytest.mark.parametrize("policy", list(DuplicatePolicy))
def test_other_content_is_never_thrown_away(parts: Parts, policy: DuplicatePolicy) -> None:
    """An entry is all that is known: whether it was refused or acknowledged before the power went is not."""
    parts.put(SAMPLE)
    entry = spooled(parts.spool, Sample(comment="other").file)
    counts, reasons = recovered(parts, policy)
    if policy in (DuplicatePolicy.KEEP_BOTH, DuplicatePolicy.REPLACE):
        assert (counts, reasons) == (Recovered(waiting=1, indexed=1), [])
    else:
        assert counts == Recovered(waiting=1, set_aside=1)
        assert "other content" in reasons[0]
        assert (parts.spool._damaged / entry.name).read_bytes() == Sample(comment="other").file


def test_entries_are_taken_in_the_order_of_arrival(parts: Parts) -> None:
    for comment in ("first", "second", "third"):
        spooled(parts.spool, Sample(comment=comment).file)
        parts.clock.now_ms += 1
    assert recovered(parts)[0] == Recovered(indexed=3)
    tokens = [entry.token for entry in parts.spool.entries()]
    assert [(place.version, place.token) for place in parts.everything()] == list(enumerate(tokens))


def damage(parts: Parts, entry: Entry, data: bytes) -> None:
    (parts.spool._ready.path / entry.name).write_bytes(data)


def misnamed(parts: Parts, data: bytes) -> Entry:
    """Put bytes into the spool that are whole but no instance."""
    return spooled(parts.spool, data)


@pytest.mark.parametrize(
    "bytes_on_disk",
    [SAMPLE.file[:-1], b"", SAMPLE.file[:-1] + b"!", SAMPLE.file + b"\0", bytes(len(SAMPLE.file))],
)
def test_a_torn_entry_is_set_aside_with_its_reason(parts: Parts, bytes_on_disk: bytes) -> None:
    entry = spooled(parts.spool, SAMPLE.file)
    damage(parts, entry, bytes_on_disk)
    whole = spooled(parts.spool, Sample(2).file)
    counts, (reason,) = recovered(parts)
    assert counts == Recovered(indexed=1, set_aside=1)
    assert entry.name in reason
    assert str(parts.spool._damaged / entry.name) in reason
    assert (parts.spool._damaged / entry.name).read_bytes() == bytes_on_disk
    assert parts.spool.entries() == [whole]


@pytest.mark.parametrize(
    "data",
    [
        b"no DICOM file at all",
        bytes(5000),
        SAMPLE.file[:200],
        SAMPLE.file[: -len(SAMPLE.data_set)],
        SAMPLE.file[: -len(SAMPLE.data_set)] + b"\xff" * 50,
        replace(SAMPLE, transfer_syntax=DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN).file,
    ],
)
def test_whole_bytes_that_are_no_instance_are_set_aside(parts: Parts, data: bytes) -> None:
    entry = misnamed(parts, data)
    counts, reasons = recovered(parts)
    assert counts == Recovered(set_aside=1)
    assert len(reasons) == 1
    assert (parts.spool._damaged / entry.name).read_bytes() == data
    assert parts.everything() == []


def test_an_entry_that_cannot_be_read_is_set_aside(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    spooled(parts.spool, SAMPLE.file)

    def fail(*_: object) -> int:
        raise OSError(5, os.strerror(5))

    for call in ("pread", "preadv"):
        monkeypatch.setattr(os, call, fail)
    assert recovered(parts)[0] == Recovered(set_aside=1)


@pytest.mark.parametrize("error", [TemporaryError("busy"), OutOfResources("no descriptors")])
def test_an_index_that_fails_stops_the_start_and_loses_nothing(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    entries = [spooled(parts.spool, Sample(number).file) for number in range(3)]
    add, calls = parts.index.add, list[object]()

    def failing(*arguments: object, **options: object) -> object:
        calls.append(arguments)
        if len(calls) == 2:
            raise error
        return add(*arguments, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(parts.index, "add", failing)
        with pytest.raises(type(error)):
            recovered(parts)
    assert parts.spool.entries() == entries
    assert recovered(parts)[0] == Recovered(waiting=1, indexed=2)


def test_more_than_a_page_waits(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pacsnode.archive.recovery._PAGE", 2)
    for number in range(5):
        parts.put(Sample(number))
    assert recovered(parts)[0] == Recovered(waiting=5)


def test_nothing_stays_open(parts: Parts) -> None:
    spooled(parts.spool, SAMPLE.file)
    recovered(parts)  # the index opens what it reads with
    spooled(parts.spool, Sample(2).file)
    spooled(parts.spool, b"torn")
    parts.custody.note(CustodyKind.DISK_FAILED, "so that the state's WAL is open")
    descriptors = len(os.listdir("/proc/self/fd"))
    recovered(parts)
    recovered(parts)
    assert len(os.listdir("/proc/self/fd")) == descriptors


@pytest.mark.parametrize("value_bytes", [0, 5000, 300_000])
def test_the_header_of_a_file_is_that_of_its_arrival(parts: Parts, value_bytes: int) -> None:
    sample = Sample(more=((0x00091001, "OB", bytes(value_bytes)), (0x00204000, "LT", b"after it")))
    meta = parse_meta(sample.file[:4096])
    header = header_of(BytesReadable(sample.file), meta, AS_SAID)
    assert (header.sop_instance_uid, header.study_instance_uid) == (sample.uid, sample.study)
    assert header.values["PatientID"] == "CANARY-7"


def test_a_header_without_an_end_is_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pacsnode.archive.recovery.HEADER_LIMIT_BYTES", 10_000)
    sample = Sample(more=((0x00091001, "OB", bytes(300_000)),))
    with pytest.raises(DamagedObject, match="header"):
        header_of(BytesReadable(sample.file), parse_meta(sample.file[:4096]), AS_SAID)


def test_what_was_recovered_is_stored_once_more_as_the_same(parts: Parts) -> None:
    spooled(parts.spool, SAMPLE.file)
    recovered(parts)
    assert parts.put(SAMPLE) is Outcome.ALREADY_STORED
    (place,) = parts.everything()
    assert place.data_set_crc32c == google_crc32c.value(SAMPLE.data_set)


@pytest.mark.parametrize(
    ("called", "indexed"), [("PACSNODE", Recovered(set_aside=1)), ("KEEPS", Recovered(indexed=1))]
)
def test_other_content_goes_by_the_title_that_was_called(
    parts: Parts, called: str, indexed: Recovered
) -> None:
    """What a crash left unindexed is decided as its C-STORE would have been."""
    parts.put(SAMPLE)
    (place,) = parts.everything()
    put(parts.storage, name_of(place), BytesReadable(SAMPLE.file))
    parts.index.mark_stored([place.instance_id])
    parts.spool.remove(parts.spool.entries()[0])
    other = replace(SAMPLE, words=b"other   ")
    meta = file_meta(
        sop_class_uid=other.sop_class,
        sop_instance_uid=other.uid,
        transfer_syntax_uid=other.transfer_syntax,
        calling_ae_title="CT1",
        called_ae_title=called,
    )
    spooled(parts.spool, meta + other.data_set)
    store = Store(
        index=parts.index,
        spool=parts.spool,
        objects=parts.objects,
        policy=DuplicatePolicy.REFUSE,
        custody=parts.custody,
        max_data_set_bytes=1 << 20,
        stored=lambda: None,
        duplicates_of={"KEEPS": DuplicatePolicy.KEEP_BOTH},
    )
    found, _ = recover(parts.index, parts.spool, store, parts.custody)
    assert found == indexed


def test_text_is_read_by_the_rule_of_its_sender_as_it_was_at_its_c_store(tmp_path: Path) -> None:
    """A spool entry is adopted to the same row, whatever its (0008,0005) says of it."""
    rule = CharacterSetRule(("ISO_IR 144",))
    sample = Sample(
        more=((0x00080005, "CS", b"ISO_IR 100"), (0x00081030, "LO", "Череп ".encode("iso8859_5")))
    )
    rows = []
    with Parts(tmp_path / "stored") as parts:
        receiving = parts.store.begin(replace(sample.request, character_sets=rule))
        receiving.write(sample.data_set)
        receiving.finish()
        rows.append(described(parts))
        (entry,) = parts.spool.entries()
    with Parts(tmp_path / "adopted") as parts:
        (tmp_path / "stored/spool/ready" / entry.name).rename(tmp_path / "adopted/spool/ready" / entry.name)
        store = parts.with_policy(
            DuplicatePolicy.KEEP_BOTH, character_sets_of=lambda title: {"CT1": rule}.get(title, AS_SAID)
        )
        recover(parts.index, parts.spool, store, parts.custody)
        rows.append(described(parts))
    assert rows == [("Череп", "ISO_IR 144")] * 2


def described(parts: Parts) -> tuple[str | None, ...]:
    """Return the description of the only study, and the character set that it was read in."""
    returned = (BY_KEYWORD["StudyDescription"],)
    query = Query(InformationModel.STUDY_ROOT, Level.STUDY, keys=(), returned=returned)
    ((row,),) = parts.index.find(query)
    return row


def test_what_is_set_aside_is_recorded(parts: Parts) -> None:
    entry = misnamed(parts, b"torn")
    assert recovered(parts)[0] == Recovered(set_aside=1)
    (event,) = parts.noted()
    assert (event.kind, event.name) == (CustodyKind.SET_ASIDE, entry.name)


def test_what_cannot_be_recorded_is_not_set_aside(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OutOfResources("disk is full")

    entry = misnamed(parts, b"torn")
    whole = spooled(parts.spool, SAMPLE.file)
    with monkeypatch.context() as patch:
        patch.setattr(parts.state, "record", full)
        counts, (reason,) = recovered(parts)
    assert counts == Recovered(indexed=1, left=1)
    assert reason.endswith("left where it is")
    assert entry in parts.spool.entries()
    assert recovered(parts)[0] == Recovered(waiting=1, set_aside=1)
    assert parts.spool.entries() == [whole]
