"""Nodes for the tests of this folder."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pacsnode.dimse.association.requestor import Caller
from tests.interop import dcmtk
from tests.interop.nodes import StartNode, assert_no_association_left, starting


@pytest.fixture
def start_node(tmp_path: Path) -> Iterator[StartNode]:
    """Start nodes, by sections of the configuration that differ; they stop with the test."""
    with ExitStack() as stack:
        yield starting(stack, tmp_path)
    assert_no_association_left()


@pytest.fixture(scope="module")
def start_shared_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartNode]:
    """Start nodes that the tests of a module share, which must not change them."""
    with ExitStack() as stack:
        yield starting(stack, tmp_path_factory.mktemp("shared"))


@pytest.fixture(scope="session")
def caller() -> Caller:
    """How pacsnode's own SCU calls."""
    return Caller("TESTSCU")


@pytest.fixture(scope="session")
def destination_port() -> Iterator[int]:
    """A port on which nobody listens unless the test starts somebody."""
    with dcmtk.reserved_port() as port:
        yield port
