"""The node, Orthanc and DCMTK's dcmqrscp with the same images and the same queries: what each does by PS3.4, per rule.

usage: compare_query.py [--all]

The images and the queries are those of tests/matrix. What the Standard settles is judged: `right`; `wrong`, other
matches or other values than it says; `not supported`, an option that was declined, a failure status, an attribute that
is not answered, or a key that was left out of the matching, so that everything came back. What it leaves to the
implementation is only told: how often the answer is the node's, too. `--all` names each query that was not answered
right.

Needs DCMTK and Orthanc; without them it says so and ends well. The servers listen on free ports of this machine and are
as their programs come, but for what lets us in, and that Orthanc answers in UTF-8.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tests.interop import dcmtk
from tests.interop.orthanc import orthanc as running_orthanc
from tests.matrix import archive
from tests.matrix.asking import OPTIONS, ROOTS, UNIQUE_KEYS, Answer, associated, by_pynetdicom
from tests.matrix.cases import Case
from tests.matrix.rules import RULES
from tests.served import ServedNode

if TYPE_CHECKING:
    from pynetdicom.association import Association

ORTHANC, DCMQRSCP = Path("/usr/sbin/Orthanc"), Path("/usr/bin/dcmqrscp")
NEEDED = (ORTHANC, DCMQRSCP, Path("/usr/bin/storescu"))
RIGHT, WRONG, NOT_SUPPORTED = "right", "wrong", "not supported"


@dataclass(frozen=True)
class Server:
    """Who is asked."""

    name: str
    version: str
    ae_title: str
    port: int


@contextmanager
def orthanc(folder: Path) -> Iterator[Server]:
    """Run Orthanc; it lets everybody store and find."""
    # It answers in this one set, and Latin 1 would be its own choice.
    with dcmtk.reserved_port() as port, running_orthanc(folder, port, DefaultEncoding="Utf8"):
        yield Server("Orthanc", version_of(ORTHANC), "ORTHANC", port)


@contextmanager
def dcmqrscp(folder: Path) -> Iterator[Server]:
    """Run DCMTK's dcmqrscp with one storage area."""
    (folder / "storage").mkdir(parents=True)
    with dcmtk.reserved_port() as port:
        configuration = folder / "dcmqrscp.cfg"
        configuration.write_text(
            "MaxPDUSize = 131072\nMaxAssociations = 16\n"
            "HostTable BEGIN\nHostTable END\nVendorTable BEGIN\nVendorTable END\n"
            f"AETable BEGIN\nDCMQR {folder / 'storage'} RW (1000, 1gb) ANY\nAETable END\n",
            encoding="ascii",
        )
        with running([str(DCMQRSCP), "-c", str(configuration), str(port)], folder, port):
            yield Server("dcmqrscp", version_of(DCMQRSCP), "DCMQR", port)


@contextmanager
def node(folder: Path) -> Iterator[Server]:
    """Run the node as it is configured without a file."""
    with ServedNode(folder) as served:
        yield Server("pacsnode", "this one", served.remote.ae_title, served.remote.port)


@contextmanager
def running(command: Sequence[str], folder: Path, port: int) -> Iterator[None]:
    """Run a server while the context lasts; what it writes goes into its folder."""
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        dcmtk.wait_until_listening(process, port)
        yield
    finally:
        process.terminate()
        process.wait(30)


