"""The same SOP Instance UID again: nothing twice, nothing lost, and never Success for what is not kept."""

import logging
from pathlib import Path

import pytest
from pydicom import Dataset

from pacsnode.dimse import scu
from pacsnode.dimse.association.requestor import Caller
from pacsnode.observe import InstanceStored
from tests.interop import peers, wire
from tests.interop.data_sets import ct_image, encoded
from tests.interop.nodes import Running, StartNode

_GET = "1.2.840.10008.5.1.4.1.2.2.3"
_DEFLATED = "1.2.840.10008.1.2.1.99"
_JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
_CONTEXT_IDS = {wire.EXPLICIT: 1, wire.IMPLICIT: 3, _DEFLATED: 5, _JPEG_LOSSLESS: 7}


def _store(
    running: Running, *arrivals: tuple[bytes, str], uid: str = ct_image().SOPInstanceUID
) -> list[int | None]:
    """Send data sets under one UID over one association; return the statuses."""
    statuses = []
    with wire.Wire(running.port) as peer:
        peer.associate(
            [(context_id, wire.CT_IMAGE, (syntax,)) for syntax, context_id in _CONTEXT_IDS.items()]
        )
        for data_set, syntax in arrivals:
            context_id = _CONTEXT_IDS[syntax]
            peer.send(
                wire.p_data(wire.pdv(context_id, wire.c_store_rq(uid.encode()), is_command=True)),
                wire.p_data(wire.pdv(context_id, data_set, is_command=False)),
            )
            statuses.append(peer.message().status)
        peer.release()
    return statuses


def _served(running: Running, syntax: str = wire.EXPLICIT) -> bytes:
    """Return the data set that C-GET gives out."""
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "STUDY"
    identifier.StudyInstanceUID = ct_image().StudyInstanceUID
    _, received = peers.get(running.port, identifier, _GET, [(wire.CT_IMAGE, syntax)])
    (data_set,) = received.values()
    return data_set


def _outcomes(running: Running) -> list[str]:
    return [event.outcome for event in running.events.of(InstanceStored)]


def _spooled_or_stored(running: Running) -> int:
    """Return how many different files there are; one that is being filed has a name in both places."""
    folders = (running.folder / "spool" / "ready", running.folder / "archive")
    return len({path.stat().st_ino for folder in folders for path in folder.rglob("*.dcm")})


def _first_and_other() -> tuple[bytes, bytes]:
    return encoded(ct_image(SeriesDescription="first")), encoded(ct_image(SeriesDescription="other"))


@pytest.mark.parametrize("policy", ["keep-both", "replace", "keep-first", "refuse"])
def test_equal_bytes_are_stored_once(start_node: StartNode, policy: str) -> None:
    running = start_node(storage={"duplicates": policy})
    first, _ = _first_and_other()
    assert _store(running, (first, wire.EXPLICIT), (first, wire.EXPLICIT)) == [0, 0]
    assert _store(running, (first, wire.EXPLICIT)) == [0]
    assert _outcomes(running) == ["stored", "already stored", "already stored"]
    assert running.entities() == (1, 1, 1, 1)
    assert _spooled_or_stored(running) == 1


@pytest.mark.parametrize("policy", ["keep-both", "replace", "keep-first", "refuse"])
@pytest.mark.parametrize("syntaxes", [(wire.EXPLICIT, wire.IMPLICIT), (wire.IMPLICIT, wire.EXPLICIT)])
def test_equal_elements_in_another_transfer_syntax_are_stored_once(
    start_node: StartNode, policy: str, syntaxes: tuple[str, str]
) -> None:
    running = start_node(storage={"duplicates": policy})
    image = ct_image(SeriesDescription="first")
    assert _store(running, *((encoded(image, syntax), syntax) for syntax in syntaxes)) == [0, 0]
    assert _outcomes(running) == ["stored", "already stored"]
    assert _served(running, syntaxes[0]) == encoded(image, syntaxes[0])
    assert _spooled_or_stored(running) == 1


def _with_private_sequence(text: str) -> Dataset:
    """Return an image with a sequence that an implicit VR reader cannot know for one."""
    image = ct_image()
    item = Dataset()
    item.private_block(0x0011, "PACSNODE TEST", create=True).add_new(0x01, "LO", text)
    item.CodeMeaning = "meaning"
    block = image.private_block(0x0009, "PACSNODE TEST", create=True)
    block.add_new(0x01, "SQ", [item, Dataset()])
    block.add_new(0x02, "SQ", [])
    block.add_new(0x03, "US", 7)
    return image


