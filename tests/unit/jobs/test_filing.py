"""Filing: from every point at which it may end, a recovery leads to exactly one object and no spool entry."""

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pacsnode.archive.objects import name_of
from pacsnode.archive.recovery import recover
from pacsnode.duplicates import DuplicatePolicy
from pacsnode.errors import OutOfResources, PermanentError, StorageAway, StorageRefused, TemporaryError
from pacsnode.jobs import filing as module
from pacsnode.jobs.filing import Filing, Share
from pacsnode.state.base import CustodyKind
from pacsnode.storage.base import ObjectFacts, Readable, Storage
from pacsnode.storage.directory import DirectoryStorage
from pacsnode.storage.memory import BytesReadable, MemoryStorage
from pacsnode.storage.metadata import CALLING_AE_TITLE, NODE
from tests.factories import Parts, Sample
from tests.objects import put

SAMPLE = Sample()


class Died(BaseException):
    """The process is killed here."""


class Monotonic:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture(params=["directory", "memory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return DirectoryStorage(tmp_path / "objects") if request.param == "directory" else MemoryStorage()


@pytest.fixture
def parts(tmp_path: Path, storage: Storage) -> Iterator[Parts]:
    with Parts(tmp_path, storage=storage) as parts:
        yield parts


@pytest.fixture
def clock() -> Monotonic:
    return Monotonic()


def filing(
    parts: Parts, clock: Callable[[], float] | None = None, stop: Callable[[], bool] = lambda: False
) -> Filing:
    return Filing(
        index=parts.index,
        spool=parts.spool,
        storage=parts.storage,
        custody=parts.custody,
        stop=stop,
        now=clock or Monotonic(),
    )


def objects(parts: Parts) -> dict[str, bytes]:
    found = {}
    for info in parts.storage.list():
        readable = parts.storage.open(info.name)
        buffer = bytearray(info.length)
        readable.read_into(memoryview(buffer), 0)
        readable.close()
        found[info.name] = bytes(buffer)
    return found


def name(sample: Sample, suffix: str = "") -> str:
    return f"{sample.study}/{sample.series}/{sample.uid}{suffix}.dcm"


def raising(error: BaseException) -> Callable[..., object]:
    def fail(*_: object, **__: object) -> object:
        raise error

    return fail


def raising_after(function: Callable[..., object], error: BaseException) -> Callable[..., object]:
    def fail(*arguments: object, **options: object) -> object:
        function(*arguments, **options)
        raise error

    return fail


def test_what_waits_is_filed(parts: Parts) -> None:
    samples = [Sample(number) for number in range(3)]
    for sample in samples:
        parts.put(sample)
    job = filing(parts)
    assert job.step() > 1
    assert objects(parts) == {name(sample): sample.file for sample in samples}
    assert parts.spool.entries() == parts.index.waiting(limit=10) == []
    assert all(place.token is None for place in parts.everything())
    assert job.step() > 1, "nothing to do"


def test_versions_are_filed_too(parts: Parts) -> None:
    other = Sample(comment="other")
    parts.put(SAMPLE)
    parts.put(other)
    filing(parts).step()
    assert objects(parts) == {name(SAMPLE): SAMPLE.file, name(SAMPLE, "~1"): other.file}


def test_more_than_a_batch_takes_several_steps(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BATCH", 2)
    for number in range(5):
        parts.put(Sample(number))
    job = filing(parts)
    assert [job.step() for _ in range(2)] == [0.0, 0.0]
    assert job.step() > 1
    assert len(objects(parts)) == 5
    assert parts.spool.entries() == []


def test_it_stops_between_two_instances_and_records_what_was_put(parts: Parts) -> None:
    for number in range(3):
        parts.put(Sample(number))
    answers = iter([False, True, True])
    filing(parts, stop=lambda: next(answers)).step()
    assert len(objects(parts)) == 1
    assert len(parts.index.waiting(limit=10)) == len(parts.spool.entries()) == 2


# The order of the steps


def test_nothing_goes_before_what_it_rests_on_is_durable(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def recording(thing: object, method: str) -> None:
        function = getattr(thing, method)

        def record(*arguments: object, **options: object) -> object:
            calls.append(f"{'index' if thing is parts.index else 'other'}.{method}")
            return function(*arguments, **options)

        monkeypatch.setattr(thing, method, record)

    parts.put(SAMPLE)
    for method in ("mark_stored", "sync"):
        recording(parts.index, method)
    for thing, method in ((parts.storage, "put"), (parts.storage, "sync"), (parts.spool, "remove")):
        recording(thing, method)
    filing(parts).step()
    assert calls == ["other.put", "other.sync", "index.mark_stored", "index.sync", "other.remove"]


def test_entries_stay_while_the_index_is_not_durable(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    parts.put(SAMPLE)
    job = filing(parts)
    with monkeypatch.context() as patch:
        patch.setattr(parts.index, "sync", lambda: False)
        assert job.step() <= 1, "it comes again soon"
        assert len(parts.spool.entries()) == 1
        assert parts.index.waiting(limit=10) == []
    job.step()
    assert parts.spool.entries() == []


@pytest.mark.parametrize("is_after", [False, True])
@pytest.mark.parametrize(
    ("thing", "method"),
    [
        ("index", "waiting"),
        ("spool", "open"),
        ("storage", "put"),
        ("storage", "sync"),
        ("index", "mark_stored"),
        ("index", "sync"),
        ("spool", "remove"),
    ],
)
@pytest.mark.parametrize("policy", [DuplicatePolicy.KEEP_BOTH, DuplicatePolicy.REFUSE])
def test_a_crash_at_any_step_leaves_one_object_and_no_entry(
    parts: Parts,
    monkeypatch: pytest.MonkeyPatch,
    thing: str,
    method: str,
    is_after: bool,
    policy: DuplicatePolicy,
) -> None:
    parts.put(SAMPLE)
    with monkeypatch.context() as patch:
        target = getattr(parts, thing)
        function = getattr(target, method)
        patch.setattr(target, method, raising_after(function, Died()) if is_after else raising(Died()))
        with pytest.raises(Died):
            filing(parts).step()
    assert objects(parts) or parts.spool.entries(), "at every point there is a copy"
    recover(parts.index, parts.spool, parts.with_policy(policy), parts.custody)
    filing(parts).step()
    assert objects(parts) == {name(SAMPLE): SAMPLE.file}
    assert parts.spool.entries() == parts.index.waiting(limit=10) == []
    assert len(parts.everything()) == 1


# What is there already


def test_an_equal_object_is_our_own_earlier_success(parts: Parts) -> None:
    parts.put(SAMPLE)
    put(parts.storage, name(SAMPLE), BytesReadable(SAMPLE.file))
    filing(parts).step()
    assert parts.spool.entries() == parts.index.waiting(limit=10) == []


@pytest.mark.parametrize("there", [b"", SAMPLE.file[:-1], SAMPLE.file[:-1] + b"!"])
def test_another_object_is_left_alone_and_reported_once(
    parts: Parts, there: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    parts.put(SAMPLE)
    parts.put(Sample(2))
    put(parts.storage, name(SAMPLE), BytesReadable(there))
    job = filing(parts)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            job.step()
    assert objects(parts) == {name(SAMPLE): there, name(Sample(2)): Sample(2).file}
    (entry,) = parts.spool.entries()
    assert [place.token for place in parts.index.waiting(limit=10)] == [entry.token]
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    (event,) = parts.noted()
    assert (event.kind, event.name, event.sop_instance_uid) == (
        CustodyKind.NOT_FILED,
        name(SAMPLE),
        SAMPLE.uid,
    )
    assert SAMPLE.uid in record.getMessage()


def test_a_torn_entry_never_becomes_an_object(parts: Parts) -> None:
    parts.put(SAMPLE)
    (entry,) = parts.spool.entries()
    (parts.spool._ready.path / entry.name).write_bytes(SAMPLE.file[:-1])
    filing(parts).step()
    assert objects(parts) == {}
    assert parts.spool.entries() == [entry]


# Trouble


def test_temporary_trouble_backs_off_and_then_goes_on(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, clock: Monotonic, caplog: pytest.LogCaptureFixture
) -> None:
    parts.put(SAMPLE)
    job = filing(parts, clock)
    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(parts.storage, "put", raising(OutOfResources("bucket away")))
        waits = []
        for _ in range(8):
            waits.append(job.step())
            clock.seconds += waits[-1]
    assert waits == sorted(waits)
    assert waits[0] == 1.0
    assert waits[-1] == waits[-2] == 30.0
    assert [record.levelname for record in caplog.records] == ["WARNING"], "said once"
    assert len(parts.spool.entries()) == 1
    job.step()
    assert objects(parts) == {name(SAMPLE): SAMPLE.file}
    monkeypatch.setattr(parts.index, "waiting", raising(TemporaryError("busy")))
    clock.seconds += 60
    assert job.step() == 1.0, "the next trouble begins from the start"


def test_a_ring_does_not_shorten_the_wait_after_trouble(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, clock: Monotonic, caplog: pytest.LogCaptureFixture
) -> None:
    """Under load the bell rings all the time: a bucket in trouble must not be asked as often."""
    parts.put(SAMPLE)
    job, calls = filing(parts, clock), list[str]()

    def failing(name: str, source: Readable, facts: ObjectFacts) -> None:
        calls.append(name)
        raise OutOfResources("bucket away")

    monkeypatch.setattr(parts.storage, "put", failing)
    with caplog.at_level(logging.WARNING):
        assert job.step() == 1.0
        clock.seconds += 0.25
        assert job.step() == pytest.approx(0.75)
        assert job.step() == pytest.approx(0.75)
        assert len(calls) == len(caplog.records) == 1
        clock.seconds += 0.75
        assert job.step() == 2.0
    assert len(calls) == 2


def test_one_instance_in_trouble_does_not_hold_back_the_others(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, clock: Monotonic
) -> None:
    samples = [Sample(number) for number in range(4)]
    for sample in samples:
        parts.put(sample)
        parts.clock.now_ms += 1
    whole = parts.storage.put

    def failing(object_name: str, source: Readable, facts: ObjectFacts) -> None:
        if object_name == name(samples[1]):
            raise OutOfResources("this one folder cannot be written")
        whole(object_name, source, facts)

    job = filing(parts, clock)
    with monkeypatch.context() as patch:
        patch.setattr(parts.storage, "put", failing)
        clock.seconds += job.step()
        assert name(samples[0]) in objects(parts)
        assert parts.index.waiting(limit=1)[0].sop_instance_uid == samples[1].uid, (
            "what was put before the trouble is recorded"
        )
        clock.seconds += job.step()
        assert set(objects(parts)) == {name(sample) for sample in samples} - {name(samples[1])}
    for _ in range(2):
        clock.seconds += job.step()
    assert set(objects(parts)) == {name(sample) for sample in samples}
    assert parts.spool.entries() == []


def test_an_entry_that_is_gone_is_reported_once(parts: Parts, caplog: pytest.LogCaptureFixture) -> None:
    parts.put(SAMPLE)
    (entry,) = parts.spool.entries()
    parts.spool.remove(entry)
    job = filing(parts)
    for _ in range(2):
        job.step()
    assert len(caplog.records) == 1
    assert [event.kind for event in parts.noted()] == [CustodyKind.LOST]


def test_a_damaged_index_is_not_swallowed(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts.index, "waiting", raising(PermanentError("damaged")))
    job = filing(parts)
    with pytest.raises(PermanentError):
        job.step()
    assert job.report() == {"failures": 1, "trouble": "damaged", "kept": 0, "reasons": []}


def test_served_bytes_are_the_same_before_while_and_after(parts: Parts) -> None:
    """The index is read before an instance moves and used after it."""
    parts.put(SAMPLE)
    (before,) = parts.everything()
    filing(parts).step()
    for place in (before, *parts.everything()):
        readable = parts.objects.open_checked(place)
        assert readable.length == len(SAMPLE.file)
        readable.close()
    assert name_of(before) == name(SAMPLE)


def test_it_tells_how_it_goes(parts: Parts, monkeypatch: pytest.MonkeyPatch, clock: Monotonic) -> None:
    healthy: dict[str, object] = {"failures": 0, "trouble": None, "kept": 0, "reasons": []}
    parts.put(SAMPLE)
    put(parts.storage, name(SAMPLE), BytesReadable(b"something else"))
    job = filing(parts, clock)
    assert job.report() == healthy
    with monkeypatch.context() as patch:
        patch.setattr(parts.storage, "put", raising(OutOfResources("bucket away")))
        for failures in (1, 2):
            clock.seconds += job.step()
            assert job.report() == {**healthy, "failures": failures, "trouble": "bucket away"}
    clock.seconds += job.step()
    why = f"object {name(SAMPLE)} exists already with other bytes"
    reason = {"sop_instance_uid": SAMPLE.uid, "version": 0, "why": why}
    assert job.report() == {**healthy, "kept": 1, "reasons": [reason]}
    parts.storage.delete(name(SAMPLE))
    clock.seconds += job.step()
    assert objects(parts) == {name(SAMPLE): SAMPLE.file}
    assert job.report() == healthy


# Far away: several at a time, shared out, with metadata


class Slow(MemoryStorage):
    """Notes how many are put at the same time, once so many have come."""

    def __init__(self, together: int) -> None:
        super().__init__()
        self._barrier = threading.Barrier(together, timeout=20)
        self.facts: list[ObjectFacts] = []

    def put(self, name: str, source: Readable, facts: ObjectFacts) -> None:
        self._barrier.wait()
        self.facts.append(facts)
        super().put(name, source, facts)


def far(parts: Parts, storage: Storage, share: Share, node: str | None = None) -> Filing:
    return Filing(
        index=parts.index,
        spool=parts.spool,
        storage=storage,
        custody=parts.custody,
        stop=lambda: False,
        share=share,
        node=node,
    )


def test_threads_put_side_by_side_and_each_instance_once(parts: Parts) -> None:
    samples = [Sample(number) for number in range(8)]
    for sample in samples:
        parts.put(sample)
    storage = Slow(4)
    far(parts, storage, Share(threads=4), node="main").step()
    assert {info.name for info in storage.list()} == {name(sample) for sample in samples}
    assert parts.spool.entries() == parts.index.waiting(limit=10) == []
    first = storage.facts[0].metadata
    assert first[CALLING_AE_TITLE] == "CT1"
    assert first[NODE] == "main"
    assert len(storage.facts) == 8


def test_processes_share_out_the_series(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BATCH", 3)
    samples = [Sample(number, series=f"1.2.826.7.{number}") for number in range(12)]
    for sample in samples:
        parts.put(sample)
    storage = MemoryStorage()
    first, second = (far(parts, storage, Share(number, 2)) for number in (0, 1))
    while first.step() == 0:
        pass
    put_by_first = {info.name for info in storage.list()}
    assert 0 < len(put_by_first) < 12
    while second.step() == 0:
        pass
    assert {info.name for info in storage.list()} == {name(sample) for sample in samples}
    assert {name_of(place) for place in parts.everything() if first._share.has(place)} == put_by_first


def test_what_was_put_before_trouble_is_recorded(parts: Parts) -> None:
    samples = [Sample(number) for number in range(6)]
    for sample in samples:
        parts.put(sample)
    storage = MemoryStorage()
    whole, calls = storage.put, list[str]()

    def failing(name: str, source: Readable, facts: ObjectFacts) -> None:
        calls.append(name)
        if len(calls) == 4:
            raise StorageAway("the bucket is away")
        whole(name, source, facts)

    storage.put = failing  # type: ignore[method-assign]
    job = far(parts, storage, Share(threads=1))
    assert job.step() == 1.0
    assert len(parts.index.waiting(limit=10)) == 3
    assert len(parts.spool.entries()) == 3


def test_a_bucket_that_refuses_is_one_trouble_and_not_one_for_each(
    parts: Parts, clock: Monotonic, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(5):
        parts.put(Sample(number))
    storage = MemoryStorage()
    job = Filing(
        index=parts.index,
        spool=parts.spool,
        storage=storage,
        custody=parts.custody,
        stop=lambda: False,
        now=clock,
    )
    whole = storage.put
    storage.put = raising(StorageRefused("bucket x is not there"))  # type: ignore[assignment]
    with caplog.at_level(logging.INFO, "pacsnode.jobs.filing"):
        for _ in range(3):
            clock.seconds += job.step()
        assert job.report()["kept"] == 0
        assert job.report()["trouble"] == "bucket x is not there"
        storage.put = whole  # type: ignore[method-assign]
        job.step()
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]
    assert len(list(storage.list())) == 5
