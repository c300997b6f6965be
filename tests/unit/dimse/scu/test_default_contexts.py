"""What a C-GET SCU offers when the remote does not tell."""

from pacsnode.dimse.association.requestor import MAX_CONTEXTS
from pacsnode.dimse.scu.default_contexts import default_contexts
from tests.factories import CT, MR

SECONDARY_CAPTURE_PET_AND_SR = (
    "1.2.840.10008.5.1.4.1.1.7",
    "1.2.840.10008.5.1.4.1.1.128",
    "1.2.840.10008.5.1.4.1.1.88.11",
    "1.2.840.10008.5.1.4.1.1.88.67",
)


def test_the_classes_that_are_in_use_fit_beside_the_query() -> None:
    offered = dict(default_contexts())
    assert {CT, MR, *SECONDARY_CAPTURE_PET_AND_SR} <= set(offered)
    assert set(offered.values()) == {("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")}
    assert 100 < len(offered) == len(default_contexts()) < MAX_CONTEXTS
    assert "1.2.840.10008.5.1.4.38.1" not in offered  # Hanging Protocol: it belongs to no study
