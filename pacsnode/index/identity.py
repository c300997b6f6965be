"""When two instances speak of the same person.

A patient is a Patient ID with its issuer. Under one ID another person is told by family name, given name,
birth date or sex, where both sides have them; missing or further components do not count. Names are compared
folded, in their first component group (PS3.5 6.2.1), since devices differ in case and padding.
"""

from dataclasses import dataclass
from typing import Self

from pacsnode.dicom.charset import folded


@dataclass(frozen=True, slots=True)
class Person:
    """What tells persons apart; empty where it is not known."""

    family_name: str
    given_name: str
    birth_date: str
    sex: str

    @classmethod
    def of(cls, patient_name: str | None, birth_date: str | None, sex: str | None) -> Self:
        """Return the person by the stored text of its attributes."""
        components = folded(patient_name or "").partition("=")[0].split("^")
        return cls(components[0], components[1] if len(components) > 1 else "", birth_date or "", sex or "")

    def differs(self, other: "Person") -> bool:
        """Return whether the two can't be the same person."""
        pairs = (
            (self.family_name, other.family_name),
            (self.given_name, other.given_name),
            (self.birth_date, other.birth_date),
            (self.sex, other.sex),
        )
        return any(ours and theirs and ours != theirs for ours, theirs in pairs)


def are_in_conflict(patients: list[tuple[str | None, Person]]) -> bool:
    """Return whether patients (issuer, person) of one Patient ID are more than one person.

    Two issuers are two persons; an issuer that is missing decides nothing.
    """
    issuers = {issuer for issuer, _ in patients if issuer}
    persons = [person for _, person in patients]
    differing = any(one.differs(other) for at, one in enumerate(persons) for other in persons[:at])
    return len(issuers) > 1 or differing
