import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacsnode.config.quantities import abbreviated_size, seconds, size_bytes, written_duration, written_size


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("10s", 10),
        ("10", 10),
        (10, 10),
        (2.5, 2.5),
        ("1.5m", 90),
        ("1h", 3600),
        ("250 ms", 0.25),
        (" 2 D ", 172800),
    ],
)
def test_durations(written: object, expected: float) -> None:
    assert seconds(written) == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("4 GiB", 4 << 30),
        ("512MiB", 512 << 20),
        ("1.5 KiB", 1536),
        ("1 GB", 10**9),
        ("7", 7),
        (262144, 262144),
        ("0", 0),
    ],
)
def test_sizes(written: object, expected: int) -> None:
    assert size_bytes(written) == expected


@pytest.mark.parametrize(
    "value", ["", "s", "ten", "10 parsecs", "-1s", -1, True, None, float("inf"), float("nan"), "1e3"]
)
def test_what_is_neither(value: object) -> None:
    with pytest.raises(ValueError, match='expected a duration such as "10s"'):
        seconds(value)
    with pytest.raises(ValueError, match='expected a size such as "512 MiB"'):
        size_bytes(value)


@given(st.integers(0, 10**7))
def test_a_written_duration_reads_as_itself(value: int) -> None:
    assert seconds(written_duration(float(value))) == value


@given(st.integers(0, 1 << 50))
def test_a_written_size_reads_as_itself(value: int) -> None:
    assert size_bytes(written_size(value)) == value


def test_the_largest_exact_unit_is_used() -> None:
    assert written_duration(7200.0) == "2h"
    assert written_duration(90.0) == "90s"
    assert written_duration(0.0) == "0s"
    assert written_duration(0.25) == "0.25s"
    assert written_size(1 << 30) == "1 GiB"
    assert written_size((1 << 30) + 1024) == "1048577 KiB"
    assert written_size(0) == "0 B"


def test_sizes_for_people() -> None:
    assert [abbreviated_size(n) for n in (0, 1023, 1536, 5 << 30)] == ["0 B", "1023 B", "1.5 KiB", "5.0 GiB"]
