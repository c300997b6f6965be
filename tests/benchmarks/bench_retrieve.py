"""C-GET and C-MOVE of the node against the floor, a bare sender to the same receiver (bare_sender.py).

usage: bench_retrieve.py [--rounds N] [--large COUNT] [--small COUNT] [--memory COUNT] [--folder DIR]

Studies of 530 kB and of 10 kB instances over one association: C-GET to DCMTK's getscu, C-MOVE to DCMTK's storescp,
neither of which keeps anything. Both senders take turns within each round; of each time what the client takes for an
empty answer is taken off. Then the resident memory of the worker that sends a study of many instances, against idle.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Self

import pydicom

from pacsnode.dimse import scu
from pacsnode.dimse.association.requestor import Caller
from pacsnode.dimse.scu import Remote
from tests.benchmarks import rounds, slices
from tests.benchmarks.clients import ENVIRONMENT, MAX_PDU_BYTES
from tests.benchmarks.servers import forget_peak, resident_mb, settle
from tests.interop.dcmtk import reserved_port, storescp
from tests.served import ROOT, ServedNode

TARGET, MEMORY_TARGET_MB = 0.8, 100.0
NO_STUDY = "1.2.3.4.5.6.7.8.9"
CONFIG = """
[access]
unknown_peers = "all"

[[peers]]
name = "dest"
ae_title = "DEST"
host = "127.0.0.1"
port = {port}
"""


class BareSender:
    """`bare_sender.py` as a process. A context manager."""

    def __init__(self, folder: Path, destination_port: int) -> None:
        self._words = (str(folder), str(destination_port))

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.bare_sender", *self._words],
            cwd=ROOT,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        self.remote = Remote("BARE", "127.0.0.1", int(self._process.stdout.readline()))
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


def get_seconds(remote: Remote, study: str) -> float:
    """Retrieve a study with getscu, which drops what it gets; return how long it took."""
    return _seconds("getscu", remote, study, "--ignore", "--max-pdu", str(MAX_PDU_BYTES))


def move_seconds(remote: Remote, study: str) -> float:
    """Have a study sent to DEST; return how long it took."""
    return _seconds("movescu", remote, study, "-aem", "DEST")


def _seconds(program: str, remote: Remote, study: str, *options: str) -> float:
    keys = ("-S", "-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study}")
    command = [f"/usr/bin/{program}", "-aec", remote.ae_title, *options, *keys, remote.host, str(remote.port)]
    start = time.perf_counter()
    subprocess.run(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def rate(retrieve: partial[float], empty: partial[float], count: int) -> float:
    """Return the instances a second, without what the client takes for nothing."""
    floor = statistics.median(empty() for _ in range(3))
    return count / max(retrieve() - floor, 1e-3)


@contextmanager
def served(folder: Path, destination_port: int) -> Iterator[ServedNode]:
    """Run a node that knows the destination."""
    config = folder / "config.toml"
    config.write_text(CONFIG.format(port=destination_port), encoding="utf-8")
    program = (sys.executable, "-m", "pacsnode", "--config", str(config))
    with ServedNode(folder / "node", program=program) as node:
        yield node


def store(remote: Remote, folder: Path) -> None:
    """Store a folder as it is. Raises `RuntimeError` if something is not taken."""
    statuses = {result.status for result in scu.send(Caller("BENCH"), remote, sorted(folder.iterdir()))}
    if statuses != {0}:
        raise RuntimeError(f"not stored: {statuses}")


def study_of(folder: Path) -> str:
    """Return the Study Instance UID of a folder's instances."""
    found = pydicom.dcmread(next(folder.iterdir()), specific_tags=["StudyInstanceUID"])
    return str(found.StudyInstanceUID)


def measure(folder: Path, large: int, small: int, memory: int, times: int) -> None:
    """Print the tables."""
    sets = {
        "530 kB": slices.write(slices.ct512(), folder / "large", large),
        "10 kB": slices.write(slices.mr64(), folder / "small", small),
    }
    with ExitStack() as started:
        port = started.enter_context(reserved_port())
        received = folder / "received"
        started.enter_context(storescp(received, port, "--ignore", "-pdu", str(MAX_PDU_BYTES), aet="DEST"))
        node = started.enter_context(served(folder, port))
        bare = {name: started.enter_context(BareSender(path, port)) for name, path in sets.items()}
        for path in sets.values():
            store(node.remote, path)
        settle(node)
        measures = {}
        for name, path in sets.items():
            count, study = len(list(path.iterdir())), study_of(path)
            for operation, take in (("C-GET", get_seconds), ("C-MOVE", move_seconds)):
                empty = partial(take, node.remote, NO_STUDY)
                for of, remote in (("node", node.remote), ("floor", bare[name].remote)):
                    work = partial(rate, partial(take, remote, study), empty, count)
                    measures[f"{operation} {name} {of}"] = work
        rates = rounds.medians(times, measures)
        rows = [
            (what, rates[f"{what} node"], rates[f"{what} floor"], ratio, TARGET)
            for what in (name.removesuffix(" node") for name in measures if name.endswith(" node"))
            for ratio in (rates[f"{what} node"] / rates[f"{what} floor"],)
        ]
        rounds.table(("instances a second", "node", "floor", "node / floor", "target"), rows)
        print()
        resident(node, folder, memory)


def resident(node: ServedNode, folder: Path, count: int) -> None:
    """Print what the worker holds while it sends a study of so many instances."""
    if not count:
        return
    path = slices.write(slices.mr64(), folder / "many", count)
    store(node.remote, path)
    settle(node)
    worker, study, rows = node.pid_of("worker"), study_of(path), []
    for operation, take in (("C-GET", get_seconds), ("C-MOVE", move_seconds)):
        idle = resident_mb(worker)
        forget_peak(worker)
        take(node.remote, study)
        peak = resident_mb(worker, peak=True)
        rows.append((f"{operation}, {count} instances", idle, peak, peak - idle, MEMORY_TARGET_MB))
    rounds.table(("resident MB of the worker", "idle", "peak", "more", "target"), rows)


if __name__ == "__main__":
    parser = rounds.options(__doc__)
    parser.add_argument("--large", type=int, default=400, help="instances of 530 kB in a study")
    parser.add_argument("--small", type=int, default=2000, help="instances of 10 kB in a study")
    parser.add_argument("--memory", type=int, default=5000, help="instances to measure memory with; 0 is not")
    arguments = parser.parse_args()
    print(rounds.machine())
    with rounds.work_folder(arguments.folder) as folder:
        measure(folder, arguments.large, arguments.small, arguments.memory, arguments.rounds)
