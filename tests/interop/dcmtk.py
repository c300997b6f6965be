"""DCMTK's tools as real processes: found by path, with time limits, ended by process id.

pynetdicom installs scripts of the same names into a virtual environment, so the usual search of PATH would
find those; only the system's folders are looked at.
"""

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

_FOLDERS = "/usr/bin:/usr/local/bin"
_SECONDS = 60.0
_START_SECONDS = 10.0
_COUNT = re.compile(r"(Remaining|Completed|Failed|Warning) Suboperations\s*: (\d+)")
_STATUS = re.compile(r"DIMSE Status\s*: 0x([0-9a-fA-F]{4})")

_ENVIRONMENT = os.environ | {"TCP_NODELAY": "1", "LC_ALL": "C"}


def tool(name: str, folders: str = _FOLDERS) -> str:
    """Return the path of a program; skips the test without it, but fails in CI."""
    path = shutil.which(name, path=folders)
    if path is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is missing: in CI it is not optional")
        pytest.skip(f"needs {name} in {folders}")
    return path


@dataclass(frozen=True)
class Ran:
    """How a tool ended: its exit code and all that it wrote."""

    exit_code: int
    output: str

    @property
    def statuses(self) -> list[int]:
        """DIMSE statuses of the responses, in order, of a tool that was run with `-d`."""
        return [int(text, 16) for text in _STATUS.findall(self.output)]

    @property
    def final_counts(self) -> dict[str, int]:
        """The last number given of each kind of sub-operations, of a tool that was run with `-d`."""
        return {kind.lower(): int(number) for kind, number in _COUNT.findall(self.output)}


def run(name: str, port: int, *arguments: str | Path, aec: str = "PACSNODE", aet: str = "DCMTK") -> Ran:
    """Run an SCU against a node on this machine to its end."""
    command = [tool(name), "-aet", aet, "-aec", aec, "127.0.0.1", str(port), *map(str, arguments)]
    done = subprocess.run(
        command,
        env=_ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=_SECONDS,
        check=False,
    )
    return Ran(done.returncode, done.stdout.decode("latin-1"))


def find(
    port: int, folder: Path, *arguments: str, aec: str = "PACSNODE", files: Sequence[Path] = ()
) -> tuple[Ran, list[Dataset]]:
    """Run findscu; return how it ended and the responses, which it extracts into the folder.

    `files` are Identifiers; without one, the keys among the arguments are.
    """
    folder.mkdir()
    ran = run("findscu", port, *files, "-d", "-X", "-od", folder, *arguments, aec=aec)
    return ran, [dcmread(path) for path in sorted(folder.glob("rsp*.dcm"))]


@contextmanager
def reserved_port() -> Iterator[int]:
    """Reserve a TCP port for a program that cannot be told to take any free one.

    A bound socket that does not listen keeps the port from being given to others, while a program that sets
    SO_REUSEADDR, as DCMTK's do, can still listen on it. Until one does, connections are refused.
    """
    with socket.socket() as reservation:
        reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reservation.bind(("127.0.0.1", 0))
        yield int(reservation.getsockname()[1])


@dataclass(frozen=True)
class Storescp:
    """A running storescp that writes into a folder."""

    port: int
    folder: Path

    def files(self) -> list[Path]:
        """Return what was received."""
        return sorted(path for path in self.folder.iterdir() if path.is_file())


@contextmanager
def storescp(folder: Path, port: int, *options: str, aet: str = "STORESCP") -> Iterator[Storescp]:
    """Run storescp on a reserved port, ready to be called, while the context lasts."""
    folder.mkdir(exist_ok=True)
    command = [tool("storescp"), "-v", "-aet", aet, "-od", str(folder), *options, str(port)]
    with (folder.parent / f"{folder.name}.log").open("wb") as output:
        process = subprocess.Popen(command, env=_ENVIRONMENT, stdout=output, stderr=output)
    try:
        wait_until_listening(process, port)
        yield Storescp(port, folder)
    finally:
        end(process)


def end(process: "subprocess.Popen[bytes]") -> None:
    """Let a program end, and kill one that does not in time."""
    process.terminate()
    try:
        process.wait(_START_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(_START_SECONDS)


def wait_until_listening(process: "subprocess.Popen[bytes]", port: int) -> None:
    """Wait until somebody listens on the port, without connecting: that would count as an association."""
    wanted = f"0100007F:{port:04X}", f"00000000:{port:04X}", f"{'0' * 32}:{port:04X}"
    for _ in range(int(_START_SECONDS / 0.02)):
        lines = [
            line for name in ("tcp", "tcp6") for line in Path("/proc/net", name).read_text().splitlines()[1:]
        ]
        if any(line.split()[1] in wanted and line.split()[3] == "0A" for line in lines):
            return
        try:
            code = process.wait(0.02)
        except subprocess.TimeoutExpired:
            continue
        pytest.fail(f"{process.args} ended at once with {code}")
    pytest.fail(f"{process.args} does not listen")
