"""What the slow proofs share: how much of them to run, and a line of figures for each at the end."""

import os
from collections.abc import Callable
from dataclasses import dataclass

import pytest

_LINES = pytest.StashKey[list[str]]()


@dataclass(frozen=True)
class Effort:
    """How much to do; `.ci/prove` sets `PACSNODE_PROVE` to `quick` or `long`."""

    is_long: bool

    def of(self, quick: int, long: int) -> int:
        """Return the one of two amounts that is asked for."""
        return long if self.is_long else quick


@pytest.fixture(scope="session")
def effort() -> Effort:
    """The effort that is asked for; quick unless told otherwise."""
    return Effort(os.environ.get("PACSNODE_PROVE", "quick") == "long")


@pytest.fixture
def summary(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Add a line to the summary at the end of the run."""
    return pytestconfig.stash.setdefault(_LINES, []).append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the figures of all proofs that came to their end."""
    if lines := config.stash.get(_LINES, None):
        terminalreporter.section("proofs")
        for line in lines:
            terminalreporter.line(line)
