"""Memory: what the node holds while it receives large instances, and what an idle association costs.

usage: bench_memory.py [--rounds N] [--associations N] [--gigabytes G] [--idle-seconds S] [--folder DIR]

All associations send one instance each at the same time; the client makes the pixels up as it sends them. The full
size, --gigabytes 1, takes 50 GB of disk, which are deleted at the end; by default each has 64 MB. One round, unless
--rounds says more: the peak is that of all. Target: 150 MB + 1 MiB for each association. Then all associations say
nothing for a while: an idle one wakes nobody.
"""

import shutil
from contextlib import ExitStack
from pathlib import Path

from tests.benchmarks import rounds, slices
from tests.benchmarks.clients import HandMade
from tests.benchmarks.servers import forget_peak, resident_mb, settle, wake_ups
from tests.served import ServedNode

BASE_TARGET_MB, ASSOCIATION_TARGET_MB = 150.0, 1.0
SPARE_BYTES = 4 << 30  # the node wants 1 GiB to remain free


def send(node: ServedNode, template: slices.Template, size: int) -> None:
    """Send one new instance over one association."""
    uid = slices.new_uid()
    with HandMade(node.remote, template.sop_class_uid) as made:
        made.store(uid, template.prologue(uid, size), size)


def refuse_without_room(folder: Path, needed: int) -> None:
    """Raise `SystemExit` unless there is room for so many bytes."""
    free = shutil.disk_usage(folder).free
    if free < needed + SPARE_BYTES:
        raise SystemExit(
            f"{folder} has {free / 1e9:.0f} GB free and this takes {(needed + SPARE_BYTES) / 1e9:.0f} GB: "
            "give another --folder, or less with --gigabytes"
        )


def idle(node: ServedNode, associations: int, seconds: float) -> tuple[float, float]:
    """Return how often threads of the node wake up in so many seconds, and its resident MB meanwhile."""
    with ExitStack() as held:
        for _ in range(associations):
            held.enter_context(HandMade(node.remote)).echo()
        rounds.wait_seconds(1.0)  # what has just been served comes to rest
        before = wake_ups(node.pids())
        rounds.wait_seconds(seconds)
        return wake_ups(node.pids()) - before, resident_mb(node.pid_of("worker"))


def measure(folder: Path, associations: int, size: int, times: int, idle_seconds: float) -> None:
    """Print the tables."""
    refuse_without_room(folder, associations * size * times)
    template = slices.ct512()
    with ServedNode(folder / "node") as node:
        send(node, template, 1 << 20)
        settle(node)
        worker = node.pid_of("worker")
        before = resident_mb(worker)
        forget_peak(worker)
        for _ in range(times):
            rounds.together([lambda: send(node, template, size)] * associations)
        settle(node)
        peak, after = resident_mb(worker, peak=True), resident_mb(worker)
        alone, with_idle = idle(node, 0, idle_seconds), idle(node, associations, idle_seconds)
    target = BASE_TARGET_MB + associations * ASSOCIATION_TARGET_MB
    rounds.table(
        (f"resident MB, {associations} x {size / 1e6:,.0f} MB at once", "figure", "target"),
        [("before", before, "-"), ("peak", peak, target), ("after", after, "-")],
    )
    print()
    rounds.table(
        (f"idle for {idle_seconds:.0f} s", "wake-ups", "resident MB"),
        [("no association", *alone), (f"{associations} associations", *with_idle)],
    )


if __name__ == "__main__":
    parser = rounds.options(__doc__)
    parser.set_defaults(rounds=1)
    parser.add_argument("--associations", type=int, default=50)
    parser.add_argument(
        "--gigabytes", type=float, default=0.064, help="size of each instance (default 0.064)"
    )
    parser.add_argument("--idle-seconds", type=float, default=10.0)
    arguments = parser.parse_args()
    print(rounds.machine())
    even_bytes = int(arguments.gigabytes * 1e9) // 2 * 2
    with rounds.work_folder(arguments.folder) as folder:
        measure(folder, arguments.associations, even_bytes, arguments.rounds, arguments.idle_seconds)
