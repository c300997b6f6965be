"""The log: one line an association, nothing forged, nothing left over, no patient."""

import logging
import threading
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pacsnode.association_log import AssociationLog, escaped, shown_uid
from pacsnode.observe import (
    AssociationEnded,
    AssociationRejected,
    ConnectionProbed,
    InstanceStored,
    QueryAnswered,
    RetrieveEnded,
    Verified,
)
from tests.canary import MARKS

ENDED = AssociationEnded("a1", "CT1", "PACSNODE", "10.0.0.7:4711", "released", 1.5, 3, 1, 4, 1000, 200)
REJECTED = AssociationRejected("a1", "CT1", "PACSNODE", "10.0.0.7:4711", "called AE title not recognized")
STORED = InstanceStored("a1", "CT1", "1.2.3", "1.2.3.4", "1.2.840.10008.1.2", "stored", 0, "", 500, 0.1)
QUERY = QueryAnswered("a1", "CT1", "Study Root", "STUDY", 3, 0, "", 0.1)
RETRIEVE = RetrieveEnded("a1", "CT1", "WS1", "STUDY", 5, 0, 1, 0, 0xB000, "", 100, 0.1)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> AssociationLog:
    caplog.set_level(logging.INFO)
    return AssociationLog()


@given(st.text(max_size=600))
@example('"' * 300)
@example("\\" * 300)
@example("x" * 255 + '"')
@example("x" * 255 + "\\")
@example("x" * 254 + '\n"')
@example("\r\n\x1b[31m\u2028\ud800\0")
def test_a_peers_text_stays_in_its_place(text: str) -> None:
    result = escaped(text)
    assert len(result) <= 256
    assert result.isascii()
    assert result.isprintable()
    # Within quotation marks it can neither end them nor escape the mark that does.
    at = 0
    while at < len(result):
        assert result[at] != '"'
        at += 2 if result[at] == "\\" else 1
    assert at == len(result)


def test_plain_text_is_as_it_is() -> None:
    assert escaped("CT 1/a") == "CT 1/a"


