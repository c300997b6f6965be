"""Expensive queries on many rows: the time to the first answer, the memory, and how soon a C-CANCEL is obeyed.

usage: bench_find.py [--rounds N] [--rows N] [--folder DIR]

The index has so many studies, each with one image: as many rows in each of its tables. Each query is asked twice a
round: once until its first answer, which is then cancelled; once cancelled after 0.1 s. Targets (A8), for 1,000,000
rows: the first answer within 300 ms, no more than 30 MiB of memory for a query, and 500 ms from a C-CANCEL to the final
response, which includes what the client has to read before it. To fill the index takes twenty minutes.
"""

import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from pacsnode.index.sqlite import SqliteIndex
from tests.benchmarks import bench_index, rounds
from tests.benchmarks.bench_gil import INDEX_FILE
from tests.benchmarks.servers import forget_peak, resident_mb
from tests.factories import element
from tests.interop import wire
from tests.served import ServedNode

FIRST_MS, MEMORY_MIB, CANCEL_MS = 300, 30, 500
_BEFORE_CANCEL_SECONDS = 0.1
_SECONDS = 60
_FEW_BYTES = 64 << 10  # so that little is under way when a query is cancelled

_STATUS = re.compile(rb"\0\0\0\x09\x02\0\0\0(..)", re.DOTALL)  # (0000,0900) in a command set
_STATUS_BYTES = 10
_PENDING = (b"\0\xff", b"\1\xff")
_ENDINGS = {b"\0\0": "done", b"\0\xfe": "cancelled"}

_SHOWN = ((0x00080020, "DA"), (0x00080061, "CS"), (0x00100010, "PN"), (0x00100020, "LO"), (0x0020000D, "UI"))

QUERIES: dict[str, tuple[bytes, dict[tuple[int, str], bytes]]] = {
    "all studies": (b"STUDY ", {}),
    "all images": (b"IMAGE ", {(0x00080018, "UI"): b""}),
    "studies of ten years": (b"STUDY ", {(0x00080020, "DA"): b"20100101-20191231 "}),
    "names that all begin so": (b"STUDY ", {(0x00100010, "PN"): b"FAM*"}),
    "names with something within": (b"STUDY ", {(0x00100010, "PN"): b"*GIVEN77*"}),
    "a modality that all have": (b"STUDY ", {(0x00080061, "CS"): b"CT"}),
    "a text that none has": (b"STUDY ", {(0x00081030, "LO"): b"*NOTHING*"}),
    "a text that none has, 16 wild cards": (
        b"STUDY ",
        {(0x00081030, "LO"): b"*C*T*C*H*E*S*T*N*O*T*H*I*N*G* "},
    ),
    "times between that none has": (b"STUDY ", {(0x00080030, "TM"): b"000000-000001 "}),
    "images that none has": (b"IMAGE ", {(0x00080018, "UI"): b"", (0x00080033, "TM"): b"000000-000001 "}),
}


@dataclass(frozen=True)
class Took:
    """What one query took: milliseconds to the first answer or the end, and from the C-CANCEL on; MiB."""

    first_ms: float
    cancel_ms: float
    memory_mib: float


def identifier(name: str) -> bytes:
    """Return the Identifier of a query."""
    level, keys = QUERIES[name]
    values = dict.fromkeys(_SHOWN, b"") | {(0x00080052, "CS"): level} | keys
    return b"".join(element(tag, vr, value) for (tag, vr), value in sorted(values.items()))


def fill(data_dir: Path, rows: int) -> None:
    """Make the index of a node that has started once: one that finds images and no state answers no queries."""
    with ServedNode(data_dir) as node:
        node.terminate()
    index = SqliteIndex(data_dir / INDEX_FILE)
    prepared = bench_index.arrivals(rows, 1, in_series=1, in_study=1)
    while batch := list(islice(prepared, 64 * 256)):
        bench_index.in_groups(index, batch)
    index.mark_stored(range(1, rows + 1))
    index.close()


