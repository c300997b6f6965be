"""The matrix: hand-written cases, each with its section of the Standard, asked of a running node.

DCMTK's findscu and pynetdicom ask the same; their answers must be equal, match for match, and the right ones.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pacsnode.dimse import scu
from pacsnode.dimse.association.requestor import Caller
from tests.interop.nodes import Running, starting
from tests.matrix import archive
from tests.matrix.asking import Answer, by_findscu, by_pynetdicom
from tests.matrix.cases import Case
from tests.matrix.rules import RULES

CASES = [pytest.param(case, id=f"{rule}-{case.name}") for rule, cases in RULES.items() for case in cases]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A node with the archive of the matrix."""
    with ExitStack() as stack:
        running = starting(stack, tmp_path_factory.mktemp("matrix"))()
        files = archive.write(tmp_path_factory.mktemp("archive"))
        assert {result.status for result in scu.send(Caller("TESTSCU"), running.remote, files)} == {0}
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where findscu's files go."""
    return tmp_path_factory.mktemp("findscu")


@pytest.mark.parametrize("case", CASES)
def test_case(running: Running, folder: Path, case: Case) -> None:
    answer = by_pynetdicom(running.port, case)
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
    names = [case.name for cases in RULES.values() for case in cases]
    assert len(names) == len(set(names))
