"""Who is the same person."""

import pytest

from pacsnode.index.identity import Person, are_in_conflict


@pytest.mark.parametrize(
    ("ours", "theirs", "differs"),
    [
        (("DOE^JOHN", None, None), ("doe^john", None, None), False),
        (("DOE^JOHN^X^DR", None, None), ("DOE^JOHN", None, None), False),
        (("DOE", None, None), ("DOE^JOHN", None, None), False),
        (("DOE^JOHN", None, None), (None, None, None), False),
        (("DOE^JOHN=山田^太郎", None, None), ("DOE^JOHN", None, None), False),
        (("DOE^JOHN", None, None), ("DOE^JANE", None, None), True),
        (("^JOHN", None, None), ("^JANE", None, None), True),
        (("DOE", "19600101", "M"), ("DOE", "19600101", "F"), True),
        (("DOE", "19600101", "M"), ("DOE", "19600102", "M"), True),
        (("DOE", "19600101", None), ("DOE", None, "M"), False),
    ],
)
def test_what_tells_persons_apart(
    ours: tuple[str | None, ...], theirs: tuple[str | None, ...], differs: bool
) -> None:
    assert Person.of(*ours).differs(Person.of(*theirs)) is differs
    assert Person.of(*theirs).differs(Person.of(*ours)) is differs


def test_conflicts_within_one_patient_id() -> None:
    doe, roe, nobody = Person.of("DOE", None, None), Person.of("ROE", None, None), Person.of(None, None, None)
    assert not are_in_conflict([("A", doe)])
    assert not are_in_conflict([("A", doe), (None, doe), (None, nobody)])
    assert are_in_conflict([("A", doe), ("B", doe)])
    assert are_in_conflict([(None, doe), (None, nobody), (None, roe)])
