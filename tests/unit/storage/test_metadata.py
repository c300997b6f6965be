"""What stands beside an object."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacsnode.storage.metadata import metadata_of, received_at_ms_of


def test_a_person_can_read_it() -> None:
    assert metadata_of(
        calling_ae_title="CT1",
        received_at_ms=1_700_000_000_007,
        data_set_crc32c=0xABC,
        file_crc32c=0xDEADBEEF,
        node="archive",
    ) == {
        "pacsnode-calling-ae-title": "CT1",
        "pacsnode-received": "2023-11-14T22:13:20.007Z",
        "pacsnode-data-set-crc32c": "00000abc",
        "pacsnode-file-crc32c": "deadbeef",
        "pacsnode-node": "archive",
    }


@given(received_at_ms=st.integers(0, 1 << 42))
def test_the_time_is_read_back_exactly(received_at_ms: int) -> None:
    metadata = metadata_of(
        calling_ae_title="", received_at_ms=received_at_ms, data_set_crc32c=0, file_crc32c=0, node=""
    )
    assert received_at_ms_of(metadata) == received_at_ms


@pytest.mark.parametrize("text", ["", "yesterday", "2023-11-14", "2023-11-14T22:13:20"])
def test_a_time_that_does_not_say_when_is_none(text: str) -> None:
    assert received_at_ms_of({"pacsnode-received": text}) is None
    assert received_at_ms_of({}) is None
