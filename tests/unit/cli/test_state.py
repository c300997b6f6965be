"""`pacsnode state` over real folders."""

import contextlib
import json
import shutil
from pathlib import Path

import pytest

from pacsnode.cli.exit_codes import ExitCode, exit_code
from pacsnode.config import Config
from pacsnode.errors import PacsNodeError
from pacsnode.index.base import DuplicatePolicy
from pacsnode.node import open_archive, open_state
from pacsnode.state.base import CustodyEvent, CustodyKind
from pacsnode.state.copies import Copy
from pacsnode.state.folder import StateFolder
from pacsnode.storage.directory import DirectoryStorage
from pacsnode.storage.names import state_copy_name
from tests.factories import Sample, arrival, spooled
from tests.unit.state.damage import truncate, zero_header

AT_MS = 1_700_000_000_000


class Data:
    """A data folder with a state, and two copies of it beside it and in the storage."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.copies: list[Copy] = []
        folder.mkdir()
        (folder / "archive" / "_state").mkdir(parents=True)
        with StateFolder(folder / "state") as state_folder:
            state = state_folder.open(holds=lambda: "").state
            assert state is not None
            self.state = state.path
            for number in range(2):
                event = CustodyEvent(
                    CustodyKind.DAMAGED, AT_MS, "serve", f"re\x1bason {number}", "1/2/3.dcm", "3", "a1"
                )
                state.record([event] * (number + 1))
                unfinished = state_folder.copies.unfinished()
                revision = state.copy(unfinished, stop=lambda: False)
                assert revision is not None
                copy = state_folder.copies.publish(
                    unfinished, revision=revision, made_at_ms=AT_MS + 3_600_000 * number
                )
                shutil.copy(self.at(copy), folder / "archive" / state_copy_name(copy.name))
                self.copies.append(copy)
            state_folder.copies.discard_unfinished()
            state.close()

    def at(self, copy: Copy) -> Path:
        return self.folder / "state" / "copies" / copy.name


@pytest.fixture
def data(tmp_path: Path) -> Data:
    return Data(tmp_path / "data")


def test_list(run, data: Data) -> None:
    first, second = data.copies
    data.at(first).unlink()
    result = run("state", "list", "--data-dir", data.folder)
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert [line.split()[-1] for line in lines[1:3]] == [second.name, first.name]
    assert "beside+storage" in lines[1]
    assert " storage " in lines[2]
    assert lines[-1] == "2 copies"


def test_list_for_programs(run, data: Data) -> None:
    lines = [
        json.loads(line)
        for line in run("state", "list", "--json", "--data-dir", data.folder).output.splitlines()
    ]
    assert lines[0]["copy"] == {
        "name": data.copies[1].name,
        "made": "2023-11-14T23:13:20+00:00",
        "revision": data.copies[1].revision,
        "length": data.copies[1].length,
        "places": ["beside", "storage"],
    }
    assert lines[-1] == {"result": {"copies": 2}}


def test_verify_in_order(run, data: Data) -> None:
    result = run("state", "verify", "--data-dir", data.folder)
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        "state-1.db: in order",
        f"{data.copies[1].name}: in order",
        f"{data.copies[0].name}: in order",
        "3 files, 0 problems",
    ]


def test_verify_names_what_is_wrong(run, data: Data) -> None:
    zero_header(data.state)
    truncate(data.at(data.copies[0]))
    result = run("state", "verify", "--data-dir", data.folder)
    assert result.exit_code == 4
    lines = result.output.splitlines()
    assert lines[0].startswith("state-1.db: ")
    assert "header" in lines[0]
    assert "bytes, not" in lines[2]
    assert lines[3] == "3 files, 2 problems"
    items = run("state", "verify", "--json", "--data-dir", data.folder).output.splitlines()
    assert json.loads(items[1]) == {"file": {"name": data.copies[1].name, "trouble": None}}
    assert json.loads(items[-1]) == {"result": {"files": 3, "problems": 2}}


def test_verify_where_no_state_ever_was(run, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    result = run("state", "verify", "--data-dir", tmp_path / "new")
    assert result.exit_code == 4
    assert "never served" in result.output


def test_restore_the_newest(run, data: Data) -> None:
    zero_header(data.state)
    result = run("state", "restore", "--data-dir", data.folder)
    assert result.exit_code == 0
    assert result.output == (
        f"{data.folder}/state/state-2.db is the state now, from {data.copies[1].name}; start the node\n"
    )
    assert run("state", "verify", "--data-dir", data.folder).exit_code == 0


def test_restore_passes_over_what_is_damaged(run, data: Data) -> None:
    truncate(data.at(data.copies[1]))
    lines = [
        json.loads(line)
        for line in run("state", "restore", "--json", "--data-dir", data.folder).output.splitlines()
    ]
    assert data.copies[1].name in lines[0]["passed_over"]["reason"]
    assert lines[1] == {"result": {"state": f"{data.folder}/state/state-2.db", "copy": data.copies[0].name}}


@pytest.mark.parametrize("place", ["name", "file"])
def test_restore_a_chosen_one(run, data: Data, place: str) -> None:
    chosen = data.copies[0].name if place == "name" else data.at(data.copies[0])
    assert run("state", "restore", chosen, "--data-dir", data.folder).exit_code == 0
    events = run("state", "events", "--data-dir", data.folder).output
    assert "reason 1" not in events.replace("\ufffd", "")
    assert "restored from" in events


def test_restore_from_the_storage_when_the_folder_is_gone(run, data: Data) -> None:
    shutil.rmtree(data.folder / "state")
    result = run("state", "restore", "--data-dir", data.folder)
    assert result.exit_code == 0
    assert data.copies[1].name in result.output


def test_restore_nothing(run, data: Data) -> None:
    result = run("state", "restore", "--empty", "--data-dir", data.folder)
    assert (result.exit_code, result.output) == (
        0,
        f"{data.folder}/state/state-2.db is the state now, empty; start the node\n",
    )
    assert "begun empty in place of state-1.db" in run("state", "events", "--data-dir", data.folder).output


def failure(result) -> tuple[str, int | None]:
    """Return what ended a command, and its exit code: the test's runner leaves errors of ours as they are."""
    return str(result.exception), getattr(result.exception, "code", None)


