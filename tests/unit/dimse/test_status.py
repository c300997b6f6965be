"""Which error becomes which status, service by service (PS3.4 B.2.3, C.4; PS3.7 annex C)."""

import pytest
from pynetdicom import status as oracle

from pacsnode import errors
from pacsnode.dimse import status
from pacsnode.dimse.association.command import MAX_COMMENT_CHARACTERS
from pacsnode.dimse.status import FindStatus, GeneralStatus, RetrieveStatus, StorageStatus

STORE = {
    errors.DataSetMismatch: 0xA900,
    errors.InvalidUID: 0xA900,
    errors.DifferentContent: 0xC001,
    errors.UnreadableDataSet: 0xC000,
    errors.RequestError: 0xC000,
    errors.OutOfResources: 0xA700,
    errors.TemporaryError: 0x0110,
    errors.DamagedObject: 0x0110,
    errors.PermanentError: 0x0110,
    errors.PacsNodeError: 0x0110,
}
FIND = {
    errors.InvalidIdentifier: 0xA900,
    errors.InvalidUID: 0xA900,
    errors.UnreadableDataSet: 0xC000,
    errors.RequestError: 0xC000,
    errors.OutOfResources: 0xA700,
    errors.TemporaryError: 0xA700,
    errors.PermanentError: 0xC000,
    errors.PacsNodeError: 0xC000,
}
RETRIEVE = {
    errors.InvalidIdentifier: 0xA900,
    errors.InvalidUID: 0xA900,
    errors.PatientConflict: 0xA900,
    errors.UnreadableDataSet: 0xC000,
    errors.RequestError: 0xC000,
    errors.OutOfResources: 0xA701,
    errors.TemporaryError: 0xA701,
    errors.PermanentError: 0xC000,
    errors.PacsNodeError: 0xC000,
}
CASES = [
    (of, kind, code)
    for of, table in ((status.of_store, STORE), (status.of_find, FIND), (status.of_retrieve, RETRIEVE))
    for kind, code in table.items()
]


@pytest.mark.parametrize(("of", "kind", "code"), CASES)
def test_the_table(of, kind: type[errors.PacsNodeError], code: int) -> None:
    found, comment = of(kind("what is said here is ours"))
    assert found == code
    is_of_query = of is not status.of_store and kind is errors.InvalidUID
    if kind is errors.InvalidIdentifier or is_of_query:
        assert comment == "what is said here is ours", "an Identifier's fault is said to who made it"
    else:
        assert comment
        assert "ours" not in comment
        assert len(comment) <= MAX_COMMENT_CHARACTERS
        assert comment.isascii()


def all_errors(kind: type[errors.PacsNodeError] = errors.PacsNodeError) -> list[type[errors.PacsNodeError]]:
    return [kind, *(found for child in kind.__subclasses__() for found in all_errors(child))]


@pytest.mark.parametrize("of", [status.of_store, status.of_find, status.of_retrieve])
def test_every_error_of_the_tree_fails(of) -> None:
    for kind in all_errors():
        if kind.__module__ != "pacsnode.errors":
            continue
        code, _ = of(kind("x"))
        assert code >> 12 in (0xA, 0xC) or code == GeneralStatus.PROCESSING_FAILURE


def test_the_tags_at_fault() -> None:
    assert status.offending_of(errors.DataSetMismatch("x", offending=(0x00080018,))) == (0x00080018,)
    assert status.offending_of(errors.TemporaryError("x")) == ()


@pytest.mark.parametrize(
    ("table", "codes"),
    [
        (oracle.STORAGE_SERVICE_CLASS_STATUS, StorageStatus),
        (oracle.QR_FIND_SERVICE_CLASS_STATUS, FindStatus),
        (oracle.QR_MOVE_SERVICE_CLASS_STATUS, RetrieveStatus),
        (oracle.GENERAL_STATUS, GeneralStatus),
    ],
)
def test_the_codes_are_those_of_the_standard(table: dict[int, tuple[str, str]], codes) -> None:
    assert {int(code) for code in codes} <= set(table)


def test_warnings() -> None:
    """PS3.7 annex C: 0001, 0107, 0116 and Bxxx."""
    warnings = {code for code in range(0x10000) if StorageStatus.is_warning(code)}
    assert warnings == {0x0001, 0x0107, 0x0116, *range(0xB000, 0xC000)}
