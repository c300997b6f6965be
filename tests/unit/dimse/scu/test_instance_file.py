"""Instances of a C-GET as files: whole or not at all, whatever the disk does."""

import errno
import os
import socket
import tempfile
from pathlib import Path
from typing import Self

import pytest

from pacsnode.dimse.association.acse import Roles
from pacsnode.errors import NetworkError
from tests.dimse_peers import CalledPeer, accepting, read_message, store_request
from tests.factories import CT, Sample
from tests.unit.dimse.scu.peers import (
    EXPLICIT,
    giving,
    got,
    telling,
)


@pytest.mark.parametrize("failing_call", [1, 2, 3])
def test_a_disk_that_is_full_refuses_one_instance_and_the_rest_comes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, failing_call: int
) -> None:
    """Whenever it happens, the data set is read to its end: the next message begins behind it."""
    named = tempfile.NamedTemporaryFile
    files: list[object] = []

    class Full:
        def __init__(self, **options: object) -> None:
            self._file = named(**options)  # type: ignore[call-overload]
            self.name, self.calls = self._file.name, 0
            files.append(self)

        def write(self, data: bytes) -> int:
            self.calls += 1
            if len(files) == 1 and self.calls == failing_call:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return int(self._file.write(data))

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            self._file.close()

        def __getattr__(self, name: str) -> object:
            return getattr(self._file, name)

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", Full)
    samples = [Sample(1, comment="x" * 500), Sample(2)]
    with CalledPeer(telling((CT, EXPLICIT)), giving(*samples)) as peer:
        got(peer, folder)
    assert peer.results == ["told", [0xA700, 0]]
    assert [path.name for path in folder.iterdir()] == [f"{Sample(2).uid}.dcm"]


def test_a_disk_that_is_full_when_the_file_is_closed_leaves_nothing(folder: Path) -> None:
    """Small files stay in Python's buffer until then."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", full)
        with CalledPeer(telling((CT, EXPLICIT)), giving(Sample(1))) as peer:
            got(peer, folder)
    assert peer.results == ["told", [0xA700]]
    assert list(folder.iterdir()) == []


def test_a_folder_that_is_gone(folder: Path) -> None:
    with CalledPeer(telling((CT, EXPLICIT)), giving(Sample(1), Sample(2))) as peer:
        got(peer, folder / "missing")
    assert peer.results == ["told", [0xA700, 0xA700]]


def test_a_get_that_breaks_off_leaves_no_half_file(folder: Path) -> None:
    def breaking(connection: socket.socket) -> None:
        accepting(connection, roles={CT: Roles(False, True)})
        read_message(connection)
        connection.sendall(store_request(Sample(1), 100, context_id=3, fragment_bytes=100)[:250])

    with CalledPeer(telling((CT, EXPLICIT)), breaking) as peer, pytest.raises(NetworkError):
        got(peer, folder)
    assert list(folder.iterdir()) == []
