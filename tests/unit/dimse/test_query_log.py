"""Queries in the log at DEBUG: how each key was understood, with values only where they are allowed."""

import logging
from collections.abc import Iterator

import pytest

from pacsnode.dicom.attributes import BY_KEYWORD, Level
from pacsnode.dicom.query import InformationModel, Key, Query, SingleValue, Wildcard
from pacsnode.dimse.query_log import log_query
from pacsnode.observe import PATIENT_DATA_LOGGER

QUERY = Query(
    InformationModel.STUDY_ROOT,
    Level.STUDY,
    (
        Key(BY_KEYWORD["PatientName"], Wildcard("CANARY*\nforged")),
        Key(BY_KEYWORD["StudyInstanceUID"], SingleValue("1.2.3")),
    ),
    (BY_KEYWORD["StudyDate"],),
    unsupported=(0x00180050,),
)


@pytest.fixture(autouse=True)
def patient_data() -> Iterator[logging.Logger]:
    logger = logging.getLogger(PATIENT_DATA_LOGGER)
    level = logger.level
    yield logger
    logger.setLevel(level)


def test_without_patient_data_the_rules_and_lengths(
    caplog: pytest.LogCaptureFixture, patient_data: logging.Logger
) -> None:
    patient_data.setLevel(logging.CRITICAL)
    with caplog.at_level(logging.DEBUG, "pacsnode.dimse.query_log"):
        log_query("C-FIND", QUERY)
    assert caplog.messages == [
        "C-FIND STUDY PatientName: wild card matching: whatever case and accents, (14 characters)",
        r"C-FIND STUDY StudyInstanceUID: single value matching: \"1.2.3\"",
        "C-FIND STUDY StudyDate: universal matching: shown, whatever its value",
        "C-FIND STUDY: not supported, so left out (0xFF01): (0018,0050)",
    ]


def test_with_patient_data_the_values_on_their_logger(
    caplog: pytest.LogCaptureFixture, patient_data: logging.Logger
) -> None:
    with caplog.at_level(logging.DEBUG, PATIENT_DATA_LOGGER):
        log_query("C-FIND", QUERY)
    assert {record.name for record in caplog.records} == {PATIENT_DATA_LOGGER}
    assert "CANARY" in caplog.messages[0]
    assert all("\n" not in message for message in caplog.messages)


def test_nothing_above_debug(caplog: pytest.LogCaptureFixture, patient_data: logging.Logger) -> None:
    patient_data.setLevel(logging.CRITICAL)
    with caplog.at_level(logging.INFO, "pacsnode.dimse.query_log"):
        log_query("C-FIND", QUERY)
    assert caplog.messages == []
