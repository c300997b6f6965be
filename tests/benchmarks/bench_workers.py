"""What more workers give: C-STORE over 4 associations by nodes of 1, 2 and 4 of them, idle and beside a C-FIND.

usage: bench_workers.py [--rounds N] [--large COUNT] [--small COUNT] [--indexed N] [--folder DIR]

The nodes take turns within each round. The query is that of bench_gil.py, which never ends, over one association. More
workers are the default only if they are faster in both columns.
"""

from contextlib import ExitStack
from pathlib import Path

from tests.benchmarks import rounds, slices
from tests.benchmarks.bench_gil import beside, fill, idle
from tests.served import ServedNode

WORKERS = (1, 2, 4)
SENDERS = 4


def measure(folder: Path, large: int, small: int, indexed: int, times: int) -> None:
    """Print the table."""
    sent = {
        "530 kB": slices.split(slices.ct512(), folder / "large", large, SENDERS),
        "10 kB": slices.split(slices.mr64(), folder / "small", small, SENDERS),
    }
    measures = {}
    with ExitStack() as started:
        for workers in WORKERS:
            data_dir = folder / f"node-{workers}"
            fill(data_dir, indexed)
            node = started.enter_context(ServedNode(data_dir, dicom__workers=str(workers)))
            for size, folders in sent.items():
                idle(node, folders)
                measures[f"{size} {workers} idle"] = lambda node=node, of=folders: idle(node, of)
                measures[f"{size} {workers} beside"] = lambda node=node, of=folders: beside(
                    node, of, indexed
                )[0]
        rates = rounds.medians(times, measures)
    rounds.table(
        ("C-STORE over 4 associations", "idle", "beside C-FIND"),
        [
            (
                f"{size}, {workers} worker{'s' * (workers > 1)}",
                rates[f"{size} {workers} idle"],
                rates[f"{size} {workers} beside"],
            )
            for size in sent
            for workers in WORKERS
        ],
    )


if __name__ == "__main__":
    parser = rounds.options(__doc__)
    parser.add_argument("--large", type=int, default=400, help="instances of 530 kB in a turn")
    parser.add_argument("--small", type=int, default=1200, help="instances of 10 kB in a turn")
    parser.add_argument("--indexed", type=int, default=20_000, help="instances that are queried")
    arguments = parser.parse_args()
    print(rounds.machine())
    with rounds.work_folder(arguments.folder) as folder:
        measure(folder, arguments.large, arguments.small, arguments.indexed, arguments.rounds)
