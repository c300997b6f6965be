"""Images for peers that do not take them as they are stored: by DCMTK, pynetdicom and the command line, real files."""

import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate

from pacsnode.cli.main import pacsnode
from pacsnode.dicom.syntax_names import UIDS
from pacsnode.dimse import scu
from pacsnode.dimse.association.requestor import Caller
from pacsnode.dimse.scu import RetrieveProgress
from pacsnode.observe import RetrieveEnded
from tests.corpus import corpus_files
from tests.interop import dcmtk
from tests.interop.data_sets import ct_image, identifier, written
from tests.interop.nodes import Running, StartNode

IMPLICIT, EXPLICIT, BIG = UIDS["implicit"], UIDS["explicit"], UIDS["big-endian"]
_SUCCESS, _WARNING, _FAILURE = 0x0000, 0xB000, 0xA702
_STUDY = str(ct_image().StudyInstanceUID)

# Whole images of the corpus, one of each transfer syntax that can be decoded.
_DECODED = tuple(
    UIDS[name]
    for name in (
        "rle",
        "jpeg-baseline",
        "jpeg-extended",
        "jpeg-lossless",
        "jpeg-ls-lossless",
        "jpeg-ls",
        "jpeg-2000-lossless",
        "jpeg-2000",
    )
)


def stored(running: Running, paths: Sequence[Path]) -> None:
    assert {result.status for result in scu.send(Caller("TESTSCU"), running.remote, paths)} == {0}


def node(start_node: StartNode, port: int, transfer_syntaxes: Sequence[str] = ()) -> Running:
    peer = {"ae_title": "STORESCP", "host": "127.0.0.1", "port": port, "transfer_syntaxes": transfer_syntaxes}
    return start_node(peers=[peer, {"ae_title": "GETSCU", "transfer_syntaxes": transfer_syntaxes}])


def moved(running: Running, asked: Dataset) -> RetrieveProgress:
    *_, final = scu.move(Caller("TESTSCU"), running.remote, asked, patient_root=False, destination="STORESCP")
    return final


def grey(number: int = 1, **changes: object) -> Dataset:
    """Return a whole image of 16 x 16 pixels."""
    description: dict[str, object] = {
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsStored": 16,
    }
    description |= {
        "Rows": 16,
        "Columns": 16,
        "PixelData": bytes(512),
        "HighBit": 15,
        "PixelRepresentation": 0,
    }
    return ct_image(number, **description | changes)


def real_images(folder: Path) -> list[Path]:
    """Return a grey image of the corpus for each compressed transfer syntax, all of one study."""
    folder.mkdir()
    chosen: dict[str, Path] = {}
    for file in corpus_files():
        if not file.transfer_syntax.startswith(("JPEG", "RLE")):
            continue
        try:
            image = dcmread(file.path)
        except UserWarning:  # it ends too early
            continue
        syntax = str(image.file_meta.TransferSyntaxUID)
        if syntax not in _DECODED or syntax in chosen or image.get("SamplesPerPixel") != 1:
            continue
        image.StudyInstanceUID, image.SeriesInstanceUID = _STUDY, f"{_STUDY}.1"
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = f"{_STUDY}.1.{len(chosen) + 1}"
        image.PatientID, image.PatientName, image.AccessionNumber = "CANARY1", "MUSTERMANN^ERIKA", "A1"
        chosen[syntax] = folder / f"{len(chosen)}.dcm"
        image.save_as(chosen[syntax])
    assert set(chosen) == set(_DECODED)
    return list(chosen.values())


def test_every_syntax_reaches_a_destination_that_takes_implicit_only(
    start_node: StartNode, destination_port: int, tmp_path: Path
) -> None:
    running = node(start_node, destination_port)
    paths = real_images(tmp_path / "real")
    stored(running, paths)
    with dcmtk.storescp(tmp_path / "moved", destination_port, "+xi", "+B") as storescp:
        final = moved(running, identifier("STUDY", StudyInstanceUID=_STUDY))
        received = {str(image.SOPInstanceUID): image for image in map(dcmread, storescp.files())}
    assert (final.status, final.completed, final.failed) == (_SUCCESS, len(_DECODED), 0)
    for path in paths:
        before = dcmread(path)
        after = received[str(before.SOPInstanceUID)]
        assert after.file_meta.TransferSyntaxUID == IMPLICIT
        assert (
            len(after.PixelData)
            == before.Rows
            * before.Columns
            * before.BitsAllocated
            // 8
            * int(before.get("NumberOfFrames") or 1)
            + len(after.PixelData) % 2
        )
    (event,) = running.events.wait_for(RetrieveEnded)
    assert event.converted == len(_DECODED)


