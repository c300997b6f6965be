"""What the index costs: bytes an instance, adds a second (single, grouped, several processes), queries.

usage: bench_index.py [INSTANCES]
"""

import argparse
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pacsnode.dicom.attributes import BY_KEYWORD, Level
from pacsnode.dicom.header import Header
from pacsnode.dicom.query import InformationModel, Key, Moments, Query, Range, SingleValue, Wildcard, Words
from pacsnode.duplicates import DuplicatePolicy
from pacsnode.index.base import Arrival
from pacsnode.index.sqlite import SqliteIndex

KEEP_BOTH = DuplicatePolicy.KEEP_BOTH
ROOT = "1.2.826.0.1.3680043.8.498."
INSTANCES_IN_SERIES, SERIES_IN_STUDY = 100, 3


def arrivals(
    count: int, seed: int, *, in_series: int = INSTANCES_IN_SERIES, in_study: int = SERIES_IN_STUDY
) -> Iterator[Arrival]:
    """Yield a CT archive with UIDs as long as those of pydicom; `in_series` instances, `in_study` series."""
    rng = random.Random(seed)
    per_study = in_series * in_study
    values: dict[str, str] = {}
    study = series = ""
    for at in range(count):
        if at % per_study == 0:
            study, values = uid(rng), study_values(rng)
        if at % in_series == 0:
            series = uid(rng)
            values |= {"SeriesNumber": str(at // in_series % in_study + 1), "Modality": "CT"}
        number = at % in_series + 1
        own = image_values(rng, number)
        header = Header("1.2.840.10008.5.1.4.1.1.2", uid(rng), study, series, values | own, ("ISO_IR 100",))
        yield Arrival(
            header=header,
            transfer_syntax_uid="1.2.840.10008.1.2.1",
            token=(seed << 40) + at + 1,
            file_length=526_000 + rng.randrange(5000),
            file_crc32c=rng.randrange(1 << 32),
            data_set_length=525_000,
            data_set_crc32c=rng.randrange(1 << 32),
            calling_ae_title="CT1",
            received_at_ms=1_790_000_000_000 + at,
        )


def uid(rng: random.Random) -> str:
    """Return a UID of 64 characters, random as those of pydicom."""
    return ROOT + str(rng.randrange(10**37, 10**38))


def image_values(rng: random.Random, number: int) -> dict[str, str]:
    """Return what differs from image to image in a CT series."""
    moment = f"{100000 + number}.{rng.randrange(10**6):06}"
    return {
        "InstanceNumber": str(number), "ContentTime": moment, "AcquisitionTime": moment,
        "InstanceCreationTime": f"{100000 + number}.{rng.randrange(10**3):03}",
        "ImagePositionPatient": f"-180.6{rng.randrange(10**4)}\\-171.3{rng.randrange(10**4)}\\{-number * 1.25}",
    }  # fmt: skip


def study_values(rng: random.Random) -> dict[str, str]:
    """Return what is the same in all instances of a study."""
    number = rng.randrange(100_000)
    date = f"20{rng.randrange(10, 27)}{rng.randrange(1, 13):02}{rng.randrange(1, 29):02}"
    return {
        "PatientName": f"FAMILY{number % 5000}^GIVEN{number}", "PatientID": f"PID{number:07}",
        "PatientBirthDate": "19600101", "PatientSex": "O", "StudyDate": date, "StudyTime": "101500",
        "AccessionNumber": f"A{rng.randrange(10**8):08}", "StudyDescription": "CT CHEST WITH CONTRAST",
        "ReferringPhysicianName": "REFERRING^PHYSICIAN", "StudyID": str(number), "SeriesDate": date,
        "SeriesTime": "101600", "Manufacturer": "ACME MEDICAL", "InstitutionName": "GENERAL HOSPITAL",
        "StationName": "CT01", "SeriesDescription": "AX 1.0 SOFT", "ManufacturerModelName": "SCAN 64",
        "BodyPartExamined": "CHEST", "ProtocolName": "CHEST ROUTINE", "ContentDate": date,
        "AcquisitionNumber": "1", "Rows": "512", "Columns": "512", "BitsAllocated": "16",
        "AcquisitionDate": date, "InstanceCreationDate": date, "ImageType": "ORIGINAL\\PRIMARY\\AXIAL",
        "ImageOrientationPatient": "1\\0\\0\\0\\1\\0", "TimezoneOffsetFromUTC": "+0100",
        "AcquisitionDateTime": f"{date}101500.123456",
        "ProcedureCodeSequence": '[{"CodeValue":"CTCH","CodingSchemeDesignator":"99X","CodeMeaning":"CT chest"}]',
        "RequestAttributesSequence": '[{"ScheduledProcedureStepID":"S1","RequestedProcedureID":"R1"}]',
    }  # fmt: skip


def timed(title: str, count: int, work: Callable[[], None]) -> None:
    """Print how long the work took for each of `count`."""
    start = time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    print(f"{title:44} {count / seconds:10,.0f}/s {seconds / count * 1e6:9.1f} us each")


def one_by_one(index: SqliteIndex, prepared: list[Arrival]) -> None:
    """Add with a commit each."""
    for arrival in prepared:
        index.add(arrival, KEEP_BOTH)


def from_threads(index: SqliteIndex, prepared: list[Arrival], threads: int) -> None:
    """Add from several threads, whose commits are grouped."""
    workers = [
        threading.Thread(target=one_by_one, args=(index, prepared[at::threads])) for at in range(threads)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def in_groups(index: SqliteIndex, prepared: list[Arrival]) -> None:
    """Add 64 in one transaction, as a rebuild does."""
    add = index._additions.add
    for at in range(0, len(prepared), 64):
        batch = prepared[at : at + 64]
        index._database.write(
            lambda connection, batch=batch: [add(connection, one, KEEP_BOTH, frozenset()) for one in batch]
        )


def latencies(path: Path, count: int, seed: int) -> None:
    """Print percentiles of single adds, while other processes do the same."""
    sys.setswitchinterval(0.0001)
    index, prepared, took = SqliteIndex(path), list(arrivals(count, seed)), []
    for arrival in prepared:
        start = time.perf_counter()
        index.add(arrival, KEEP_BOTH)
        took.append((time.perf_counter() - start) * 1e3)
    index.close()
    took.sort()
    print(f"  p50 {took[count // 2]:.3f} ms, p99 {took[count * 99 // 100]:.3f} ms, max {took[-1]:.3f} ms")


def queries(index: SqliteIndex) -> None:
    """Time typical questions."""
    asked = (
        "PatientName PatientID StudyDate StudyInstanceUID StudyDescription AccessionNumber ModalitiesInStudy"
    )
    returned = tuple(BY_KEYWORD[one] for one in asked.split())
    first = next(iter(index.everything(page=1)))[0]
    cases = {
        "everything": (),
        "patient id": (Key(BY_KEYWORD["PatientID"], SingleValue("PID0000042")),),
        "study uid": (Key(BY_KEYWORD["StudyInstanceUID"], SingleValue(first.study_instance_uid)),),
        "name prefix": (Key(BY_KEYWORD["PatientName"], Wildcard("FAMILY42*")),),
        "one day": (Key(BY_KEYWORD["StudyDate"], Range("20200110", "20200110")),),
        "ten years": (Key(BY_KEYWORD["StudyDate"], Range("20100101", "20191231")),),
        "ten years of mornings": (
            Key(BY_KEYWORD["StudyDate"], Moments("20100101060000.000000", "20191231120000.000000")),
        ),
        "name in words": (Key(BY_KEYWORD["PatientName"], Words(("given42", "family"))),),
        "patient id in any case": (
            Key(BY_KEYWORD["PatientID"], SingleValue("pid0000042"), match_case=False),
        ),
        "no match, no index": (Key(BY_KEYWORD["StudyDescription"], Wildcard("*NOTHING*")),),
        "no match, no index, in any case": (
            Key(BY_KEYWORD["StudyDescription"], Wildcard("*NOTHING*"), match_case=False),
        ),
    }
    for title, keys in cases.items():
        query = Query(InformationModel.STUDY_ROOT, Level.STUDY, keys, returned)
        start = time.perf_counter()
        pages = index.find(query)
        rows = len(next(pages, ()))
        first_page = time.perf_counter() - start
        rows += sum(len(page) for page in pages)
        seconds = time.perf_counter() - start
        print(
            f"find {title:39} {rows:8} rows {first_page * 1e3:8.2f} ms to first {seconds * 1e3:8.2f} in all"
        )


def main(count: int) -> None:
    """Run all."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index.db"
        index, prepared = SqliteIndex(path), list(arrivals(count, 1))
        single = count // 5
        timed("add, one by one, synchronous NORMAL", single, lambda: one_by_one(index, prepared[:single]))
        timed("add, 8 threads", single, lambda: from_threads(index, prepared[single : 2 * single], 8))
        timed(
            "add, 64 in a transaction", count - 2 * single, lambda: in_groups(index, prepared[2 * single :])
        )
        index._database.checkpoint("TRUNCATE")
        print(f"{'file, all still in the spool':44} {path.stat().st_size / count:10.1f} bytes an instance")
        timed("mark_stored", count, lambda: index.mark_stored(range(1, count + 1)))
        index._database.write(lambda connection: None)
        with index._database.readers.connection() as connection:
            used = connection.execute("SELECT sum(pgsize) FROM dbstat").fetchone()[0]
            print(f"{'pages in use, all stored':44} {used / count:10.1f} bytes an instance")
            for name, size in connection.execute(
                "SELECT name, sum(pgsize) FROM dbstat GROUP BY 1 ORDER BY 2 DESC"
            ):
                if size > count:
                    print(f"    {name:40} {size / count:10.1f}")
        queries(index)
        index.close()
        print("single adds from 3 processes:")
        me = [sys.executable, __file__, "--latencies", str(path)]
        for child in [subprocess.Popen([*me, str(seed)]) for seed in (2, 3, 4)]:
            child.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("instances", nargs="?", type=int, default=100_000)
    parser.add_argument("--latencies", nargs=2, metavar=("FILE", "SEED"))
    arguments = parser.parse_args()
    if arguments.latencies:
        latencies(Path(arguments.latencies[0]), 3000, int(arguments.latencies[1]))
    else:
        main(arguments.instances)
