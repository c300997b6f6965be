"""D1 must turn red on a node that acknowledges what is not durable: see `mutants`."""

import sys
from collections.abc import Callable

import pytest

from tests.power_cuts import Cuts, cut_repeatedly
from tests.prove.mutants import MUTANTS

pytestmark = pytest.mark.prove

_CUTS = 10


@pytest.mark.parametrize("file_system", ["ext4", "xfs"])
@pytest.mark.parametrize("name", MUTANTS)
def test_d1_mutant(name: str, file_system: str, summary: Callable[[str], None]) -> None:
    def is_enough(cuts: Cuts) -> bool:
        return cuts.number >= _CUTS

    program = (sys.executable, "-m", "tests.prove.mutants", name)
    cuts = cut_repeatedly(file_system, is_enough=is_enough, program=program)
    is_red = bool(cuts.report.lost or cuts.report.torn)
    summary(
        f"D1 {file_system}, mutant {name}: {'red' if is_red else 'NOT red'} "
        f"after {cuts.number} cuts, {cuts.report.figures()}"
    )
    assert is_red, f"{_CUTS} cuts do not show that {name} is wrong"
