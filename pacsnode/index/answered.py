"""Which entities a walk has answered already."""


class Answered:
    """A set of ids that takes one bit for each id there is: 125 KB for a million studies, however many are answered."""

    def __init__(self, newest: int) -> None:
        """`newest` is the highest id that will be added."""
        self._bits = bytearray((newest >> 3) + 1)

    def add(self, entity: int) -> bool:
        """Add an id; return whether it is a new one."""
        at, bit = entity >> 3, 1 << (entity & 7)
        is_new = not self._bits[at] & bit
        self._bits[at] |= bit
        return is_new
