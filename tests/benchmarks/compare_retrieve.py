"""C-GET and C-MOVE of the node, Orthanc and DCMTK's dcmqrscp side by side, over one association each.

usage: compare_retrieve.py [--rounds N] [--large COUNT] [--small COUNT] [--folder DIR]

Studies of 530 kB and of 10 kB instances: C-GET to DCMTK's getscu, C-MOVE to DCMTK's storescp, neither of which keeps
anything. All take turns within each round; of each time what the client takes for an empty answer is taken off. The
last column is the node's rate over that of the faster of the others.

Needs what `bench_compare.py` needs but for its data; without that it says so and ends well.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from pacsnode.dimse.scu import Remote
from tests.benchmarks import rounds, slices
from tests.benchmarks.bench_compare import NEEDED, NODE_CONFIG, peers, refuse_taken_ports
from tests.benchmarks.bench_retrieve import NO_STUDY, get_seconds, move_seconds, rate, store, study_of
from tests.served import ServedNode

OTHERS = {"Orthanc": Remote("ORTHANC", "127.0.0.1", 14242), "dcmqrscp": Remote("DCMQR", "127.0.0.1", 11112)}
TARGETS = {"530 kB": 1.3, "10 kB": 1.5}


def nothing(take: Callable[[Remote, str], float], remote: Remote) -> float:
    """Return how long the client takes for an empty answer; some servers call it a failure."""
    started = time.perf_counter()
    try:
        return take(remote, NO_STUDY)
    except subprocess.CalledProcessError:
        return time.perf_counter() - started


def measure(folder: Path, large: int, small: int, times: int) -> None:
    """Print the table."""
    sets = {
        "530 kB": slices.write(slices.ct512(), folder / "large", large),
        "10 kB": slices.write(slices.mr64(), folder / "small", small),
    }
    config = folder / "config.toml"
    config.write_text(NODE_CONFIG, encoding="utf-8")
    program = (sys.executable, "-m", "pacsnode", "--config", str(config))
    with peers(folder / "peers"), ServedNode(folder / "node", program=program) as node:
        servers = {"node": node.remote} | OTHERS
        measures = {}
        for size, path in sets.items():
            for remote in servers.values():
                store(remote, path)
            count, study = len(list(path.iterdir())), study_of(path)
            for operation, take in (("C-GET", get_seconds), ("C-MOVE", move_seconds)):
                for name, remote in servers.items():
                    whole, empty = partial(take, remote, study), partial(nothing, take, remote)
                    measures[f"{operation} {size} {name}"] = partial(rate, whole, empty, count)
        rates = rounds.medians(times, measures)
    rows = []
    for size, target in TARGETS.items():
        for operation in ("C-GET", "C-MOVE"):
            of = [rates[f"{operation} {size} {name}"] for name in servers]
            rows.append((f"{operation} {size}", *of, of[0] / max(of[1:]), target))
    rounds.table(("instances a second", *servers, "node / faster", "target"), rows)


if __name__ == "__main__":
    parser = rounds.options(__doc__)
    parser.add_argument("--large", type=int, default=400, help="instances of 530 kB in a study")
    parser.add_argument("--small", type=int, default=1000, help="instances of 10 kB in a study")
    arguments = parser.parse_args()
    missing = [str(one) for one in NEEDED if not one.exists()]
    if missing:
        print(f"skipped: there is no {', '.join(missing)}")
        sys.exit()
    refuse_taken_ports()
    print(rounds.machine())
    with rounds.work_folder(arguments.folder) as folder:
        measure(folder, arguments.large, arguments.small, arguments.rounds)
