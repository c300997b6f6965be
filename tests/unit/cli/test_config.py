import json
from pathlib import Path

from pacsnode.config import Config, read
from pacsnode.errors import ConfigError


def test_init_writes_what_serve_can_read(run, tmp_path: Path) -> None:
    result = run("config", "init")
    assert result.exit_code == 0
    assert read(tmp_path / "config.toml", environment={}).config == Config()


def test_init_overwrites_only_by_force(run, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("[dicom]\nport = 104\n")
    assert run("config", "init", tmp_path / "mine.toml").exit_code == 2
    assert (tmp_path / "mine.toml").read_text() == "[dicom]\nport = 104\n"
    assert run("config", "init", "--force", tmp_path / "mine.toml").exit_code == 0
    assert run("config", "init", tmp_path / "no" / "folder.toml").exit_code == 2


def test_check(run, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[dicom]\nport = 104\n[[peers]]\nae_title = "A"\n')
    assert run("config", "check").output == "config.toml: correct, 1 key set, 1 peer\n"
    assert json.loads(run("config", "check", "--json").output) == {
        "result": {"correct": True, "file": "config.toml", "keys_set": 1, "peers": 1}
    }


def test_check_of_what_is_wrong(run, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("[dicom]\nport = -1\nprot = 1\n")
    raised = run("--config", tmp_path / "bad.toml", "config", "check").exception
    assert isinstance(raised, ConfigError)
    assert len(str(raised).splitlines()) == 2


def test_check_of_files_that_are_named(run, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[dicom.tls]\nca = "none.pem"\n')
    raised = run("config", "check").exception
    assert isinstance(raised, ConfigError)
    assert str(raised).startswith("config.toml:2: dicom.tls.ca: ")
    assert 'none.pem"  # config.toml:2' in run("config", "show").output


def test_show_is_toml_that_reads_as_itself(run, tmp_path: Path) -> None:
    text = "[storage.gcs]\ntimeout = 90\n[dicom]\nport = 104\nacse_timeout = 90\n"
    text += '[[peers]]\nname = "a"\nae_title = "A"\nallow = ["echo"]\n'
    (tmp_path / "config.toml").write_text(text)
    shown = run("config", "show").output
    assert "port = 104  # config.toml:4" in shown
    assert 'acse_timeout = "90s"  # config.toml:5' in shown
    assert '[storage.gcs]\nstorage_class = ""  # default' in shown
    assert 'timeout = "90s"  # config.toml:2' in shown
    assert 'max_dataset = "4 GiB"  # default' in shown
    (tmp_path / "shown.toml").write_text(shown)
    assert read(tmp_path / "shown.toml", environment={}).config == read(environment={}).config


def test_show_as_json_has_every_key(run) -> None:
    lines = [json.loads(line) for line in run("config", "show", "--json").output.splitlines()]
    keys = {line["key"]["key"]: line["key"] for line in lines[:-1]}
    assert keys["storage.gcs.threads"] == {"key": "storage.gcs.threads", "value": 8, "set_by": "default"}
    assert "storage.gcs" not in keys
    assert keys["dicom.port"] == {"key": "dicom.port", "value": 11112, "set_by": "default"}
    sections = Config.model_fields.keys() - {"peers", "ae_titles"}
    assert {key.split(".")[0] for key in keys} == sections
    assert lines[-1] == {"result": {"file": None}}


def test_schema(run) -> None:
    schema = json.loads(run("config", "schema").output)
    assert schema["additionalProperties"] is False
    assert schema["properties"].keys() == Config.model_fields.keys()
