"""A node with a bucket: what C-STORE costs while it uploads, or cannot; how fast it uploads; and reads from far away.

usage: bench_bucket.py [--rounds N] [--large COUNT] [--small COUNT] [--folder DIR]

The bucket is `bucket_server.py`, in a process of its own, which answers after 30 ms; or nobody listens there. C-STORE
is by DCMTK's storescu over one association, in turn to a node with a directory, to one whose bucket is away, and to one
that uploads meanwhile what it has been sent. Uploading is from the end of the sending to the last object. C-GET is by
DCMTK's getscu of a study of which nothing is nearby any more, the cache's files being removed before.
"""

import os
import time
from contextlib import ExitStack, suppress
from pathlib import Path

from tests.benchmarks import rounds, slices
from tests.benchmarks.bench_retrieve import get_seconds, store, study_of
from tests.benchmarks.bucket_server import bucket_server
from tests.benchmarks.clients import store_rate
from tests.faults import bounded
from tests.interop.dcmtk import reserved_port
from tests.served import ServedNode, is_filed

LATENCY_SECONDS = 0.03
AWAY_TARGET, UPLOADING_TARGET, GET_TARGET_SECONDS = 0.9, 0.75, 5.0


def with_bucket(folder: Path, address: str) -> ServedNode:
    """Return a node whose bucket is at an address."""
    os.environ["STORAGE_EMULATOR_HOST"] = address
    try:
        return ServedNode(folder, storage__url="gs://bench/pre")
    finally:
        del os.environ["STORAGE_EMULATOR_HOST"]


def filed(node: ServedNode) -> None:
    """Wait until everything is in the bucket."""
    assert any(is_filed(node.data_dir) for _ in bounded(600))


def upload_rate(node: ServedNode, folder: Path) -> float:
    """Return how many instances a second reach the bucket, the time of sending included."""
    count, started = len(list(folder.iterdir())), time.perf_counter()
    store_rate(node.remote, [folder])
    filed(node)
    return count / (time.perf_counter() - started)


def far_seconds(node: ServedNode, study: str) -> float:
    """Return how long a C-GET takes of which nothing is nearby."""
    for path in (node.data_dir / "cache").glob("*-*"):
        with suppress(FileNotFoundError):
            path.unlink()
    return get_seconds(node.remote, study)


def measure(folder: Path, large: int, small: int, times: int) -> None:
    """Print the tables."""
    sets = {
        "530 kB": slices.write(slices.ct512(), folder / "large", large),
        "10 kB": slices.write(slices.mr64(), folder / "small", small),
    }
    with ExitStack() as started:
        nobody = started.enter_context(reserved_port())
        server = started.enter_context(bucket_server(LATENCY_SECONDS))
        directory = started.enter_context(ServedNode(folder / "directory"))
        away = started.enter_context(with_bucket(folder / "away", f"http://127.0.0.1:{nobody}"))
        uploading = started.enter_context(with_bucket(folder / "uploading", server))
        measures = {}
        for size, path in sets.items():
            for name, node in (("directory", directory), ("away", away), ("uploading", uploading)):
                store_rate(node.remote, [path])
                measures[f"{size} {name}"] = lambda node=node, path=path: store_rate(node.remote, [path])
            measures[f"{size} drained"] = lambda path=path: (filed(uploading), upload_rate(uploading, path))[
                1
            ]
        for path in sets.values():
            store(uploading.remote, path)
        filed(uploading)
        studies = {size: study_of(path) for size, path in sets.items()}
        for size, study in studies.items():
            measures[f"{size} get"] = lambda study=study: (filed(uploading), far_seconds(uploading, study))[1]
        found = rounds.medians(times, measures)
    rows = [
        (
            f"{size}: directory, bucket away, uploading",
            *(found[f"{size} {name}"] for name in ("directory", "away", "uploading")),
            found[f"{size} away"] / found[f"{size} directory"],
            found[f"{size} uploading"] / found[f"{size} directory"],
        )
        for size in sets
    ]
    titles = (
        "C-STORE a second",
        "directory",
        "away",
        "uploading",
        f"of it >= {AWAY_TARGET}",
        f">= {UPLOADING_TARGET}",
    )
    rounds.table(titles, rows)
    print()
    counts = {"530 kB": large, "10 kB": small}
    rounds.table(
        (
            "far away, 30 ms a request",
            "stored and up, /s",
            "C-GET, s",
            "instances",
            f"target <= {GET_TARGET_SECONDS} s",
        ),
        [(size, found[f"{size} drained"], found[f"{size} get"], str(counts[size]), "1,000") for size in sets],
    )


if __name__ == "__main__":
    parser = rounds.options(__doc__)
    parser.add_argument("--large", type=int, default=400, help="instances of 530 kB in a turn")
    parser.add_argument("--small", type=int, default=1000, help="instances of 10 kB in a turn")
    arguments = parser.parse_args()
    print(rounds.machine())
    with rounds.work_folder(arguments.folder) as folder:
        measure(folder, arguments.large, arguments.small, arguments.rounds)