class Asking:
    """One query on an association of its own; the answers are looked at for their statuses only."""

    def __init__(self, peer: wire.Wire) -> None:
        self._peer = peer
        self._kept = b""

    def send(self, name: str) -> None:
        """Send the request."""
        command = wire.command(
            0x0020, message_id=7, has_data_set=True, e0002=wire.STUDY_ROOT_FIND.encode(), e0700=0
        )
        self._peer.send(
            wire.p_data(wire.pdv(1, command, is_command=True)),
            wire.p_data(wire.pdv(1, identifier(name), is_command=False)),
        )

    def cancel(self) -> None:
        """Send a C-CANCEL."""
        self._peer.send(wire.p_data(wire.pdv(1, wire.c_cancel_rq(7), is_command=True)))

    def until_an_answer(self) -> str:
        """Read until there is an answer or the end; return the end, "" if there is an answer."""
        while True:
            found = _STATUS.search(self._kept)
            if found:
                return "" if found[1] in _PENDING else ending(found[1])
            self._read()

    def until_the_end(self) -> str:
        """Read until the final response; return how the query ended."""
        while True:
            for status in _STATUS.findall(self._kept):
                if status not in _PENDING:
                    return ending(status)
            self._kept = self._kept[1 - _STATUS_BYTES :]
            self._read()

    def _read(self) -> None:
        piece = self._peer.socket.recv(_FEW_BYTES)
        assert piece, "the node has hung up"
        self._kept += piece


def ending(status: bytes) -> str:
    """Return how a query ended. Raises `RuntimeError` if it failed."""
    if status not in _ENDINGS:
        raise RuntimeError(f"the query failed with status {status[::-1].hex()}")
    return _ENDINGS[status]


@contextmanager
def asking(node: ServedNode) -> Iterator[Asking]:
    """Associate; whatever is left is cut off."""
    with wire.Wire(node.remote.port) as peer:
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _FEW_BYTES)
        peer.socket.settimeout(_SECONDS)
        peer.associate([(1, wire.STUDY_ROOT_FIND, (wire.EXPLICIT,))])
        yield Asking(peer)


def took(node: ServedNode, name: str) -> Took:
    """Ask once until the first answer and once until a C-CANCEL is obeyed."""
    worker = node.pid_of("worker")
    before = resident_mb(worker)
    forget_peak(worker)
    with asking(node) as first:
        started = time.perf_counter()
        first.send(name)
        end = first.until_an_answer()
        first_ms = (time.perf_counter() - started) * 1e3
        cancel_ms = 0.0 if end else obeyed_ms(first)
    with asking(node) as second:
        second.send(name)
        rounds.wait_seconds(_BEFORE_CANCEL_SECONDS)
        cancel_ms = max(cancel_ms, obeyed_ms(second))
    return Took(first_ms, cancel_ms, resident_mb(worker, peak=True) - before)


def obeyed_ms(query: Asking) -> float:
    """Cancel; return how long it took to the final response, of whatever kind."""
    started = time.perf_counter()
    query.cancel()
    query.until_the_end()
    return (time.perf_counter() - started) * 1e3


def measure(folder: Path, rows: int, times: int) -> None:
    """Print the table: the median of the first answers, the worst of the rest."""
    started = time.perf_counter()
    fill(folder / "node", rows)
    size = (folder / "node" / INDEX_FILE).stat().st_size
    print(f"# {rows:,} rows: {size >> 20:,} MiB, made in {time.perf_counter() - started:.0f} s")
    found: dict[str, list[Took]] = {name: [] for name in QUERIES}
    with ServedNode(folder / "node") as node:
        with asking(node) as warming:  # what is loaded once is no query's
            warming.send("all studies")
            warming.until_an_answer()
        for _ in range(times):
            for name, taken in found.items():
                taken.append(took(node, name))
    rows_of_table = [
        (
            name,
            rounds.percentile([one.first_ms for one in taken], 50),
            max(one.first_ms for one in taken),
            max(one.cancel_ms for one in taken),
            max(one.memory_mib for one in taken),
        )
        for name, taken in found.items()
    ]
    rounds.table(("query", "first, ms", "worst, ms", "cancel, ms", "memory, MiB"), rows_of_table)
    print(f"# targets: first {FIRST_MS} ms, cancel {CANCEL_MS} ms, memory {MEMORY_MIB} MiB")
    print("# where nothing matches, `first` is the end of the search")


if __name__ == "__main__":
    parser = rounds.options(__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="studies with an image each")
    arguments = parser.parse_args()
    print(rounds.machine())
    with rounds.work_folder(arguments.folder) as folder:
        measure(folder, arguments.rows, arguments.rounds)