@pytest.mark.parametrize(("option", "syntax"), [("-xi", "implicit"), ("-xb", "big-endian")])
def test_getscu_gets_the_syntax_that_it_proposes(
    start_node: StartNode, destination_port: int, tmp_path: Path, option: str, syntax: str
) -> None:
    running = node(start_node, destination_port, [syntax])
    stored(running, [written(ct_image(), tmp_path / "one.dcm")])
    (tmp_path / "got").mkdir()
    keys = ("-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={_STUDY}")
    options = ("-d", "-S", "+B", option, "-od", tmp_path / "got")
    ran = dcmtk.run("getscu", running.port, *options, *keys, aet="GETSCU")
    assert ran.final_counts["completed"] == 1, ran.output
    (path,) = (tmp_path / "got").iterdir()
    got = dcmread(path)
    assert got.file_meta.TransferSyntaxUID == UIDS[syntax]
    assert got.InstanceNumber == 1


@pytest.mark.parametrize(
    "syntax", ["implicit", "big-endian", "deflated", "rle", "jpeg-ls-lossless", "jpeg-2000-lossless"]
)
def test_an_uncompressed_image_is_got_in_whatever_can_be_made(
    start_node: StartNode, destination_port: int, tmp_path: Path, syntax: str
) -> None:
    running = node(start_node, destination_port)
    pixels = bytes(range(256)) * 2
    stored(running, [written(grey(PixelData=pixels), tmp_path / "one.dcm")])
    peer = f"{running.remote.ae_title}@127.0.0.1:{running.port}"
    asked = ["get", peer, "--study", _STUDY, "-o", str(tmp_path / "got"), "--transfer-syntax", syntax]
    ran = CliRunner().invoke(pacsnode, asked)
    assert ran.exit_code == 0, ran.output
    (path,) = (tmp_path / "got").iterdir()
    got = dcmread(path)
    assert got.file_meta.TransferSyntaxUID == UIDS[syntax]
    if got.file_meta.TransferSyntaxUID.is_encapsulated:
        raw = tmp_path / "raw.dcm"
        command = [dcmtk.tool("gdcmconv"), "--raw", str(path), str(raw)]
        subprocess.run(command, stdout=subprocess.DEVNULL, timeout=60, check=True)
        got = dcmread(raw)
    assert got.pixel_array.astype("<u2").tobytes() == pixels


def test_a_peer_is_sent_what_its_list_says(
    start_node: StartNode, destination_port: int, tmp_path: Path
) -> None:
    running = node(start_node, destination_port, ["jpeg-ls-lossless", "explicit"])
    stored(running, [written(grey(), tmp_path / "one.dcm")])
    asked = identifier("STUDY", StudyInstanceUID=_STUDY)
    for options, expected in ((("+xt",), "jpeg-ls-lossless"), (("+xe",), "explicit"), (("+xi",), "implicit")):
        shutil.rmtree(tmp_path / "moved", ignore_errors=True)
        with dcmtk.storescp(tmp_path / "moved", destination_port, "+B", *options) as storescp:
            assert moved(running, asked).status == _SUCCESS
            (path,) = storescp.files()
            assert dcmread(path).file_meta.TransferSyntaxUID == UIDS[expected]


