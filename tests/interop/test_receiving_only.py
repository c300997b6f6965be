"""A node whose state is damaged or gone (RELIABILITY D6b): it takes images, answers nothing else, and says so."""

import logging
import re
import shutil
from contextlib import ExitStack
from pathlib import Path

import pytest
from pydicom import Dataset

from pacsnode.config import Config
from pacsnode.dimse import scu
from pacsnode.dimse.association.requestor import Caller
from pacsnode.dimse.scu import Remote
from pacsnode.dimse.scu.association import RemoteFailure
from pacsnode.node import Node, open_state
from pacsnode.state.restoring import restore, sources
from pacsnode.storage.memory import MemoryStorage
from tests.factories import Sample
from tests.interop.nodes import AE_TITLE
from tests.served import is_filed
from tests.unit.state.damage import DAMAGES, content, fill

COMMENT = "the node's state is damaged or missing, it receives only"


def config_of(folder: Path) -> Config:
    return Config.model_validate(
        {
            "node": {"data_dir": str(folder)},
            "dicom": {"port": 0},
            "access": {"unknown_peers": "all"},
            "spool": {"min_free": 0},
            "peers": [{"ae_title": "WS1", "host": "127.0.0.1", "port": 11112}],
        }
    )


def remote(node: Node) -> Remote:
    return Remote(AE_TITLE, "127.0.0.1", node.port)


def study() -> Dataset:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "STUDY"
    identifier.StudyInstanceUID = Sample().study
    return identifier


def send(caller: Caller, node: Node, folder: Path, *numbers: int) -> list[int | None]:
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{number}.dcm" for number in numbers]
    for path, number in zip(paths, numbers, strict=True):
        path.write_bytes(Sample(number).file)
    return [result.status for result in scu.send(caller, remote(node), paths)]


def used(folder: Path, caller: Caller, tmp_path: Path) -> Path:
    """Serve once, receive an image, stop; return the file of the state, filled to some size."""
    with Node(config_of(folder)) as node:
        assert send(caller, node, tmp_path / "sent", 1) == [0]
    path = folder / "state" / "state-1.db"
    fill(path)
    return path


@pytest.mark.parametrize("kind", [*DAMAGES, "the whole folder is gone"])
def test_a_node_with_a_damaged_state_receives_only(
    kind: str, tmp_path: Path, caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "data"
    path = used(folder, caller, tmp_path)
    damage, expected = DAMAGES.get(
        kind, (lambda path: shutil.rmtree(path.parent), "is missing, while the index")
    )
    damage(path)
    before = content(path.parent) if path.parent.exists() else {}
    caplog.clear()
    with Node(config_of(folder)) as node:
        assert scu.echo(caller, remote(node)) > 0
        assert send(caller, node, tmp_path / "sent", 1, 2, 3) == [0, 0, 0]
        _assert_refused(caller, node, tmp_path)
        assert is_filed(folder)
        assert node.index.statistics().instances == 3
        assert node.state.report()["trouble"]
    (error,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert re.search(expected, error)
    assert "pacsnode state restore" in error
    after = content(path.parent)
    after.pop("lock", None)
    before.pop("lock", None)
    assert after == before, "the damaged state is left as it was"
    assert len(list((folder / "archive").rglob("*.dcm"))) == 3


def _assert_refused(caller: Caller, node: Node, tmp_path: Path) -> None:
    """PS3.4 tables C.4-1 (C-FIND), C.4-2 (C-MOVE) and C.4-3 (C-GET)."""
    with pytest.raises(RemoteFailure) as failure:
        list(scu.find(caller, remote(node), study(), patient_root=False))
    assert failure.value.status == 0xA700
    asks = (
        lambda: list(scu.get(caller, remote(node), study(), patient_root=False, folder=tmp_path)),
        lambda: list(scu.move(caller, remote(node), study(), patient_root=False, destination="WS1")),
    )
    for ask in asks:
        final = ask()[-1]
        assert (final.status, final.comment) == (0xA701, COMMENT)


def test_a_restored_node_answers_again(tmp_path: Path, caller: Caller) -> None:
    folder = tmp_path / "data"
    path = used(folder, caller, tmp_path)
    with ExitStack() as stack:
        state = stack.enter_context(open_state(config_of(folder), exclusively=True))
        opened = state.existing().state
        assert opened is not None
        unfinished = state.copies.unfinished()
        revision = opened.copy(unfinished, stop=lambda: False)
        assert revision is not None
        state.copies.publish(unfinished, revision=revision, made_at_ms=1_700_000_000_000)
        opened.close()
    path.unlink()
    with Node(config_of(folder)) as node:
        assert send(caller, node, tmp_path / "sent", 2) == [0]
        _assert_refused(caller, node, tmp_path)
    with open_state(config_of(folder), exclusively=True) as state:
        restore(state, sources(state, MemoryStorage()), now_ms=1_700_000_000_000)
    with Node(config_of(folder)) as node:
        (match,) = scu.find(caller, remote(node), study(), patient_root=False)
        assert match.StudyInstanceUID == Sample().study
        (tmp_path / "got").mkdir()
        final = list(scu.get(caller, remote(node), study(), patient_root=False, folder=tmp_path / "got"))[-1]
        assert (final.status, final.completed) == (0, 2)


def test_damage_found_while_the_node_runs_closes_it_for_queries(tmp_path: Path, caller: Caller) -> None:
    with Node(config_of(tmp_path / "data")) as node:
        assert send(caller, node, tmp_path / "sent", 1) == [0]
        assert list(scu.find(caller, remote(node), study(), patient_root=False))
        node.state.custody.damaged("state-1.db is damaged")
        _assert_refused(caller, node, tmp_path)
        assert send(caller, node, tmp_path / "sent", 2) == [0]
