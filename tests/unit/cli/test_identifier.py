import click
import pytest
from pydicom import Dataset

from pacsnode.cli.identifier import (
    expanded_dates,
    query_identifier,
    retrieve_identifier,
    shown_keywords,
    text_values,
)


def values(identifier: Dataset) -> dict[str, str]:
    return {element.keyword or str(element.tag): str(element.value) for element in identifier}


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("", ""),
        ("2020", "20200101-20201231"),
        ("2020-", "20200101-"),
        ("-2020", "-20201231"),
        ("2019-2020", "20190101-20201231"),
        ("202002", "20200201-20200229"),
        ("202102-202104", "20210201-20210430"),
        ("20200331", "20200331"),
        ("20200331-", "20200331-"),
        ("20200101-20200331", "20200101-20200331"),
        ("2020-03-31", "20200331"),
        ("yesterday", "yesterday"),
        ("2020-03-31-2020-05-01", "20200331-20200501"),
        ("2020-03-31-", "20200331-"),
        ("-2020-03-31", "-20200331"),
        ("2020-03-31-2021", "20200331-20211231"),
        ("2019-2020-03-31", "20190101-20200331"),
        ("2020-03-311", "2020-03-311"),
        ("000001", "00000101-000001"),
        ("-", "-"),
    ],
)
def test_dates_may_be_short(written: str, sent: str) -> None:
    assert expanded_dates("StudyDate", written) == sent


def test_keys_by_keyword_and_by_tag() -> None:
    identifier = query_identifier(
        "STUDY", ["PatientName=DOE*", "0010,0020", "(0008,0050)=A=1", "StudyDate=2020-", "00200010"]
    )
    assert values(identifier) == {
        "QueryRetrieveLevel": "STUDY",
        "PatientName": "DOE*",
        "PatientID": "",
        "AccessionNumber": "A=1",
        "StudyDate": "20200101-",
        "StudyID": "",
        "StudyInstanceUID": "",
    }


def test_without_keys_the_usual_ones_are_asked_for() -> None:
    assert "SeriesInstanceUID" in query_identifier("SERIES", [])
    assert "Modality" in query_identifier("SERIES", [])
    assert "SOPInstanceUID" in query_identifier("IMAGE", [])
    assert "PatientID" in query_identifier("PATIENT", [])


def test_a_level_among_the_keys_wins_as_with_dcmtk() -> None:
    identifier = query_identifier("STUDY", ["QueryRetrieveLevel=SERIES", "StudyInstanceUID=1.2"])
    assert identifier.QueryRetrieveLevel == "SERIES"
    assert "SeriesInstanceUID" in identifier


def test_text_beyond_ascii_is_sent_as_utf_8() -> None:
    assert query_identifier("STUDY", ["PatientName=MÜLLER*"]).SpecificCharacterSet == "ISO_IR 192"
    assert "SpecificCharacterSet" not in query_identifier("STUDY", ["PatientName=MUELLER*"])


def test_numbers_are_numbers() -> None:
    assert query_identifier("IMAGE", ["Rows=512"]).Rows == 512


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("PatientsName", "neither a keyword"),
        ("QueryRetrieveLevel=WORKLIST", "not a level"),
        ("Rows=many", "Rows: 'many' is not a number"),
        ("Rows=70000", "Rows: 70000 is not a number from 0 to 65535"),
        ("Rows=-1", "Rows: -1 is not a number from 0 to 65535"),
        ("PatientWeight=heavy", "PatientWeight: 'heavy' is not a number"),
        ("SeriesNumber=first", "SeriesNumber: 'first' is not a number"),
        ("StudyDate=202013", "StudyDate: 202013 is no month"),
        ("StudyDate=2020-202100", "StudyDate: 202100 is no month"),
        ("RequestAttributesSequence=1", "is a sequence: a value belongs to an attribute of its item"),
        ("PatientName.PatientID=1", "PatientName is no sequence"),
        ("RequestAttributesSequence.Nothing=1", "neither a keyword"),
    ],
)
def test_keys_that_mean_nothing(key: str, message: str) -> None:
    with pytest.raises(click.BadParameter, match=message):
        query_identifier("STUDY", [key])


def test_what_is_within_a_sequence_has_a_path() -> None:
    identifier = query_identifier(
        "SERIES",
        [
            "RequestAttributesSequence.RequestedProcedureID=RP1",
            "RequestAttributesSequence[0].ScheduledProcedureStepID",
            "0040,0275.ScheduledProtocolCodeSequence.CodeValue=KÖPF",
            "ProcedureCodeSequence",
        ],
    )
    assert text_values(identifier) == {
        "SpecificCharacterSet": "ISO_IR 192",
        "QueryRetrieveLevel": "SERIES",
        "SeriesInstanceUID": "",
        "ProcedureCodeSequence": [{}],
        "RequestAttributesSequence": [
            {
                "RequestedProcedureID": "RP1",
                "ScheduledProcedureStepID": "",
                "ScheduledProtocolCodeSequence": [{"CodeValue": "KÖPF"}],
            }
        ],
    }


def test_two_quotation_marks_are_sent_as_they_are() -> None:
    """They ask for what has no value where that was negotiated (PS3.4 C.2.2.2.7), for a date too."""
    identifier = query_identifier("STUDY", ['StudyDate=""', 'PatientName=""'])
    assert (identifier["StudyDate"].value, str(identifier.PatientName)) == ('""', '""')


@pytest.mark.parametrize(
    ("keys", "level"),
    [
        ({"PATIENT": ["P1"]}, "PATIENT"),
        ({"STUDY": ["1.2"]}, "STUDY"),
        ({"PATIENT": ["P1"], "STUDY": ["1.2"]}, "STUDY"),
        ({"STUDY": ["1.2"], "SERIES": ["1.3", "1.4"]}, "SERIES"),
        ({"IMAGE": ["1.5"]}, "IMAGE"),
    ],
)
def test_what_is_retrieved_is_of_the_lowest_level_named(keys: dict[str, list[str]], level: str) -> None:
    identifier = retrieve_identifier(keys)
    assert identifier.QueryRetrieveLevel == level
    assert len(identifier) == 1 + len(keys)


def test_several_uids_are_a_list() -> None:
    assert list(retrieve_identifier({"SERIES": ["1.3", "1.4"]}).SeriesInstanceUID) == ["1.3", "1.4"]


def test_a_retrieve_of_nothing() -> None:
    with pytest.raises(click.UsageError, match="what is to be fetched"):
        retrieve_identifier({"STUDY": [], "PATIENT": [""]})


def test_columns_are_the_keys_that_were_asked_for() -> None:
    assert shown_keywords(query_identifier("STUDY", ["PatientName", "StudyDate=2020"])) == [
        "StudyDate",
        "PatientName",
        "StudyInstanceUID",
    ]
    assert shown_keywords(query_identifier("STUDY", []))[0] == "StudyDate"


def test_answers_as_text() -> None:
    answer = query_identifier("STUDY", ["PatientName=A^B"])
    answer.ModalitiesInStudy = ["CT", "SR"]
    answer.StudyDescription = None
    answer.add_new(0x00091001, "LO", "private")
    code = Dataset()
    code.CodeValue = "CT"
    answer.ProcedureCodeSequence = [code]
    assert text_values(answer) == {
        "QueryRetrieveLevel": "STUDY",
        "ModalitiesInStudy": ["CT", "SR"],
        "StudyDescription": "",
        "ProcedureCodeSequence": [{"CodeValue": "CT"}],
        "00091001": "private",
        "PatientName": "A^B",
        "StudyInstanceUID": "",
    }
