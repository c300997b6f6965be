"""The archive that the matrix asks: a few studies, each there for what is particular about it.

A study has a letter, a series its number behind it, an instance another digit: `a`, `a1`, `a12`. Their UIDs are made
of these numbers, so that an answer tells what it is. pydicom encodes the texts: it is not the code under test.
"""

from pathlib import Path
from typing import Any

from pydicom import Dataset, config
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement

from tests.interop.data_sets import written
from tests.interop.wire import CT_IMAGE

ROOT = "1.2.826.0.1.3680043.10.5"
SR = "1.2.840.10008.5.1.4.1.1.88.11"

Values = dict[str, Any]


def _code(value: str, scheme: str, meaning: str) -> Values:
    return {"CodeValue": value, "CodingSchemeDesignator": scheme, "CodeMeaning": meaning}


# Letter, attributes of patient and study, and for each series: its attributes and its number of instances.
STUDIES: dict[str, tuple[Values, tuple[tuple[Values, int], ...]]] = {
    "a": (
        {
            "PatientName": "Doe^John",
            "PatientID": "P1",
            "PatientBirthDate": "19700101",
            "PatientSex": "M",
            "OtherPatientIDs": "X1\\X2",
            "PatientComments": "left\\right",
            "PatientAge": "050Y",
            "PatientWeight": "70.5",
            "StudyDate": "20200115",
            "StudyTime": "103000",
            "StudyID": "001",
            "AccessionNumber": "0012",
            "StudyDescription": "100% head",
            "ReferringPhysicianName": "Adams^Amy",
            "NameOfPhysiciansReadingStudy": "House^Gregory\\Grey^Meredith",
            "ReferringPhysicianIdentificationSequence": [
                {
                    "InstitutionName": "General Hospital",
                    "PersonIdentificationCodeSequence": [_code("DR1", "99X", "Dr Adams")],
                }
            ],
            "ProcedureCodeSequence": [_code("CTHEAD", "L", "CT of the head")],
        },
        (
            (
                {
                    "Modality": "CT",
                    "SeriesNumber": "1",
                    "SeriesDescription": "axial",
                    "AnatomicRegionSequence": [_code("T-A0100", "SRT", "Brain")],
                    "RequestAttributesSequence": [
                        {"RequestedProcedureID": "RP1", "ScheduledProcedureStepID": "S1"},
                        {"RequestedProcedureID": "RP2", "ScheduledProcedureStepID": "S2"},
                    ],
                    "BodyPartExamined": "HEAD",
                },
                2,
            ),
            (
                {
                    "Modality": "SR",
                    "SeriesNumber": "2",
                    "SeriesDescription": "report",
                    "VerifyingObserverSequence": [{"VerifyingObserverName": "Adams^Amy"}],
                    "SOPClassUID": SR,
                },
                1,
            ),
        ),
    ),
    "b": (
        {
            "PatientName": "Doe^Jane",
            "PatientID": "P2",
            "PatientBirthDate": "19700102",
            "PatientSex": "F",
            "PatientWeight": "70.50",
            "StudyDate": "20200116",
            "StudyTime": "235959.99",
            "StudyID": "1",
            "AccessionNumber": "12",
            "StudyDescription": "100x head",
        },
        (({"Modality": "CT", "SeriesNumber": "01", "SeriesDescription": "AXIAL"}, 1),),
    ),
    "c": (
        {
            "PatientName": "DOERING^Anna",
            "PatientID": "P3",
            "PatientSex": "F",
            "StudyDate": "20200229",
            "StudyTime": "10",
            "StudyID": "C-3",
            "AccessionNumber": "A12",
            "StudyDescription": "knee_left",
            "ProcedureCodeSequence": [_code("MRKNEE", "L", "MR of the knee"), _code("CTHEAD", "99Z", "else")],
            "ReferringPhysicianName": "ADAMS^AMY",
        },
        (
            (
                {
                    "Modality": "MR",
                    "SeriesNumber": "1",
                    "BodyPartExamined": "KNEE",
                    "RequestAttributesSequence": [
                        {"RequestedProcedureID": "RP1", "ScheduledProcedureStepID": "S2"}
                    ],
                },
                1,
            ),
            ({"Modality": "CT", "SeriesNumber": "10"}, 1),
            ({"Modality": "PT", "SeriesNumber": "9"}, 1),
        ),
    ),
    "d": (
        {
            "PatientName": "Roe^Richard",
            "PatientID": "P4",
            "PatientSex": "M",
            "StudyDate": "20200115",
            "StudyTime": "103030",
            "StudyID": " 001",
            "AccessionNumber": "A 12",
            "StudyDescription": "knee-left",
        },
        (({"Modality": "XA", "SeriesNumber": "1"}, 1),),
    ),
    "e": (
        {
            "PatientName": "",
            "PatientID": "",
            "StudyDate": "",
            "StudyTime": None,
            "StudyID": "",
            "AccessionNumber": "",
            "StudyDescription": "",
        },
        (({"Modality": "OT", "SeriesNumber": ""}, 1),),
    ),
    "f": (
        {
            "SpecificCharacterSet": "ISO_IR 100",
            "PatientName": "Müller^Jürgen",
            "PatientID": "P6",
            "StudyDate": "20210301",
            "StudyTime": "080000",
            "StudyDescription": "Schädel",
        },
        (({"Modality": "CT", "SeriesNumber": "1"}, 1),),
    ),
    "g": (
        {
            "SpecificCharacterSet": ["", "ISO 2022 IR 87"],
            "PatientName": "Yamada^Tarou=山田^太郎=やまだ^たろう",
            "PatientID": "P7",
            "StudyDate": "20210302",
            "StudyTime": "090000",
            "StudyDescription": "頭部",
        },
        (({"Modality": "MR", "SeriesNumber": "1"}, 1),),
    ),
    "h": (
        {
            "SpecificCharacterSet": ["", "ISO 2022 IR 149"],
            "PatientName": "Hong^Gildong=洪^吉洞=홍^길동",
            "PatientID": "P8",
            "StudyDate": "20210303",
            "StudyTime": "090000",
        },
        (({"Modality": "MR", "SeriesNumber": "1"}, 1),),
    ),
    "i": (
        {
            "SpecificCharacterSet": "GB18030",
            "PatientName": "Wang^XiaoDong=王^小东",
            "PatientID": "P9",
            "StudyDate": "20210304",
            "StudyTime": "090000",
        },
        (({"Modality": "MR", "SeriesNumber": "1"}, 1),),
    ),
    "j": (
        {
            "SpecificCharacterSet": "ISO_IR 192",
            "PatientName": "Παπαδόπουλος^Γιώργος",
            "PatientID": "P10",
            "StudyDate": "20210305",
            "StudyTime": "090000",
            "StudyDescription": "ＣＴ　頭",
        },
        (({"Modality": "MR", "SeriesNumber": "1"}, 1),),
    ),
    "k": (
        {
            "SpecificCharacterSet": "ISO_IR 144",
            "PatientName": "Иванов^Пётр",
            "PatientID": "P11",
            "StudyDate": "20210306",
            "StudyTime": "090000",
        },
        (({"Modality": "MR", "SeriesNumber": "1"}, 1),),
    ),
    "l": (
        {
            "PatientName": "Smith^Mary^Ann^Dr^Jr",
            "PatientID": "P12",
            "StudyDate": "20211231",
            "StudyTime": "000000",
            "AccessionNumber": "a12",
            "StudyDescription": "[1] 50%_x",
        },
        (({"Modality": "CT", "SeriesNumber": "1"}, 1),),
    ),
    "m": (
        {
            "PatientName": "Doe^John",
            "PatientID": "P1",
            "PatientBirthDate": "19700101",
            "PatientSex": "M",
            "OtherPatientIDs": "X1\\X2",
            "PatientComments": "left\\right",
            "StudyDate": "20190505",
            "StudyTime": "235960",  # a leap second (PS3.5 6.2, TM)
            "AccessionNumber": "M1",
            "StudyDescription": "older",
        },
        (({"Modality": "CT", "SeriesNumber": "1"}, 1),),
    ),
    "n": (
        {
            "PatientName": "Old^Timer",
            "PatientID": "OLD",
            "StudyDate": "2020.12.24",  # as ACR-NEMA wrote dates and times (PS3.5 6.2, DA and TM)
            "StudyTime": "21:15:00",
            "AccessionNumber": "N",
            "StudyDescription": "old",
        },
        (({"Modality": "OT", "SeriesNumber": "1"}, 1),),
    ),
    "o": (
        {
            "PatientName": "Zone^East",
            "PatientID": "ZONE",
            "StudyDate": "20220101",
            "StudyTime": "003000",
            "TimezoneOffsetFromUTC": "+0100",
            "AccessionNumber": "O",
        },
        (({"Modality": "US", "SeriesNumber": "1"}, 1),),
    ),
}


