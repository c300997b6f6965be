"""Who gets in, what each may do and what each sees (RELIABILITY S1, S3), over real associations.

Every cell of the matrix calling x called x address x service is in tests/unit/access/test_matrix; here a part of it is
asked of a node that runs, from two addresses of this machine.
"""

import socket
from pathlib import Path
from typing import Any

import pytest

from pacsnode.dimse import scu
from pacsnode.dimse.association.requestor import Caller, Remote
from pacsnode.observe import AssociationRejected, RetrieveEnded
from tests.interop import dcmtk, wire
from tests.interop.data_sets import ct_image, encoded, identifier, written
from tests.interop.nodes import AE_TITLE, Running, StartNode

HERE, THERE = "127.0.0.1", "127.0.0.2"
MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
CONTEXTS = (
    (1, wire.VERIFICATION, (wire.IMPLICIT,)),
    (3, wire.CT_IMAGE, (wire.EXPLICIT,)),
    (5, wire.STUDY_ROOT_FIND, (wire.EXPLICIT,)),
    (7, MOVE, (wire.EXPLICIT,)),
    (9, wire.STUDY_ROOT_GET, (wire.EXPLICIT,)),
)
PEERS: list[dict[str, Any]] = [
    {"name": "ct", "ae_title": "CT1", "addresses": ["127.0.0.2"], "allow": ["echo", "store"]},
    {"name": "ws", "ae_title": "WS1", "addresses": ["127.0.0.0/31"], "allow": ["echo", "find", "move"]},
    {"name": "locked", "ae_title": "LOCKED", "allow": []},
]

# Accepted (+) and refused (-) contexts of C-ECHO, C-STORE, C-FIND, C-MOVE and C-GET, or the rejection.
CALLED, CALLING = "1/1/7", "1/1/3"
LIVE = [
    ("CT1", "PACSNODE", HERE, CALLING),
    ("CT1", "PACSNODE", THERE, "++---"),
    ("CT1", "RESEARCH", THERE, "++---"),
    ("CT1", "NOBODY", THERE, CALLED),
    ("WS1", "PACSNODE", HERE, "+-++-"),
    ("WS1", "OLDPACS", HERE, "+-++-"),
    ("WS1", "PACSNODE", THERE, CALLING),
    ("WS1", "NOBODY", HERE, CALLED),
    ("LOCKED", "PACSNODE", HERE, CALLING),
    ("LOCKED", "RESEARCH", THERE, CALLING),
    ("STRANGER", "PACSNODE", HERE, "+----"),
    ("STRANGER", "RESEARCH", THERE, "+----"),
    ("STRANGER", "NOBODY", HERE, CALLED),
    ("ct1", "PACSNODE", HERE, "+----"),
    ("", "PACSNODE", HERE, "+----"),
    ("' OR 1=1 --", "PACSNODE", HERE, "+----"),
]


@pytest.fixture(scope="module")
def closed(start_shared_node: StartNode) -> Running:
    """A node as it is without `access`, but for three peers and a second title."""
    return start_shared_node(
        access={"unknown_peers": "echo"},
        dicom={"ae_title_aliases": ["OLDPACS"]},
        ae_titles=[{"ae_title": "RESEARCH"}],
        peers=PEERS,
    )


@pytest.mark.parametrize(("calling", "called", "address", "expected"), LIVE)
def test_the_matrix_over_real_associations(
    closed: Running, calling: str, called: str, address: str, expected: str
) -> None:
    with wire.Wire(closed.port, source=address) as peer:
        titles = {"calling": calling.encode(), "called": called.encode()}
        if "/" in expected:
            peer.send(wire.associate_rq(CONTEXTS, **titles))
            assert "/".join(map(str, peer.rejection())) == expected
            return
        results = peer.associate(CONTEXTS, **titles)
        assert "".join("+" if results[at] == 0 else "-" for at, *_ in CONTEXTS) == expected
        assert set(results.values()) <= {0, 1}, "user rejection, and nothing that tells of the node"
        if expected.startswith("+"):
            assert peer.echo(1) == 0
        peer.release()


