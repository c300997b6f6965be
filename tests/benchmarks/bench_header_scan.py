"""How long the header scan of one instance takes: the median of many, in microseconds.

    python -m tests.benchmarks.bench_header_scan

The budget of C-STORE is 150 microseconds for a CT header of 250 elements.
"""

import statistics
import time
from collections.abc import Callable

from pydicom import dcmread

from pacsnode.dicom import header, part10
from tests.corpus import CorpusFile, corpus_files
from tests.unit.dicom.headers import ct_header, element, item, sequence

REPEATS = 2000


def median_microseconds(call: Callable[[], object], repeats: int = REPEATS) -> float:
    """Return the median duration of a call."""
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds) * 1e6


def unremembered(data: bytes, transfer_syntax_uid: str) -> None:
    """Scan as if no value had been seen before."""
    header._remembered.cache_clear()
    header._remembered_sequence.cache_clear()
    header.scan(data, transfer_syntax_uid)


def sequences(transfer_syntax_uid: str) -> dict[int, bytes]:
    """Return what a modality with a worklist adds: a procedure code, and a request with a protocol code."""
    name = transfer_syntax_uid
    code = element(0x00080100, "SH", b"CTCH", name) + element(0x00080102, "SH", b"99X ", name)
    request = (
        sequence(0x00400008, item(code, name), name)
        + element(0x00400009, "SH", b"S1", name)
        + element(0x00401001, "SH", b"R1", name)
    )
    return {
        0x00081032: sequence(0x00081032, item(code, name), name),
        0x00400275: sequence(0x00400275, item(request, name), name),
    }


def longest_headers() -> list[CorpusFile]:
    """Return the corpus' largest header of each transfer syntax among CT and MR images."""
    largest: dict[str, tuple[int, CorpusFile]] = {}
    for file in corpus_files():
        if file.sop_class in ("CT Image Storage", "MR Image Storage") and "no_ts" not in file.flags:
            count = len(dcmread(file.path, stop_before_pixels=True, force=True))
            if count > largest.get(file.transfer_syntax, (0, file))[0]:
                largest[file.transfer_syntax] = (count, file)
    return [file for _, file in largest.values()]


def main() -> None:
    """Print one line for a made CT header, one for each kind of real header, and one for the file meta."""
    for name in ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"):
        data = ct_header(250, name)
        print(f"{median_microseconds(lambda: header.scan(data, name)):8.1f} us  250 elements, {name}")  # noqa: B023
        data = ct_header(248, name, further=sequences(name))
        taken = median_microseconds(lambda: header.scan(data, name))  # noqa: B023
        print(f"{taken:8.1f} us  250 elements with two sequences, {name}")
        taken = median_microseconds(lambda: unremembered(data, name))  # noqa: B023
        print(f"{taken:8.1f} us  the same, nothing remembered, {name}")
    for file in longest_headers():
        raw = file.path.read_bytes()
        meta = part10.identify(raw, is_complete=True)
        data = raw[meta.data_set_offset :]
        count = len(dcmread(file.path, stop_before_pixels=True, force=True))
        taken = median_microseconds(lambda: header.scan(data, meta.transfer_syntax_uid))  # noqa: B023
        print(f"{taken:8.1f} us  {count} elements, {file.transfer_syntax}, {file.path.name}")
    numbers = iter(range(10_000))
    taken = median_microseconds(
        lambda: part10.file_meta(
            sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
            sop_instance_uid=f"1.2.826.0.1.3680043.8.498.{next(numbers)}",
            transfer_syntax_uid="1.2.840.10008.1.2.1",
            calling_ae_title="CT1",
            called_ae_title="PACSNODE",
        )
    )
    print(f"{taken:8.1f} us  file meta")


if __name__ == "__main__":
    main()
