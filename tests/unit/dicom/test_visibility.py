"""What is seen, as a rule about one instance."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacsnode.dicom.matching import is_visible
from pacsnode.dicom.visibility import DEPARTMENT, INSTITUTION, ISSUER, Trait, View, Visibility, both
from tests.factories_query import SENDERS, records, visibilities

RECORD = {
    "InstitutionName": "ST. MARY",
    "InstitutionalDepartmentName": "CARDIO",
    "IssuerOfPatientID": "MPI",
}
NOWHERE = View((Trait(INSTITUTION, ("ELSEWHERE",)),))


@pytest.mark.parametrize(
    ("traits", "expected"),
    [
        ((), True),
        ((Trait(INSTITUTION, ("ST. MARY",)),), True),
        ((Trait(INSTITUTION, ("ELSEWHERE", "ST. M*")),), True),
        ((Trait(INSTITUTION, ("st. mary",)),), False),
        ((Trait(INSTITUTION, ("ST. MAR?",)), Trait(DEPARTMENT, ("CARDIO",))), True),
        ((Trait(INSTITUTION, ("ST. MAR?",)), Trait(DEPARTMENT, ("ECHO",))), False),
        ((Trait(ISSUER, ("MPI",)), Trait(None, ("CT1",))), True),
        ((Trait(ISSUER, ("MPI",)), Trait(None, ("CT2",))), False),
        ((Trait(INSTITUTION, ()),), False),
        ((Trait(None, ()),), False),
    ],
)
def test_all_traits_of_a_view_hold(traits: tuple[Trait, ...], expected: bool) -> None:
    assert is_visible((View(traits),), RECORD, "CT1") is expected
    assert is_visible((NOWHERE, View(traits)), RECORD, "CT1") is expected


def test_what_is_not_known_is_hidden() -> None:
    for attribute in (INSTITUTION, DEPARTMENT, ISSUER):
        assert not is_visible((View((Trait(attribute, ("*",)),)),), {}, "CT1")


def test_a_sender_is_compared_as_it_is() -> None:
    assert not is_visible((View((Trait(None, ("*",)),)),), RECORD, "CT1")
    assert is_visible((View((Trait(None, ("*",)),)),), RECORD, "*")


def test_none_is_everything_and_no_view_is_nothing() -> None:
    assert is_visible(None, {}, "CT1")
    assert not is_visible((), RECORD, "CT1")


@given(visibilities(), visibilities(), records(), st.sampled_from(SENDERS))
def test_both_is_the_one_and_the_other(
    one: Visibility | None, other: Visibility | None, record: dict[str, str], sender: str
) -> None:
    seen = is_visible(both(one, other), record, sender)
    assert seen == (is_visible(one, record, sender) and is_visible(other, record, sender))
