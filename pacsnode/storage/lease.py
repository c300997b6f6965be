"""The lease of the one writer of a storage that several nodes can reach: its port, and what a node knows of it.

What writes twice into one archive is not lost: objects are created and never changed. But each node has an index and
a state of its own, and would know half of it. So the writer holds a lease: one object, `_node.json`, which says who
writes and which only one can change at a time. `jobs.lease` takes and renews it; every process looks into the
`LeaseFile` before it writes (`storage.leased`).

The file tells until when the lease is ours for certain, by a clock that all processes of a machine share, that goes
on while the machine sleeps and that nobody sets (CLOCK_BOOTTIME). If the process that renews dies, the time passes and
writing stops by itself. A file from before a reboot counts for nothing.
"""

import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from pacsnode.errors import PacsNodeError, StorageAway, StorageRefused

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Holding:
    """The lease as somebody wrote it; times are by the storage's clock."""

    version: str  # changes with each write
    fields: Mapping[str, str]
    age_seconds: float  # since it was written


@dataclass(frozen=True, slots=True)
class Reading:
    """What is there now; `holding` is None where nobody ever took the lease."""

    now: datetime
    holding: Holding | None


class LeaseChanged(PacsNodeError):
    """Somebody else has written since it was read; never leaves those who take and renew."""


class LeasePlace(Protocol):
    """Where the lease lies. Nothing is tried again, and no call takes long: who renews has a deadline."""

    def read(self) -> Reading:
        """Look who holds it. Raises `StorageAway`, `StorageRefused`."""

    def write(self, fields: Mapping[str, str], *, over: Holding | None) -> Holding:
        """Write it in place of what was read, and only of that. Raises `LeaseChanged` too, and as `read`."""

    def close(self) -> None:
        """Let go of all resources."""


@dataclass(frozen=True, slots=True)
class Leased:
    """What the processes of a node know: until when it may write, and why not, if somebody knows."""

    until: float  # seconds of the machine's clock
    trouble: str = ""
    is_others: bool = False  # somebody has to act before this node writes again
    is_lost: bool = False  # it was ours


def boot_time() -> float:
    """Return the seconds of the clock that leases go by on this machine."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_id() -> str:
    """Return what is another one after each boot; nothing where the kernel does not say."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


class LeaseFile:
    """The file in which one process tells the others. Any thread may call any method; one process writes."""

    def __init__(
        self, path: Path, *, now: Callable[[], float] = boot_time, boot: Callable[[], str] = boot_id
    ) -> None:
        """Nothing is opened or created yet."""
        self.path = path
        self._now = now
        self._boot = boot()

    def write(self, leased: Leased) -> None:
        """Tell how it is now; raises `OSError`."""
        beside = self.path.with_name(f"{self.path.name}.new")
        told = json.dumps({"boot": self._boot, **asdict(leased)}) + "\n"
        with open(beside, "w", encoding="utf-8", opener=_private) as file:
            file.write(told)
        os.replace(beside, self.path)

    def read(self) -> Leased | None:
        """Return what was told since this machine was booted; None if that is nothing."""
        try:
            told = json.loads(self.path.read_bytes())
            if told.pop("boot") != self._boot:
                return None
            return Leased(**told)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def check(self) -> None:
        """Return if this node may write now.

        Raises `StorageRefused` if another node has the lease, `StorageAway` if it is not known to be ours.
        """
        leased = self.read()
        if leased is None:
            raise StorageAway("the lease of the storage is not taken yet")
        if leased.is_others:
            raise StorageRefused(leased.trouble)
        if self._now() >= leased.until:
            raise StorageAway(leased.trouble or "the lease of the storage was not renewed in time")

    def remove(self) -> None:
        """Tell that nothing is known."""
        with suppress(FileNotFoundError):
            self.path.unlink()
