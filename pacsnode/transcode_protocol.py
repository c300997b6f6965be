"""What a worker and the program that converts instances say to each other.

They share a SOCK_SEQPACKET socket, so that each message arrives whole: an order with two descriptors (SCM_RIGHTS), one
to read the stored Part 10 file from and one to write the converted data set to, and then its answer. One order at a
time. No instance goes through the socket, and the program needs no file system.
"""

import json
import socket
from dataclasses import asdict, dataclass, replace

MAX_MESSAGE_BYTES = 4096
_MAX_WORDS = 400  # of a refusal, which becomes part of an Error Comment


@dataclass(frozen=True, slots=True)
class Order:
    """What to convert: the data set from `offset` of the file on, from one transfer syntax to another."""

    stored: str
    wanted: str
    offset: int


@dataclass(frozen=True, slots=True)
class Answer:
    """How it went: the length of what was written in bytes, or in words why it cannot be, or not now."""

    length: int = 0
    refusal: str = ""
    is_temporary: bool = False


class Nonsense(Exception):
    """What was received is no message."""


def send_order(channel: socket.socket, order: Order, source: int, sink: int) -> None:
    """Send an order and its descriptors; raises `OSError`."""
    socket.send_fds(channel, [json.dumps(asdict(order)).encode("ascii")], [source, sink])


def receive_order(channel: socket.socket) -> tuple[Order, int, int] | None:
    """Wait for an order; None when the other side has closed. The descriptors are the caller's to close."""
    data, descriptors, _, _ = socket.recv_fds(channel, MAX_MESSAGE_BYTES, 2)
    if not data:
        return None
    source, sink = descriptors
    return Order(**json.loads(data)), source, sink


def send_answer(channel: socket.socket, answer: Answer) -> None:
    """Send an answer, its words cut to what fits; raises `OSError`."""
    channel.send(json.dumps(asdict(replace(answer, refusal=answer.refusal[:_MAX_WORDS]))).encode("ascii"))


def receive_answer(channel: socket.socket) -> Answer | None:
    """Receive an answer that has arrived; None if the program has ended.

    Raises `Nonsense` for what is none: a program that decodes hostile pixels is not to be believed.
    """
    try:
        data = channel.recv(MAX_MESSAGE_BYTES)
    except ConnectionError:
        return None
    if not data:
        return None
    try:
        said = json.loads(data)
        length, refusal, is_temporary = said["length"], said["refusal"], said["is_temporary"]
    except (ValueError, TypeError, KeyError) as error:
        raise Nonsense(repr(data[:80])) from error
    if not isinstance(length, int) or not isinstance(refusal, str) or length < 0:
        raise Nonsense(repr(data[:80]))
    return Answer(length, refusal, bool(is_temporary))
