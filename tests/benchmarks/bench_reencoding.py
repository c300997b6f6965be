"""How long a data set takes to change its encoding, without a network and without a process of its own.

usage: bench_reencoding.py [--rounds N] [--folder DIR]

A CT slice of 530 kB and an MR slice of 10 kB, stored in Explicit VR Little Endian, into each encoding; microseconds for
one, the median of the rounds, of which each takes a hundred.
"""

import io
import time

from pacsnode.dicom.reencoding import reencode
from pacsnode.dicom.uid import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)
from tests.benchmarks import rounds, slices

INTO = {
    "Implicit VR Little Endian": IMPLICIT_VR_LITTLE_ENDIAN,
    "Explicit VR Little Endian": EXPLICIT_VR_LITTLE_ENDIAN,
    "Explicit VR Big Endian": EXPLICIT_VR_BIG_ENDIAN,
    "Deflated": DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
}
TIMES = 100


def microseconds(data_set: bytes, wanted: str) -> float:
    """Return how long one takes."""
    started = time.perf_counter()
    for _ in range(TIMES):
        reencode(io.BytesIO(data_set), io.BytesIO(), stored=EXPLICIT_VR_LITTLE_ENDIAN, wanted=wanted)
    return (time.perf_counter() - started) / TIMES * 1e6


if __name__ == "__main__":
    arguments = rounds.options(__doc__).parse_args()
    print(rounds.machine())
    templates = {"530 kB": slices.ct512(), "10 kB": slices.mr64()}
    measures = {
        f"{size} {name}": lambda data_set=template.data_set, wanted=wanted: microseconds(data_set, wanted)
        for size, template in templates.items()
        for name, wanted in INTO.items()
    }
    medians = rounds.medians(arguments.rounds, measures)
    rows = [(name, *(medians[f"{size} {name}"] for size in templates)) for name in INTO]
    rounds.table(("into", *(f"{size}, us" for size in templates)), rows)
