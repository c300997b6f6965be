from pacsnode.access.sees import Sees, visibility
from pacsnode.dicom.visibility import DEPARTMENT, INSTITUTION, ISSUER, Trait, View


def test_what_a_table_says_must_all_hold() -> None:
    sees = Sees(institution=("ST. MARY*",), department=("CARDIO", "ECHO"), issuer=("MPI",))
    traits = (
        Trait(INSTITUTION, ("ST. MARY*",)),
        Trait(DEPARTMENT, ("CARDIO", "ECHO")),
        Trait(ISSUER, ("MPI",)),
    )
    assert sees.view("CT1") == View(traits)


def test_own_sends_are_those_of_the_requester_beside_the_senders() -> None:
    assert Sees(own_sends=True).view("CT1") == View((Trait(None, ("CT1",)),))
    assert Sees(sent_by=("MR1",), own_sends=True).view("CT1") == View((Trait(None, ("MR1", "CT1")),))
    assert Sees(sent_by=("MR1",)).view("CT1") == View((Trait(None, ("MR1",)),))


def test_of_several_tables_one_suffices_and_none_is_nothing() -> None:
    assert visibility(None, "CT1") is None
    assert visibility((), "CT1") == ()
    several = (Sees(institution=("A",)), Sees(own_sends=True))
    assert visibility(several, "CT1") == (
        View((Trait(INSTITUTION, ("A",)),)),
        View((Trait(None, ("CT1",)),)),
    )
