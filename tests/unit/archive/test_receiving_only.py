"""While the state is damaged queries and retrieves are refused, and nothing else is."""

from pathlib import Path

import pytest

from pacsnode.archive.find import Find
from pacsnode.archive.receiving_only import AnsweringIndex
from pacsnode.archive.retrieve import Retrieve
from pacsnode.dicom.attributes import Level
from pacsnode.dicom.query import InformationModel, Query
from pacsnode.dimse import status
from pacsnode.dimse.status import FindStatus, RetrieveStatus
from pacsnode.duplicates import DuplicatePolicy
from pacsnode.errors import ReceivingOnly, TemporaryError
from pacsnode.index.base import Adding, Index
from tests.factories import Parts, Sample, arrival, spooled

STUDIES = Query(InformationModel.STUDY_ROOT, Level.STUDY, (), ())


def test_it_answers_while_there_is_no_trouble_and_refuses_while_there_is(tmp_path: Path) -> None:
    troubles: list[str | None] = [None]
    with Parts(tmp_path) as parts:
        parts.put(Sample())
        index: Index = AnsweringIndex(parts.index, lambda: troubles[-1])
        find, limited = Find(index, max_results=0), Find(index, max_results=5)
        retrieve = Retrieve(index, parts.objects)
        for trouble in (None, "state-1.db is damaged", None):
            troubles.append(trouble)
            for ask in (
                lambda: list(find.answers(STUDIES)),
                lambda: list(limited.answers(STUDIES)),
                lambda: retrieve.plan(STUDIES),
                lambda: index.count(STUDIES, at_most=5),
            ):
                if trouble is None:
                    assert ask()
                else:
                    with pytest.raises(ReceivingOnly, match="damaged"):
                        ask()


def test_arrivals_are_taken_as_ever(tmp_path: Path) -> None:
    with Parts(tmp_path) as parts:
        index = AnsweringIndex(parts.index, lambda: "damaged")
        entry = spooled(parts.spool, Sample().file)
        assert index.add(arrival(Sample(), entry), DuplicatePolicy.KEEP_BOTH).adding is Adding.NEW
        (waiting,) = index.waiting(limit=10)
        index.mark_stored([waiting.instance_id])
        assert index.waiting(limit=10) == []
        assert index.sync()


def test_the_statuses_are_those_of_a_node_that_is_short_of_something() -> None:
    """PS3.4 tables C.4-1, C.4-2 and C.4-3: Refused, out of resources; the peer may try again."""
    error = ReceivingOnly("/var/lib/pacsnode/state/state-1.db is damaged")
    assert isinstance(error, TemporaryError)
    for found, expected in (
        (status.of_find(error), FindStatus.OUT_OF_RESOURCES),
        (status.of_retrieve(error), RetrieveStatus.OUT_OF_RESOURCES_MATCHES),
    ):
        code, comment = found
        assert code == expected
        assert comment == "the node's state is damaged or missing, it receives only"
        assert len(comment) <= 64