def test_damaged_pixels_fail_alone_and_the_requester_is_told_why(
    start_node: StartNode, destination_port: int, tmp_path: Path
) -> None:
    running = node(start_node, destination_port)
    images = [grey(number) for number in (1, 2, 3)]
    images[1].PixelData = encapsulate([b"\xff\xd8\xff\xe0 no JPEG at all "])
    images[1]["PixelData"].VR = "OB"
    images[1]["PixelData"].is_undefined_length = True
    paths = [written(image, tmp_path / f"{at}.dcm") for at, image in enumerate(images)]
    broken = dcmread(paths[1])
    broken.file_meta.TransferSyntaxUID = UIDS["jpeg-lossless"]
    broken.save_as(paths[1])
    stored(running, paths)
    with dcmtk.storescp(tmp_path / "moved", destination_port, "+xi", "+B") as storescp:
        final = moved(running, identifier("STUDY", StudyInstanceUID=_STUDY))
        assert len(storescp.files()) == 2
    assert (final.status, final.completed, final.failed) == (_WARNING, 2, 1)
    assert final.failed_uids == (str(images[1].SOPInstanceUID),)
    assert final.comment.startswith("1 failed of 3: ")
    (event,) = running.events.wait_for(RetrieveEnded)
    assert event.converted == 2
    assert str(images[1].SOPInstanceUID) in event.comment


def test_what_nothing_is_made_of_fails_with_the_syntaxes_in_words(
    start_node: StartNode, destination_port: int, tmp_path: Path
) -> None:
    running = node(start_node, destination_port)
    path = written(ct_image(), tmp_path / "video.dcm")
    video = dcmread(path)
    video.PixelData = encapsulate([b"\0\0\1\xb3"])
    video["PixelData"].VR = "OB"
    video.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.100"
    video.save_as(path)
    stored(running, [path])
    with dcmtk.storescp(tmp_path / "moved", destination_port, "+xi"):
        final = moved(running, identifier("STUDY", StudyInstanceUID=_STUDY))
    assert (final.status, final.failed) == (_FAILURE, 1)
    assert final.comment.startswith("1 failed of 1: stored 1.2.840.10008.1.2.4.100")
    (event,) = running.events.wait_for(RetrieveEnded)
    assert event.comment.endswith("accepted implicit")


# The command line


def test_send_converts_what_a_peer_does_not_take(destination_port: int, tmp_path: Path) -> None:
    paths = real_images(tmp_path / "real")
    with dcmtk.storescp(tmp_path / "sent", destination_port, "+xi", "+B") as storescp:
        ran = CliRunner().invoke(
            pacsnode, ["send", f"STORESCP@127.0.0.1:{destination_port}", *map(str, paths), "--json"]
        )
        assert ran.exit_code == 0, ran.output
        syntaxes = Counter(dcmread(path).file_meta.TransferSyntaxUID for path in storescp.files())
    assert syntaxes == {IMPLICIT: len(paths)}


def test_send_in_the_syntax_that_is_asked_for_or_not_at_all(destination_port: int, tmp_path: Path) -> None:
    paths = real_images(tmp_path / "real")
    asked = ["--transfer-syntax", "explicit", "--json"]
    with dcmtk.storescp(tmp_path / "sent", destination_port, "+B") as storescp:
        peer = f"STORESCP@127.0.0.1:{destination_port}"
        assert CliRunner().invoke(pacsnode, ["send", peer, *map(str, paths), *asked]).exit_code == 0
        syntaxes = Counter(dcmread(path).file_meta.TransferSyntaxUID for path in storescp.files())
        ran = CliRunner().invoke(
            pacsnode, ["send", peer, str(paths[0]), "--transfer-syntax", "jpeg-lossless", "--json"]
        )
    assert syntaxes == {EXPLICIT: len(paths)}
    assert ran.exit_code == 3
    first = json.loads(ran.output.splitlines()[0])
    assert "remote takes its SOP class" in first["file"]["comment"]


def test_get_asks_for_a_syntax(start_node: StartNode, destination_port: int, tmp_path: Path) -> None:
    running = node(start_node, destination_port)
    paths = real_images(tmp_path / "real")
    stored(running, paths)
    peer = f"{running.remote.ae_title}@127.0.0.1:{running.port}"
    asked = ["get", peer, "--study", _STUDY, "-o", str(tmp_path / "got"), "--transfer-syntax", BIG]
    ran = CliRunner().invoke(pacsnode, asked)
    assert ran.exit_code == 3, ran.output  # big endian is made of uncompressed images only
    asked[-1] = "explicit"
    ran = CliRunner().invoke(pacsnode, asked)
    assert ran.exit_code == 0, ran.output
    got = [dcmread(path) for path in (tmp_path / "got").iterdir()]
    assert Counter(image.file_meta.TransferSyntaxUID for image in got) == {EXPLICIT: len(paths)}
