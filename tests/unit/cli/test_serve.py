import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import pacsnode.processes
from pacsnode.access.policy import UnknownPeers
from pacsnode.config import Config
from pacsnode.errors import ConfigError
from pacsnode.processes.serve import Listening
from tests.certificates import Certificates

readers: list[Callable[[], Config]] = []
takes_over: list[bool] = []


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    configs: list[Config] = []

    def serve(
        config: Config, *, read: Callable[[], Config], ready: Callable[[Listening], None], take_over: bool
    ) -> None:
        assert read() == config
        configs.append(config)
        takes_over.append(take_over)
        readers.append(read)
        ready(Listening(config.dicom.host, 4242))

    module = ModuleType("pacsnode.processes.serve")
    module.serve = serve  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pacsnode.processes.serve", module)
    monkeypatch.setattr(pacsnode.processes, "serve", module, raising=False)
    monkeypatch.setattr("pacsnode.processes.logs.configure", lambda *_, **__: None)
    readers.clear()
    takes_over.clear()
    return configs


def test_serve_without_a_file(run, served: list[Config], tmp_path: Path) -> None:
    options = (
        "--data-dir",
        tmp_path / "d",
        "--ae-title",
        "NODE",
        "--host",
        "::1",
        "--port",
        "0",
        "--allow-all",
    )
    result = run("serve", *options, "--storage", "memory:")
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        f"NODE listens on [::1]:4242, data in {tmp_path}/d, configuration built in",
        "stopped",
    ]
    (config,) = served
    assert (config.node.data_dir, config.dicom.ae_title, config.dicom.port) == (tmp_path / "d", "NODE", 0)
    assert (config.access.unknown_peers, config.storage.url) == (UnknownPeers.ALL, "memory:")


def test_options_win_over_the_file(run, served: list[Config], tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        '[dicom]\nport = 104\nae_title = "FILE"\n[access]\nunknown_peers = "none"\n'
    )
    assert run("serve", "--port", "105").exit_code == 0
    (config,) = served
    assert (config.dicom.port, config.dicom.ae_title) == (105, "FILE")
    assert config.access.unknown_peers is UnknownPeers.NONE


def test_the_file_is_read_again_and_options_still_win(run, served: list[Config], tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[dicom]\nport = 104\nae_title = "FILE"\n')
    run("serve", "--port", "105")
    file.write_text('[dicom]\nport = 106\nae_title = "OTHER"\n')
    config = readers[0]()
    assert (config.dicom.port, config.dicom.ae_title) == (105, "OTHER")
    file.write_text("[dicom]\nport = 0\nprot = 1\n")
    with pytest.raises(ConfigError, match=r"config\.toml:3: dicom\.prot: there is no such key"):
        readers[0]()


def test_json(run, served: list[Config], tmp_path: Path) -> None:
    lines = run("serve", "--data-dir", tmp_path, "--json").output.splitlines()
    assert [json.loads(line) for line in lines] == [
        {
            "listening": {
                "ae_title": "PACSNODE",
                "host": "127.0.0.1",
                "port": 4242,
                "data_dir": str(tmp_path),
                "configuration": None,
            }
        },
        {"result": {"stopped": True}},
    ]


def test_a_wrong_option_is_named_in_the_mistake(run, served: list[Config]) -> None:
    raised = run("serve", "--ae-title", "SEVENTEEN LETTERS").exception
    assert str(raised).startswith('--ae-title: dicom.ae_title = "SEVENTEEN LETTERS": ')
    assert str(run("serve", "--storage", "s3://b/p").exception).startswith("--storage: storage.url = ")
    assert served == []


def test_files_that_are_wrong_at_start_and_when_read_again(
    run, served: list[Config], tmp_path: Path, certificates: Certificates
) -> None:
    (tmp_path / "ca.pem").write_bytes(certificates.ca.read_bytes())
    (tmp_path / "config.toml").write_text('[dicom.tls]\nca = "ca.pem"\n')
    assert run("serve").exit_code == 0
    (tmp_path / "ca.pem").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"dicom\.tls\.ca: .* holds no certificates in PEM"):
        readers[0]()
    assert isinstance(run("serve").exception, ConfigError)


def test_a_bucket_may_be_taken_over_and_nothing_else(run, served: list[Config], tmp_path: Path) -> None:
    assert run("serve", "--storage", "gs://bucket/prefix", "--take-over").exit_code == 0
    assert run("serve", "--storage", "gs://bucket/prefix").exit_code == 0
    assert takes_over == [True, False]
    refused = run("serve", "--storage", f"file://{tmp_path}", "--take-over")
    assert refused.exit_code == 2
    assert f"--take-over is for a bucket; storage.url is file://{tmp_path}" in refused.output
