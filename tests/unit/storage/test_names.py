"""Object names: what is written is read back, and nothing else is ours."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacsnode.storage.names import object_name, parse

UIDS = st.from_regex(r"[0-9]{1,8}(\.[0-9]{1,8}){0,6}", fullmatch=True)


@given(UIDS, UIDS, UIDS, st.integers(0, 1000))
def test_a_name_is_read_back(study: str, series: str, instance: str, version: int) -> None:
    assert parse(object_name(study, series, instance, version)) == (study, series, instance, version)


@given(
    st.one_of(st.text(max_size=80), st.from_regex(r"[0-9.]*/[0-9.]*/[0-9.]*(~[0-9]*)?\.dcm", fullmatch=True))
)
def test_what_is_read_is_what_would_be_written(name: str) -> None:
    found = parse(name)
    assert found is None or object_name(*found) == name


@pytest.mark.parametrize(
    "name",
    [
        "../../1.dcm",
        "1.2/../1.dcm",
        "1.2/1.3/..dcm",
        "1..2/1.3/1.4.dcm",
        ".1/1.3/1.4.dcm",
        "1.2/1.3/1.4~0.dcm",
        "1.2/1.3/1.4~01.dcm",
        "1.2/1.3/1.4.dcm\n",
        "1.2/1.3/1.4",
        "/1.2/1.3/1.4.dcm",
        "1.2/1.3/1.4/1.5.dcm",
        "_node.json",
        "1.2/1.3/" + "1" * 65 + ".dcm",
        "1.2/1.3/١.dcm",
    ],
)
def test_other_names_are_not_ours(name: str) -> None:
    assert parse(name) is None


def test_the_first_version_has_no_number() -> None:
    assert object_name("1.2", "1.3", "1.4") == "1.2/1.3/1.4.dcm"
    assert object_name("1.2", "1.3", "1.4", 2) == "1.2/1.3/1.4~2.dcm"
