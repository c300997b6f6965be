"""The program as a user runs it: a process with a command line, an exit code and two streams."""

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tests.canary import assert_no_patient

SECONDS = 60.0

# Nothing of the machine's own configuration may matter.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("PACSNODE_")} | {
    "PYTHONWARNINGS": "error",
    "PYTHONUNBUFFERED": "1",
}


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    exit_code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The objects that `--json` printed."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def result(self) -> dict[str, Any]:
        """The last of them."""
        result: dict[str, Any] = self.lines[-1]["result"]
        return result


def pacsnode(*arguments: str | Path, folder: Path, **environment: str) -> Ran:
    """Run a command in a folder, to its end."""
    done = subprocess.run(
        _command(arguments),
        cwd=folder,
        env=ENVIRONMENT | environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


@dataclass
class Served:
    """A node that serves in a process of its own."""

    process: "subprocess.Popen[str]"
    ae_title: str
    port: int

    @property
    def address(self) -> str:
        return f"{self.ae_title}@127.0.0.1:{self.port}"

    def stopped(self, signal_number: int) -> Ran:
        """Send a signal, wait for the end, and return it."""
        self.process.send_signal(signal_number)
        out, err = self.process.communicate(timeout=SECONDS)
        assert_no_patient(err)
        return Ran(self.process.returncode, out, err)


@contextmanager
def serving(*, folder: Path, options: Sequence[str | Path] = ()) -> Iterator[Served]:
    """Run `serve` on a free port until the block ends, or the test has stopped it."""
    process = subprocess.Popen(
        _command(["serve", "--json", "--port", "0", *options]),
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        listening = json.loads(first_line(process.stdout, process))["listening"]
        yield Served(process, listening["ae_title"], listening["port"])
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def first_line(stream: IO[str], process: "subprocess.Popen[str]") -> str:
    """Return the first line of a process's output; fails if it ends or is silent for too long."""
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        assert selector.select(SECONDS), "it said nothing"
    line = stream.readline()
    if not line:
        out, err = process.communicate(timeout=SECONDS)
        raise AssertionError(f"it ended with {process.returncode}: {out}{err}")
    return line


def until(condition: Callable[[], bool], seconds: float = SECONDS) -> None:
    """Ask a command again until it answers as expected: the process under test cannot ring for a test."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"


def _command(arguments: Sequence[str | Path]) -> list[str]:
    return [sys.executable, "-m", "pacsnode", *map(str, arguments)]
