"""The composition root: a configuration becomes a node that stores, answers, sends and starts again."""

import fcntl
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pydicom.config
import pytest
from pydicom import Dataset

from pacsnode.access.peer import Service
from pacsnode.access.policy import Claim, Rights
from pacsnode.assembly.archive import Holdings
from pacsnode.assembly.service import rules_of
from pacsnode.assembly.upkeep import Upkeep
from pacsnode.config.model import Config
from pacsnode.dicom.attributes import BY_KEYWORD, Level
from pacsnode.dicom.query import InformationModel, Query
from pacsnode.dimse import scu
from pacsnode.dimse.admission import Limits
from pacsnode.dimse.receiver import receiver
from pacsnode.dimse.rules import Terms, Timeouts
from pacsnode.dimse.scu import Caller, Remote
from pacsnode.duplicates import DuplicatePolicy
from pacsnode.errors import ConfigError, OutOfResources, PermanentError, StorageRefused
from pacsnode.node import Node, open_archive
from pacsnode.observe import AssociationEnded, InstanceStored, QueryAnswered, RetrieveEnded, Verified
from tests.buckets.faults import answer
from tests.buckets.fixtures import TestBucket, _emulator_proxy, bucket
from tests.factories import Heard, Sample, spooled

CALLER = Caller("CT1", acse_timeout_seconds=10.0, dimse_timeout_seconds=20.0)
SAMPLES = [Sample(number) for number in range(1, 4)]


