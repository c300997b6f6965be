"""C-STORE's use case: every outcome and policy, and what is left when something fails at any step."""

import errno
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import google_crc32c
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pacsnode.archive import store as module
from pacsnode.archive.objects import name_of
from pacsnode.archive.store import Outcome, Store, StoreRequest
from pacsnode.dicom.uid import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)
from pacsnode.duplicates import DuplicatePolicy
from pacsnode.errors import (
    DataSetMismatch,
    DataSetTooLong,
    DifferentContent,
    InvalidUID,
    OutOfResources,
    PacsNodeError,
    TemporaryError,
    UnreadableDataSet,
)
from pacsnode.index.base import Added, Adding, Arrival, Located
from pacsnode.state.base import CustodyKind
from pacsnode.storage.memory import BytesReadable
from pacsnode.storage.reading import chunks_of
from tests.factories import JPEG_LOSSLESS, MR, Parts, Sample, element, padded
from tests.objects import put

SAMPLE = Sample()
OTHER = Sample(comment="corrected")
THIRD = Sample(comment="corrected again")


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    with Parts(tmp_path) as parts:
        yield parts


def failing(error: Exception) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def served(parts: Parts) -> bytes:
    """Return the file of the instance that a retrieve would send."""
    place = served_place(parts)
    readable = parts.objects.open_checked(place)
    try:
        return b"".join(chunks_of(readable))
    finally:
        readable.close()


def served_place(parts: Parts) -> Located:
    from pacsnode.dicom.identifier import parse_retrieve
    from pacsnode.dicom.query import InformationModel

    identifier = element(0x00080018, "UI", padded(SAMPLE.uid)) + element(0x00080052, "CS", b"IMAGE ")
    identifier += element(0x0020000D, "UI", padded(SAMPLE.study)) + element(
        0x0020000E, "UI", padded(SAMPLE.series)
    )
    query = parse_retrieve(identifier, EXPLICIT_VR_LITTLE_ENDIAN, InformationModel.STUDY_ROOT)
    (place,) = parts.index.locate(query)
    return place


def file_away(parts: Parts) -> None:
    """Move all that waits into the storage."""
    for place in parts.index.waiting(limit=100):
        readable = parts.objects.open(place)
        put(parts.storage, name_of(place), BytesReadable(b"".join(chunks_of(readable))))
        readable.close()
        parts.index.mark_stored([place.instance_id])
    for entry in parts.spool.entries():
        parts.spool.remove(entry)


# What is kept


@settings(max_examples=20)
@given(piece_bytes=st.integers(1, 400))
def test_bytes_are_kept_as_received_however_they_arrive(
    tmp_path_factory: pytest.TempPathFactory, piece_bytes: int
) -> None:
    with Parts(tmp_path_factory.mktemp("parts")) as parts:
        assert parts.put(SAMPLE, piece_bytes=piece_bytes) is Outcome.STORED
        assert served(parts) == SAMPLE.file
        assert parts.rings == 1
        (entry,) = parts.spool.entries()
        (place,) = parts.everything()
        assert (place.token, place.file_length, place.file_crc32c) == (
            entry.token,
            entry.length,
            entry.crc32c,
        )
        assert place.data_set_length == len(SAMPLE.data_set)


def test_storing_twice_is_storing_once(parts: Parts) -> None:
    assert parts.put(SAMPLE) is Outcome.STORED
    for _ in range(2):
        assert parts.put(SAMPLE) is Outcome.ALREADY_STORED
    assert len(parts.everything()) == len(parts.spool.entries()) == 1
    file_away(parts)
    assert parts.put(SAMPLE) is Outcome.ALREADY_STORED
    assert parts.spool.entries() == []
    assert parts.rings == 1


def test_another_sender_makes_no_other_instance(parts: Parts) -> None:
    """The file meta differs by AE title; the data set decides."""
    parts.put(SAMPLE)
    receiving = parts.store.begin(replace(SAMPLE.request, calling_ae_title="ARCHIVE"))
    receiving.write(SAMPLE.data_set)
    assert receiving.finish() is Outcome.ALREADY_STORED
    assert served(parts) == SAMPLE.file


