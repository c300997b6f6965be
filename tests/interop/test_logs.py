"""What a node that serves writes: whose line it is, and nobody's name, wherever the name stands (RELIABILITY L1)."""

import io
import json
import logging
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from pacsnode.archive.store import Store
from pacsnode.dicom.uid import EXPLICIT_VR_LITTLE_ENDIAN
from pacsnode.dimse.association.acse import (
    APPLICATION_CONTEXT_NAME,
    AssociateRequest,
    Proposal,
    encode_request,
)
from pacsnode.dimse.association.command import CommandField
from pacsnode.dimse.association.pdu import A_RELEASE_RQ, PDUType
from pacsnode.dimse.move_job import _Line
from pacsnode.observe import PATIENT_DATA_LOGGER, AssociationEnded, ConnectionProbed
from pacsnode.processes.log_formats import JsonFormatter
from pacsnode.processes.logs import LimitedHandler
from tests.dimse_peers import (
    STUDY_ROOT_FIND,
    STUDY_ROOT_MOVE,
    VERIFICATION,
    message,
    read_message,
    read_pdu,
    request_command,
    store_request,
)
from tests.factories import CT, Sample, element, padded
from tests.interop.nodes import Running, StartNode

NAME = b"CANARY^SEVEN"
_IDS = {uid: 2 * at + 1 for at, uid in enumerate((VERIFICATION, CT, STUDY_ROOT_FIND, STUDY_ROOT_MOVE))}
_ASSOCIATE = encode_request(
    AssociateRequest(
        "PACSNODE",
        "CT1",
        APPLICATION_CONTEXT_NAME,
        tuple(Proposal(number, uid, (EXPLICIT_VR_LITTLE_ENDIAN,)) for uid, number in _IDS.items()),
        16384,
    ),
    our_max_pdu_bytes=16384,
)


