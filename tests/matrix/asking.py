"""The matrix's queries, asked by DCMTK's findscu and by pynetdicom: two requestors that share no code.

Both send the same Identifier. What they receive is read by pydicom into text by keyword.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation

from tests.faults import bounded
from tests.interop import dcmtk, peers
from tests.interop.wire import EXPLICIT
from tests.matrix import archive
from tests.matrix.cases import Case

ROOTS = {"P": "1.2.840.10008.5.1.4.1.2.1.1", "S": "1.2.840.10008.5.1.4.1.2.2.1"}
UNIQUE_KEYS = {
    "PATIENT": "PatientID",
    "STUDY": "StudyInstanceUID",
    "SERIES": "SeriesInstanceUID",
    "IMAGE": "SOPInstanceUID",
}
_SECONDS = 10.0
OPTIONS = (
    "relational",
    "combined_date_time",
    "fuzzy_names",
    "timezone_adjustment",
    "enhanced_multi_frame",
    "empty_value",
    "multiple_value",
)

_Text = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What one requestor was told: the final status, those of the matches, and the matches, in order."""

    status: int
    pending: tuple[int, ...]
    matches: tuple[_Text, ...]

    def labels(self, level: str) -> list[str]:
        """Return what was found, as the matrix calls it."""
        found = [str(match.get(UNIQUE_KEYS[level], "")) for match in self.matches]
        return [(one or "none") if level == "PATIENT" else archive.label(one) for one in found]


def identifier(case: Case) -> Dataset:
    """Return the Identifier of a case; the unique key of its level is always asked for."""
    asked = Dataset()
    values: dict[str, Any] = {"QueryRetrieveLevel": case.level} if case.level else {}
    if case.character_set:
        values["SpecificCharacterSet"] = case.character_set
    if case.level in UNIQUE_KEYS:
        values[UNIQUE_KEYS[case.level]] = ""
    archive.fill(asked, values | case.keys)
    return asked


def by_findscu(port: int, case: Case, folder: Path, *, aec: str = "PACSNODE") -> Answer:
    """Ask with DCMTK, which cannot negotiate; the folder is for files, and grows."""
    number = len(list(folder.glob("*.dcm")))
    query = folder / f"{number}.dcm"
    dcmwrite(query, _as_file(identifier(case)), enforce_file_format=True)
    ran, found = dcmtk.find(port, folder / str(number), f"-{case.root}", aec=aec, files=[query])
    assert ran.statuses, ran.output
    return Answer(ran.statuses[-1], tuple(ran.statuses[:-1]), tuple(map(_text, found)))


def by_pynetdicom(established: Association, case: Case) -> Answer:
    """Ask with pynetdicom, on an association with what the case negotiates.

    Its reader, which pauses for a query, has to be seen awake again afterwards: a query before that takes it for paused
    still, and the reader then drops the first response as unexpected.
    """
    responses = list(established.send_c_find(identifier(case), ROOTS[case.root]))
    assert any(not established._is_paused or not established.is_established for _ in bounded(_SECONDS))
    statuses = tuple(int(status.Status) for status, _ in responses)
    matches = tuple(_text(answer) for _, answer in responses if answer is not None)
    return Answer(statuses[-1], statuses[:-1], matches)


@contextmanager
def associated(port: int, options: tuple[str, ...], *, aec: str = "PACSNODE") -> Iterator[Association]:
    """Associate for both models, with these options negotiated for both."""
    contexts = [(root, EXPLICIT) for root in ROOTS.values()]
    offer = bytes(option in options for option in OPTIONS)
    items = [_item(root, offer) for root in ROOTS.values()] if options else []
    with peers.association(port, contexts, called=aec, negotiation=items) as established:
        yield established


def negotiated(port: int, root: str, offer: bytes) -> bytes:
    """Return what is answered to an offer for one model (PS3.7 D.3.3.5)."""
    with peers.association(port, [(root, EXPLICIT)], negotiation=[_item(root, offer)]) as established:
        answer: bytes = established.acceptor.sop_class_extended[root]
        return answer


def _item(root: str, offer: bytes) -> SOPClassExtendedNegotiation:
    item = SOPClassExtendedNegotiation()
    item.sop_class_uid = root
    item.service_class_application_information = offer
    return item


def _text(answer: Dataset) -> _Text:
    return {element.keyword or str(element.tag): _value(element) for element in answer}


def _value(element: Any) -> Any:
    if element.VR == "SQ":
        return [_text(item) for item in element.value]
    values = element.value if element.VM > 1 else [element.value]
    return "\\".join("" if value is None else str(value) for value in values)


def _as_file(asked: Dataset) -> Dataset:
    asked.file_meta = FileMetaDataset()
    asked.file_meta.TransferSyntaxUID = UID(EXPLICIT)
    asked.file_meta.MediaStorageSOPClassUID = UID(ROOTS["S"])
    asked.file_meta.MediaStorageSOPInstanceUID = UID(archive.ROOT)
    return asked