@pytest.mark.parametrize("syntax", [IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN])
def test_the_same_elements_in_another_syntax_are_the_same_instance(parts: Parts, syntax: str) -> None:
    words = b"\2\1\4\3" if syntax == EXPLICIT_VR_BIG_ENDIAN else SAMPLE.words
    parts.put(SAMPLE)
    assert parts.put(replace(SAMPLE, transfer_syntax=syntax, words=words)) is Outcome.ALREADY_STORED
    assert served(parts) == SAMPLE.file


def test_a_compressed_copy_is_another_version(parts: Parts) -> None:
    parts.put(SAMPLE)
    assert parts.put(replace(SAMPLE, transfer_syntax=JPEG_LOSSLESS)) is Outcome.KEPT_AS_VERSION


# Other content


@pytest.mark.parametrize("is_filed", [False, True])
@pytest.mark.parametrize(
    ("policy", "outcome", "served_after"),
    [
        (DuplicatePolicy.KEEP_BOTH, Outcome.KEPT_AS_VERSION, SAMPLE),
        (DuplicatePolicy.REPLACE, Outcome.REPLACED, OTHER),
        (DuplicatePolicy.KEEP_FIRST, None, SAMPLE),
        (DuplicatePolicy.REFUSE, None, SAMPLE),
    ],
)
def test_other_content_is_kept_or_refused_by_policy(
    tmp_path: Path, policy: DuplicatePolicy, outcome: Outcome | None, served_after: Sample, is_filed: bool
) -> None:
    with Parts(tmp_path, policy) as parts:
        parts.put(SAMPLE)
        if is_filed:
            file_away(parts)
        before = parts.spool.entries()
        if outcome is None:
            with pytest.raises(DifferentContent, match=SAMPLE.uid):
                parts.put(OTHER)
            assert parts.spool.entries() == before, "refused and not acknowledged: nothing of it is kept"
            assert len(parts.everything()) == 1
        else:
            assert parts.put(OTHER) is outcome
            assert len(parts.everything()) == 2
            assert parts.put(SAMPLE) is parts.put(OTHER) is Outcome.ALREADY_STORED
            assert [place.version for place in parts.everything()] == [0, 1]
        assert served(parts) == served_after.file


def test_every_version_is_kept(parts: Parts) -> None:
    outcomes = [parts.put(sample) for sample in (SAMPLE, OTHER, THIRD, OTHER, SAMPLE)]
    assert outcomes == [
        Outcome.STORED,
        Outcome.KEPT_AS_VERSION,
        Outcome.KEPT_AS_VERSION,
        Outcome.ALREADY_STORED,
        Outcome.ALREADY_STORED,
    ]
    assert [place.version for place in parts.everything()] == [0, 1, 2]
    assert len({name_of(place) for place in parts.everything()}) == 3


# A kept copy that is lost or damaged


@pytest.mark.parametrize("policy", list(DuplicatePolicy))
@pytest.mark.parametrize("harm", ["lost", "damaged", "torn"])
@pytest.mark.parametrize("sample", [SAMPLE, OTHER])
def test_a_harmed_copy_is_replaced_as_served(
    tmp_path: Path, policy: DuplicatePolicy, harm: str, sample: Sample
) -> None:
    """The arrival is the only copy: refused, its sender would delete it."""
    with Parts(tmp_path, policy) as parts:
        parts.put(SAMPLE)
        file_away(parts)
        name = name_of(parts.everything()[0])
        parts.storage.delete(name)
        if harm == "damaged":
            put(parts.storage, name, BytesReadable(SAMPLE.file[:-1] + b"!"))
        elif harm == "torn":
            put(parts.storage, name, BytesReadable(SAMPLE.file[:-5]))
        assert parts.put(sample) is Outcome.REPLACED
        assert served(parts) == sample.file
        assert parts.put(sample) is Outcome.ALREADY_STORED
        found, now_served = parts.noted()
        assert found.kind is (CustodyKind.LOST if harm == "lost" else CustodyKind.DAMAGED)
        assert found.name == name
        assert now_served.kind is CustodyKind.VERSION_SERVED


