"""What supervisor and children say to each other, and how it looks on their control socket.

    down   Snapshot   the configuration to follow from now on, with its number; the first one lets a child begin
           Doorbell   look again: something may wait in the spool
           Bereaved   a child has died: look at what it may have left
           Damaged    the state is damaged: receive only
           Stop       finish what is under way, and end
    up     Ready      it works, and by which snapshot
           Heartbeat  its loop woke; how it is
           Doorbell   something waits in the spool: the supervisor passes it on to who empties it
           Damaged    the state was found damaged: the supervisor passes it on to the others
           Failed     it cannot start: whose fault that is by `errors`, and one clear line

A message is a length of four bytes, big endian, and so many bytes of JSON. Nothing comes from a peer here, but both
sides are bounded and check what they read: a child that writes nonsense is replaced.
"""

import json
import selectors
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from pacsnode.errors import ConfigError, PacsNodeError, PermanentError, TemporaryError

MAX_MESSAGE_BYTES = 16 << 20  # a configuration with tens of thousands of peers
_MAX_PENDING_BYTES = 2 * MAX_MESSAGE_BYTES
_PIECE_BYTES = 64 << 10
_LENGTH = struct.Struct(">I")
_FAULTS: dict[str, type[PacsNodeError]] = {"ConfigError": ConfigError, "TemporaryError": TemporaryError}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A configuration as JSON, by number; higher ones replace lower ones."""

    number: int
    config: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Doorbell:
    """Look again."""


@dataclass(frozen=True, slots=True)
class Bereaved:
    """A child has died."""


@dataclass(frozen=True, slots=True)
class Damaged:
    """The state is damaged, with a sentence that says how."""

    text: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Finish what is under way, and end."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The child works, by the snapshot of that number."""

    snapshot: int


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The child's loop woke; the number of its snapshot, and what it tells of itself."""

    snapshot: int
    report: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failed:
    """The child cannot start. `fault` is a class of `errors`: `ConfigError`, `TemporaryError`, `PermanentError`."""

    fault: str
    text: str

    @classmethod
    def because_of(cls, error: PacsNodeError) -> "Failed":
        """Return the message about an error."""
        fault = next((name for name, kind in _FAULTS.items() if isinstance(error, kind)), "PermanentError")
        return cls(fault, str(error))

    def error(self) -> PacsNodeError:
        """Return the error that the message is about."""
        return _FAULTS.get(self.fault, PermanentError)(self.text)


Message = Snapshot | Doorbell | Bereaved | Damaged | Stop | Ready | Heartbeat | Failed
_KINDS: dict[str, type[Message]] = {
    kind.__name__: kind for kind in (Snapshot, Doorbell, Bereaved, Damaged, Stop, Ready, Heartbeat, Failed)
}
_TYPES = {
    "number": int,
    "config": dict,
    "snapshot": int,
    "report": dict,
    "fault": str,
    "text": str,
}


class ControlError(PacsNodeError):
    """What the other side wrote is no message."""


def encode(message: Message) -> bytes:
    """Return the bytes of a message; raises `ControlError` if there are too many."""
    body = json.dumps({"is": type(message).__name__, **asdict(message)}).encode()
    if len(body) > MAX_MESSAGE_BYTES:
        raise ControlError(f"a message of {len(body)} bytes, at most {MAX_MESSAGE_BYTES} are sent")
    return _LENGTH.pack(len(body)) + body


class Decoder:
    """Puts messages together from pieces of any size."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, piece: bytes) -> Iterator[Message]:
        """Yield the messages that are whole now; raises `ControlError`."""
        self._buffer += piece
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > MAX_MESSAGE_BYTES:
                raise ControlError(f"a message of {length} bytes, at most {MAX_MESSAGE_BYTES} are read")
            if len(self._buffer) < _LENGTH.size + length:
                return
            body = bytes(self._buffer[_LENGTH.size : _LENGTH.size + length])
            del self._buffer[: _LENGTH.size + length]
            yield _decoded(body)


def _decoded(body: bytes) -> Message:
    try:
        fields = json.loads(body)
        message = _KINDS[fields.pop("is")](**fields)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ControlError(f"no message: {body[:100]!r}") from error
    for name, value in fields.items():
        if not isinstance(value, _TYPES[name]) or isinstance(value, bool):
            raise ControlError(f"no message, {name} = {value!r}: {body[:100]!r}")
    return message


class Channel:
    """One end of a control socket. Never blocks: what cannot be sent yet is kept, within a bound."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)  # noqa: FBT003 - the socket module's own signature
        self._connection = connection
        self._decoder = Decoder()
        self._pending = bytearray()
        self.is_open = True

    def fileno(self) -> int:
        """The descriptor to select on."""
        return self._connection.fileno()

    @property
    def events(self) -> int:
        """What to select for: something may come, and something may be kept that `flush` is to send."""
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self._pending else 0)

    def send(self, message: Message) -> None:
        """Send a message, now or with a later `flush`. To a side that has gone, or reads nothing, it is lost."""
        if self.is_open and len(self._pending) <= _MAX_PENDING_BYTES:
            self._pending += encode(message)
            self.flush()

    def flush(self) -> None:
        """Send what the socket takes."""
        try:
            while self.is_open and self._pending:
                del self._pending[: self._connection.send(self._pending)]
        except BlockingIOError:
            return
        except OSError:  # it has gone; what it said before may still be read
            self._pending.clear()

    def receive(self) -> list[Message]:
        """Return the messages that have arrived; `is_open` is false after the last one. Raises `ControlError`."""
        messages: list[Message] = []
        with suppress(BlockingIOError):
            while self.is_open:
                try:
                    piece = self._connection.recv(_PIECE_BYTES)
                except ConnectionError:
                    piece = b""
                self.is_open = bool(piece)
                messages += self._decoder.feed(piece)
        return messages

    def close(self) -> None:
        """Close the socket."""
        self.is_open = False
        self._connection.close()
