"""The matrix: hand-written cases, each with its section of the Standard, asked of a running node.

DCMTK's findscu and pynetdicom ask the same; their answers must be equal, match for match, and the right ones.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from pynetdicom.association import Association

from tests.interop.nodes import Running
from tests.matrix.asking import ROOTS, Answer, associated, by_findscu, by_pynetdicom, negotiated
from tests.matrix.cases import Case
from tests.matrix.rules import RULES

CASES = [pytest.param(case, id=f"{rule}-{case.name}") for rule, cases in RULES.items() for case in cases]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where findscu's files go."""
    return tmp_path_factory.mktemp("findscu")


class Associations:
    """pynetdicom's associations with the node, one for each set of options, opened when they are needed."""

    def __init__(self, port: int, stack: ExitStack) -> None:
        self._port = port
        self._stack = stack
        self._opened: dict[tuple[str, ...], Association] = {}

    def __getitem__(self, options: tuple[str, ...]) -> Association:
        if options not in self._opened or not self._opened[options].is_established:
            self._opened[options] = self._stack.enter_context(associated(self._port, options))
        return self._opened[options]


@pytest.fixture(scope="module")
def associations(running: Running) -> Iterator[Associations]:
    """pynetdicom's associations."""
    with ExitStack() as stack:
        yield Associations(running.port, stack)


@pytest.mark.parametrize("case", CASES)
def test_case(running: Running, associations: Associations, folder: Path, case: Case) -> None:
    answer = by_pynetdicom(associations[case.options], case)
    assert_right(case, answer)
    if not case.options:  # findscu negotiates nothing
        assert by_findscu(running.port, case, folder) == answer


def assert_right(case: Case, answer: Answer) -> None:
    assert answer.status == case.status
    assert set(answer.pending) <= {case.pending}
    if case.found is None:
        assert answer.matches == ()
        return
    assert sorted(answer.labels(case.level)) == sorted(case.found.split())
    if case.values:
        (match,) = answer.matches
        assert {keyword: match.get(keyword) for keyword in case.values} == case.values


def test_each_case_is_there_once() -> None:
    names = [(rule, case.name) for rule, cases in RULES.items() for case in cases]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("length", range(1, 9))
@pytest.mark.parametrize("root", ROOTS.values())
def test_the_answer_is_as_long_as_the_offer(running: Running, root: str, length: int) -> None:
    """PS3.4 C.5.1.1.2: 1 for what is done, 0 for enhanced multi-frame image conversion, never more than 7 bytes."""
    assert negotiated(running.port, root, bytes([1] * length)) == bytes((1, 1, 1, 1, 0, 1, 1))[:length]


@pytest.mark.parametrize("offer", [bytes(7), bytes((0, 1)), bytes((2, 1, 0, 1)), b"\xff"])
def test_nothing_is_granted_that_was_not_offered(running: Running, offer: bytes) -> None:
    """PS3.4 C.5.1.1.1: 1 proposes; anything else does not."""
    assert negotiated(running.port, ROOTS["S"], offer) == bytes(byte == 1 for byte in offer)


def test_without_an_offer_there_is_no_answer(running: Running) -> None:
    """PS3.7 D.3.3.5: an item that the request has not is not in the answer."""
    with associated(running.port, ()) as established:
        assert not established.acceptor.sop_class_extended
