"""A node with a bucket, all of its processes: what is acknowledged reaches the bucket, whatever happens on the way.

The bucket is gcp-storage-emulator behind the fault proxy (`tests/buckets`).
"""

import json
import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

from pydicom import Dataset

from pacsnode.dimse import scu
from pacsnode.dimse.scu import Caller
from pacsnode.storage.metadata import CALLING_AE_TITLE, FILE_CRC32C, NODE, received_at_ms_of
from pacsnode.storage.names import is_of_the_node
from tests.buckets import faults
from tests.buckets.fixtures import TestBucket
from tests.factories import Sample
from tests.faults import bounded
from tests.served import PROGRAM, ServedNode, has_ended, is_filed

CALLER = Caller("CT1")
STATE = "_state/"


def node(data_dir: Path, bucket: TestBucket, *options: str, **settings: str) -> ServedNode:
    """Return a node whose storage is the bucket; the emulator's address is in the environment."""
    fixed = {"storage__url": f"gs://{bucket.name}/pre", "node__name": "main", "spool__min_free": "0"}
    return ServedNode(data_dir, options=options, **fixed | settings)


def written(folder: Path, samples: Sequence[Sample]) -> list[Path]:
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{at}.dcm" for at in range(len(samples))]
    for path, sample in zip(paths, samples, strict=True):
        path.write_bytes(sample.file)
    return paths


def stored(running: ServedNode, folder: Path, samples: Sequence[Sample]) -> None:
    sent = list(scu.send(CALLER, running.remote, written(folder, samples)))
    assert [one.status for one in sent] == [0] * len(samples), running.log()


def objects(bucket: TestBucket) -> dict[str, dict[str, str]]:
    """Return the metadata of each instance in the bucket."""
    storage = bucket.storage("pre")
    try:
        return {info.name: dict(info.metadata) for info in storage.list() if not is_of_the_node(info.name)}
    finally:
        storage.close()


def names(samples: Sequence[Sample]) -> set[str]:
    return {f"{one.study}/{one.series}/{one.uid}.dcm" for one in samples}


def of_many_series(count: int) -> list[Sample]:
    return [Sample(number, series=f"1.2.826.7.{number % 7}") for number in range(count)]


def test_what_is_stored_reaches_the_bucket_and_comes_back(bucket: TestBucket, tmp_path: Path) -> None:
    samples = of_many_series(30)
    with node(tmp_path / "data", bucket, storage__gcs__uploaders="2") as running:
        stored(running, tmp_path / "sent", samples)
        assert is_filed(running.data_dir), running.log()
        found = objects(bucket)
        assert set(found) == names(samples)
        for metadata in found.values():
            assert (metadata[CALLING_AE_TITLE], metadata[NODE]) == ("CT1", "main")
            assert int(metadata[FILE_CRC32C], 16) >= 0
            assert received_at_ms_of(metadata) is not None
        assert got(running, tmp_path / "first", samples) == 30
        assert downloads(bucket) == 0, "what was uploaded of late is still nearby"
        first, *_ = (running.data_dir / "cache").glob("*-*")
        first.write_bytes(first.read_bytes()[:-1] + b"!")
        assert got(running, tmp_path / "second", samples) == 30
        assert downloads(bucket) == 1, "the damaged one"
        for path in (running.data_dir / "cache").glob("*-*"):
            path.unlink()
        assert got(running, tmp_path / "third", samples) == 30
        assert downloads(bucket) == 31
        assert running.terminate()[0] == 0, running.log()


def got(running: ServedNode, folder: Path, samples: Sequence[Sample]) -> int:
    """Retrieve the study and compare each data set; return how many came."""
    folder.mkdir()
    asked = Dataset()
    asked.QueryRetrieveLevel, asked.StudyInstanceUID = "STUDY", samples[0].study
    *_, final = scu.get(CALLER, running.remote, asked, patient_root=False, folder=folder)
    assert final.status == 0, final
    for sample in samples:
        assert (folder / f"{sample.uid}.dcm").read_bytes().endswith(sample.data_set)
    return final.completed


def downloads(bucket: TestBucket) -> int:
    return sum("alt=media" in target and STATE not in target for _, target, _ in bucket.proxy.asked)


def test_a_bucket_that_is_away_is_never_felt_and_made_up_for(bucket: TestBucket, tmp_path: Path) -> None:
    samples = of_many_series(20)
    with node(tmp_path / "data", bucket) as running:
        bucket.proxy.plan(faults.answer(503, "backendError", "away"), contains="/upload/", times=10_000)
        stored(running, tmp_path / "sent", samples)
        assert objects(bucket) == {}
        # First the uploads fail; once the lease could not be renewed either, that is what is wrong.
        assert any(is_trouble(problem) for _ in bounded(90) for problem in problems(running)), running.log()
        bucket.proxy.clear()
        assert is_filed(running.data_dir), running.log()
        assert set(objects(bucket)) == names(samples)
        assert not any(map(is_trouble, problems(running, until_none=True)))


def is_trouble(problem: str) -> bool:
    return problem.startswith(("filing fails: ", "lease: "))


