"""C-STORE of the node against the floor, a bare receiver that does the same durable steps (bare_receiver.py).

usage: bench_store.py [--rounds N] [--large COUNT] [--small COUNT] [--folder DIR]

Both servers take turns within each round. Instances of 530 kB and of 10 kB, over 1 and 4 associations, by DCMTK's
storescu with new UIDs. After each turn the node files what it has, and only then the other begins: the rate does not
contain filing that is still to be done, the processor time does. Flushes and system calls are counted with strace in
a short run of their own, all of the filing included; sync_file_range counts as a flush though it only starts one.
"""

from functools import partial
from pathlib import Path

from tests.benchmarks import rounds, slices
from tests.benchmarks.clients import store_rate, store_seconds
from tests.benchmarks.servers import BareReceiver, Cpu, SystemCalls, settle
from tests.served import ServedNode

Server = BareReceiver | ServedNode
ASSOCIATIONS = (1, 4)
COUNTED = 40


def turn(server: Server, folders: list[Path], used: list[Cpu]) -> float:
    """Return the instances a second, and append the processor time for them."""
    before = Cpu.of(server.pids())
    rate = store_rate(server.remote, folders)
    settle(server)
    after = Cpu.of(server.pids())
    used.append(Cpu(after.user - before.user, after.system - before.system))
    return rate


def calls_per_instance(server: Server, folder: Path, report: Path) -> tuple[float, float]:
    """Return flushes and system calls for each instance of a folder, sent over one association."""
    with SystemCalls(server.pids(), report) as counted:
        store_seconds(server.remote, [folder])
        settle(server)
    count = len(list(folder.iterdir()))
    return counted.flushes / count, counted.total / count


def measure(folder: Path, large: int, small: int, times: int) -> None:
    """Print the tables."""
    templates = {"530 kB": (slices.ct512(), large), "10 kB": (slices.mr64(), small)}
    sets: dict[str, list[Path]] = {}
    for size, (template, count) in templates.items():
        for parts in ASSOCIATIONS:
            sets[f"{size}, {parts} association{'s' * (parts > 1)}"] = slices.split(
                template, folder / f"{size}-{parts}", count, parts
            )
    with BareReceiver(folder / "bare") as bare, ServedNode(folder / "node") as node:
        rates_and_processor(sets, {"node": node, "floor": bare}, times)
        if not SystemCalls.can_count():
            print("# no strace: flushes and system calls are not counted")
            return
        rows = []
        for size, (template, _) in templates.items():
            counted = slices.write(template, folder / f"counted-{size}", COUNTED)
            of_node = calls_per_instance(node, counted, folder / "strace")
            of_bare = calls_per_instance(bare, counted, folder / "strace")
            rows.append((size, of_node[0], of_bare[0], of_node[1], of_bare[1]))
        print()
        rounds.table(("each instance", "flushes", "of the floor", "calls", "of the floor"), rows)


def rates_and_processor(sets: dict[str, list[Path]], servers: dict[str, Server], times: int) -> None:
    """Print the rates, and the processor time for each instance."""
    used: dict[str, list[Cpu]] = {f"{name} {of}": [] for name in sets for of in servers}
    measures = {}
    for name, folders in sets.items():
        for of, server in servers.items():
            measures[f"{name} {of}"] = partial(turn, server, folders, used[f"{name} {of}"])
    for server in servers.values():  # caches, lazy imports, the first pages of the database
        store_rate(server.remote, sets[next(iter(sets))])
        settle(server)
    rates = rounds.medians(times, measures)
    rounds.table(
        ("C-STORE, instances a second", "node", "floor", "floor / node"),
        [
            (
                name,
                rates[f"{name} node"],
                rates[f"{name} floor"],
                rates[f"{name} floor"] / rates[f"{name} node"],
            )
            for name in sets
        ],
    )
    print()
    rows = []
    for name, folders in sets.items():
        sent = times * sum(len(list(folder.iterdir())) for folder in folders) / 1e6
        sums = [
            sum(getattr(one, kind) for one in used[f"{name} {of}"]) / sent
            for of in servers
            for kind in ("user", "system")
        ]
        rows.append((name, *sums))
    rounds.table(("CPU us an instance", "node user", "node system", "floor user", "floor system"), rows)


if __name__ == "__main__":
    parser = rounds.options(__doc__)
    parser.add_argument("--large", type=int, default=200, help="instances of 530 kB in a turn")
    parser.add_argument("--small", type=int, default=800, help="instances of 10 kB in a turn")
    arguments = parser.parse_args()
    print(rounds.machine())
    with rounds.work_folder(arguments.folder) as folder:
        measure(folder, arguments.large, arguments.small, arguments.rounds)
