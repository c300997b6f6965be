"""Associations to each destination, over all C-MOVEs of a process."""

from pacsnode.dimse.association.requestor import Remote
from pacsnode.dimse.lines import Lines

ONE, OTHER = Remote("WS1", "127.0.0.1", 104), Remote("WS2", "127.0.0.1", 104)


def test_further_ones_are_counted_up_to_the_limit() -> None:
    lines = Lines()
    lines.take(ONE)
    assert lines.take_below(ONE, 2)
    assert not lines.take_below(ONE, 2)
    assert lines.take_below(OTHER, 1)
    lines.give_back(ONE)
    assert lines.take_below(ONE, 2)


def test_each_move_has_one_whatever_there_is() -> None:
    lines = Lines()
    for _ in range(3):
        lines.take(ONE)
    assert not lines.take_below(ONE, 3)
    for _ in range(3):
        lines.give_back(ONE)
    assert lines._open == {}
