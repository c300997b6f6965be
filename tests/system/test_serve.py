import json
import re
import signal
import socket
from pathlib import Path

import pytest

from pacsnode.demo.phantom import STUDIES, write_studies
from pacsnode.demo.tour import same_data_set
from tests.system.program import Served, pacsnode, serving, until

CT, MR = STUDIES
CT_INSTANCES = sum(slices for _, slices in CT.series)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The synthetic images by file name."""
    return {path.name: path for path in write_studies(tmp_path_factory.mktemp("images"))}


@pytest.fixture
def configured(tmp_path: Path) -> Path:
    """A folder with a configuration that lets everyone do everything."""
    (tmp_path / "config.toml").write_text(
        '[node]\ndata_dir = "data"\n[access]\nunknown_peers = "all"\n[spool]\nmin_free = 0\n',
        encoding="utf-8",
    )
    return tmp_path


def sent(node: Served, images: dict[str, Path], folder: Path) -> None:
    ran = pacsnode("send", node.address, *images.values(), "--json", folder=folder)
    assert (ran.exit_code, ran.result["sent"], ran.result["failed"]) == (0, len(images), 0), ran.err


def test_store_find_get(configured: Path, images: dict[str, Path]) -> None:
    with serving(folder=configured) as node:
        assert pacsnode("echo", "-aet", "ME", node.address, folder=configured).exit_code == 0
        sent(node, images, configured)

        found = pacsnode(
            "find", node.address, "-k", "PatientName=synth*", "-k", "StudyDate=2024-", folder=configured
        )
        assert found.exit_code == 0
        assert found.out.splitlines()[-1] == "2 studies found at PACSNODE"
        assert "SYNTHÉTIQUE^Sphère" in found.out
        series = (
            "--level",
            "series",
            "-k",
            f"StudyInstanceUID={CT.study_instance_uid}",
            "-k",
            "SeriesDescription",
        )
        matches = [
            line["match"]
            for line in pacsnode("find", node.address, *series, "--json", folder=configured).lines[:-1]
        ]
        assert {match["SeriesDescription"] for match in matches} == {"Axial", "Axial, thin"}

        got = pacsnode(
            "get", node.address, "--study", CT.study_instance_uid, "-o", "got", "--json", folder=configured
        )
        assert (got.exit_code, got.result["completed"], got.result["failed"]) == (0, CT_INSTANCES, 0)
        fetched = list((configured / "got").iterdir())
        assert len(fetched) == CT_INSTANCES
        assert all(same_data_set(images[path.name], path) for path in fetched)

        nothing = pacsnode("get", node.address, "--study", "1.2.3", folder=configured)
        assert (nothing.exit_code, nothing.out) == (3, "nothing there has these UIDs\n")


def test_move_to_another_node(configured: Path, images: dict[str, Path], tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.toml").write_text(
        '[node]\ndata_dir = "data"\n[dicom]\nae_title = "OTHER"\n[spool]\nmin_free = 0\n'
        '[[peers]]\nname = "archive"\nae_title = "PACSNODE"\nallow = ["echo", "store"]\n'
    )
    with serving(folder=other) as destination:
        with (configured / "config.toml").open("a") as file:
            file.write('[[peers]]\nname = "other"\nae_title = "OTHER"\n')
            file.write(f'host = "127.0.0.1"\nport = {destination.port}\n')
        with serving(folder=configured) as node:
            sent(node, images, configured)
            moved = pacsnode(
                "move",
                node.address,
                "--to",
                "other",
                "--study",
                MR.study_instance_uid,
                "--json",
                folder=configured,
            )
            assert (moved.exit_code, moved.result["completed"]) == (0, 16)
            unknown = pacsnode(
                "move", node.address, "--to", "NOBODY", "--study", CT.study_instance_uid, folder=configured
            )
            assert unknown.exit_code == 3
            assert "0xA801" in unknown.out
        studies = pacsnode("studies", "--json", folder=other).lines
        assert [line["study"]["StudyInstanceUID"] for line in studies[:-1]] == [MR.study_instance_uid]
        refused = pacsnode("find", destination.address, "-aet", "STRANGER", folder=other)
        assert (refused.exit_code, refused.out) == (75, "")
        assert refused.err.startswith("pacsnode: ")


def test_looking_into_the_archive_while_it_is_served(configured: Path, images: dict[str, Path]) -> None:
    with serving(folder=configured) as node:
        sent(node, images, configured)
        assert pacsnode("studies", folder=configured).out.splitlines()[-1] == "2 studies"
        shown = pacsnode("show", CT.study_instance_uid, "--json", folder=configured)
        assert shown.result == {"level": "STUDY", "instances": CT_INSTANCES}
        verified = pacsnode("storage", "verify", "--json", folder=configured)
        assert (verified.exit_code, verified.result["correct"], verified.result["problems"]) == (
            0,
            len(images),
            0,
        )


def test_a_damaged_and_a_lost_object_and_a_stray_one_are_found(
    configured: Path, images: dict[str, Path]
) -> None:
    def is_filed(study_instance_uid: str) -> bool:
        shown = pacsnode("show", study_instance_uid, "--json", folder=configured).lines
        return all(line["instance"]["place"] == "storage" for line in shown if "instance" in line)

    with serving(folder=configured) as node:
        sent(node, images, configured)
        for study in STUDIES:
            until(lambda uid=study.study_instance_uid: is_filed(uid))
        node.stopped(signal.SIGTERM)
    archive = configured / "data" / "archive"
    damaged, lost, *_ = sorted(archive.rglob("*.dcm"))
    content = damaged.read_bytes()
    damaged.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    lost.unlink()
    stray = damaged.with_name("1.2.3.dcm")
    stray.write_bytes(b"no row has it")
    verified = pacsnode("storage", "verify", "--json", folder=configured)
    problems = {
        (line["problem"]["finding"], Path(line["problem"]["name"]).name)
        for line in verified.lines
        if "problem" in line
    }
    assert verified.exit_code == 4
    assert problems == {("damaged", damaged.name), ("missing", lost.name), ("not indexed", stray.name)}
    assert verified.result["correct"] == len(images) - 2


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_and_what_was_stored_is_there_afterwards(
    configured: Path, images: dict[str, Path], signal_number: int
) -> None:
    with serving(folder=configured) as node:
        sent(node, images, configured)
        ended = node.stopped(signal_number)
        assert ended.exit_code == 0
        assert json.loads(ended.out) == {"result": {"stopped": True}}
        assert "Traceback" not in ended.err
    with serving(folder=configured) as node:
        found = pacsnode("find", node.address, "--json", folder=configured)
        assert found.result == {"matches": 2}


def test_the_log_has_one_line_for_each_association_and_no_patient(
    configured: Path, images: dict[str, Path]
) -> None:
    with serving(folder=configured) as node:
        sent(node, images, configured)
        pacsnode("find", node.address, "-k", "PatientName=SYNTH*", folder=configured)
        log = node.stopped(signal.SIGTERM).err
    lines = [line for line in log.splitlines() if "association_log" in line]
    assert len(lines) == 2, log
    assert all(
        re.match(
            r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO worker-0 association_log \[[0-9a-f]+\]: ", line
        )
        for line in lines
    )
    assert "SYNTH" not in log
    assert "DEMO-1" not in log


def test_a_data_folder_has_one_node(configured: Path) -> None:
    with serving(folder=configured):
        second = pacsnode("serve", "--port", "0", folder=configured)
    assert second.exit_code == 75
    assert "used by another pacsnode" in second.err


def test_a_port_that_is_taken(configured: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ran = pacsnode("serve", "--port", str(port), folder=configured)
    assert (ran.exit_code, ran.out) == (75, "")
    assert ran.err.splitlines()[-1] == f"pacsnode: cannot serve 127.0.0.1:{port}: Address already in use"


def test_a_wrong_configuration_is_told_whole_and_nothing_is_touched(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[node]\ndata_dir = "data"\n[dicom]\nport = -1\nprot = 1\n')
    ran = pacsnode("serve", folder=tmp_path)
    assert (ran.exit_code, ran.out) == (78, "")
    assert "config.toml:4: dicom.port = -1: " in ran.err
    assert "config.toml:5: dicom.prot: there is no such key; did you mean port?" in ran.err
    assert [path.name for path in tmp_path.iterdir()] == ["config.toml"]


def test_without_a_file_by_options_and_environment(tmp_path: Path) -> None:
    options = ("--data-dir", tmp_path / "data", "--ae-title", "NODE", "--storage", "memory:", "--allow-all")
    with serving(folder=tmp_path, options=options) as node:
        assert pacsnode("echo", "-aet", "ANYONE", node.address, folder=tmp_path).exit_code == 0
        assert pacsnode("find", "-aet", "ANYONE", node.address, folder=tmp_path).exit_code == 0
        assert node.ae_title == "NODE"
    assert not (tmp_path / "data" / "archive").exists()
    ran = pacsnode("config", "show", "--json", folder=tmp_path, PACSNODE_DICOM__AE_TITLE="ENV")
    shown = {line["key"]["key"]: line["key"] for line in ran.lines[:-1]}
    assert shown["dicom.ae_title"] == {
        "key": "dicom.ae_title",
        "value": "ENV",
        "set_by": "PACSNODE_DICOM__AE_TITLE",
    }


def test_a_peer_that_is_away(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        ran = pacsnode("echo", f"PACS@127.0.0.1:{unused.getsockname()[1]}", "--json", folder=tmp_path)
    assert ran.exit_code == 75
    assert ran.result["exit_code"] == 75
    assert ran.err.startswith("pacsnode: ")
