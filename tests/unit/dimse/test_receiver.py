"""The small receiver: a destination for demonstrations and tests."""

import errno
import os
from pathlib import Path

import pytest
from pydicom import Dataset

from pacsnode.dimse import scu
from pacsnode.dimse.receiver import receiver
from pacsnode.dimse.scu import Caller, Remote, RemoteFailure
from pacsnode.errors import NetworkError
from tests.factories import JPEG_LOSSLESS, Sample

CALLER = Caller("CT1", acse_timeout_seconds=10.0, dimse_timeout_seconds=10.0)


@pytest.fixture(autouse=True)
def short_endings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pacsnode.dimse.association.conversation._ABORT_SECONDS", 0.2)


def test_what_is_sent_is_in_the_folder(tmp_path: Path) -> None:
    samples = [Sample(1), Sample(2, transfer_syntax=JPEG_LOSSLESS)]
    for sample in samples:
        (tmp_path / f"{sample.number}").write_bytes(sample.file)
    with receiver(tmp_path / "in" / "deep", "WS1") as running:
        assert (running.ae_title, running.folder) == ("WS1", tmp_path / "in" / "deep")
        remote = Remote("WS1", "127.0.0.1", running.port)
        assert scu.echo(CALLER, remote) > 0
        assert [r.status for r in scu.send(CALLER, remote, [tmp_path / "1", tmp_path / "2"])] == [0, 0]
    assert sorted(path.name for path in running.folder.iterdir()) == [
        f"{sample.uid}.dcm" for sample in samples
    ]
    for sample in samples:
        assert (running.folder / f"{sample.uid}.dcm").read_bytes().endswith(sample.data_set)


def test_a_full_disk_is_a_status_and_the_next_instance_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2):
        (tmp_path / f"{number}").write_bytes(Sample(number).file)
    replace, calls = os.replace, list[object]()

    def full(*arguments: object) -> None:
        calls.append(arguments)
        if len(calls) == 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "replace", full)
    with receiver(tmp_path / "in", "WS1") as running:
        remote = Remote("WS1", "127.0.0.1", running.port)
        assert [r.status for r in scu.send(CALLER, remote, [tmp_path / "1", tmp_path / "2"])] == [0xA700, 0]
    assert [path.name for path in running.folder.iterdir()] == [f"{Sample(2).uid}.dcm"]


def test_it_answers_to_its_title_and_does_nothing_else(tmp_path: Path) -> None:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "STUDY"
    with receiver(tmp_path, "WS1") as running:
        with pytest.raises(NetworkError, match="does not answer to the AE title"):
            scu.echo(CALLER, Remote("OTHER", "127.0.0.1", running.port))
        with pytest.raises(RemoteFailure, match="0x0211"):
            list(scu.find(CALLER, Remote("WS1", "127.0.0.1", running.port), identifier, patient_root=False))
    with pytest.raises(NetworkError, match="refused"):
        scu.echo(CALLER, Remote("WS1", "127.0.0.1", running.port))