def test_restore_where_nothing_is_in_order(run, data: Data) -> None:
    for copy in data.copies:
        truncate(data.at(copy))
        (data.folder / "archive" / state_copy_name(copy.name)).unlink()
    reason, code = failure(run("state", "restore", "--data-dir", data.folder))
    assert code == 4
    assert reason.startswith("nothing is restored: ")
    assert not list((data.folder / "state").glob("state-2*"))


def test_restore_beside_a_node_that_runs(run, data: Data) -> None:
    config = Config.model_validate({"node": {"data_dir": str(data.folder)}})
    with open_state(config, exclusively=True):
        error = run("state", "restore", "--data-dir", data.folder).exception
    assert isinstance(error, PacsNodeError)
    assert exit_code(error) is ExitCode.TRY_LATER
    assert not list((data.folder / "state").glob("state-2*"))


@pytest.mark.parametrize(
    "words", [("restore", "no-such-copy"), ("restore", "--empty", "copy"), ("events", "--limit", "0")]
)
def test_what_cannot_be_meant(run, data: Data, words: tuple[str, ...]) -> None:
    assert run("state", *words, "--data-dir", data.folder).exit_code == 2


def test_a_data_folder_that_is_not_there_is_not_made(run, tmp_path: Path) -> None:
    for command in ("list", "verify", "restore", "events"):
        result = run("state", command, "--data-dir", tmp_path / "typo")
        assert "there is no folder" in str(result.exception)
    assert not (tmp_path / "typo").exists()


def test_events(run, data: Data) -> None:
    result = run("state", "events", "--data-dir", data.folder)
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        "2023-11-14T22:13:20+00:00 damaged: 1/2/3.dcm: re\ufffdason 0 [association a1]",
        (
            "2023-11-14T22:13:20+00:00 damaged: 1/2/3.dcm: re\ufffdason 1 [association a1]"
            " (2 times, last 2023-11-14T22:13:20+00:00)"
        ),
        "",
        "2 events",
    ]
    lines = run("state", "events", "--limit", "1", "--json", "--data-dir", data.folder).output.splitlines()
    event = json.loads(lines[0])["event"]
    assert (event["kind"], event["detail"], event["times"]) == ("damaged", "re\x1bason 1", 2)
    assert json.loads(lines[1]) == {"result": {"events": 1}}


def test_events_of_a_damaged_state(run, data: Data) -> None:
    zero_header(data.state)
    reason, code = failure(run("state", "events", "--data-dir", data.folder))
    assert code == 4
    assert "header" in reason


def test_storage_verify_records_what_it_finds(run, data: Data) -> None:
    """An instance that the index has and nobody else does."""
    with open_archive(Config.model_validate({"node": {"data_dir": str(data.folder)}})) as archive:
        entry = spooled(archive.spool, Sample().file)
        archive.index.add(arrival(Sample(), entry), DuplicatePolicy.KEEP_BOTH)
        archive.spool.remove(entry)
    for times in (1, 2):
        assert run("storage", "verify", "--data-dir", data.folder).exit_code == 4
        lines = run("state", "events", "--json", "--data-dir", data.folder).output.splitlines()
        event = json.loads(lines[-2])["event"]
        assert (event["kind"], event["process"], event["times"]) == ("lost", "storage verify", times)
        assert event["sop_instance_uid"] == Sample().uid
    with contextlib.closing(DirectoryStorage(data.folder / "archive")) as storage:
        assert len(list(storage.list())) == 2, "its copies were no findings"
