"""Peers that the tests of the SCU play."""

import socket
from collections.abc import Callable
from pathlib import Path

from pydicom import Dataset

from pacsnode.dimse import scu
from pacsnode.dimse.association.acse import AssociateRequest, Roles
from pacsnode.dimse.association.command import CommandField, CommandSet, Element, encode, us
from pacsnode.dimse.scu import Caller, Remote, RetrieveProgress
from tests.dimse_peers import (
    CalledPeer,
    Received,
    accepting,
    message,
    read_message,
    read_to_end,
    released,
    response_message,
    store_request,
    us_of,
)
from tests.factories import CT, MR, Sample, element, padded

EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
PATIENT_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.1.1"
CALLER = Caller("SCU", acse_timeout_seconds=10.0, dimse_timeout_seconds=10.0)
ECHO, FIND, GET, MOVE, STORE = (
    CommandField.C_ECHO, CommandField.C_FIND, CommandField.C_GET, CommandField.C_MOVE, CommandField.C_STORE,
)  # fmt: skip


def remote(peer: CalledPeer) -> Remote:
    return Remote("STORE", "127.0.0.1", peer.port)


def answering(
    *answers: bytes,
    results: dict[int, tuple[int, str]] | None = None,
    extended: dict[str, bytes] | None = None,
    seen: list[AssociateRequest] | None = None,
) -> Callable[[socket.socket], Received]:
    """Return a peer that accepts, takes one request, answers it and is released; the request is its result."""

    def answer(connection: socket.socket) -> Received:
        request_of_association = accepting(connection, results=results, extended=extended)
        if seen is not None:
            seen.append(request_of_association)
        request = read_message(connection)
        connection.sendall(b"".join(answers))
        released(connection)
        return request

    return answer


def aborted(connection: socket.socket, *answers: bytes) -> bytes:
    accepting(connection)
    read_message(connection)
    connection.sendall(b"".join(answers))
    return read_to_end(connection)


def request_of(peer: CalledPeer) -> Received:
    (found,) = peer.results
    assert isinstance(found, Received), found
    return found


def study(uid: str = "1.2.826.7.1") -> Dataset:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "STUDY"
    identifier.StudyInstanceUID = uid
    return identifier


def match(uid: str) -> bytes:
    return element(0x00080052, "CS", b"STUDY ") + element(0x0020000D, "UI", padded(uid))


def with_comment(field: int, status: int, comment: bytes) -> bytes:
    return message(
        1,
        encode(
            [
                (Element.COMMAND_FIELD, us(field | 0x8000)),
                (Element.MESSAGE_ID_BEING_RESPONDED_TO, us(1)),
                (Element.COMMAND_DATA_SET_TYPE, us(0x0101)),
                (Element.STATUS, us(status)),
                (Element.ERROR_COMMENT, comment),
            ]
        ),
    )


def counted(
    field: int, status: int, *numbers: int | None, failed: bytes | None = None, message_id: int = 1
) -> bytes:
    counts = [(0x1020 + at, us(number)) for at, number in enumerate(numbers) if number is not None]
    command = encode(
        [
            (Element.COMMAND_FIELD, us(field | 0x8000)),
            (Element.MESSAGE_ID_BEING_RESPONDED_TO, us(message_id)),
            (Element.COMMAND_DATA_SET_TYPE, us(0x0101 if failed is None else 1)),
            (Element.STATUS, us(status)),
            *counts,
        ]
    )
    return message(1, command, failed)


FAILED_ONE = element(0x00080058, "UI", b"1.2.9\0")
FAILED_TWO = element(0x00080058, "UI", b"1.2.9\\1.2.10")


def telling(*kinds: tuple[str, str]) -> Callable[[socket.socket], object]:
    """Answer the query that finds out in which SOP classes and transfer syntaxes the instances are."""

    def answer(connection: socket.socket) -> object:
        accepting(connection)
        read_message(connection)
        for sop_class, syntax in kinds:
            found = element(0x00080016, "UI", padded(sop_class)) + element(0x00083002, "UI", padded(syntax))
            connection.sendall(response_message(FIND, 1, 0xFF00, data_set=found))
        connection.sendall(response_message(FIND, 1, 0))
        released(connection)
        return "told"

    return answer


def giving(
    *samples: Sample,
    seen: list[AssociateRequest] | None = None,
    ending: bytes | None = None,
    instance: str = "",
) -> Callable[[socket.socket], object]:
    def answer(connection: socket.socket) -> list[int | None]:
        request = accepting(connection, roles={CT: Roles(False, True), MR: Roles(False, True)})
        if seen is not None:
            seen.append(request)
        assert CommandSet.decode(read_message(connection).command).field == GET
        statuses = []
        for number, sample in enumerate(samples, 100):
            (context_id,) = [
                p.context_id for p in request.proposals
                if (p.abstract_syntax, p.transfer_syntaxes[0]) == (sample.sop_class, sample.transfer_syntax)
            ]  # fmt: skip
            data = store_request(sample, number, context_id=context_id, fragment_bytes=100)
            if instance:
                data = data.replace(
                    padded(sample.uid), padded(instance).ljust(len(padded(sample.uid)), b"\0"), 1
                )
            connection.sendall(data)
            statuses.append(us_of(read_message(connection).command, Element.STATUS))
        connection.sendall(ending or counted(GET, 0, None, len(samples), 0, 0))
        released(connection)
        return statuses

    return answer


def got(peer: CalledPeer, folder: Path) -> list[RetrieveProgress]:
    return list(scu.get(CALLER, remote(peer), study(), patient_root=False, folder=folder))
