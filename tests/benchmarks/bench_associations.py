"""Associations: how many a second, and how long one waits while others store or keep silent.

usage: bench_associations.py [--rounds N] [--count COUNT] [--stored COUNT] [--silent N] [--folder DIR]

A client made by hand associates, sends a C-ECHO and releases, one after another, with 1 and with 128 presentation
contexts. Then the same, each timed, while 16 peers store instances of 530 kB (DCMTK's storescu on the same processors,
whose share of them is in the figure: --nice gives them a lower priority, as if they had machines of their own), and
beside silent connections. Targets: 200 a second, p99 20 ms beside storing peers, p99 200 ms beside 1,000 silent ones.
"""

import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pacsnode.dimse.scu import Remote
from tests.benchmarks import rounds, slices
from tests.benchmarks.clients import MAX_CONTEXTS, association_seconds, sent, storescu
from tests.benchmarks.servers import settle
from tests.served import ServedNode

STORING = 16
RATE_TARGET = 200.0
STORING_TARGET_MS, SILENT_TARGET_MS = 20.0, 200.0
SPARE_DESCRIPTORS = 200
LEAST_TIMED = 20


def rate(remote: Remote, count: int, contexts: int) -> float:
    """Return the associations a second."""
    start = time.perf_counter()
    for _ in range(count):
        association_seconds(remote, contexts=contexts)
    return count / (time.perf_counter() - start)


def beside_storing(node: ServedNode, folders: list[Path], nice: int) -> list[float]:
    """Return what associations take while all folders are being sent."""
    jobs = [storescu(node.remote, folder, nice=nice) for folder in folders]
    took = []
    while all(job.poll() is None for job in jobs):
        took.append(association_seconds(node.remote))
    for job in jobs:
        sent(job)
    settle(node)
    return took[:-1]  # the last one ran beside fewer


@contextmanager
def silent(remote: Remote, count: int) -> Iterator[None]:
    """Hold connections that say nothing."""
    with ExitStack() as held:
        for _ in range(count):
            held.enter_context(socket.create_connection((remote.host, remote.port), timeout=30))
        yield


def beside_silent(remote: Remote, connections: int, count: int) -> list[float]:
    """Return what associations take while connections say nothing."""
    with silent(remote, connections):
        return [association_seconds(remote) for _ in range(count)]


def raise_descriptor_limit(wanted: int) -> None:
    """Allow this process so many descriptors. Raises `SystemExit` if it may not have them."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < wanted:
        raise SystemExit(f"needs {wanted} descriptors, and this user may have {most} (ulimit -n)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def measure(folder: Path, count: int, stored: int, connections: int, times: int, nice: int) -> None:
    """Print the tables."""
    folders = slices.split(slices.ct512(), folder / "sent", stored, STORING)
    with ServedNode(folder / "node") as node:
        rate(node.remote, 10, MAX_CONTEXTS)
        rates = rounds.medians(
            times,
            {
                "1 context": lambda: rate(node.remote, count, 1),
                f"{MAX_CONTEXTS} contexts": lambda: rate(node.remote, count, MAX_CONTEXTS),
            },
        )
        rounds.table(
            ("associations a second", "figure", "target"),
            [(name, figure, RATE_TARGET) for name, figure in rates.items()],
        )
        print()
        taken: dict[str, list[float]] = {"idle": [], "storing": [], "silent": []}
        for _ in range(times):
            taken["idle"] += [association_seconds(node.remote) for _ in range(count)]
            taken["storing"] += beside_storing(node, folders, nice)
            taken["silent"] += beside_silent(node.remote, connections, count)
    if len(taken["storing"]) < LEAST_TIMED:
        print("# too few associations beside the storing peers: raise --stored")
    of = {
        "idle": ("alone", "-"),
        "storing": (f"beside {STORING} storing peers", rounds.number(STORING_TARGET_MS)),
        "silent": (f"beside {connections:,} silent ones", rounds.number(SILENT_TARGET_MS)),
    }
    rounds.table(
        ("association + C-ECHO, ms", "p50", "p99", "max", "target of p99", "measured"),
        [
            (
                of[name][0],
                rounds.percentile(values, 50) * 1e3,
                rounds.percentile(values, 99) * 1e3,
                max(values) * 1e3,
                of[name][1],
                str(len(values)),
            )
            for name, values in taken.items()
            if values
        ],
    )


if __name__ == "__main__":
    parser = rounds.options(__doc__)
    parser.add_argument("--count", type=int, default=300, help="associations in a turn")
    parser.add_argument(
        "--stored", type=int, default=1600, help="instances that the storing peers send in a turn"
    )
    parser.add_argument("--silent", type=int, default=1000, help="silent connections")
    parser.add_argument("--nice", type=int, default=0, help="niceness of the storing peers (default 0)")
    arguments = parser.parse_args()
    raise_descriptor_limit(arguments.silent + SPARE_DESCRIPTORS)
    print(rounds.machine())
    with rounds.work_folder(arguments.folder) as folder:
        measure(folder, arguments.count, arguments.stored, arguments.silent, arguments.rounds, arguments.nice)
