"""DCMTK's storescu in its variants: what it proposes, how it splits, and what is stored of it."""

from pathlib import Path

import pytest

from pacsnode.observe import AssociationEnded, InstanceStored
from tests.corpus import CorpusFile, corpus_files
from tests.interop import dcmtk, wire
from tests.interop.data_sets import ct_image, written
from tests.interop.nodes import StartNode

_IMPLICIT, _EXPLICIT, _BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
_PIXELS = "1.2.840.10008.1.2.4."

# What storescu is told to prefer, the corpus' name for the files that it can send so, what is stored then.
_PREFERENCES = (
    ("-xi", "Explicit VR Little Endian", _IMPLICIT),
    ("-xe", "Explicit VR Big Endian", _EXPLICIT),
    ("-xd", "Deflated Explicit VR Little Endian", "1.2.840.10008.1.2.1.99"),
    (
        "-xs",
        "JPEG Lossless, Non-Hierarchical, First-Order Prediction (Process 14 [Selection Value 1])",
        _PIXELS + "70",
    ),
    ("-xy", "JPEG Baseline (Process 1)", _PIXELS + "50"),
    ("-xx", "JPEG Extended (Process 2 and 4)", _PIXELS + "51"),
    ("-xv", "JPEG 2000 Image Compression (Lossless Only)", _PIXELS + "90"),
    ("-xw", "JPEG 2000 Image Compression", _PIXELS + "91"),
    ("-xt", "JPEG-LS Lossless Image Compression", _PIXELS + "80"),
    ("-xu", "JPEG-LS Lossy (Near-Lossless) Image Compression", _PIXELS + "81"),
    ("-xr", "RLE Lossless", "1.2.840.10008.1.2.5"),
)


# storescu knows these without being told, and refuses files that are not in order before it sends them.
_COMMON = (
    "CT Image",
    "MR Image",
    "Secondary Capture Image",
    "Ultrasound Image",
    "Computed Radiography Image",
)
_UNKNOWN_TO_STORESCU = {"PRIVATE/UNKNOWN", "NONE", "Color Palette Storage", "Hanging Protocol Storage"}
_BROKEN = ("missing_", "truncated", "meta_", "no_", "odd_", "DICOMDIR", "reader_warning")


def _is_in_order(file: CorpusFile) -> bool:
    return not any(flag.startswith(_BROKEN) for flag in file.flags)


def _is_whole(file: CorpusFile) -> bool:
    return file.sop_class.startswith(_COMMON) and _is_in_order(file)


def _one(transfer_syntax: str) -> Path:
    return next(f.path for f in corpus_files() if f.transfer_syntax == transfer_syntax and _is_whole(f))


@pytest.mark.parametrize("options", [(), ("+C",), ("-R",)])
@pytest.mark.parametrize(("prefer", "of", "stored"), _PREFERENCES)
def test_transfer_syntaxes(
    start_node: StartNode, prefer: str, of: str, stored: str, options: tuple[str, ...]
) -> None:
    running = start_node()
    ran = dcmtk.run("storescu", running.port, "-v", prefer, *options, _one(of))
    assert ran.exit_code == 0, ran.output
    (event,) = running.events.wait_for(InstanceStored)
    assert (event.status, event.outcome, event.transfer_syntax_uid) == (0, "stored", stored)
    assert running.entities() == (1, 1, 1, 1)


@pytest.mark.parametrize("prefer", ["-x=", "-xe", "-xb"])
def test_explicit_little_endian_is_chosen_wherever_it_is_offered(start_node: StartNode, prefer: str) -> None:
    running = start_node()
    ran = dcmtk.run("storescu", running.port, prefer, "+C", _one("Implicit VR Little Endian"))
    assert ran.exit_code == 0, ran.output
    (event,) = running.events.wait_for(InstanceStored)
    assert event.transfer_syntax_uid == _EXPLICIT


@pytest.mark.parametrize("receive", [4096, 131072])
@pytest.mark.parametrize("send", [4096, 16384, 131072])
def test_pdu_lengths(start_node: StartNode, receive: int, send: int) -> None:
    running = start_node()
    largest = max((f for f in corpus_files() if _is_whole(f)), key=lambda f: f.path.stat().st_size)
    lengths = ("--max-pdu", str(receive), "--max-send-pdu", str(send))
    ran = dcmtk.run("storescu", running.port, "-v", *lengths, "-R", largest.path)
    assert ran.exit_code == 0, ran.output
    (event,) = running.events.wait_for(InstanceStored)
    assert event.status == 0
    assert event.data_set_bytes > 100_000


def test_our_pdu_length_is_respected(start_node: StartNode) -> None:
    running = start_node(dicom={"max_pdu": 4096})
    ran = dcmtk.run("storescu", running.port, "-d", "-R", _one("Explicit VR Little Endian"))
    assert ran.exit_code == 0, ran.output
    assert "Their Max PDU Receive Size:  4096" in ran.output


def test_default_proposal_fills_all_contexts(start_node: StartNode) -> None:
    running = start_node()
    ran = dcmtk.run("storescu", running.port, "-v", _one("Explicit VR Little Endian"))
    assert ran.exit_code == 0, ran.output
    (ended,) = running.events.wait_for(AssociationEnded)
    assert (ended.contexts_accepted, ended.contexts_rejected) == (128, 0)