def test_the_log_knows_the_rule_and_the_peer_does_not(start_node: StartNode) -> None:
    running = start_node(peers=PEERS)
    ran = dcmtk.run("echoscu", running.port, aet="CT1")
    assert "Calling AE Title Not Recognized" in ran.output
    assert "127.0.0.2" not in ran.output
    (event,) = running.events.wait_for(AssociationRejected)
    assert event.reason == (
        "calling AE title not recognized: peers.ct.addresses = [127.0.0.2] does not contain 127.0.0.1"
    )


# Visibility

HOUSES = {1: "ST. MARY", 2: "ST. JOHN"}


def _uid(study: int, series: int, number: int) -> str:
    return str(ct_image(number, study=study, series=series).SOPInstanceUID)


@pytest.fixture(scope="module")
def archived(start_shared_node: StartNode, tmp_path_factory: pytest.TempPathFactory) -> Running:
    """Two studies, each with a series of two images of each house; the second images were sent by MR1."""
    folder = tmp_path_factory.mktemp("sent")
    with socket.create_server((HERE, 0)) as taken:
        port = taken.getsockname()[1]
    running = start_shared_node(
        peers=[
            {"ae_title": "MARY", "sees": {"institution": ["ST. MA*"]}},
            {"ae_title": "OWN", "sees": [{"own_sends": True}]},
            {"ae_title": "BLIND", "sees": []},
            {"ae_title": "RECEIVER", "host": HERE, "port": port},
            {"name": "bound", "ae_title": "BOUND", "move_destinations": ["OTHER"]},
            {"ae_title": "OTHER", "host": HERE, "port": port},
        ],
        ae_titles=[{"ae_title": "RESEARCH", "aliases": ["STUDIES"], "sees": {"sent_by": ["MR1"]}}],
    )
    for number, sender in ((1, "OWN"), (2, "MR1")):
        files = [
            written(
                ct_image(number, study=study, series=series, InstitutionName=house),
                folder / f"{study}-{series}-{number}.dcm",
            )
            for study in (1, 2)
            for series, house in HOUSES.items()
        ]
        assert {result.status for result in scu.send(Caller(sender), running.remote, files)} == {0}
    return running


EVERYTHING = [_uid(study, series, number) for study in (1, 2) for series in (1, 2) for number in (1, 2)]
SEEN = [
    ("ANYBODY", AE_TITLE, EVERYTHING),
    ("MARY", AE_TITLE, [uid for uid in EVERYTHING if uid.split(".")[-2] == "1"]),
    ("OWN", AE_TITLE, [uid for uid in EVERYTHING if uid.endswith(".1")]),
    ("BLIND", AE_TITLE, []),
    ("ANYBODY", "RESEARCH", [uid for uid in EVERYTHING if uid.endswith(".2")]),
    ("ANYBODY", "STUDIES", [uid for uid in EVERYTHING if uid.endswith(".2")]),
    ("MARY", "RESEARCH", [uid for uid in EVERYTHING if uid.endswith(".1.2")]),
    ("OWN", "RESEARCH", []),
    ("BLIND", "RESEARCH", []),
]


@pytest.mark.parametrize(("calling", "called", "expected"), SEEN)
def test_find_get_and_move_go_by_one_rule(
    archived: Running, tmp_path: Path, calling: str, called: str, expected: list[str]
) -> None:
    caller, remote = Caller(calling), Remote(called, HERE, archived.port)
    images = scu.find(caller, remote, identifier("IMAGE", SOPInstanceUID=""), patient_root=False)
    assert sorted(image.SOPInstanceUID for image in images) == sorted(expected)
    studies = list(
        scu.find(
            caller, remote, identifier("STUDY", StudyInstanceUID="", RetrieveAETitle=""), patient_root=False
        )
    )
    assert {study.StudyInstanceUID for study in studies} == {uid.rsplit(".", 2)[0] for uid in expected}
    assert {study.RetrieveAETitle for study in studies} <= {AE_TITLE if called == AE_TITLE else "RESEARCH"}
    for study in (1, 2):
        uid = str(ct_image(study=study).StudyInstanceUID)
        asked = identifier("STUDY", StudyInstanceUID=uid)
        of_study = [one for one in expected if one.startswith(f"{uid}.")]
        folder = tmp_path / str(study)
        folder.mkdir()
        *_, got = scu.get(caller, remote, asked, patient_root=False, folder=folder)
        assert (got.status, got.completed) == (0, len(of_study))
        assert sorted(path.stem for path in folder.iterdir()) == sorted(of_study)


