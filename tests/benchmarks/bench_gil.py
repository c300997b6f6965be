"""C-STORE beside an unselective C-FIND on the same node: what a store loses to a query that never ends.

usage: bench_gil.py [--rounds N] [--count COUNT] [--indexed N] [--folder DIR]

A second association asks for all indexed instances again and again, and reads the answers without looking at them. In
each round the node is first idle but for the stores, then it has both. Target: 0.4 of idle.
"""

import threading
from pathlib import Path
from typing import Self

from pacsnode.duplicates import DuplicatePolicy
from pacsnode.index.sqlite import SqliteIndex
from tests.benchmarks import rounds, slices
from tests.benchmarks.bench_index import arrivals
from tests.benchmarks.clients import FIND_STUDY_ROOT, HandMade, store_rate
from tests.benchmarks.servers import settle
from tests.factories import element
from tests.served import ServedNode

INDEX_FILE = Path("index") / "index-1.db"
TARGET = 0.4
LEAST_ANSWER_BYTES = 100

# All images of all studies, with what a workstation lists.
IDENTIFIER = b"".join(
    element(tag, vr, value)
    for tag, vr, value in (
        (0x00080018, "UI", b""),
        (0x00080052, "CS", b"IMAGE "),
        (0x00100010, "PN", b""),
        (0x00100020, "LO", b""),
        (0x0020000D, "UI", b""),
        (0x0020000E, "UI", b""),
        (0x00200013, "IS", b""),
    )
)


def fill(data_dir: Path, count: int) -> None:
    """Make the data folder of a node, as if it had stored so many instances."""
    with ServedNode(data_dir):
        pass  # it makes what else a node with images must have
    index = SqliteIndex(data_dir / INDEX_FILE)
    for arrival in arrivals(count, 1):
        index.add(arrival, DuplicatePolicy.KEEP_BOTH)
    index.mark_stored(range(1, count + 1))
    index.close()


class Asking:
    """Queries in a thread until the end of the block."""

    def __init__(self, node: ServedNode, indexed: int) -> None:
        self._node, self._indexed = node, indexed
        self._enough, self._began = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._error: Exception | None = None
        self.answered = 0

    def _run(self) -> None:
        try:
            self._ask()
        except Exception as error:
            self._error = error
        finally:
            self._began.set()

    def _ask(self) -> None:
        with HandMade(self._node.remote, FIND_STUDY_ROOT) as asking:
            while not self._enough.is_set():
                self._began.set()
                size = asking.find_all(IDENTIFIER)
                if size < self._indexed * LEAST_ANSWER_BYTES:
                    raise RuntimeError(f"{size} bytes are no answer with {self._indexed} instances")
                self.answered += self._indexed

    def __enter__(self) -> Self:
        self._thread.start()
        self._began.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._thread.join()
        if self._error is not None:
            raise self._error


def idle(node: ServedNode, folders: list[Path]) -> float:
    """Return the instances a second of a node that does nothing else."""
    rate = store_rate(node.remote, folders)
    settle(node)
    return rate


def beside(node: ServedNode, folders: list[Path], indexed: int) -> tuple[float, int]:
    """Return the instances a second of a node that answers a query meanwhile, and its answers."""
    with Asking(node, indexed) as asking:
        rate = store_rate(node.remote, folders)
    settle(node)
    return rate, asking.answered


def measure(folder: Path, count: int, indexed: int, times: int) -> None:
    """Print the table."""
    fill(folder / "node", indexed)
    sent = {
        "530 kB": slices.write(slices.ct512(), folder / "large", count),
        "10 kB": slices.write(slices.mr64(), folder / "small", count),
    }
    answered: list[int] = []

    with ServedNode(folder / "node") as node:

        def beside_query(of: Path) -> float:
            rate, count = beside(node, [of], indexed)
            answered.append(count)
            return rate

        measures = {}
        for size, of in sent.items():
            idle(node, [of])
            measures[f"{size} idle"] = lambda of=of: idle(node, [of])
            measures[f"{size} beside"] = lambda of=of: beside_query(of)
        rates = rounds.medians(times, measures)
    rows = [
        (
            size,
            rates[f"{size} idle"],
            rates[f"{size} beside"],
            rates[f"{size} beside"] / rates[f"{size} idle"],
            TARGET,
        )
        for size in sent
    ]
    rounds.table(("C-STORE, instances a second", "idle", "beside C-FIND", "ratio", "target"), rows)
    print(f"# C-FIND over {indexed:,} instances; {min(answered):,} answers in the shortest turn at least")


if __name__ == "__main__":
    parser = rounds.options(__doc__)
    parser.add_argument("--count", type=int, default=200, help="instances in a turn")
    parser.add_argument("--indexed", type=int, default=20_000, help="instances that are queried")
    arguments = parser.parse_args()
    print(rounds.machine())
    with rounds.work_folder(arguments.folder) as folder:
        measure(folder, arguments.count, arguments.indexed, arguments.rounds)