@pytest.fixture(autouse=True)
def settings_of_libraries(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A node silences pydicom and pynetdicom for its process; other tests want them as they were."""
    settings = pydicom.config.settings
    monkeypatch.setattr(settings, "_reading_validation_mode", settings._reading_validation_mode)
    monkeypatch.setattr("pacsnode.dimse.association.conversation._ABORT_SECONDS", 0.2)
    loggers = [logging.getLogger(name) for name in ("pydicom", "pynetdicom")]
    levels = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


__all__ = ["_emulator_proxy", "bucket"]  # fixtures


def config_of(folder: Path, **sections: object) -> Config:
    return Config.model_validate(
        {
            "node": {"data_dir": str(folder)},
            "dicom": {"port": 0, **sections.pop("dicom", {})},  # type: ignore[dict-item]
            "access": {"unknown_peers": "all"},
            "spool": {"min_free": 0},
            **sections,
        }
    )


def remote(node: Node) -> Remote:
    return Remote(node.ae_title, "127.0.0.1", node.port)


def files(folder: Path) -> list[Path]:
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{sample.number}.dcm" for sample in SAMPLES]
    for path, sample in zip(paths, SAMPLES, strict=True):
        path.write_bytes(sample.file)
    return paths


def study() -> Dataset:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "STUDY"
    identifier.StudyInstanceUID = SAMPLES[0].study
    return identifier


def within(seconds: float, condition) -> None:
    deadline, never = time.monotonic() + seconds, threading.Event()
    while not condition():
        assert time.monotonic() < deadline
        never.wait(0.01)


def test_a_node_stores_finds_and_sends_back(tmp_path: Path) -> None:
    heard = Heard()
    with receiver(tmp_path / "ws", "WS1") as destination:
        peers = [{"name": "ws", "ae_title": "WS1", "host": "127.0.0.1", "port": destination.port}]
        with Node(config_of(tmp_path / "data", peers=peers), observers=(heard,)) as node:
            assert scu.echo(CALLER, remote(node)) > 0
            assert [r.status for r in scu.send(CALLER, remote(node), files(tmp_path / "sent"))] == [0, 0, 0]
            (match,) = scu.find(CALLER, remote(node), study(), patient_root=False)
            assert match.StudyInstanceUID == SAMPLES[0].study
            (tmp_path / "got").mkdir()
            final = list(scu.get(CALLER, remote(node), study(), patient_root=False, folder=tmp_path / "got"))[
                -1
            ]
            assert (final.status, final.completed) == (0, 3)
            moved = list(scu.move(CALLER, remote(node), study(), patient_root=False, destination="WS1"))[-1]
            assert (moved.status, moved.completed) == (0, 3)
            within(20, lambda: not node.spool.entries())
            for located in (place for page in node.index.everything() for place in page):
                assert b"".join(node.archive.read(located))[:132] == bytes(128) + b"DICM"
    for folder in (tmp_path / "got", tmp_path / "ws"):
        assert sorted(p.name for p in folder.iterdir()) == sorted(f"{sample.uid}.dcm" for sample in SAMPLES)
        for sample in SAMPLES:
            assert (folder / f"{sample.uid}.dcm").read_bytes().endswith(sample.data_set)
    for sample in SAMPLES:
        stored = tmp_path / "data/archive" / sample.study / sample.series / f"{sample.uid}.dcm"
        assert stored.read_bytes() == sample.file
    counts = {kind: len(heard.of(kind)) for kind in (Verified, InstanceStored, QueryAnswered, RetrieveEnded)}
    assert counts == {Verified: 1, InstanceStored: 3, QueryAnswered: 2, RetrieveEnded: 2}
    assert len(heard.of(AssociationEnded)) == 6


def test_what_was_stored_is_there_after_a_restart(tmp_path: Path) -> None:
    for round_ in range(2):
        with Node(config_of(tmp_path / "data")) as node:
            if not round_:
                list(scu.send(CALLER, remote(node), files(tmp_path / "sent")))
            (match,) = scu.find(CALLER, remote(node), study(), patient_root=False)
            assert match.StudyInstanceUID == SAMPLES[0].study


def test_entries_that_a_crash_left_are_indexed_at_the_start(tmp_path: Path) -> None:
    config = config_of(tmp_path / "data")
    with Node(config):
        pass
    with open_archive(config) as archive:
        incoming = archive.spool.begin()
        incoming.write(SAMPLES[0].file)
        incoming.publish()
        incoming.close()
    with Node(config) as node:
        (match,) = scu.find(CALLER, remote(node), study(), patient_root=False)
        assert match.StudyInstanceUID == SAMPLES[0].study


@pytest.mark.parametrize("is_reloaded", [False, True])
def test_what_a_crash_left_is_read_by_the_rule_of_its_sender(tmp_path: Path, *, is_reloaded: bool) -> None:
    """By the configuration in force: the one of the start, or the one that was read again since."""
    sample = Sample(more=((0x00081030, "LO", "Череп ".encode("iso8859_5")),))
    peers = {"peers": [{"ae_title": "CT1", "default_character_set": "ISO_IR 144"}]}
    config = config_of(tmp_path, **peers)
    holdings = Holdings(config_of(tmp_path) if is_reloaded else config, process="test")
    try:
        upkeep = Upkeep(holdings)
        if is_reloaded:
            upkeep.adopt(config, 2)
        spooled(holdings.archive.spool, sample.file)
        upkeep.recover()
        returned = (BY_KEYWORD["StudyDescription"],)
        query = Query(InformationModel.STUDY_ROOT, Level.STUDY, keys=(), returned=returned)
        assert [row for page in holdings.archive.index.find(query) for row in page] == [
            ("Череп", "ISO_IR 144")
        ]
    finally:
        for thread in threading.enumerate():
            if thread.name == "snapshot":
                thread.join(20)
        holdings.close()


def test_a_torn_entry_is_reported_at_the_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = config_of(tmp_path / "data")
    with Node(config):
        pass
    with open_archive(config) as archive:
        incoming = archive.spool.begin()
        incoming.write(b"torn")
        incoming.publish()
        incoming.close()
    with Node(config), caplog.at_level(logging.ERROR):
        pass
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert "damaged" in errors[0]


def test_an_archive_in_memory(tmp_path: Path) -> None:
    with Node(config_of(tmp_path / "data", storage={"url": "memory:"})) as node:
        list(scu.send(CALLER, remote(node), files(tmp_path / "sent")))
        within(20, lambda: not node.spool.entries())
        (tmp_path / "got").mkdir()
        list(scu.get(CALLER, remote(node), study(), patient_root=False, folder=tmp_path / "got"))
        assert len(list((tmp_path / "got").iterdir())) == 3


def test_an_archive_in_a_bucket(tmp_path: Path, bucket: TestBucket) -> None:
    config = config_of(tmp_path / "data", storage={"url": f"gs://{bucket.name}/site/1"})
    with Node(config) as node:
        list(scu.send(CALLER, remote(node), files(tmp_path / "sent")))
        within(20, lambda: not node.spool.entries())
        (tmp_path / "got").mkdir()
        list(scu.get(CALLER, remote(node), study(), patient_root=False, folder=tmp_path / "got"))
        assert len(list((tmp_path / "got").iterdir())) == 3
    with closing(bucket.storage("site/1")) as storage:
        assert len([info for info in storage.list() if info.name.endswith(".dcm")]) == 3


def test_a_bucket_that_is_away_keeps_no_image_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:1")
    with Node(config_of(tmp_path / "data", storage={"url": "gs://away/site/1"})) as node:
        list(scu.send(CALLER, remote(node), files(tmp_path / "sent")))
        assert len(node.spool.entries()) == 3
    assert "it is not known whether the storage holds objects" in caplog.text


def test_what_is_wrong_with_a_bucket_is_reported(tmp_path: Path, bucket: TestBucket) -> None:
    config = config_of(tmp_path / "data", storage={"url": f"gs://{bucket.name}"})
    holdings = Holdings(config, process="jobs")
    upkeep = Upkeep(holdings)
    try:
        bucket.proxy.plan(answer(403, "forbidden", "node does not have access"), contains="testPermissions")
        with pytest.raises(StorageRefused, match=r"grant roles/storage\.objectUser"):
            upkeep._storage()
        assert upkeep._storage() == {"url": "gs://tests", "free_bytes": None}
    finally:
        holdings.close()


def state() -> tuple[int, int]:
    return threading.active_count(), len(os.listdir("/proc/self/fd"))


def test_a_data_folder_has_one_node(tmp_path: Path) -> None:
    config = config_of(tmp_path / "data")
    with Node(config), pytest.raises(OutOfResources, match="used by another"):
        Node(config).start()
    with (config.node.data_dir / "lock").open() as held:  # as another node, without jobs that come and go
        fcntl.flock(held, fcntl.LOCK_EX)
        before = state()
        with pytest.raises(OutOfResources, match="used by another"):
            Node(config).start()
        assert state() == before
    with Node(config):
        pass


def test_one_may_look_into_the_archive_of_a_running_node(tmp_path: Path) -> None:
    config = config_of(tmp_path / "data")
    with Node(config) as node:
        list(scu.send(CALLER, remote(node), files(tmp_path / "sent")))
        with open_archive(config) as archive:
            assert archive.index.statistics().instances == 3


def test_a_node_that_cannot_start_leaves_nothing(tmp_path: Path) -> None:
    with Node(config_of(tmp_path / "warm")):
        pass  # what a process opens once
    before = state()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            Node(config_of(tmp_path / "data", dicom={"port": port})).start()
    assert state() == before
    index = tmp_path / "data/index/index-1.db"
    damaged = bytearray(index.read_bytes())
    damaged[:16] = b"no database here"
    index.write_bytes(damaged)
    for leftover in index.parent.glob("*-wal"):
        leftover.unlink()
    with pytest.raises(PermanentError, match="damaged"):
        Node(config_of(tmp_path / "data")).start()
    assert state() == before
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match=r"^storage\.url: .*file is a file and no folder$"):
        Node(config_of(tmp_path / "other", storage={"url": f"file://{tmp_path}/file"})).start()
    assert state() == before


def test_a_stopped_node_leaves_nothing(tmp_path: Path) -> None:
    with Node(config_of(tmp_path / "warm")):
        pass
    before = state()
    with Node(config_of(tmp_path / "data")) as node:
        list(scu.send(CALLER, remote(node), files(tmp_path / "sent")))
    assert state() == before


def test_folders_are_the_owners(tmp_path: Path) -> None:
    with Node(config_of(tmp_path / "data")) as node:
        list(scu.send(CALLER, remote(node), files(tmp_path / "sent")))
        for path in (tmp_path / "data").rglob("*"):
            if path.is_dir() and path.name != "spool":
                assert path.stat().st_mode & 0o077 == 0, path
    assert (tmp_path / "data").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("key", ["node.data_dir", "spool.path", "index.path"])
def test_a_folder_that_cannot_be_made_is_named_with_its_key(tmp_path: Path, key: str) -> None:
    (tmp_path / "file").touch()
    section, name = key.split(".")
    settings: dict[str, Any] = {"node": {"data_dir": tmp_path / "data"}, "dicom": {"port": 0}}
    settings.setdefault(section, {})[name] = tmp_path / "file" / "folder"
    with (
        pytest.raises(ConfigError, match=rf"^{key}: the folder .* cannot be made"),
        Node(Config.model_validate(settings)),
    ):
        pass


def test_a_configuration_becomes_the_rules_of_associations() -> None:
    config = Config.model_validate(
        {
            "dicom": {"max_associations": 7, "max_pdu": "64 KiB", "private_sop_classes": False},
            "limits": {"per_ip": 2, "per_ae": 3, "pre_association": 4, "max_dataset": "1 GiB"},
            "storage": {"duplicates": "replace"},
            "ae_titles": [{"ae_title": "RESEARCH", "duplicates": "refuse"}],
            "peers": [{"ae_title": "CT1", "allow": ["echo"]}],
        }
    )
    rules = rules_of(config, number=5)
    assert rules.limits == Limits(associations=7, per_ip=2, per_ae=3, pre_association=4)
    assert rules.timeouts == Timeouts(acse=10.0, dimse=120.0, network=900.0)
    assert (rules.max_pdu_bytes, rules.max_data_set_bytes, rules.number) == (64 << 10, 1 << 30, 5)
    assert not rules.private_sop_classes
    for called, duplicates in (
        ("PACSNODE", DuplicatePolicy.REPLACE),
        ("RESEARCH", DuplicatePolicy.REFUSE),
    ):
        rights = rules.policy.admit(Claim("CT1", called, "127.0.0.1"))
        assert isinstance(rights, Rights)
        assert not rights.may(Service.STORE)
        assert Terms(rules, rights).duplicates is duplicates
