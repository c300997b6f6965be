import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import google_crc32c
import pytest

from pacsnode.archive.custody import Custody
from pacsnode.archive.verification import Finding, Verified, note, verify
from pacsnode.errors import OutOfResources
from pacsnode.index.base import Located
from pacsnode.spool import Entry, Spool
from pacsnode.state.base import CustodyKind
from pacsnode.state.sqlite import SqliteState
from pacsnode.storage.memory import BytesReadable, MemoryStorage
from pacsnode.storage.names import object_name, state_copy_name
from tests.objects import put

META, DATA_SET = b"preamble and meta", b"the data set" * 1000
CONTENT = META + DATA_SET


def located(number: int, content: bytes = CONTENT, token: int | None = None) -> Located:
    return Located(
        instance_id=number,
        study_instance_uid="1.2",
        series_instance_uid="1.2.3",
        sop_instance_uid=f"1.2.3.{number}",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        version=0,
        token=token,
        file_length=len(content),
        file_crc32c=google_crc32c.value(content),
        data_set_length=len(content) - len(META),
        data_set_crc32c=google_crc32c.value(content[len(META) :]),
    )


class Kept:
    """An archive of three instances: two filed, one waiting in the spool."""

    def __init__(self, folder: Path) -> None:
        self.spool = Spool(folder, min_free_bytes=0, now_ms=lambda: 1)
        self.storage = MemoryStorage()
        self.rows = [located(1), located(2), located(3, token=self.spooled(CONTENT).token)]
        for row in self.rows[:2]:
            self.store(row.sop_instance_uid)
        self.looks = 0

    def spooled(self, content: bytes) -> Entry:
        incoming = self.spool.begin()
        incoming.write(content)
        entry = incoming.publish()
        incoming.close()
        return entry

    def store(self, sop_instance_uid: str, content: bytes = CONTENT) -> None:
        put(self.storage, object_name("1.2", "1.2.3", sop_instance_uid), BytesReadable(content))

    def everything(self) -> Iterator[Sequence[Located]]:
        self.looks += 1
        for row in list(self.rows):
            yield [row]

    def problems(self) -> list[Verified]:
        found = list(verify(self.everything, self.spool, self.storage))
        return [verified for verified in found if verified.finding is not Finding.CORRECT]


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    archive = Kept(tmp_path)
    yield archive
    archive.spool.close()


def test_all_is_well(kept: Kept) -> None:
    found = list(verify(kept.everything, kept.spool, kept.storage))
    assert [verified.finding for verified in found] == [Finding.CORRECT] * 3
    assert {verified.file_bytes for verified in found} == {len(CONTENT)}
    assert kept.looks == 1


def test_a_missing_object(kept: Kept) -> None:
    kept.storage.delete("1.2/1.2.3/1.2.3.1.dcm")
    (problem,) = kept.problems()
    assert (problem.finding, problem.name) == (Finding.MISSING, "1.2/1.2.3/1.2.3.1.dcm")


@pytest.mark.parametrize(
    "content",
    [CONTENT[:-1], CONTENT + b"x", CONTENT[:-1] + b"X", b"X" + CONTENT[1:]],
    ids=["short", "long", "data set", "meta"],
)
def test_a_damaged_object(kept: Kept, content: bytes) -> None:
    kept.storage.delete("1.2/1.2.3/1.2.3.1.dcm")
    kept.store("1.2.3.1", content)
    (problem,) = kept.problems()
    assert (problem.finding, problem.name) == (Finding.DAMAGED, "1.2/1.2.3/1.2.3.1.dcm")


def test_a_damaged_spool_entry(kept: Kept, tmp_path: Path) -> None:
    (file,) = (tmp_path / "ready").iterdir()
    file.write_bytes(CONTENT[:-1] + b"X")
    (problem,) = kept.problems()
    assert problem.finding is Finding.DAMAGED


def test_a_wrong_data_set_checksum_in_the_index(kept: Kept) -> None:
    kept.rows[0] = replace(kept.rows[0], data_set_crc32c=0)
    assert [problem.finding for problem in kept.problems()] == [Finding.DAMAGED]


def test_an_object_that_the_disk_does_not_give_back(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise OutOfResources("input/output error")

    monkeypatch.setattr(kept.storage, "open", refuse)
    assert [problem.finding for problem in kept.problems()] == [Finding.UNREADABLE] * 2


def test_objects_and_spool_entries_that_the_index_does_not_know(kept: Kept) -> None:
    kept.store("1.2.3.99")
    entry = kept.spooled(b"other bytes")
    assert {(problem.finding, problem.name) for problem in kept.problems()} == {
        (Finding.NOT_INDEXED, "1.2/1.2.3/1.2.3.99.dcm"),
        (Finding.NOT_INDEXED, entry.name),
    }


def test_an_entry_that_was_filed_and_is_still_there_is_no_problem(kept: Kept) -> None:
    kept.store("1.2.3.3")
    kept.rows[2] = replace(kept.rows[2], token=None)
    assert kept.problems() == []


def test_what_arrives_meanwhile_is_no_problem(kept: Kept) -> None:
    def everything() -> Iterator[Sequence[Located]]:
        yield from kept.everything()
        if kept.looks == 1:
            kept.store("1.2.3.4")
            kept.rows.append(located(4))
            kept.rows.append(located(5, b"fresh" * 10, token=kept.spooled(b"fresh" * 10).token))

    found = list(verify(everything, kept.spool, kept.storage))
    assert [verified.finding for verified in found] == [Finding.CORRECT] * 3
    assert kept.looks == 2


def test_what_is_filed_meanwhile_is_read_from_the_storage(kept: Kept) -> None:
    kept.store("1.2.3.3")
    for entry in kept.spool.entries():
        kept.spool.remove(entry)
    assert kept.problems() == []


def test_what_was_acknowledged_and_is_not_in_order_is_recorded(tmp_path: Path) -> None:
    with contextlib.closing(SqliteState(tmp_path / "state.db")) as state:
        custody = Custody(state, process="storage verify", now_ms=lambda: 1)
        for finding in Finding:
            note(custody, Verified(finding, f"{finding.value}.dcm", 0, "detail", "1.2.3.1"))
        events = [recorded.event for recorded in state.events(limit=10)]
    assert [(event.kind, event.name) for event in events] == [
        (CustodyKind.LOST, "missing.dcm"),
        (CustodyKind.DAMAGED, "damaged.dcm"),
        (CustodyKind.UNREADABLE, "unreadable.dcm"),
    ]
    assert {event.sop_instance_uid for event in events} == {"1.2.3.1"}


def test_findings_name_the_instance(kept: Kept) -> None:
    kept.storage.delete("1.2/1.2.3/1.2.3.1.dcm")
    assert [problem.sop_instance_uid for problem in kept.problems()] == ["1.2.3.1"]


def test_copies_of_the_state_are_no_stray_objects(kept: Kept) -> None:
    put(kept.storage, state_copy_name("20231114T221320Z-1-1-00000000.db"), BytesReadable(b"x"))
    assert kept.problems() == []
