"""The messages between supervisor and children: what goes in comes out, and nothing else does."""

import json
import socket
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacsnode.config import Config
from pacsnode.errors import ConfigError, OutOfResources, PacsNodeError, PermanentError, RequestError
from pacsnode.processes import control
from pacsnode.processes.control import (
    MAX_MESSAGE_BYTES,
    Bereaved,
    Channel,
    ControlError,
    Damaged,
    Decoder,
    Doorbell,
    Failed,
    Heartbeat,
    Message,
    Ready,
    Snapshot,
    Stop,
    encode,
)

MESSAGES: list[Message] = [
    Snapshot(7, {"dicom": {"port": 104}, "peers": [{"name": "Ä"}]}),
    Doorbell(),
    Bereaved(),
    Damaged("state-1.db is damaged"),
    Stop(),
    Ready(7),
    Heartbeat(7, {"stored": 3, "rate": 0.5, "last": None}),
    Failed("ConfigError", "spool.path: cannot be made"),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_what_goes_in_comes_out(message: Message) -> None:
    assert list(Decoder().feed(encode(message))) == [message]


@given(st.lists(st.sampled_from(MESSAGES), max_size=5), st.data())
def test_pieces_of_any_size(messages: list[Message], data: st.DataObject) -> None:
    stream = b"".join(map(encode, messages))
    decoder, found = Decoder(), list[Message]()
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += decoder.feed(stream[:size])
        stream = stream[size:]
    assert found == messages


def test_a_configuration_survives_the_way() -> None:
    config = Config.model_validate(
        {"peers": [{"ae_title": "CT1", "allow": ["store", "echo"]}], "dicom": {"acse_timeout": "3s"}}
    )
    (message,) = Decoder().feed(encode(Snapshot(1, config.model_dump(mode="json"))))
    assert isinstance(message, Snapshot)
    assert Config.model_validate(message.config) == config


def framed(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nope",
        b"[]",
        b"3",
        b"{}",
        b'{"is": "Unknown"}',
        b'{"is": ["Stop"]}',
        b'{"is": "Stop", "more": 1}',
        b'{"is": "Snapshot", "number": 1}',
        b'{"is": "Snapshot", "number": "1", "config": {}}',
        b'{"is": "Snapshot", "number": true, "config": {}}',
        b'{"is": "Ready", "snapshot": "1"}',
        b'{"is": "Heartbeat", "snapshot": 1, "report": []}',
    ],
)
def test_what_is_no_message(body: bytes) -> None:
    with pytest.raises(ControlError):
        list(Decoder().feed(framed(body)))


@given(st.binary(max_size=64))
def test_garbage_raises_nothing_else(body: bytes) -> None:
    try:
        list(Decoder().feed(framed(body)))
    except ControlError:
        pass


def test_a_length_without_end_is_refused_before_it_comes() -> None:
    with pytest.raises(ControlError, match="at most"):
        list(Decoder().feed(struct.pack(">I", MAX_MESSAGE_BYTES + 1)))
    with pytest.raises(ControlError, match="at most"):
        encode(Failed("", "x" * MAX_MESSAGE_BYTES))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConfigError("wrong"), ConfigError),
        (OutOfResources("full"), control.TemporaryError),
        (PermanentError("damaged"), PermanentError),
        (RequestError("odd"), PermanentError),
    ],
)
def test_a_failure_keeps_whose_fault_it_is(error: PacsNodeError, kind: type[PacsNodeError]) -> None:
    (message,) = Decoder().feed(encode(Failed.because_of(error)))
    assert isinstance(message, Failed)
    assert type(message.error()) is kind
    assert str(message.error()) == str(error)


@pytest.fixture
def ends() -> Iterator[tuple[Channel, socket.socket]]:
    ours, theirs = socket.socketpair()
    channel = Channel(ours)
    yield channel, theirs
    channel.close()
    theirs.close()


def test_a_channel_receives_and_tells_of_the_end(ends: tuple[Channel, socket.socket]) -> None:
    channel, other = ends
    assert channel.receive() == []
    other.sendall(encode(Doorbell()) + encode(Stop()))
    assert channel.receive() == [Doorbell(), Stop()]
    assert channel.is_open
    other.sendall(encode(Stop())[:5])
    other.close()
    assert channel.receive() == []
    assert not channel.is_open
    channel.send(Doorbell())  # lost, and no error


def test_a_channel_never_waits_for_a_side_that_does_not_read(ends: tuple[Channel, socket.socket]) -> None:
    channel, other = ends
    big = Failed("", "x" * (1 << 20))
    channel.send(big)
    assert channel.events == 3  # read and write
    decoder, found = Decoder(), list[Message]()
    while not found:
        found += decoder.feed(other.recv(1 << 16))
        channel.flush()
    assert found == [big]
    assert channel.events == 1
    for _ in range(100):
        channel.send(big)
    assert len(channel._pending) <= control._MAX_PENDING_BYTES + len(encode(big))


def test_what_a_side_that_has_gone_said_before_is_still_read(ends: tuple[Channel, socket.socket]) -> None:
    channel, other = ends
    other.sendall(encode(Failed("ConfigError", "no")))
    other.close()
    for _ in range(3):
        channel.send(Doorbell())
    assert channel.receive() == [Failed("ConfigError", "no")]
    assert not channel.is_open


def test_the_kinds_are_all_messages() -> None:
    assert {type(message).__name__ for message in MESSAGES} == set(control._KINDS)
    assert json.loads(encode(Stop())[4:]) == {"is": "Stop"}