def test_all_kinds_over_one_association(start_node: StartNode) -> None:
    running = start_node()
    kinds = {
        (file.sop_class, file.transfer_syntax): file.path
        for file in corpus_files()
        if _is_in_order(file) and file.sop_class not in _UNKNOWN_TO_STORESCU
    }
    paths = [
        path for (_, transfer_syntax), path in kinds.items() if transfer_syntax == "Explicit VR Little Endian"
    ]
    assert len(paths) > 15
    ran = dcmtk.run("storescu", running.port, "-v", "-nh", "-R", *paths)
    assert ran.exit_code == 0, ran.output
    events = running.events.wait_for(InstanceStored, len(paths))
    assert {event.status for event in events} == {0}
    assert len({event.sop_class_uid for event in events}) == len(paths)
    assert len(running.events.wait_for(AssociationEnded)) == 1


_RETIRED = {
    "Ultrasound Multi-frame Image": "1.2.840.10008.5.1.4.1.1.3",
    "Nuclear Medicine Image": "1.2.840.10008.5.1.4.1.1.5",
    "Ultrasound Image": "1.2.840.10008.5.1.4.1.1.6",
    "X-Ray Angiographic Bi-Plane Image": "1.2.840.10008.5.1.4.1.1.12.3",
    "VL Image - Trial": "1.2.840.10008.5.1.4.1.1.77.1",
    "Standalone Overlay": "1.2.840.10008.5.1.4.1.1.8",
    "Hardcopy Grayscale Image": "1.2.840.10008.5.1.1.29",
    "Stored Print": "1.2.840.10008.5.1.1.27",
}


def test_retired_sop_classes(start_node: StartNode, tmp_path: Path) -> None:
    running = start_node()
    files = [
        written(ct_image(number, SOPClassUID=uid), tmp_path / f"{number}.dcm")
        for number, uid in enumerate(_RETIRED.values(), 1)
    ]
    ran = dcmtk.run("storescu", running.port, "-v", "-R", "-nh", *files)
    assert ran.exit_code == 0, ran.output
    events = running.events.wait_for(InstanceStored, len(files))
    assert {event.sop_class_uid: event.status for event in events} == dict.fromkeys(_RETIRED.values(), 0)


def test_repeat_stores_once(start_node: StartNode) -> None:
    running = start_node()
    ran = dcmtk.run("storescu", running.port, "--repeat", "5", _one("Explicit VR Little Endian"))
    assert ran.exit_code == 0, ran.output
    outcomes = [event.outcome for event in running.events.wait_for(InstanceStored, 5)]
    assert outcomes == ["stored"] + ["already stored"] * 4
    assert running.entities() == (1, 1, 1, 1)


def test_invented_instances_are_new_ones(start_node: StartNode) -> None:
    running = start_node()
    ran = dcmtk.run("storescu", running.port, "--repeat", "10", "+IR", "5", _one("Explicit VR Little Endian"))
    assert ran.exit_code == 0, ran.output
    assert {event.outcome for event in running.events.wait_for(InstanceStored, 10)} == {"stored"}
    assert running.entities()[3] == 10


def test_refusal_reaches_storescu(start_node: StartNode, tmp_path: Path) -> None:
    running = start_node(spool={"min_free": "1024 TiB"})
    ran = dcmtk.run("storescu", running.port, "-d", written(ct_image(), tmp_path / "one.dcm"))
    assert ran.exit_code != 0
    assert ran.statuses == [0xA700]
    running.assert_empty()


def test_abort_after_storing_loses_nothing(start_node: StartNode, tmp_path: Path) -> None:
    running = start_node()
    ran = dcmtk.run("storescu", running.port, "--abort", written(ct_image(), tmp_path / "one.dcm"))
    assert ran.exit_code == 0, ran.output
    (ended,) = running.events.wait_for(AssociationEnded)
    assert ended.ending == "aborted"
    assert running.entities() == (1, 1, 1, 1)


def test_same_image_explicit_then_implicit_is_stored_once(start_node: StartNode, tmp_path: Path) -> None:
    running = start_node()
    path = written(ct_image(), tmp_path / "one.dcm")
    for prefer in ("-xe", "-xi"):
        assert dcmtk.run("storescu", running.port, "-R", prefer, path).exit_code == 0
    events = running.events.wait_for(InstanceStored, 2)
    assert [event.transfer_syntax_uid for event in events] == [wire.EXPLICIT, wire.IMPLICIT]
    assert [event.outcome for event in events] == ["stored", "already stored"]


@pytest.mark.parametrize("prefers", [("-xe", "-xi"), ("-xi", "-xe"), ("-xe", "-xd")])
def test_same_scan_in_another_transfer_syntax_is_stored_once(
    start_node: StartNode, prefers: tuple[str, str]
) -> None:
    """Real scans: private elements have a VR in one of the transfer syntaxes and none in the other."""
    running = start_node()
    scan = next(
        f.path
        for f in corpus_files()
        if f.sop_class == "CT Image Storage"
        and "private_tags" in f.flags
        and _is_whole(f)
        and f.transfer_syntax == "Explicit VR Little Endian"
    )
    for prefer in prefers:
        assert dcmtk.run("storescu", running.port, "-R", prefer, scan).exit_code == 0
    events = running.events.wait_for(InstanceStored, 2)
    assert [event.outcome for event in events] == ["stored", "already stored"]