def test_a_move_sends_what_is_seen(start_node: StartNode, destination_port: int, tmp_path: Path) -> None:
    running = start_node(
        peers=[
            {"ae_title": "STORESCP", "host": HERE, "port": destination_port},
            {"ae_title": "MARY", "sees": {"institution": ["ST. MARY"]}},
        ]
    )
    files = [
        written(ct_image(series=series, InstitutionName=house), tmp_path / f"{series}.dcm")
        for series, house in HOUSES.items()
    ]
    assert {result.status for result in scu.send(Caller("CT1"), running.remote, files)} == {0}
    with dcmtk.storescp(tmp_path / "moved", destination_port) as storescp:
        for calling, number in (("ANYBODY", 2), ("MARY", 1)):
            *_, final = scu.move(
                Caller(calling),
                running.remote,
                identifier("STUDY", StudyInstanceUID=str(ct_image().StudyInstanceUID)),
                patient_root=False,
                destination="STORESCP",
            )
            assert (final.status, final.completed) == (0, number)
        assert len(storescp.files()) == 2


def test_a_destination_that_is_not_allowed_is_not_called(archived: Running) -> None:
    asked = identifier("STUDY", StudyInstanceUID=str(ct_image().StudyInstanceUID))
    finals = [
        list(scu.move(Caller("BOUND"), archived.remote, asked, patient_root=False, destination=title))[-1]
        for title in ("RECEIVER", "UNKNOWN")
    ]
    assert [final.status for final in finals] == [0xA801, 0xA801]
    assert finals[0].comment == finals[1].comment
    events = [event for event in archived.events.wait_for(RetrieveEnded) if event.calling_ae_title == "BOUND"]
    assert events[0].comment == "peers.bound.move_destinations = [OTHER] does not contain RECEIVER"


# Several titles on one port


@pytest.fixture
def titled(start_node: StartNode) -> Running:
    return start_node(
        storage={"duplicates": "refuse"},
        ae_titles=[
            {"ae_title": "KEEPS", "aliases": ["KEEPS2"], "duplicates": "keep-both"},
            {"ae_title": "PLAIN"},
        ],
    )


def test_other_content_goes_by_the_title_that_is_called(titled: Running) -> None:
    uid = str(ct_image().SOPInstanceUID)

    def stored(called: str, data: bytes) -> int | None:
        with wire.Wire(titled.port) as peer:
            peer.associate([(1, wire.CT_IMAGE, (wire.EXPLICIT,))], called=called.encode())
            peer.send(
                wire.p_data(wire.pdv(1, wire.c_store_rq(uid.encode()), is_command=True)),
                wire.p_data(wire.pdv(1, data, is_command=False)),
            )
            status = peer.message().status
            peer.release()
        return status

    first, *others = (encoded(ct_image(PixelData=bytes([number]) * 32)) for number in range(5))
    assert stored(AE_TITLE, first) == 0
    assert [stored(called, others[0]) for called in (AE_TITLE, "PLAIN", "KEEPS", "KEEPS2")] == [
        0xC001, 0xC001, 0, 0
    ]  # fmt: skip
    assert stored("KEEPS2", others[1]) == 0
    assert stored(AE_TITLE, others[2]) == 0xC001
    assert titled.entities() == (1, 1, 1, 1)
