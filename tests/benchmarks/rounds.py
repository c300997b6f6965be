"""What all benchmarks share: their options, a folder to work in, rounds in which servers take turns, and tables."""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

# Here fsync costs nothing, and every figure of a durable step is wrong.
_NOT_DISKS = frozenset(("tmpfs", "ramfs", "overlayfs", "overlay"))

Medians = dict[str, float]


def options(doc: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that every benchmark has."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="the table has their medians (default 5)")
    parser.add_argument(
        "--folder", type=Path, help="an empty or new folder on the disk to measure (else a temporary one)"
    )
    return parser


@contextmanager
def work_folder(given: Path | None) -> Iterator[Path]:
    """Give a folder that holds nothing yet; what was written is deleted at the end, a given folder itself is not.

    Raises `SystemExit` if there is something in it.
    """
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        if any(given.iterdir()):
            raise SystemExit(f"{given} is not empty")
    folder = Path(tempfile.mkdtemp(prefix="pacsnode-bench-", dir=given))
    file_system = subprocess.run(
        ["stat", "-f", "-c", "%T", folder], stdout=subprocess.PIPE, text=True, check=True
    ).stdout.strip()
    if file_system in _NOT_DISKS:
        print(f"# {folder} is on {file_system}: give a folder on a disk with --folder", file=sys.stderr)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def medians(rounds: int, measures: Mapping[str, Callable[[], float]]) -> Medians:
    """Take each measure once a round, in turn, so that the machine's drift hits all alike; return the medians."""
    taken: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(rounds):
        for name, measure in measures.items():
            taken[name].append(measure())
    return {name: statistics.median(values) for name, values in taken.items()}


def table(titles: Sequence[str], rows: Iterable[Sequence[str | float]]) -> None:
    """Print a table, its first column to the left."""
    print(f"{titles[0]:34}" + "".join(f"{title:>14}" for title in titles[1:]))
    for first, *others in rows:
        cells = (one if isinstance(one, str) else number(one) for one in others)
        print(f"{first:34}" + "".join(f"{cell:>14}" for cell in cells), flush=True)


def number(value: float) -> str:
    """Return a figure with three digits that count."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def percentile(values: Iterable[float], percent: int) -> float:
    """Return the value that so many of 100 do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def together(jobs: Sequence[Callable[[], None]]) -> None:
    """Run each in a thread and wait for all. Raises the first error."""
    errors: list[BaseException] = []

    def run(job: Callable[[], None]) -> None:
        try:
            job()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def wait_seconds(seconds: float) -> None:
    """Let time pass, for a measure of what happens when nothing does."""
    threading.Event().wait(seconds)


def machine() -> str:
    """Return what figures hold for, in a line."""
    model = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        os.uname().machine,
    )
    return f"# {os.cpu_count()} x {model}, Linux {os.uname().release}, Python {sys.version.split()[0]}"