def data_sets() -> list[Dataset]:
    """Return all instances."""
    return [
        _instance(letter, series, number, study_values | series_values)
        for letter, (study_values, its_series) in STUDIES.items()
        for series, (series_values, instances) in enumerate(its_series, start=1)
        for number in range(1, instances + 1)
    ]


def write(folder: Path) -> list[Path]:
    """Write all instances as files."""
    return [
        written(data_set, folder / f"{label(str(data_set.SOPInstanceUID))}.dcm") for data_set in data_sets()
    ]


def uid(label_: str) -> str:
    """Return the UID of a study, series or instance: `a`, `a1`, `a12`."""
    return ".".join((ROOT, str(ord(label_[0]) - ord("a") + 1), *label_[1:]))


def label(uid_: str) -> str:
    """Return the label of a UID."""
    study, *below = uid_.removeprefix(f"{ROOT}.").split(".")
    return chr(ord("a") + int(study) - 1) + "".join(below)


def _instance(letter: str, series: int, number: int, values: Values) -> Dataset:
    defaults = {
        "SOPClassUID": CT_IMAGE,
        "SOPInstanceUID": uid(f"{letter}{series}{number}"),
        "SeriesInstanceUID": uid(f"{letter}{series}"),
        "StudyInstanceUID": uid(letter),
        "InstanceNumber": str(number),
    }
    data_set = Dataset()
    fill(data_set, defaults | values)
    return data_set


def fill(data_set: Dataset, values: Values) -> None:
    """Add values by keyword, sequences as lists of such; None is left out. Nothing is validated."""
    for keyword, value in values.items():
        tag = tag_for_keyword(keyword)
        assert tag is not None, keyword
        if value is not None:
            vr = dictionary_VR(tag)[:2]
            data_set.add(DataElement(tag, vr, _content(vr, value), validation_mode=config.IGNORE))


def _content(vr: str, value: Any) -> Any:
    if vr == "SQ":
        items = [Dataset() for _ in value]
        for item, values in zip(items, value, strict=True):
            fill(item, values)
        return items
    is_list = isinstance(value, str) and "\\" in value and vr not in ("LT", "ST", "UT")
    return value.split("\\") if is_list else value
