"""The state of a node while it runs: opened or refused, with its custody, its runs and its hourly copy.

What composes a node asks for the parts: `custody` for everything that keeps images, `answering` for queries and
retrieves, `steps` for the jobs. In a node of several processes each opens it, and one begins the run and has the
steps of the copy.
"""

import hashlib
import json
import logging
import shlex
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pacsnode.archive.custody import Custody
from pacsnode.archive.receiving_only import AnsweringIndex
from pacsnode.config import Config
from pacsnode.errors import PacsNodeError
from pacsnode.index.base import Index
from pacsnode.jobs.state_copy import StateCopy
from pacsnode.state.folder import StateFolder
from pacsnode.storage.base import Storage

log = logging.getLogger(__name__)

_FOLDER = "state"


def state_path(config: Config) -> Path:
    """Return the folder of the state."""
    return config.node.data_dir / _FOLDER


class NodeState:
    """Opens the state. Any thread may call any method but `close`."""

    def __init__(
        self, config: Config, *, process: str, holds: Callable[[], str], now_ms: Callable[[], int]
    ) -> None:
        """`holds` is asked in a folder without a state: what is held there, nothing if the folder is new.

        Raises `PacsNodeError` if another process holds the lock or the folder cannot be used. A state that is
        damaged or missing raises nothing: `trouble` says so, and one ERROR line that names the commands.
        """
        self._config = config
        self._now_ms = now_ms
        self._run_number: int | None = None
        self.snapshot_number: int | None = None
        self._folder = StateFolder(state_path(config))
        try:
            opened = self._folder.open(holds=holds)
        except BaseException:
            self._folder.close()
            raise
        self._state = opened.state
        self.custody = Custody(
            opened.state, process=process, now_ms=now_ms, trouble=opened.trouble, advice=self.advice
        )
        if opened.trouble is not None:
            sentences = opened.trouble, *self._advice()  # each an argument: a long one would be cut
            log.error("; ".join(["%s"] * len(sentences)), *sentences)

    @property
    def trouble(self) -> str | None:
        """Why the node receives only; None while it does everything."""
        return self.custody.trouble

    def advice(self) -> str:
        """Return what a person can do about it: the commands, as they can be typed."""
        return "; ".join(self._advice())

    def _advice(self) -> tuple[str, ...]:
        begins = "the node receives only (C-FIND, C-MOVE and C-GET are refused)"
        at = f"--data-dir {shlex.quote(str(self._config.node.data_dir))}"
        newest = next(iter(self._folder.copies.list()), None)
        if newest is None:
            return (
                begins,
                "there is no copy beside it",
                f"stop the node, then `pacsnode state restore {at}` looks for one in the storage",
                f"`pacsnode state restore --empty {at}` begins without what was in it",
            )
        return (
            begins,
            f"stop the node, then `pacsnode state restore {at}` takes the newest copy, {newest.name}",
            f"`pacsnode state list {at}` shows all",
        )

    def answering(self, index: Index) -> Index:
        """Return the index for queries and retrieves: it refuses while the state is damaged."""
        return AnsweringIndex(index, lambda: self.trouble)

    def begin_run(self, version: str, number: int = 0) -> None:
        """Record a start and the configuration in force; a run that ended uncleanly is said.

        `number` is as in `add_snapshot`: a snapshot that has one belongs to a run that is under way.
        """
        if self._state is None:
            return
        try:
            if number and (under_way := self._state.last_run()) is not None:
                self._run_number = under_way.number
                self.add_snapshot(self._config, "start", number)
                return
            run, before = self._state.begin_run(version, self._now_ms())
        except PacsNodeError as error:
            log.error("this start could not be recorded: %s", error)
            return
        self._run_number = run.number
        if before is not None and before.ended_at_ms is None:
            log.warning(
                "run %d of this node, begun at %s, did not end cleanly",
                before.number,
                _time(before.started_at_ms),
            )
        self.add_snapshot(self._config, "start", number)

    def add_snapshot(self, config: Config, reason: str, number: int = 0) -> int | None:
        """Record a configuration that is handed out; return its number, None if it cannot be recorded.

        One that has a number keeps it; 0 is none.
        """
        if self._state is None:
            return None
        try:
            added = self._state.add_snapshot(digest_of(config), reason, self._now_ms(), number=number)
        except PacsNodeError as error:
            log.error("the configuration's number could not be recorded: %s", error)
            return None
        self.snapshot_number = max(added, self.snapshot_number or 0)
        return added

    def steps(self, storage: Storage, stop: Callable[[], bool]) -> dict[str, Callable[[], float]]:
        """Return the jobs of the state by name; `stop` leaves a copy undone."""
        steps: dict[str, Callable[[], float]] = {"custody": self.custody.step}
        if self._state is not None:
            copying = StateCopy(
                state=self._state,
                copies=self._folder.copies,
                storage=storage,
                stop=stop,
                is_damaged=self._is_damaged,
                now_ms=self._now_ms,
            )
            steps["state-copy"] = copying.step
        return steps

    def _is_damaged(self) -> bool:
        """Look at the whole state, and receive only from now on if it is damaged."""
        assert self._state is not None
        if self.trouble is None:
            found = self._folder.examined(self._state.path, everything=True)
            if found.trouble is not None:
                self.custody.damaged(found.trouble)
        return self.trouble is not None

    def report(self) -> dict[str, Any]:
        """Return what `status` shows, as JSON has it."""
        newest = next(iter(self._folder.copies.list()), None)
        file = self._folder.file()
        return {
            "file": None if file is None else str(file),
            "trouble": self.trouble,
            "advice": None if self.trouble is None else self.advice(),
            "snapshot": self.snapshot_number,
            "unrecorded_events": self.custody.unwritten,
            "newest_copy": None if newest is None else newest.name,
        }

    def close(self) -> None:
        """Record what waits and, if `begin_run` was called, that the run ended cleanly; close."""
        try:
            self.custody.step()
            if self._state is not None and self._run_number is not None and self.trouble is None:
                self._state.end_run(self._run_number, self._now_ms())
        except PacsNodeError as error:
            log.error("this stop could not be recorded: %s", error)
        finally:
            if self._state is not None:
                self._state.close()
            self._folder.close()


def digest_of(config: Config) -> str:
    """Return the SHA-256 of a configuration: equal for equal ones, whatever order their sets are in."""

    def plain(value: object) -> object:
        return sorted(map(str, value)) if isinstance(value, frozenset) else str(value)

    text = json.dumps(config.model_dump(), sort_keys=True, default=plain)
    return hashlib.sha256(text.encode()).hexdigest()


def _time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")