def version_of(program: Path) -> str:
    """Return the first version number that a program tells of itself."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"\d+\.\d+\.\d+", said.stdout + said.stderr)
    return found[0] if found else "of unknown version"


@dataclass(frozen=True)
class Judged:
    """What one server did with one query, and how that is judged."""

    case: Case
    verdict: str
    answered: str


class Asked:
    """One server, asked all cases."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._everything: dict[str, list[str]] = {}
        with ExitStack() as stack:
            self._stack = stack
            self._associations: dict[tuple[str, ...], Association] = {}
            self.verdicts = {rule: [self._judged(case) for case in cases] for rule, cases in RULES.items()}

    def _answer(self, case: Case) -> Answer | None:
        """Return the answer, None if the server ends the association instead."""
        association = self._associations.get(case.options)
        if association is None or not association.is_established:
            server = self._server
            entered = associated(server.port, case.options, aec=server.ae_title)
            association = self._associations[case.options] = self._stack.enter_context(entered)
        try:
            return by_pynetdicom(association, case)
        except AttributeError:  # pynetdicom gives a response without a status when there was none
            return None

    def _judged(self, case: Case) -> "Judged":
        answer = self._answer(case)
        if answer is None:
            return Judged(case, NOT_SUPPORTED, "the association ended")
        found = " ".join(answer.labels(case.level)) if case.level in UNIQUE_KEYS else ""
        return Judged(case, self._verdict(case, answer), f"status {answer.status:#06x}, {found or 'nothing'}")

    def _verdict(self, case: Case, answer: Answer) -> str:
        if is_right(case, answer, self._server.ae_title):
            return RIGHT
        if self._has_declined(case):
            return NOT_SUPPORTED
        if case.found is None:
            return WRONG
        found = sorted(answer.labels(case.level)) if case.level in UNIQUE_KEYS else []
        if found == sorted(case.found.split()):
            given = [match.get(keyword) for match in answer.matches for keyword in case.values]
            return WRONG if all(given) else NOT_SUPPORTED
        return NOT_SUPPORTED if answer.status or found == self._all(case) else WRONG

    def _all(self, case: Case) -> list[str]:
        """Return what there is at the case's level below the UIDs that it names, whatever else it asks for."""
        uids = {key: value for key, value in case.keys.items() if key in UNIQUE_KEYS.values()}
        without = replace(case, keys=uids, options=(), character_set="")
        at = repr((case.root, case.level, uids))
        if at not in self._everything:
            answer = self._answer(without)
            self._everything[at] = sorted(answer.labels(case.level)) if answer else []
        return self._everything[at]

    def _has_declined(self, case: Case) -> bool:
        """Return whether the server has said that it does not do what the case negotiates."""
        root = ROOTS[case.root]
        extended: dict[str, bytes] = self._associations[case.options].acceptor.sop_class_extended
        granted = extended.get(root, b"").ljust(len(OPTIONS), b"\0")
        return any(not granted[OPTIONS.index(option)] for option in case.options)


def is_right(case: Case, answer: Answer, ae_title: str) -> bool:
    """Return whether the answer is the one of the matrix; a Retrieve AE Title is each server's own."""
    if case.found is None:
        return answer.status not in (0x0000, 0xFE00) and not answer.matches
    if answer.status != case.status or sorted(answer.labels(case.level)) != sorted(case.found.split()):
        return False
    expected = {key: ae_title if key == "RetrieveAETitle" else value for key, value in case.values.items()}
    return all(match.get(key) == value for match in answer.matches for key, value in expected.items())


def cell(judged: Sequence[Judged]) -> str:
    """Return what the table says of one server about one rule."""
    settled = Counter(one.verdict for one in judged if not one.case.is_free)
    free = [one.verdict for one in judged if one.case.is_free]
    total = settled.total()
    words = []
    if total and settled[RIGHT] == total:
        words.append(f"right ({total})")
    elif total:
        words += [f"{count} {verdict}" for verdict, count in sorted(settled.items()) if count]
    if free:
        words.append(f"as the node {free.count(RIGHT)}/{len(free)}")
    return ", ".join(words)


def compare(folder: Path, *, says_all: bool) -> None:
    """Start the servers, ask, and print the table."""
    files = folder / "images"
    files.mkdir()
    archive.write(files)
    with ExitStack() as stack:
        servers = [stack.enter_context(start(folder / start.__name__)) for start in (node, orthanc, dcmqrscp)]
        for server in servers:
            sent = dcmtk.run("storescu", server.port, "+sd", str(files), aec=server.ae_title)
            assert sent.exit_code == 0, sent.output
        asked = {server: Asked(server) for server in servers}
    print("| rule | " + " | ".join(f"{server.name} {server.version}" for server in servers) + " |")
    print("|---" * (len(servers) + 1) + "|")
    for rule in RULES:
        print(f"| {rule} | " + " | ".join(cell(one.verdicts[rule]) for one in asked.values()) + " |")
    if says_all:
        print_all(asked)


def print_all(asked: dict[Server, Asked]) -> None:
    """Name each query that was not answered right."""
    for server, answers in asked.items():
        for rule, verdicts in answers.verdicts.items():
            for one in verdicts:
                if one.verdict != RIGHT:
                    free = " (left open)" if one.case.is_free else ""
                    print(f"{server.name}: {one.verdict}{free}: {rule}: {one.case.section}: {one.case.says}")
                    print(f"    expected {one.case.found}; {one.answered}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--all", action="store_true", help="name each query that was not answered right")
    arguments = parser.parse_args()
    missing = [str(one) for one in NEEDED if not one.exists()]
    if missing:
        print(f"skipped: there is no {', '.join(missing)}")
        sys.exit()
    with tempfile.TemporaryDirectory(prefix="pacsnode-compare-") as name:
        compare(Path(name), says_all=arguments.all)
