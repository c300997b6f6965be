"""Nodes that are wrong on purpose: `python -m tests.prove.mutants NAME serve ...`, with one step spoilt.

A proof that stays green on them proves nothing. The product has no switch for any of this: each mutant
replaces a function of it in its own processes, which the supervisor starts by `mutants NAME child ROLE ...`.
"""

import copy
import os
import runpy
import sys
import threading
from collections.abc import Callable, Mapping
from types import MappingProxyType

from pacsnode.archive.store import Outcome, Receiving
from pacsnode.cli.main import run
from pacsnode.errors import PacsNodeError
from pacsnode.index.sqlite import SqliteIndex
from pacsnode.processes import serve
from pacsnode.spool import Entry, Incoming


def no_fsync() -> None:
    """Acknowledge what is in the page cache only. SQLite still syncs its own files."""

    def fsync(_: object) -> None:
        return None

    setattr(os, "fsync", fsync)  # noqa: B010


def success_before_the_commit() -> None:
    """Answer when the last byte has come, and make it durable and index it meanwhile."""
    finish = Receiving.finish

    def finish_behind(self: Receiving) -> Outcome:
        if self._incoming is None:
            return finish(self)
        behind, self._incoming = copy.copy(self), None
        threading.Thread(target=_quietly, args=(finish, behind)).start()
        return Outcome.STORED

    setattr(Receiving, "finish", finish_behind)  # noqa: B010


def _quietly(finish: Callable[[Receiving], Outcome], receiving: Receiving) -> None:
    try:
        finish(receiving)
    except PacsNodeError:
        return


def link_before_the_data() -> None:
    """Give the file its name and sync it while its last bytes are still in memory."""

    def publish(self: Incoming) -> Entry:
        entry = self._spool.publish(self)
        if self._pending:
            self._flush()
        return entry

    setattr(Incoming, "publish", publish)  # noqa: B010


def no_index_sync() -> None:
    """Let spool entries go before the rows that stand for them are durable."""

    def sync(_: SqliteIndex) -> bool:
        return True

    setattr(SqliteIndex, "sync", sync)  # noqa: B010


MUTANTS: Mapping[str, Callable[[], None]] = MappingProxyType(
    {
        mutate.__name__: mutate
        for mutate in (no_fsync, success_before_the_commit, link_before_the_data, no_index_sync)
    }
)


def main() -> None:
    """Be a spoilt node, or one of its children."""
    name = sys.argv.pop(1)
    MUTANTS[name]()
    if sys.argv[1] == "child":
        _, role = sys.argv.pop(1), sys.argv.pop(1)
        runpy.run_module(f"pacsnode.processes.{role}", run_name="__main__", alter_sys=True)

    def command(role: str) -> list[str]:
        return [sys.executable, "-m", "tests.prove.mutants", name, "child", role]

    setattr(serve, "command", command)  # noqa: B010
    run()


if __name__ == "__main__":
    main()
