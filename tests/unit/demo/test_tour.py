import socket
from pathlib import Path

import pytest

from pacsnode.access.policy import UnknownPeers
from pacsnode.demo import tour
from pacsnode.demo.phantom import write_studies
from pacsnode.demo.tour import RECEIVER, demo_config, run_demo, same_data_set


def test_the_tour_succeeds_and_cleans_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    steps: dict[str, dict[str, object]] = {}
    assert run_demo(lambda step, _, figures: steps.update({step: figures}), exits=True, keeps=False)
    assert list(steps) == ["make", "echo", "send", "find", "get", "move"]
    assert steps["send"]["sent"] == steps["get"]["completed"] == steps["move"]["completed"] == 56
    assert steps["get"]["different"] == steps["move"]["different"] == 0
    assert steps["find"]["matches"] == 2
    assert str(steps["send"]["type"]).startswith("pacsnode send PACSNODE@127.0.0.1:")
    assert list(tmp_path.iterdir()) == []


def test_a_byte_that_changed_is_noticed_and_the_folder_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    compared = []

    def same_but_for_one(first: Path, second: Path) -> bool:
        compared.append(second)
        if len(compared) == 7:
            second.write_bytes(second.read_bytes()[:-1] + b"\xff")
        return same_data_set(first, second)

    monkeypatch.setattr(tour, "same_data_set", same_but_for_one)
    said: list[str] = []
    assert not run_demo(lambda step, text, _: said.append(text), exits=True, keeps=True)
    assert said[-2] == f"FAILED: different or missing: {compared[6].name}"
    (folder,) = tmp_path.iterdir()
    assert said[-1] == f"Kept {folder}."


def test_the_demonstration_is_open_on_this_machine_only(tmp_path: Path) -> None:
    config = demo_config(tmp_path, 4242)
    assert config.dicom.host == "127.0.0.1"
    assert config.access.unknown_peers is UnknownPeers.ALL
    assert config.node.data_dir.is_relative_to(tmp_path)
    destination = config.policy().peer(RECEIVER)
    assert destination is not None
    assert destination.is_destination
    assert destination.port == 4242


def test_a_port_that_is_taken_is_not_fought_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setattr(tour, "PORT", taken.getsockname()[1])
        assert demo_config(tmp_path, 4242).dicom.port == 0
    assert demo_config(tmp_path, 4242).dicom.port == tour.PORT


def test_data_sets_are_compared_without_their_meta(tmp_path: Path) -> None:
    first, second, *_ = write_studies(tmp_path)
    copy = tmp_path / "copy.dcm"
    assert not same_data_set(first, copy)
    copy.write_bytes(b"\xff" * 128 + first.read_bytes()[128:])
    assert same_data_set(first, copy)
    assert not same_data_set(first, second)
