"""C-ECHO, and who is let in: the reasons of PS3.8 table 9-21."""

import logging

import pytest
from pynetdicom import AE

from pacsnode.dimse import scu
from pacsnode.dimse.association.requestor import Caller
from pacsnode.observe import AssociationEnded, AssociationRejected, Verified
from tests.interop import dcmtk, wire
from tests.interop.nodes import StartNode, assert_no_association_left


def test_dcmtk_echoes(start_node: StartNode) -> None:
    running = start_node()
    ran = dcmtk.run("echoscu", running.port, "-d", "--repeat", "3")
    assert ran.exit_code == 0, ran.output
    assert ran.output.count("Received Echo Response (Success)") == 3, ran.output
    (ended,) = running.events.wait_for(AssociationEnded)
    assert (ended.calling_ae_title, ended.ending, ended.operations) == ("DCMTK", "released", 3)


def test_dcmtk_proposes_all_contexts_and_transfer_syntaxes(start_node: StartNode) -> None:
    running = start_node()
    ran = dcmtk.run("echoscu", running.port, "-ppc", "128", "-pts", "38")
    assert ran.exit_code == 0, ran.output


def test_pynetdicom_echoes(start_node: StartNode) -> None:
    running = start_node()
    ae = AE("PYNETDICOM")
    ae.add_requested_context(wire.VERIFICATION)
    association = ae.associate("127.0.0.1", running.port, ae_title="PACSNODE")
    assert association.is_established
    assert association.send_c_echo().Status == 0
    association.release()
    assert len(running.events.wait_for(Verified)) == 1


def test_own_scu_echoes(start_node: StartNode, caller: Caller) -> None:
    assert scu.echo(caller, start_node().remote) < 10


@pytest.mark.parametrize("padding", [b" ", b"\0"])
@pytest.mark.parametrize("called", [b"PACSNODE", b" PACSNODE", b"ALIAS"])
def test_ae_titles_count_without_padding(start_node: StartNode, padding: bytes, called: bytes) -> None:
    running = start_node(
        dicom={"ae_title_aliases": ["ALIAS"]},
        access={"unknown_peers": "none"},
        peers=[{"ae_title": "KNOWN", "allow": ["echo"]}],
    )
    with wire.Wire(running.port) as peer:
        results = peer.associate(
            [(1, wire.VERIFICATION, (wire.IMPLICIT,))], called=called, calling=b"KNOWN", padding=padding
        )
        assert results == {1: 0}
        assert peer.echo(1) == 0
        peer.release()


def test_wrong_called_ae_title_is_rejected(start_node: StartNode) -> None:
    running = start_node()
    with wire.Wire(running.port) as peer:
        peer.send(wire.associate_rq(called=b"SOMEBODY"))
        assert peer.rejection() == (1, 1, 7)
    (rejected,) = running.events.wait_for(AssociationRejected)
    assert (rejected.calling_ae_title, rejected.called_ae_title) == ("WIRE", "SOMEBODY")
    assert dcmtk.run("echoscu", running.port, aec="SOMEBODY").exit_code != 0


def test_called_ae_title_is_not_checked_if_so_configured(start_node: StartNode) -> None:
    running = start_node(dicom={"check_called_ae": False})
    assert dcmtk.run("echoscu", running.port, aec="SOMEBODY").exit_code == 0


def test_unknown_calling_ae_title_is_rejected(
    start_node: StartNode, caplog: pytest.LogCaptureFixture
) -> None:
    running = start_node(access={"unknown_peers": "none"})
    with caplog.at_level(logging.INFO), wire.Wire(running.port) as peer:
        peer.send(wire.associate_rq(calling=b"WHO\nARE YOU"))
        assert peer.rejection() == (1, 1, 3)
        running.events.wait_for(AssociationRejected)
    (line,) = [record.getMessage() for record in caplog.records if "refused" in record.getMessage()]
    assert "\n" not in line
    assert '"WHO?ARE YOU"' in line
    assert "access.unknown_peers" in line


def test_unknown_peers_may_echo_and_no_more_by_default(start_node: StartNode) -> None:
    running = start_node(access={"unknown_peers": "echo"})
    with wire.Wire(running.port) as peer:
        results = peer.associate(
            [
                (1, wire.VERIFICATION, (wire.IMPLICIT,)),
                (3, wire.CT_IMAGE, (wire.EXPLICIT,)),
                (5, wire.STUDY_ROOT_FIND, (wire.EXPLICIT,)),
                (7, wire.STUDY_ROOT_GET, (wire.EXPLICIT,)),
            ]
        )
        assert results == {1: 0, 3: 1, 5: 1, 7: 1}  # 1: user-rejection
        assert peer.echo(1) == 0


def test_wrong_application_context_is_rejected(start_node: StartNode) -> None:
    with wire.Wire(start_node().port) as peer:
        peer.send(wire.associate_rq(application_context="1.2.840.10008.3.1.1.2"))
        assert peer.rejection() == (1, 1, 2)


def test_over_the_limit_is_rejected_and_a_place_is_free_again_at_once(start_node: StartNode) -> None:
    running = start_node(dicom={"max_associations": 1})
    context = [(1, wire.VERIFICATION, (wire.IMPLICIT,))]
    with wire.Wire(running.port) as first:
        first.associate(context)
        with wire.Wire(running.port) as second:
            second.send(wire.associate_rq(context))
            assert second.rejection() == (2, 3, 2)
        assert first.echo(1) == 0
    running.events.wait_for(AssociationEnded)  # the first just hung up
    assert_no_association_left()
    with wire.Wire(running.port) as third:
        assert third.associate(context) == {1: 0}


def test_contexts_that_are_not_served_are_refused_with_the_reason(start_node: StartNode) -> None:
    contexts = [
        (1, wire.VERIFICATION, (wire.IMPLICIT,)),
        (3, "1.2.840.10008.5.1.4.31", (wire.IMPLICIT,)),  # modality worklist
        (5, "1.2.840.10008.5.1.4.39.1", (wire.EXPLICIT,)),  # colour palettes belong to no patient
        (7, wire.CT_IMAGE, ("1.2.840.10008.1.2.4.94",)),  # JPIP referenced: no pixels
        (9, wire.CT_IMAGE, (wire.IMPLICIT, wire.EXPLICIT)),
        (11, "1.2.840.10008.1.3.10", (wire.EXPLICIT,)),  # DICOMDIR
    ]
    with wire.Wire(start_node().port) as peer:
        assert peer.associate(contexts) == {1: 0, 3: 3, 5: 3, 7: 4, 9: 0, 11: 3}
        assert peer.echo(1) == 0
        peer.release()


def test_private_sop_classes_are_refused_if_so_configured(start_node: StartNode) -> None:
    contexts = [(1, "1.3.46.670589.11.0.0.12.1", (wire.EXPLICIT,))]
    with wire.Wire(start_node().port) as peer:
        assert peer.associate(contexts) == {1: 0}
    with wire.Wire(start_node(dicom={"private_sop_classes": False}).port) as peer:
        assert peer.associate(contexts) == {1: 3}
