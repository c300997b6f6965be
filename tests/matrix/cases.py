"""One case of the matrix: what is asked, by which section of the Standard, and what must be found."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Case:
    """A query and its answer.

    `section` is of the Standard, with the part if it is not PS3.4. `keys` are values by keyword; a sequence has a
    list of one mapping. `found` are the labels of what must be answered (`archive`), separated by spaces; None where
    the status of the failure is all that there is. `is_free`: the Standard leaves the answer to the implementation,
    and this is what the node has chosen; others are not judged by it. `values` are what the one answer must say, by
    keyword. `options` are names of `pacsnode.dicom.query.Options` to negotiate.
    """

    section: str
    says: str
    keys: dict[str, Any]
    found: str | None
    level: str = "STUDY"
    root: str = "S"
    character_set: str = ""
    options: tuple[str, ...] = ()
    status: int = 0x0000
    pending: int = 0xFF00
    values: dict[str, Any] = field(default_factory=dict)
    is_free: bool = False

    @property
    def name(self) -> str:
        """The name of the test: section and what the case says."""
        return f"{self.section}: {self.says}".replace(" ", "-")
