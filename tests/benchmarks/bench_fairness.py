"""16 senders at once: whether the node gets slower with them, and whether all get their share.

usage: bench_fairness.py [--rounds N] [--count COUNT] [--folder DIR]

As many instances of 530 kB in all by 4 and by 16 senders (DCMTK's storescu), in turn. Targets: 16 reach 0.75 of what 4
do; the slowest of 16 reaches half of their mean.
"""

import statistics
from pathlib import Path

from tests.benchmarks import rounds, slices
from tests.benchmarks.clients import store_rate, store_seconds
from tests.benchmarks.servers import settle
from tests.served import ServedNode

FEW, MANY = 4, 16
TOTAL_TARGET, SLOWEST_TARGET = 0.75, 0.5


def measure(folder: Path, count: int, times: int) -> None:
    """Print the table."""
    few = slices.split(slices.ct512(), folder / "few", count, FEW)
    many = slices.split(slices.ct512(), folder / "many", count, MANY)
    shares: list[float] = []

    with ServedNode(folder / "node") as node:

        def by_few() -> float:
            rate = store_rate(node.remote, few)
            settle(node)
            return rate

        def by_many() -> float:
            took = store_seconds(node.remote, many)
            settle(node)
            rates = [count / MANY / seconds for seconds in took]
            shares.append(min(rates) / statistics.fmean(rates))
            return count / max(took)

        by_few()
        rates = rounds.medians(times, {"few": by_few, "many": by_many})
    rounds.table(
        ("C-STORE 530 kB", "figure", "target"),
        [
            (f"{FEW} senders, instances a second", rates["few"], "-"),
            (f"{MANY} senders, instances a second", rates["many"], "-"),
            (f"{MANY} senders / {FEW} senders", rates["many"] / rates["few"], TOTAL_TARGET),
            (f"slowest of {MANY} / their mean", statistics.median(shares), SLOWEST_TARGET),
        ],
    )


if __name__ == "__main__":
    parser = rounds.options(__doc__)
    parser.add_argument("--count", type=int, default=800, help="instances in a turn, in all")
    arguments = parser.parse_args()
    print(rounds.machine())
    with rounds.work_folder(arguments.folder) as folder:
        measure(folder, arguments.count, arguments.rounds)