def problems(running: ServedNode, *, until_none: bool = False) -> list[str]:
    """Return what `pacsnode status` says is wrong; with `until_none`, when it says nothing or after a while."""
    found: list[str] = []
    for _ in bounded(30 if until_none else 0.001):
        done = subprocess.run(
            [*PROGRAM, "status", "--data-dir", str(running.data_dir), "--json"],
            stdout=subprocess.PIPE,
            check=False,
            timeout=30,
        )
        said = [json.loads(line) for line in done.stdout.splitlines()]
        found = [line["problem"]["problem"] for line in said if "problem" in line]
        if not until_none or not found:
            break
    return found


def test_a_forbidden_bucket_at_start_the_node_receives_and_says_so(
    bucket: TestBucket, tmp_path: Path
) -> None:
    samples = of_many_series(5)
    bucket.proxy.plan(faults.answer(403, "forbidden", "no"), contains="/storage/v1/", times=10_000)
    bucket.proxy.plan(faults.answer(403, "forbidden", "no"), contains="/upload/", times=10_000)
    with node(tmp_path / "data", bucket) as running:
        stored(running, tmp_path / "sent", samples)
        assert any("role" in problem for _ in bounded(60) for problem in problems(running)), running.log()
        bucket.proxy.clear()
        assert is_filed(running.data_dir), running.log()
        assert set(objects(bucket)) == names(samples)


def test_lost_answers_and_damage_on_the_way_give_each_object_once(bucket: TestBucket, tmp_path: Path) -> None:
    samples = of_many_series(60)
    bucket.proxy.plan(faults.reset_after, contains="/upload/", times=10_000, share=0.2, seed=1)
    bucket.proxy.plan(faults.flip_sent(0.7), contains="/upload/", times=10_000, share=0.1, seed=2)
    with node(tmp_path / "data", bucket) as running:
        stored(running, tmp_path / "sent", samples)
        assert is_filed(running.data_dir), running.log()
        bucket.proxy.clear()
        assert set(objects(bucket)) == names(samples)
        storage = bucket.storage("pre")
        for sample in samples:
            readable = storage.open(f"{sample.study}/{sample.series}/{sample.uid}.dcm")
            assert readable.length >= len(sample.data_set)
            readable.close()
        storage.close()


def test_an_uploader_that_is_killed_is_replaced_and_nothing_is_lost(
    bucket: TestBucket, tmp_path: Path
) -> None:
    samples = of_many_series(40)
    until = threading.Event()
    with node(tmp_path / "data", bucket) as running:
        bucket.proxy.plan(faults.hold(until), contains="/upload/", times=8)
        stored(running, tmp_path / "sent", samples)
        first = running.pid_of("uploader")
        os.kill(first, signal.SIGKILL)
        until.set()
        assert is_filed(running.data_dir), running.log()
        assert running.pid_of("uploader") != first
        assert set(objects(bucket)) == names(samples)
        assert running.terminate()[0] == 0, running.log()


def test_a_stop_during_an_outage_is_bounded_and_the_next_run_goes_on(
    bucket: TestBucket, tmp_path: Path
) -> None:
    samples, until = of_many_series(10), threading.Event()
    bucket.proxy.plan(faults.answer(503, "backendError", "away"), contains="/upload/", times=10_000)
    with node(tmp_path / "data", bucket) as running:
        stored(running, tmp_path / "sent", samples)
        code, seconds = running.terminate()
        assert (code, seconds < 25) == (0, True), running.log()
    until.set()
    bucket.proxy.clear()
    with node(tmp_path / "data", bucket) as running:
        assert is_filed(running.data_dir), running.log()
        assert set(objects(bucket)) == names(samples)


def test_a_second_node_is_refused_and_may_take_over(bucket: TestBucket, tmp_path: Path) -> None:
    samples = of_many_series(6)
    with node(tmp_path / "first", bucket) as first:
        stored(first, tmp_path / "one", samples[:2])
        assert is_filed(first.data_dir), first.log()
        second = node(tmp_path / "second", bucket, node__name="other")
        second.launch()
        assert second.wait() == 75
        assert f'gs://{bucket.name}/pre is written by node "main" on host ' in second.log()
        second.__exit__()
        with node(tmp_path / "third", bucket, "--take-over", node__name="heir") as heir:
            assert 'was taken over from node "main"' in heir.log()
            lost = 'lease: lost: gs://tests/pre is written by node "heir"'
            assert any(lost in problem for _ in bounded(60) for problem in problems(first)), first.log()
            stored(first, tmp_path / "two", samples[2:4])
            stored(heir, tmp_path / "three", samples[4:])
            assert is_filed(heir.data_dir), heir.log()
            assert set(objects(bucket)) == names(samples[:2] + samples[4:])
            assert len(list((first.data_dir / "spool" / "ready").iterdir())) == 2
            assert heir.terminate()[0] == 0
        assert first.terminate()[0] == 0
    with node(tmp_path / "first", bucket) as again:
        assert is_filed(again.data_dir), again.log()
        assert set(objects(bucket)) == names(samples)


def test_the_jobs_are_replaced_and_the_lease_goes_on(bucket: TestBucket, tmp_path: Path) -> None:
    with node(tmp_path / "data", bucket) as running:
        first = running.pid_of("jobs")
        os.kill(first, signal.SIGKILL)
        assert has_ended(first)
        stored(running, tmp_path / "sent", of_many_series(3))
        assert is_filed(running.data_dir), running.log()
