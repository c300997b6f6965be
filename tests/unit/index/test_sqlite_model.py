"""Any sequence of adds, policies and rollbacks leaves what the model has, and counts that add up."""

import sqlite3
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pacsnode.dicom.attributes import ATTRIBUTES, Level
from pacsnode.dicom.query import InformationModel, Query
from pacsnode.duplicates import DuplicatePolicy
from pacsnode.index.base import Arrival
from pacsnode.index.sqlite import SqliteIndex, Statistics
from tests.index_checks import emptied, inconsistencies
from tests.index_model import Model, arrivals


class UndoneError(Exception):
    """Rolls a transaction back."""


class IndexMachine(RuleBasedStateMachine):
    """The index and the model, side by side."""

    shared: SqliteIndex

    def __init__(self) -> None:
        super().__init__()
        self.index = self.shared
        emptied(self.index)
        self.model = Model()
        self.tokens = 0

    def _arrival(self, data: st.DataObject) -> Arrival:
        self.tokens += 1
        return data.draw(arrivals(self.tokens))

    @rule(
        data=st.data(),
        policy=st.sampled_from(DuplicatePolicy),
        compared=st.sampled_from(("all", "none", "some")),
    )
    def add(self, data: st.DataObject, policy: DuplicatePolicy, compared: str) -> None:
        arrival = self._arrival(data)
        versions = self.model.versions(arrival.header.sop_instance_uid)
        ids = [self.model.instance_id(one) for one in versions]
        known = frozenset({"all": [*ids, 10_000, 10_001], "none": [], "some": ids[:1]}[compared])
        added = self.index.add(arrival, policy, known_different=known)
        assert [one.instance_id for one in added.versions] == ids
        assert [one.version for one in added.versions] == list(range(len(ids)))
        assert added.adding is self.model.add(arrival, policy, known)

    @rule(data=st.data())
    def add_again(self, data: st.DataObject) -> None:
        if self.model.waiting:
            token = data.draw(st.sampled_from(sorted(self.model.waiting)))
            arrival = self.model.waiting[token].arrival
            assert arrival is not None
            added = self.index.add(arrival, DuplicatePolicy.KEEP_BOTH)
            assert added.adding is self.model.add(arrival, DuplicatePolicy.KEEP_BOTH)

    @rule(data=st.data())
    def roll_back(self, data: st.DataObject) -> None:
        arrival = self._arrival(data)
        known = frozenset(range(1, 1000))

        def add_and_fail(connection: sqlite3.Connection) -> Any:
            self.index._additions.add(connection, arrival, DuplicatePolicy.REPLACE, known)
            raise UndoneError

        with pytest.raises(UndoneError):
            self.index._database.write(add_and_fail)

    @rule()
    def forget(self) -> None:
        self.index._database.write(lambda connection: self.index._additions.forget())

    @rule(data=st.data())
    def mark_stored(self, data: st.DataObject) -> None:
        tokens = (
            data.draw(st.sets(st.sampled_from(sorted(self.model.waiting)))) if self.model.waiting else set()
        )
        self.index.mark_stored([self.model.instance_id(self.model.waiting.pop(token)) for token in tokens])

    @invariant()
    def adds_up(self) -> None:
        assert inconsistencies(self.index) == {}

    @invariant()
    def is_as_modelled(self) -> None:
        for level in Level:
            returned = tuple(one for one in ATTRIBUTES if one.level <= level)
            query = Query(InformationModel.PATIENT_ROOT, level, (), returned)
            assert [row for page in self.index.find(query) for row in page] == self.model.found(query)
        waiting = self.index.waiting(limit=1000)
        assert [one.token for one in waiting] == sorted(self.model.waiting)
        kept = [one for page in self.index.everything(page=2) for one in page]
        rows = self.model.rows
        assert [one.version for one in kept] == [image.version for image in rows[Level.IMAGE]]
        visible = [sum(one.is_visible() for one in rows[level]) for level in Level]
        hidden = len(rows[Level.IMAGE]) - visible[Level.IMAGE]
        assert self.index.statistics() == Statistics(*visible, hidden, len(self.model.waiting))


@pytest.fixture(scope="module", autouse=True)
def shared_index() -> Any:
    IndexMachine.shared = SqliteIndex()
    yield
    IndexMachine.shared.close()


TestIndexMachine = IndexMachine.TestCase
TestIndexMachine.settings = settings(
    max_examples=40, stateful_step_count=25, suppress_health_check=list(HealthCheck)
)
