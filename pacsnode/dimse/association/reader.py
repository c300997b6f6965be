"""Bytes from a connection to PDUs and PDVs (PS3.8 9.3), in bounded memory.

One buffer per association. A control PDU is read whole; the fragments of P-DATA are given out in the pieces in
which they arrive, so that neither a PDU nor a data set is ever held as one. Every length is checked against what
contains it before anything is done with it.
"""

import time
from dataclasses import dataclass

from pacsnode.dimse.association.endings import AbortReason, ProtocolViolation
from pacsnode.dimse.association.pdu import (
    HEADER,
    IS_COMMAND,
    IS_LAST,
    MAX_ASSOCIATE_BYTES,
    PDV_HEADER,
    PDUType,
    check_length,
)
from pacsnode.dimse.association.transport import Transport

_PDU_SECONDS = 30.0  # from a PDU's first byte to its last, and
_BYTES_PER_SECOND = 10_000  # as much more as its length takes at this rate
_BUFFER_BYTES = 256 << 10


@dataclass(frozen=True, slots=True)
class PDV:
    """A fragment that is about to be read. `length` is the number of its bytes."""

    context_id: int
    control: int
    length: int

    @property
    def is_command(self) -> bool:
        """Whether it belongs to a command set, not to a data set."""
        return self.control & IS_COMMAND != 0

    @property
    def is_last(self) -> bool:
        """Whether its command set or data set ends with it."""
        return self.control & IS_LAST != 0


class Reader:
    """Reads PDUs in order. `next_pdu`, then `body` for a control PDU or `next_pdv` and `piece` for P-DATA."""

    def __init__(self, transport: Transport, *, max_pdu_bytes: int) -> None:
        self._transport = transport
        self._max_pdu_bytes = max_pdu_bytes
        self._view = memoryview(bytearray(max(_BUFFER_BYTES, MAX_ASSOCIATE_BYTES + HEADER.size)))
        self._start = self._end = 0
        self._deadline = 0.0
        self._pdu_left = 0  # bytes of the current P-DATA PDU after the current PDV's header
        self._pdv_left = 0  # bytes of the current PDV

    @property
    def is_within_pdu(self) -> bool:
        """Whether the current P-DATA PDU has bytes that were not given out."""
        return self._pdu_left > 0

    def wait(self, seconds: float) -> None:
        """Wait for something to read, for one who knows that it is not there yet; raises `DeadlinePassed`."""
        if self._start == self._end:
            self._transport.wait_to_receive(time.monotonic() + seconds)

    def next_pdu(self, wait_seconds: float, *, is_idle: bool = False) -> tuple[int, int]:
        """Return type and length of the next PDU, whose first byte must come within `wait_seconds`."""
        if self._start == self._end:
            self._deadline = time.monotonic() + wait_seconds
            self._receive(is_idle=is_idle)
        self._deadline = time.monotonic() + _PDU_SECONDS
        self._need(HEADER.size)
        pdu_type, length = HEADER.unpack_from(self._view, self._start)
        check_length(pdu_type, length, max_pdu_bytes=self._max_pdu_bytes)
        self._start += HEADER.size
        if pdu_type == PDUType.P_DATA_TF:
            self._pdu_left = length
        self._deadline += length / _BYTES_PER_SECOND
        return pdu_type, length

    def first_pdu(self, deadline: float) -> tuple[int, int]:
        """Return type and length of the first PDU, all of which must come by the deadline, however slowly."""
        self._deadline = deadline
        self._need(HEADER.size)
        pdu_type, length = HEADER.unpack_from(self._view, self._start)
        check_length(pdu_type, length, max_pdu_bytes=self._max_pdu_bytes)
        self._start += HEADER.size
        return pdu_type, length

    def body(self, length: int) -> bytes:
        """Return the body of a control PDU, whose length was checked."""
        self._need(length)
        data = bytes(self._view[self._start : self._start + length])
        self._start += length
        return data

    def next_pdv(self) -> PDV:
        """Return the next PDV of the current P-DATA PDU; raises `ProtocolViolation` if it overruns the PDU."""
        if self._pdu_left < PDV_HEADER.size:
            raise ProtocolViolation(
                "a P-DATA PDU with bytes that are no PDV", AbortReason.INVALID_PDU_PARAMETER_VALUE
            )
        self._need(PDV_HEADER.size)
        item_length, context_id, control = PDV_HEADER.unpack_from(self._view, self._start)
        length = item_length - 2
        if length < 0 or length > self._pdu_left - PDV_HEADER.size:
            raise ProtocolViolation("a PDV that overruns its PDU", AbortReason.INVALID_PDU_PARAMETER_VALUE)
        self._start += PDV_HEADER.size
        self._pdu_left -= PDV_HEADER.size
        self._pdv_left = length
        return PDV(context_id, control, length)

    def piece(self) -> memoryview:
        """Return the next bytes of the current PDV, empty at its end; valid until the next call of the reader."""
        if self._pdv_left == 0:
            return self._view[:0]
        if self._start == self._end:
            self._start = self._end = 0
            self._receive()
        size = min(self._pdv_left, self._end - self._start)
        piece = self._view[self._start : self._start + size]
        self._start += size
        self._pdv_left -= size
        self._pdu_left -= size
        return piece

    def has_whole_pdu(self) -> bool:
        """Take what has arrived without waiting; return whether a PDU, or the rest of one, can be read now."""
        if self._is_whole():
            return True  # without looking for more: behind an A-ABORT there is the end of the connection
        if self._start == self._end:
            self._start = self._end = 0
        elif self._end == len(self._view):
            self._compact()
        self._end += self._transport.receive_now(self._view[self._end :])
        return self._is_whole()

    def _is_whole(self) -> bool:
        available = self._end - self._start
        if self._pdu_left:  # the next message begins within the current PDU
            return bool(available >= min(self._pdu_left, len(self._view)))
        if available < HEADER.size:
            return False
        pdu_type, length = HEADER.unpack_from(self._view, self._start)
        check_length(pdu_type, length, max_pdu_bytes=self._max_pdu_bytes)
        # One that is longer than the buffer is read in pieces; its sender is in the middle of it.
        return bool(available >= min(HEADER.size + length, len(self._view)))

    def _need(self, size: int) -> None:
        if self._start + size > len(self._view):
            self._compact()
        while self._end - self._start < size:
            self._receive()

    def _compact(self) -> None:
        rest = self._end - self._start
        self._view[:rest] = bytes(self._view[self._start : self._end])
        self._start, self._end = 0, rest

    def _receive(self, *, is_idle: bool = False) -> None:
        if self._start == self._end:
            self._start = self._end = 0
        self._end += self._transport.receive_into(self._view[self._end :], self._deadline, is_idle=is_idle)