class Written:
    """All that a node writes at DEBUG, as a collector reads it."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        self.handler = LimitedHandler(self.stream)
        self.handler.setFormatter(JsonFormatter("node", "worker", 1, patient_data=False))

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


@pytest.fixture
def written() -> Iterator[Written]:
    written = Written()
    product, patients = logging.getLogger("pacsnode"), logging.getLogger(PATIENT_DATA_LOGGER)
    level = product.level
    product.addHandler(written.handler)
    product.setLevel(logging.DEBUG)
    patients.setLevel(logging.CRITICAL)
    yield written
    product.removeHandler(written.handler)
    product.setLevel(level)
    patients.setLevel(logging.NOTSET)
    written.handler.close()


@pytest.fixture
def running(start_node: StartNode, written: Written) -> Running:
    return start_node(peers=[{"ae_title": "NOBODY", "host": "127.0.0.1", "port": 1}])


def talk(running: Running, *messages: bytes) -> None:
    """Associate, send messages one after the other and read their last responses, release."""
    with socket.create_connection(("127.0.0.1", running.port), timeout=20) as connection:
        connection.sendall(_ASSOCIATE)
        assert read_pdu(connection)[0] == PDUType.A_ASSOCIATE_AC
        for one in messages:
            connection.sendall(one)
            read_message(connection)
        connection.sendall(A_RELEASE_RQ)
        read_pdu(connection)
    running.events.wait_for(AssociationEnded)


def query(field: CommandField, sop_class: str, identifier: bytes, to: str = "") -> bytes:
    command = request_command(field, sop_class, 7, has_data_set=True, destination=to)
    return message(_IDS[sop_class], command, identifier)


def store(sample: Sample, instance: str = "", sop_class: str = CT) -> bytes:
    command = request_command(
        CommandField.C_STORE, sop_class, 5, has_data_set=True, instance=instance or sample.uid
    )
    return message(_IDS[CT], command, sample.data_set)


def level(name: bytes) -> bytes:
    return element(0x00080052, "CS", name + b" " * (len(name) % 2))


WRONG: dict[str, bytes] = {
    "a study that is a name": store(Sample(more=((0x0020000D, "UI", NAME),))),
    "a series that is a name": store(Sample(more=((0x0020000E, "UI", NAME),))),
    "an instance that is a name": store(Sample(more=((0x00080018, "UI", NAME),))),
    "a SOP class that is a name": store(Sample(more=((0x00080016, "UI", NAME),))),
    "a command that names a person": store(Sample(), instance=NAME.decode()),
    "a command whose class is a name": store(Sample(), sop_class=NAME.decode()),
    "a data set in pieces": message(
        _IDS[CT], request_command(CommandField.C_STORE, CT, 5, has_data_set=True, instance=Sample().uid), NAME
    ),
    "a query at the level of a name": query(CommandField.C_FIND, STUDY_ROOT_FIND, level(NAME)),
    "a query for a study that is a name": query(
        CommandField.C_FIND, STUDY_ROOT_FIND, level(b"STUDY") + element(0x0020000D, "UI", NAME)
    ),
    "a query for a date that is a name": query(
        CommandField.C_FIND,
        STUDY_ROOT_FIND,
        element(0x00080020, "DA", NAME) + level(b"STUDY") + element(0x00100010, "PN", NAME),
    ),
    "a query with two names": query(
        CommandField.C_FIND, STUDY_ROOT_FIND, level(b"STUDY") + element(0x00100010, "PN", NAME + b"\\" + NAME)
    ),
    "a move of a study that is a name": query(
        CommandField.C_MOVE, STUDY_ROOT_MOVE, level(b"STUDY") + element(0x0020000D, "UI", NAME), "NOBODY"
    ),
    "a move of a patient": query(
        CommandField.C_MOVE, STUDY_ROOT_MOVE, level(b"STUDY") + element(0x00100020, "LO", NAME), "NOBODY"
    ),
    "what is right": store(Sample()),
    "a query that is right": query(
        CommandField.C_FIND, STUDY_ROOT_FIND, level(b"STUDY") + element(0x00100010, "PN", NAME)
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_name_is_not_told_wherever_it_stands(running: Running, written: Written, case: str) -> None:
    """At DEBUG neither, as long as `logging.patient_data` does not allow it."""
    talk(running, WRONG[case])
    assert "CANARY" not in written.stream.getvalue()
    assert not [path for path in running.folder.rglob("*") if "CANARY" in str(path)]
    assert [line["event"] for line in written.lines() if line["level"] == "info" and "event" in line] == [
        "association_ended"
    ]


def test_an_unexpected_error_does_not_tell_it_either(
    running: Running, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bug(*_: object) -> None:
        raise ValueError(f"invalid literal for int() with base 10: {NAME!r}")

    monkeypatch.setattr(Store, "begin", bug)
    with socket.create_connection(("127.0.0.1", running.port), timeout=20) as connection:
        connection.sendall(_ASSOCIATE)
        assert read_pdu(connection)[0] == PDUType.A_ASSOCIATE_AC
        connection.sendall(store_request(Sample(), context_id=_IDS[CT]))
        assert read_pdu(connection)[0] == PDUType.A_ABORT
    running.events.wait_for(AssociationEnded)
    errors = [line for line in written.lines() if line["level"] == "error"]
    assert len(errors) == 1
    assert "ValueError" in errors[0]["exception"]
    assert "CANARY" not in written.stream.getvalue()


def test_each_line_of_an_association_has_its_id(
    running: Running, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin, send = Store.begin, _Line._send_all

    def telling_begin(self: Store, *arguments: Any) -> Any:
        logging.getLogger("pacsnode.deep.below").info("begins")
        return begin(self, *arguments)

    def telling_send(self: _Line) -> None:
        logging.getLogger("pacsnode.deep.below").info("sends")
        return send(self)

    monkeypatch.setattr(Store, "begin", telling_begin)
    monkeypatch.setattr(_Line, "_send_all", telling_send)
    sample = Sample()
    move = level(b"STUDY") + element(0x0020000D, "UI", padded(sample.study))
    talk(running, store(sample), query(CommandField.C_MOVE, STUDY_ROOT_MOVE, move, "NOBODY"))
    lines = written.lines()
    (ended,) = [line for line in lines if line.get("event") == "association_ended"]
    below = {
        line["message"]: line.get("association_id")
        for line in lines
        if line["logger"] == "pacsnode.deep.below"
    }
    assert below == {"begins": ended["association_id"], "sends": ended["association_id"]}
    (failed,) = [line for line in lines if line.get("event") == "retrieve_ended"]
    assert failed["association_id"] == ended["association_id"]
    assert sample.uid in failed["message"]
    assert "association_id" not in next(line for line in lines if line["message"].startswith("spool:"))


def test_two_associations_are_told_apart(running: Running, written: Written) -> None:
    talk(running, store(Sample(1)))
    talk(running, store(Sample(2)))
    running.events.wait_for(AssociationEnded, 2)
    stored = [line for line in written.lines() if line.get("event") == "instance_stored"]
    assert len({line["sop_instance_uid"] for line in stored}) == 2
    assert len({line["association_id"] for line in stored}) == 2


def test_a_health_check_is_no_warning(running: Running, written: Written) -> None:
    for _ in range(3):
        socket.create_connection(("127.0.0.1", running.port)).close()
    running.events.wait_for(ConnectionProbed, 3)
    assert {line["level"] for line in written.lines()} <= {"debug", "info"}
    probes = [line for line in written.lines() if line.get("event") == "connection_probed"]
    assert [line["level"] for line in probes] == ["debug"] * 3
