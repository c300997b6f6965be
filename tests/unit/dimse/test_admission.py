"""Limits: each counts for whom it is for, and gives back what was taken."""

import threading

import pytest

from pacsnode.dimse.admission import Admission, Limits


@pytest.mark.parametrize(
    ("limits", "refused", "key"),
    [
        (Limits(associations=2), ("b", "Y"), "dicom.max_associations"),
        (Limits(associations=9, per_ip=2), ("a", "Y"), "limits.per_ip"),
        (Limits(associations=9, per_ae=2), ("b", "X"), "limits.per_ae"),
    ],
)
def test_the_limit_that_is_reached_is_named(limits: Limits, refused: tuple[str, str], key: str) -> None:
    admission = Admission(limits)
    assert [admission.take("a", "X"), admission.take("a", "X")] == [None, None]
    assert admission.take(*refused) == key
    admission.give_back("a", "X")
    assert admission.take(*refused) is None


def test_one_callers_limit_never_touches_another() -> None:
    admission = Admission(Limits(associations=9, per_ip=1, per_ae=1))
    assert admission.take("a", "X") is None
    assert admission.take("a", "Y") == "limits.per_ip"
    assert admission.take("b", "X") == "limits.per_ae"
    assert admission.take("b", "Y") is None


def test_zero_is_no_limit() -> None:
    admission = Admission(Limits(associations=1000))
    assert {admission.take("a", "X") for _ in range(1000)} == {None}


def test_counts_hold_under_threads() -> None:
    admission, taken = Admission(Limits(associations=10, per_ae=10)), list[bool]()

    def come_and_go() -> None:
        for _ in range(500):
            if admission.take("a", "X") is None:
                taken.append(True)
                admission.give_back("a", "X")

    threads = [threading.Thread(target=come_and_go) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 4000
    assert not admission._per_ip
    assert not admission._per_ae
    assert admission._associations == 0