@pytest.mark.parametrize("syntaxes", [(wire.EXPLICIT, wire.IMPLICIT), (wire.IMPLICIT, wire.EXPLICIT)])
def test_private_sequences_are_compared_by_their_elements(
    start_node: StartNode, syntaxes: tuple[str, str]
) -> None:
    running = start_node()
    image, other = _with_private_sequence("one"), _with_private_sequence("two")
    arrivals = [(encoded(image, syntax), syntax) for syntax in syntaxes]
    assert _store(running, *arrivals, (encoded(other, syntaxes[1]), syntaxes[1])) == [0, 0, 0]
    assert _outcomes(running) == ["stored", "already stored", "kept as a version"]


def test_other_content_is_kept_beside_the_first(
    start_node: StartNode, caplog: pytest.LogCaptureFixture
) -> None:
    running = start_node()
    first, other = _first_and_other()
    with caplog.at_level(logging.WARNING):
        assert _store(running, (first, wire.EXPLICIT), (other, wire.EXPLICIT)) == [0, 0]
    assert _outcomes(running) == ["stored", "kept as a version"]
    assert _served(running) == first
    assert running.entities() == (1, 1, 1, 1)
    assert _spooled_or_stored(running) == 2
    assert "other content" in caplog.text
    # Either of them again is known, also the one that is not served.
    assert _store(running, (other, wire.EXPLICIT), (first, wire.EXPLICIT)) == [0, 0]
    assert _outcomes(running)[2:] == ["already stored", "already stored"]
    assert _spooled_or_stored(running) == 2


def test_other_content_replaces_the_first_which_is_kept(start_node: StartNode) -> None:
    running = start_node(storage={"duplicates": "replace"})
    first, other = _first_and_other()
    assert _store(running, (first, wire.EXPLICIT), (other, wire.EXPLICIT)) == [0, 0]
    assert _outcomes(running) == ["stored", "replaced"]
    assert _served(running) == other
    assert running.entities() == (1, 1, 1, 1)
    assert _spooled_or_stored(running) == 2


@pytest.mark.parametrize("policy", ["keep-first", "refuse"])
def test_other_content_is_refused(start_node: StartNode, policy: str) -> None:
    running = start_node(storage={"duplicates": policy})
    first, other = _first_and_other()
    stored, refused = _store(running, (first, wire.EXPLICIT), (other, wire.EXPLICIT))
    assert (stored, refused) == (0, 0xC001)
    assert _served(running) == first
    assert _spooled_or_stored(running) == 1


def test_same_content_compressed_is_another_version(start_node: StartNode) -> None:
    """A worker decodes no pixels: what is compressed counts as different from what is not."""
    running = start_node()
    first, _ = _first_and_other()
    assert _store(running, (first, wire.EXPLICIT), (first, _JPEG_LOSSLESS)) == [0, 0]
    assert _outcomes(running) == ["stored", "kept as a version"]


def test_undecodable_rest_is_another_version_and_no_harm(start_node: StartNode) -> None:
    """The header of a deflated data set can be read, the rest cannot."""
    running = start_node()
    image = ct_image(PixelData=bytes(range(256)) * 512)
    plain = encoded(image)
    import zlib

    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated = deflater.compress(plain) + deflater.flush()
    broken = deflated[: len(deflated) * 3 // 4]
    assert _store(running, (plain, wire.EXPLICIT), (broken, _DEFLATED)) == [0, 0]
    assert _outcomes(running) == ["stored", "kept as a version"]


def test_damaged_first_copy_gives_way_to_a_good_one(start_node: StartNode) -> None:
    """The arrival is then the only copy, so that it is the one to serve, whatever the policy."""
    running = start_node(storage={"duplicates": "keep-first"})
    first, _ = _first_and_other()
    assert _store(running, (first, wire.EXPLICIT)) == [0]
    for folder in (running.folder / "spool" / "ready", running.folder / "archive"):
        for path in folder.rglob("*.dcm"):
            path.chmod(0o600)
            path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    assert _store(running, (first, wire.EXPLICIT)) == [0]
    assert _served(running) == first


def test_versions_survive_a_restart(tmp_path: Path, start_node: StartNode, caller: Caller) -> None:
    data_dir = {"data_dir": str(tmp_path / "kept")}
    running = start_node(node=data_dir)
    first, other = _first_and_other()
    assert _store(running, (first, wire.EXPLICIT), (other, wire.EXPLICIT)) == [0, 0]
    running.node.stop()
    running.node.start()
    again = Running(
        running.node,
        tmp_path / "kept",
        running.events,
        scu.Remote("PACSNODE", "127.0.0.1", running.node.port),
    )
    assert scu.echo(caller, again.remote) > 0
    assert _served(again) == first
    assert _store(again, (other, wire.EXPLICIT)) == [0]
    assert _outcomes(again)[-1] == "already stored"
