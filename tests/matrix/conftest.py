"""A node that holds the archive of the matrix."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from pacsnode.dimse import scu
from pacsnode.dimse.association.requestor import Caller
from tests.interop.nodes import Running, starting
from tests.matrix import archive


@pytest.fixture(scope="package")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A node with the archive of the matrix, which the tests must not change."""
    with ExitStack() as stack:
        running = starting(stack, tmp_path_factory.mktemp("matrix"))()
        files = archive.write(tmp_path_factory.mktemp("archive"))
        assert {result.status for result in scu.send(Caller("TESTSCU"), running.remote, files)} == {0}
        yield running
