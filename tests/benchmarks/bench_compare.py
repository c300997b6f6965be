"""The node against Orthanc and DCMTK's dcmqrscp: starts all of them and runs the comparison beside the project.

usage: bench_compare.py [--rounds N] [--folder DIR]

Needs ../shared/bench (make_data.py, peers.sh, compare.py) beside the project, DCMTK, Orthanc and numpy; without them it
says so and ends well. The peers' ports are fixed ones of peers.sh, and must be free. Most of the time goes into making
and storing 5,800 instances before the first round: use --rounds 1 to try it.
"""

import importlib.util
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks import rounds
from tests.served import ROOT, ServedNode

BENCH = ROOT.parent / "shared" / "bench"
NEEDED = (
    *(BENCH / name for name in ("make_data.py", "peers.sh", "compare.py")),
    *(
        Path("/usr/bin") / name
        for name in ("storescu", "getscu", "movescu", "findscu", "storescp", "dcmqrscp")
    ),
    Path("/usr/sbin/Orthanc"),
)
PEERS = ("orthanc=ORTHANC:14242", "dcmqrscp=DCMQR:11112")
PEER_PORTS = (11112, 11116, 11119, 14242, 18042)
NODE_CONFIG = """
[access]
unknown_peers = "all"

[[peers]]
name = "dest"
ae_title = "DEST"
host = "127.0.0.1"
port = 11119
"""


@contextmanager
def peers(folder: Path) -> Iterator[None]:
    """Run what the node is compared with."""
    try:
        subprocess.run(["bash", str(BENCH / "peers.sh"), "up", str(folder)], check=True)
        yield
    finally:
        subprocess.run(["bash", str(BENCH / "peers.sh"), "down", str(folder)], check=True)


def refuse_taken_ports() -> None:
    """Raise `SystemExit` if somebody listens where a peer would: it would be measured in the peer's place."""
    for port in PEER_PORTS:
        with socket.socket() as trying:
            if trying.connect_ex(("127.0.0.1", port)) == 0:
                raise SystemExit(f"port {port} is taken, and peers.sh needs it")


def can_import_numpy() -> bool:
    """Whether make_data.py finds what it needs."""
    return importlib.util.find_spec("numpy") is not None


def measure(folder: Path, times: int) -> None:
    """Make the data and run the comparison, which prints its own table."""
    data, config = folder / "data", folder / "config.toml"
    config.write_text(NODE_CONFIG, encoding="utf-8")
    subprocess.run([sys.executable, str(BENCH / "make_data.py"), str(data)], check=True)
    program = (sys.executable, "-m", "pacsnode", "--config", str(config))
    with peers(folder / "peers"), ServedNode(folder / "node", program=program) as node:
        ours = f"pacsnode={node.remote.ae_title}:{node.remote.port}"
        compare = [sys.executable, str(BENCH / "compare.py"), str(data), str(times), ours, *PEERS]
        subprocess.run(compare, check=True)


if __name__ == "__main__":
    arguments = rounds.options(__doc__).parse_args()
    missing = [str(one) for one in NEEDED if not one.exists()] + ([] if can_import_numpy() else ["numpy"])
    if missing:
        print(f"skipped: there is no {', '.join(missing)}")
        sys.exit()
    refuse_taken_ports()
    print(rounds.machine())
    with rounds.work_folder(arguments.folder) as folder:
        measure(folder, arguments.rounds)
