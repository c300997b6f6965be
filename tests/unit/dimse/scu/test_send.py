"""C-STORE as SCU: files as they lie."""

import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pacsnode.dimse import scu
from pacsnode.dimse.association.command import CommandSet
from pacsnode.dimse.association.pdu import a_abort
from pacsnode.dimse.scu import Remote
from pacsnode.errors import NetworkError
from pacsnode.storage.base import Readable
from pacsnode.storage.files import FileReadable
from pacsnode.storage.memory import BytesReadable
from tests.dimse_peers import CalledPeer, accepting, read_message, read_to_end, released, response_message
from tests.factories import CT, JPEG_LOSSLESS, MR, Sample
from tests.unit.dimse.scu.peers import CALLER, EXPLICIT, IMPLICIT, STORE, remote


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    samples = [Sample(1), Sample(2, sop_class=MR), Sample(3, transfer_syntax=JPEG_LOSSLESS), Sample(4)]
    paths = []
    for number, sample in enumerate(samples):
        paths.append(tmp_path / f"{number}.dcm")
        paths[-1].write_bytes(sample.file)
    return paths


def storing(
    *statuses: int, results: dict[int, tuple[int, str]] | None = None
) -> Callable[[socket.socket], object]:
    def answer(connection: socket.socket) -> object:
        request = accepting(connection, results=results)
        for status in statuses:
            found = read_message(connection)
            number = CommandSet.decode(found.command).message_id
            connection.sendall(response_message(STORE, number, status, context_id=found.context_id))
        released(connection)
        return [(p.abstract_syntax, p.transfer_syntaxes) for p in request.proposals]

    return answer


def test_files_are_sent_in_order_each_as_it_is(files: list[Path]) -> None:
    with CalledPeer(storing(0, 0xB000, 0xA700, 0)) as peer:
        results = list(scu.send(CALLER, remote(peer), files))
    assert [(one.path, one.status) for one in results] == list(
        zip(files, (0, 0xB000, 0xA700, 0), strict=True)
    )
    assert results[0].sop_instance_uid == Sample(1).uid
    assert results[0].data_set_bytes == len(Sample(1).data_set)
    assert peer.results == [
        [
            (CT, (EXPLICIT,)),
            (CT, (JPEG_LOSSLESS,)),
            (MR, (EXPLICIT,)),
            (CT, (EXPLICIT, IMPLICIT)),
            (MR, (EXPLICIT, IMPLICIT)),
        ]
    ]


def test_what_cannot_be_sent_says_why_and_the_rest_is_sent(files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("no DICOM at all")
    paths = [tmp_path / "text.txt", files[0], tmp_path / "missing.dcm", files[2]]
    with CalledPeer(storing(0, results={3: (4, IMPLICIT), 5: (0, IMPLICIT)})) as peer:
        results = list(scu.send(CALLER, remote(peer), paths))
    assert [one.status for one in results] == [None, 0, None, None]
    assert "not a DICOM" in results[0].comment or results[0].comment
    assert "No such file" in results[2].comment
    assert results[3].comment == f"not converted to explicit: {JPEG_LOSSLESS} is not converted to {EXPLICIT}"


def test_what_a_remote_takes_in_another_syntax_is_converted(files: list[Path]) -> None:
    def convert(source: Readable, offset: int, stored: str, wanted: str, _: object) -> Readable:
        assert source.length == len(Sample(1).file)
        return BytesReadable(f"{offset} {stored} {wanted}".encode())

    expected = f"{len(Sample(1).file) - len(Sample(1).data_set)} {EXPLICIT} {IMPLICIT}".encode()
    with CalledPeer(storing(0, results={1: (4, EXPLICIT), 3: (0, IMPLICIT)})) as peer:
        (result,) = scu.send(CALLER, remote(peer), files[:1], convert=convert)
    assert (result.status, result.data_set_bytes) == (0, len(expected))


def test_with_a_syntax_that_alone_is_proposed(files: list[Path]) -> None:
    with CalledPeer(storing(results={1: (4, IMPLICIT), 3: (4, IMPLICIT)})) as peer:
        first, *_ = scu.send(CALLER, remote(peer), files, transfer_syntax=IMPLICIT)
    assert peer.results == [[(CT, (IMPLICIT,)), (MR, (IMPLICIT,))]]
    assert first.status is None
    assert first.comment == f"it is in explicit, and the remote takes its SOP class {CT} in none"


def test_nothing_to_send_calls_nobody(tmp_path: Path) -> None:
    nobody = Remote("STORE", "127.0.0.1", 1)
    assert [one.status for one in scu.send(CALLER, nobody, [tmp_path / "missing"])] == [None]
    assert list(scu.send(CALLER, nobody, [])) == []


def test_more_kinds_than_contexts_take_several_associations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["pacsnode.dimse.scu.send"], "MAX_CONTEXTS", 4)
    paths = []
    for number in range(5):
        paths.append(tmp_path / f"{number}")
        paths[-1].write_bytes(Sample(number, sop_class=f"1.2.826.9.{number}").file)
    with CalledPeer(storing(0, 0), storing(0, 0), storing(0)) as peer:
        assert [one.status for one in scu.send(CALLER, remote(peer), paths)] == [0] * 5
    assert [len(result) for result in peer.results if isinstance(result, list)] == [4, 4, 2]


def test_a_file_that_changes_while_it_is_sent(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(connection: socket.socket) -> bytes:
        accepting(connection)
        return read_to_end(connection)

    whole = FileReadable.read_into

    def shorter(self: FileReadable, buffer: memoryview, offset: int) -> int:
        return max(0, whole(self, buffer, offset) - 1)

    monkeypatch.setattr(FileReadable, "read_into", shorter)
    with CalledPeer(answer) as peer, pytest.raises(NetworkError, match="ends early"):
        list(scu.send(CALLER, remote(peer), files[:1]))
    (found,) = peer.results
    assert isinstance(found, bytes)
    assert found.endswith(a_abort(0, 0))
