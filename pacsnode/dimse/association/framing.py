"""Messages as P-DATA-TF PDUs (PS3.8 9.3.5, PS3.7 annex F). Pure.

A message that fits goes out as one PDU with two PDVs, the command set and the data set, as dcm4che packs them by
default: each PDU costs a peer two reads. What is longer is cut into PDUs of one PDV, as long as the peer takes them.
"""

from pacsnode.dimse.association.pdu import (
    IS_COMMAND,
    IS_LAST,
    P_DATA_HEADER,
    PDV_HEADER,
    PDV_OVERHEAD,
    PDUType,
)

_UNLIMITED_FRAGMENT_BYTES = 1 << 20

Parts = list[bytes | memoryview]


class Framing:
    """Cuts messages for a peer; `fragment_bytes` is what goes into a PDU of one PDV. Immutable."""

    def __init__(self, peer_max_pdu_bytes: int) -> None:
        """`peer_max_pdu_bytes` is the maximum length that the peer announced, 0 for no limit (PS3.8 D.1)."""
        most = peer_max_pdu_bytes - PDV_OVERHEAD if peer_max_pdu_bytes else _UNLIMITED_FRAGMENT_BYTES
        # A fragment has even length; a peer whose maximum leaves none still gets its two bytes.
        self.fragment_bytes = max(2, min(most, _UNLIMITED_FRAGMENT_BYTES) // 2 * 2)

    def fits(self, command: bytes, data_set_length: int) -> bool:
        """Return whether a command set and a data set go into one PDU."""
        return len(command) + PDV_OVERHEAD + data_set_length <= self.fragment_bytes

    def message(self, context_id: int, command: bytes, data_set: bytes | memoryview | None = None) -> Parts:
        """Return the PDUs of a whole message, none longer than the peer takes."""
        if data_set is None:
            return self.fragments(context_id, memoryview(command), kind=IS_COMMAND, is_last=True)
        if self.fits(command, len(data_set)):
            of_command, of_data = len(command) + 2, len(data_set) + 2
            length = of_command + of_data + 8
            return [
                P_DATA_HEADER.pack(PDUType.P_DATA_TF, length, of_command, context_id, IS_COMMAND | IS_LAST),
                command,
                PDV_HEADER.pack(of_data, context_id, IS_LAST),
                data_set,
            ]
        parts = self.fragments(context_id, memoryview(command), kind=IS_COMMAND, is_last=True)
        return parts + self.fragments(context_id, memoryview(data_set), kind=0, is_last=True)

    def fragments(self, context_id: int, data: memoryview, *, kind: int, is_last: bool) -> Parts:
        """Return PDUs for a part of a command set or data set, `is_last` if it ends with it."""
        parts: Parts = []
        size = self.fragment_bytes
        for at in range(0, max(len(data), 1), size):
            fragment = data[at : at + size]
            control = kind | (IS_LAST if is_last and at + size >= len(data) else 0)
            length = len(fragment)
            parts += [
                P_DATA_HEADER.pack(PDUType.P_DATA_TF, length + PDV_OVERHEAD, length + 2, context_id, control),
                fragment,
            ]
        return parts
