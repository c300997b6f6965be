"""D1: what was acknowledged survives a power cut, on each file system that one fsync is trusted on."""

from collections.abc import Callable

import pytest

from tests.power_cuts import Cuts, cut_repeatedly, set_aside
from tests.prove.conftest import Effort

pytestmark = pytest.mark.prove


@pytest.mark.parametrize("file_system", ["ext4", "xfs"])
def test_d1_power_cut(file_system: str, effort: Effort, summary: Callable[[str], None]) -> None:
    least_cuts, least_acknowledged = effort.of(20, 300), effort.of(2_000, 50_000)

    def is_enough(cuts: Cuts) -> bool:
        return cuts.number >= least_cuts and len(cuts.ledger.acknowledged) >= least_acknowledged

    cuts = cut_repeatedly(file_system, is_enough=is_enough, mebibytes=effort.of(4_096, 32_768))
    summary(f"D1 {file_system}: {cuts.number} cuts, {cuts.report.figures()}{set_aside(cuts.report)}")
    cuts.report.require_clean()
