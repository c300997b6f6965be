"""Encode C-FIND answers: microseconds a row, by transfer syntax and character set.

Run it as `python tests/benchmarks/bench_response.py`. It prints medians of several rounds.
"""

import statistics
import timeit

from pacsnode.dicom import uid
from pacsnode.dicom.attributes import BY_KEYWORD, Level
from pacsnode.dicom.query import InformationModel, Query
from pacsnode.dicom.response import ResponseEncoder

ROUNDS, ROWS = 7, 5_000

STUDY = {
    "StudyDate": "20240229",
    "StudyTime": "101500.123",
    "AccessionNumber": "A0012345",
    "ModalitiesInStudy": "CT\\SR",
    "ReferringPhysicianName": "HOUSE^GREGORY",
    "StudyDescription": "CT THORAX ABDOMEN",
    "PatientName": "DOE^JANE",
    "PatientID": "0123456789",
    "PatientBirthDate": "19701231",
    "PatientSex": None,
    "StudyInstanceUID": "1.2.826.0.1.3680043.8.498.12345678901234567890",
    "StudyID": "4711",
    "NumberOfStudyRelatedInstances": "512",
}


def encoder(transfer_syntax_uid: str, character_sets: tuple[str, ...] = ()) -> ResponseEncoder:
    """Return the encoder of a work list query at STUDY level."""
    returned = tuple(sorted((BY_KEYWORD[keyword] for keyword in STUDY), key=lambda attribute: attribute.tag))
    query = Query(
        InformationModel.STUDY_ROOT,
        Level.STUDY,
        keys=(),
        returned=returned,
        character_sets=character_sets,
        asks_retrieve_ae_title=True,
    )
    return ResponseEncoder(query, transfer_syntax_uid=transfer_syntax_uid, retrieve_ae_title="PACSNODE")


def row(name: str, stored: str | None) -> tuple[str | None, ...]:
    """Return a row in tag order, with this patient's name."""
    values = STUDY | {"PatientName": name}
    return (*(values[one] for one in sorted(values, key=lambda one: BY_KEYWORD[one].tag)), stored)


CASES = {
    "explicit, ASCII": (encoder(uid.EXPLICIT_VR_LITTLE_ENDIAN), row("DOE^JANE", None)),
    "implicit, ASCII": (encoder(uid.IMPLICIT_VR_LITTLE_ENDIAN), row("DOE^JANE", None)),
    "explicit, ASCII, asked in Latin-1": (
        encoder(uid.EXPLICIT_VR_LITTLE_ENDIAN, ("ISO_IR 100",)),
        row("DOE^JANE", None),
    ),
    "explicit, Latin-1, asked so": (
        encoder(uid.EXPLICIT_VR_LITTLE_ENDIAN, ("ISO_IR 100",)),
        row("MÜLLER^JÜRGEN", "ISO_IR 100"),
    ),
    "explicit, UTF-8, asked in Latin-1": (
        encoder(uid.EXPLICIT_VR_LITTLE_ENDIAN, ("ISO_IR 100",)),
        row("ИВАНОВ^ИВАН", "ISO_IR 192"),
    ),
    "explicit, Japanese as stored": (
        encoder(uid.EXPLICIT_VR_LITTLE_ENDIAN),
        row("YAMADA^TARO=山田^太郎=やまだ^たろう", "\\ISO 2022 IR 87"),
    ),
    "deflated, ASCII": (encoder(uid.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN), row("DOE^JANE", None)),
}


def main() -> None:
    """Print one line for each case."""
    for name, (encode, values) in CASES.items():
        times = timeit.repeat(lambda e=encode, v=values: e.encode(v), repeat=ROUNDS, number=ROWS)
        microseconds = statistics.median(times) / ROWS * 1e6
        print(f"{name:36} {microseconds:7.1f} us   {len(encode.encode(values))} bytes")


if __name__ == "__main__":
    main()