def test_a_storage_that_is_away_refuses_for_now_and_keeps_nothing(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it is the same instance cannot be known: the sender comes again."""
    parts.put(SAMPLE)
    file_away(parts)
    monkeypatch.setattr(parts.storage, "open", failing(OutOfResources("bucket away")))
    with pytest.raises(OutOfResources):
        parts.put(OTHER)
    assert parts.spool.entries() == []
    assert len(parts.everything()) == 1


# Races: what the index knows changes between two of our looks


class Racing:
    """An index to which another arrival of the UID is added before our `add` is looked at again."""

    def __init__(self, parts: Parts, others: Sequence[Sample]) -> None:
        self._index, self._others, self._parts = parts.index, list(others), parts

    def add(
        self, arrival: Arrival, policy: DuplicatePolicy, *, known_different: frozenset[int] = frozenset()
    ) -> Added:
        if self._others:
            self._parts.put(self._others.pop(0))
        return self._index.add(arrival, policy, known_different=known_different)

    def __getattr__(self, name: str) -> object:
        return getattr(self._index, name)


def racing(
    parts: Parts, others: Sequence[Sample], policy: DuplicatePolicy = DuplicatePolicy.KEEP_BOTH
) -> Store:
    return Store(
        index=Racing(parts, others),  # type: ignore[arg-type]
        spool=parts.spool,
        objects=parts.objects,
        policy=policy,
        custody=parts.custody,
        max_data_set_bytes=1 << 20,
        stored=lambda: None,
    )


@pytest.mark.parametrize(
    ("others", "outcome", "versions"),
    [
        ([SAMPLE], Outcome.ALREADY_STORED, 1),
        ([OTHER], Outcome.KEPT_AS_VERSION, 2),
        ([OTHER, SAMPLE], Outcome.ALREADY_STORED, 2),
        ([OTHER, THIRD], Outcome.KEPT_AS_VERSION, 3),
        ([OTHER, THIRD, SAMPLE], Outcome.ALREADY_STORED, 3),
    ],
)
def test_versions_that_come_meanwhile_are_compared_too(
    parts: Parts, others: list[Sample], outcome: Outcome, versions: int
) -> None:
    assert parts.put(SAMPLE, store=racing(parts, others)) is outcome
    assert len(parts.everything()) == len(parts.spool.entries()) == versions


def test_one_that_comes_meanwhile_may_win(parts: Parts) -> None:
    with pytest.raises(DifferentContent):
        parts.put(SAMPLE, store=racing(parts, [OTHER], DuplicatePolicy.REFUSE))
    assert served(parts) == OTHER.file


def test_of_many_senders_of_one_uid_all_content_is_kept_once(parts: Parts) -> None:
    samples = [Sample(comment=f"number {number % 3}") for number in range(12)]
    outcomes: list[Outcome] = []
    start = threading.Barrier(len(samples))

    def put(sample: Sample) -> None:
        start.wait()
        outcomes.append(parts.put(sample))

    threads = [threading.Thread(target=put, args=(sample,)) for sample in samples]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcome.name for outcome in outcomes) == ["ALREADY_STORED"] * 9 + [
        "KEPT_AS_VERSION"
    ] * 2 + ["STORED"]
    assert len(parts.everything()) == len(parts.spool.entries()) == 3


def test_an_entry_that_is_indexed_already_is_no_duplicate_of_itself(parts: Parts) -> None:
    """A recovery that is interrupted and starts again meets its own work."""
    receiving = parts.store.begin(SAMPLE.request)
    receiving.write(SAMPLE.data_set)
    kept: list[tuple[object, ...]] = []
    keep = parts.store._index_entry
    parts.store._index_entry = lambda *arguments: (kept.append(arguments), keep(*arguments))[1]  # type: ignore[method-assign]
    receiving.finish()
    assert parts.store.adopt(*kept[0]) is Outcome.STORED  # type: ignore[arg-type]
    assert len(parts.everything()) == len(parts.spool.entries()) == 1


# Failures


@pytest.mark.parametrize("call", ["writev", "fsync", "link"])
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_a_disk_that_does_not_keep_is_never_success(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing(OSError(code, os.strerror(code))))
        with pytest.raises(OutOfResources):
            parts.put(replace(SAMPLE, words=bytes(400_000)))
    assert parts.spool.entries() == parts.everything() == []
    assert parts.rings == 0
    assert parts.put(SAMPLE) is Outcome.STORED


def test_after_a_failure_the_rest_is_drained_without_touching_the_disk(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiving = parts.store.begin(SAMPLE.request)
    calls: list[int] = []

    def full(descriptor: int, _: object) -> int:
        calls.append(descriptor)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "writev", full)
    for _ in range(50):
        receiving.write(bytes(20_000))
    assert len(calls) == 1
    assert receiving.data_set_length == 1_000_000
    with pytest.raises(OutOfResources):
        receiving.finish()


def test_no_space_at_the_beginning_is_told_at_the_end(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts.spool, "begin", failing(OutOfResources("full")))
    receiving = parts.store.begin(SAMPLE.request)
    receiving.write(SAMPLE.data_set)
    with pytest.raises(OutOfResources, match="full"):
        receiving.finish()


def test_a_data_set_over_the_limit_is_given_up(parts: Parts) -> None:
    store = parts.with_policy(DuplicatePolicy.KEEP_BOTH, max_data_set_bytes=1000)
    receiving = store.begin(SAMPLE.request)
    receiving.write(bytes(1000))
    assert not receiving.is_over_limit
    receiving.write(b"\0")
    assert receiving.is_over_limit
    with pytest.raises(DataSetTooLong, match="max_dataset"):
        receiving.finish()
    assert parts.spool.entries() == []


@pytest.mark.parametrize("error", [TemporaryError("busy"), OutOfResources("full")])
def test_what_is_not_indexed_is_not_kept(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, error: PacsNodeError
) -> None:
    """It was never acknowledged, so nothing may wait in the spool for ever."""
    with monkeypatch.context() as patch:
        patch.setattr(parts.index, "add", failing(error))
        with pytest.raises(type(error)):
            parts.put(SAMPLE)
    assert parts.spool.entries() == []
    assert parts.rings == 0
    assert parts.put(SAMPLE) is Outcome.STORED


def test_an_unexpected_error_leaves_the_durable_entry_for_the_next_start(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it was indexed is unknown then."""
    monkeypatch.setattr(parts.index, "add", failing(RuntimeError("bug")))
    with pytest.raises(RuntimeError):
        parts.put(SAMPLE)
    assert len(parts.spool.entries()) == 1


def without(tag: int) -> bytes:
    sample = SAMPLE.data_set
    at = sample.index(tag.to_bytes(4)[1::-1] + tag.to_bytes(4)[3:1:-1])
    return sample[:at] + sample[at + 8 + int.from_bytes(sample[at + 6 : at + 8], "little") :]


@pytest.mark.parametrize(
    ("data", "request_change", "error", "offending"),
    [
        (Sample(number=2).data_set, {}, DataSetMismatch, (0x00080018,)),
        (Sample(sop_class=MR).data_set, {}, DataSetMismatch, (0x00080016,)),
        (without(0x00080018), {}, DataSetMismatch, (0x00080018,)),
        (without(0x0020000D), {}, DataSetMismatch, (0x0020000D,)),
        (SAMPLE.data_set.replace(b"1.2.826.7.1.1\0", b"1.2.826.7..1\0\0"), {}, InvalidUID, (0x0020000E,)),
        (b"", {}, DataSetMismatch, None),
        (b"\x08\x00\x16\x00UI\xff\xff1.2", {}, UnreadableDataSet, ()),
        (b"\xff" * 100, {"transfer_syntax_uid": DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN}, UnreadableDataSet, ()),
    ],
)
def test_wrong_data_sets_are_refused_and_nothing_is_kept(
    parts: Parts,
    data: bytes,
    request_change: dict[str, str],
    error: type[PacsNodeError],
    offending: tuple[int, ...] | None,
) -> None:
    request: StoreRequest = replace(SAMPLE.request, **request_change)
    receiving = parts.store.begin(request)
    receiving.write(data)
    with pytest.raises(error) as raised:
        receiving.finish()
    if offending is not None:
        assert raised.value.offending == offending  # type: ignore[attr-defined]
    assert parts.spool.entries() == parts.everything() == []


def test_a_header_longer_than_the_first_bytes_is_read_back(parts: Parts) -> None:
    long = Sample(more=((0x00091001, "OB", bytes(300_000)),))
    assert parts.put(long, piece_bytes=7000) is Outcome.STORED
    assert served(parts) == long.file


def test_a_header_without_an_end_is_refused(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEADER_LIMIT_BYTES", 100_000)
    with pytest.raises(UnreadableDataSet, match="header"):
        parts.put(Sample(more=((0x00091001, "OB", bytes(300_000)),)))
    assert parts.spool.entries() == []


def test_what_is_abandoned_leaves_nothing(parts: Parts) -> None:
    descriptors = len(os.listdir("/proc/self/fd"))
    receiving = parts.store.begin(SAMPLE.request)
    receiving.write(SAMPLE.data_set[:50])
    receiving.abandon()
    receiving.abandon()
    assert parts.spool.entries() == []
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_nothing_stays_open(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    parts.put(SAMPLE)
    parts.custody.note(CustodyKind.DISK_FAILED, "so that the state's WAL is open")
    descriptors = len(os.listdir("/proc/self/fd"))
    parts.put(SAMPLE)
    parts.put(OTHER)
    receiving = parts.store.begin(SAMPLE.request)
    with pytest.raises(DataSetMismatch):
        receiving.finish()
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_each_answer_of_the_index_has_an_outcome() -> None:
    for adding in Adding:
        if adding is Adding.COMPARE:
            continue
        if adding is Adding.REFUSED:
            with pytest.raises(DifferentContent):
                module._outcome(Added(adding), "1.2")
        else:
            assert isinstance(module._outcome(Added(adding), "1.2"), Outcome)


# Custody


def test_a_normal_arrival_writes_nothing_to_the_state(parts: Parts) -> None:
    before = parts.state.revision()
    parts.put(SAMPLE)
    parts.put(SAMPLE)
    parts.put(Sample(2))
    with pytest.raises(DataSetMismatch):
        parts.store.begin(SAMPLE.request).finish()
    assert parts.state.revision() == before


@pytest.mark.parametrize(
    ("policy", "kind"),
    [
        (DuplicatePolicy.KEEP_BOTH, CustodyKind.VERSION_KEPT),
        (DuplicatePolicy.REPLACE, CustodyKind.VERSION_SERVED),
    ],
)
def test_other_content_is_recorded_with_both_checksums(
    parts: Parts, policy: DuplicatePolicy, kind: CustodyKind
) -> None:
    store = parts.with_policy(policy)
    parts.put(SAMPLE, store=store)
    parts.put(OTHER, store=store)
    (event,) = parts.noted()
    new, old = (google_crc32c.value(sample.data_set) for sample in (OTHER, SAMPLE))
    assert event.kind is kind
    assert f"{new:08x}" in event.detail
    assert f"version 0 {old:08x} of {len(SAMPLE.data_set)} bytes" in event.detail
    assert event.name == f"{SAMPLE.study}/{SAMPLE.series}/{SAMPLE.uid}~1.dcm"
    assert (event.sop_instance_uid, event.process) == (SAMPLE.uid, "test")


def test_what_is_refused_is_nobodys_custody(parts: Parts) -> None:
    store = parts.with_policy(DuplicatePolicy.REFUSE)
    parts.put(SAMPLE, store=store)
    with pytest.raises(DifferentContent):
        parts.put(OTHER, store=store)
    assert parts.noted() == []


def test_an_event_that_cannot_be_recorded_does_not_fail_what_is_kept(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OutOfResources("disk is full")

    parts.put(SAMPLE)
    monkeypatch.setattr(parts.state, "record", full)
    assert parts.put(OTHER) is Outcome.KEPT_AS_VERSION
    assert len(parts.everything()) == len(parts.spool.entries()) == 2
    assert "not recorded: disk is full" in caplog.text


def test_the_association_that_an_event_comes_from(parts: Parts) -> None:
    parts.put(SAMPLE)
    receiving = parts.store.begin(replace(OTHER.request, association_id="0a1b2c3d"))
    receiving.write(OTHER.data_set)
    receiving.finish()
    assert [event.association_id for event in parts.noted()] == ["0a1b2c3d"]