# Hypothesis tries texts of the source too, and the marks of patients in the test data are among them.
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=300).filter(lambda text: not any(mark in text for mark in MARKS)))
@example(text='x" released after 1 s\n2026-01-01 INFO forged')
def test_no_peer_forges_a_line(text: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    log = AssociationLog()
    caplog.clear()
    log(replace(REJECTED, calling_ae_title=text, called_ae_title=text, reason=text))
    log(replace(STORED, sop_instance_uid=text, outcome=text, status=0xA900))
    log(replace(STORED, sop_instance_uid=text, outcome="kept as a version"))
    log(replace(QUERY, level=text, comment=text, status=0xA900))
    log(replace(RETRIEVE, destination_ae_title=text, level=text, comment=text))
    log(replace(ENDED, calling_ae_title=text, called_ae_title=text, ending=text))
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 6
    for message in messages:
        assert message.isascii()
        assert message.isprintable()
        assert len(message) < 1500
    assert '" to "' in messages[0]
    assert messages[0].count('" to "') == 1 or '" to "' in text


def test_one_line_for_an_association_that_does_its_work(
    log: AssociationLog, caplog: pytest.LogCaptureFixture
) -> None:
    log(Verified("a1", "CT1", 0))
    log(STORED)
    log(replace(STORED, outcome="already stored"))
    log(QUERY)
    log(replace(RETRIEVE, status=0, warned=0))
    assert caplog.records == []
    log(ENDED)
    (record,) = caplog.records
    assert record.levelno == logging.INFO
    line = record.getMessage()
    for part in (
        '"CT1"', '"PACSNODE"', "10.0.0.7:4711", "released", "1.500 s", "1 echoed", "2 stored", "1 queries",
        "1 retrieves", "5 sent", "3 accepted", "1 refused", "1000 bytes received", "200 sent",
    ):  # fmt: skip
        assert part in line, part


def test_an_idle_association_says_so(log: AssociationLog, caplog: pytest.LogCaptureFixture) -> None:
    log(ENDED)
    assert "nothing done" in caplog.text


@pytest.mark.parametrize(
    ("event", "says"),
    [
        (REJECTED, ["refused", "called AE title not recognized"]),
        (
            replace(STORED, status=0xA900, outcome="DataSetMismatch: no SOPClassUID"),
            ["C-STORE 1.2.3.4 failed", '"CT1"', "0xA900", "no SOPClassUID"],
        ),
        (replace(STORED, outcome="kept as a version"), ["1.2.3.4", "other content", "kept as a version"]),
        (replace(STORED, outcome="replaced"), ["1.2.3.4", "other content", "replaced"]),
        (replace(QUERY, status=0xA900, comment="no level"), ["C-FIND STUDY", "0xA900", "no level"]),
        (replace(QUERY, status=0xC000, level=""), ["C-FIND -", "0xC000"]),
        (replace(QUERY, status=0xA700), ["0xA700"]),
        (
            replace(RETRIEVE, failed=2, converted=3),
            ["3 converted; 100 bytes", "C-MOVE to WS1, STUDY", "5 sent, 2 failed, 1 warned", "0xB000"],
        ),
        (replace(RETRIEVE, destination_ae_title="", status=0xA702), ["C-GET, STUDY:", "0xA702"]),
        (replace(RETRIEVE, status=0xA801, level=""), ["0xA801"]),
        (
            replace(RETRIEVE, status=0xC000, remaining=3, associations=2),
            ["1 warned, 3 left; 100 bytes in 0.100 s over 2 assoc"],
        ),
    ],
)
def test_what_fails_is_a_warning_when_it_happens(
    log: AssociationLog, caplog: pytest.LogCaptureFixture, event: AssociationRejected, says: list[str]
) -> None:
    log(event)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    for part in says:
        assert part in record.getMessage()


@pytest.mark.parametrize("error", ["OutOfResources", "TemporaryError", "PermanentError", "ObjectExists"])
def test_a_store_that_fails_for_a_reason_of_ours_is_an_error(
    log: AssociationLog, caplog: pytest.LogCaptureFixture, error: str
) -> None:
    log(replace(STORED, status=0xA700, outcome=f"{error}: no space"))
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    for part in ("1.2.3.4", "0xA700", "no space"):
        assert part in record.getMessage()


def test_a_probe_is_told_at_debug_only(log: AssociationLog, caplog: pytest.LogCaptureFixture) -> None:
    log(ConnectionProbed("10.0.0.9:1"))
    assert caplog.records == []
    caplog.set_level(logging.DEBUG, "pacsnode.association_log")
    log(ConnectionProbed("10.0.0.9:1"))
    assert "10.0.0.9:1" in caplog.text


@pytest.mark.parametrize(
    ("text", "is_shown"),
    [
        ("1.2.840.10008.1.1", True),
        ("1." * 31 + "1", True),
        ("1." * 33, False),
        ("19700101", False),
        ("DOE^JOHN", False),
        ("1.2.x", False),
        ("1.2\n", False),
        ("\u0661.\u0662", False),
        ("...", False),
        ("", False),
    ],
)
def test_what_is_no_uid_is_not_shown(text: str, is_shown: bool) -> None:
    assert (shown_uid(text) == text) is is_shown
    assert not text or is_shown or text not in shown_uid(text)


def test_the_fields_of_an_event_go_with_its_line(
    log: AssociationLog, caplog: pytest.LogCaptureFixture
) -> None:
    log(replace(STORED, status=0xA900, sop_instance_uid="DOE^JOHN"))
    log(STORED)
    log(replace(RETRIEVE, calling_ae_title="A\nB"))
    log(ENDED)
    stored, retrieved, ended = (record.__dict__["fields"] for record in caplog.records)
    assert stored == {
        "event": "instance_stored",
        "association_id": "a1",
        "calling_ae_title": "CT1",
        "sop_class_uid": "1.2.3",
        "sop_instance_uid": "(not shown, 8 characters)",
        "transfer_syntax_uid": "1.2.840.10008.1.2",
        "outcome": "stored",
        "status": "0xA900",
        "comment": "",
        "data_set_bytes": 500,
        "seconds": 0.1,
    }
    assert retrieved["query_retrieve_level"] == "STUDY"
    assert retrieved["calling_ae_title"] == "A\\nB"
    assert (ended["peer_address"], ended["bytes_received"]) == ("10.0.0.7:4711", 1000)
    assert {name: ended[name] for name in ended if name.startswith("count_")} == {
        "count_not_stored": 1,
        "count_stored": 1,
        "count_retrieves": 1,
        "count_sent": 6,
    }


def test_each_operation_is_a_line_at_debug(log: AssociationLog, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "pacsnode.association_log")
    log(Verified("a1", "CT1", 0))
    log(STORED)
    log(QUERY)
    log(replace(RETRIEVE, status=0))
    assert [record.getMessage() for record in caplog.records] == [
        "C-ECHO, status 0x0000",
        "C-STORE 1.2.3.4: stored, status 0x0000",
        "C-FIND STUDY: 3 matches, status 0x0000",
        "C-MOVE to WS1, STUDY: 5 sent, 0 failed, 1 warned; 100 bytes in 0.100 s, status 0x0000",
    ]


@pytest.mark.parametrize("status", [0x0000, 0xFE00])
def test_success_and_cancel_are_no_warnings(
    log: AssociationLog, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    log(replace(RETRIEVE, status=status))
    log(replace(QUERY, status=status))
    assert caplog.records == []


def test_counters_are_those_of_the_association(log: AssociationLog, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(3):
        log(replace(STORED, association_id="a1"))
        log(replace(STORED, association_id="a2", status=0xA700 if number else 0))
    caplog.clear()
    log(replace(ENDED, association_id="a2"))
    log(replace(ENDED, association_id="a1"))
    log(replace(ENDED, association_id="a1"))
    lines = [record.getMessage() for record in caplog.records]
    assert "1 stored, 2 not stored" in lines[0]
    assert "3 stored" in lines[1]
    assert "not stored" not in lines[1]
    assert "nothing done" in lines[2]


def test_no_counter_outlives_its_association(log: AssociationLog) -> None:
    for number in range(100):
        log(replace(REJECTED, association_id=f"r{number}"))
        log(replace(STORED, association_id=f"a{number}"))
        log(replace(ENDED, association_id=f"a{number}"))
    assert log._counts == {}


def test_many_threads_lose_no_count(log: AssociationLog, caplog: pytest.LogCaptureFixture) -> None:
    def work(name: str) -> None:
        for _ in range(200):
            log(replace(STORED, association_id=name))
        log(replace(ENDED, association_id=name))

    threads = [threading.Thread(target=work, args=(f"a{number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(caplog.records) == 6
    assert all("200 stored" in record.getMessage() for record in caplog.records)


def test_services_that_were_refused_are_in_the_line_of_the_association(
    log: AssociationLog, caplog: pytest.LogCaptureFixture
) -> None:
    log(ENDED)
    log(replace(ENDED, refused="peers.ct.allow = [echo] does not contain store"))
    log(replace(ENDED, refused='x"\nforged' * 100))
    plain, refused, hostile = caplog.messages
    assert "refused:" not in plain
    assert refused == f"{plain}; refused: peers.ct.allow = [echo] does not contain store"
    assert "\n" not in hostile
    assert len(hostile) < len(plain) + 300
