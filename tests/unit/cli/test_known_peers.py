import json
from pathlib import Path

import pytest

TEXT = """
[access]
check_peer_host = true
[[peers]]
name = "scanner"
ae_title = "CT1"
addresses = ["10.0.0.0/24", "ct1.example.org"]
allow = ["store", "echo"]
max_associations = 4
sees = []
default_character_set = "ISO_IR 100"
[[peers]]
name = "station"
ae_title = "WS1"
host = "10.0.0.17"
port = 11112
tls = true
certificate_subject = "ws1"
calling_ae_title = "GATEWAY"
move_destinations = ["station"]
character_set = ["", "ISO 2022 IR 87"]
sees = [{ institution = ["ST. MARY*", "X"], department = ["CARDIO"] }, { own_sends = true }]
[[peers]]
ae_title = "ALL"
addresses = []
allow = []
transfer_syntaxes = ["jpeg-ls-lossless", "1.2.840.10008.1.2.1"]
"""


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.toml").write_text(TEXT, encoding="utf-8")
    monkeypatch.chdir(tmp_path)


def test_people_see_what_each_peer_may(run, configured: None) -> None:
    heading, scanner, station, everything, result = run("peers", "list").output.splitlines()
    assert heading.split("  ")[0] == "NAME"
    for cell in ("scanner", "CT1", "10.0.0.0/24, ct1.example.org", "echo, store", " 4 ", "nothing"):
        assert cell in scanner
    assert scanner.endswith("stored")
    assert "as said, else ISO_IR 100  " in scanner
    for cell in (
        "10.0.0.17:11112 TLS (ws1) as GATEWAY",
        "10.0.0.17 ",
        "institution ST. MARY*, X and department CARDIO or own sends",
        "always \\ISO 2022 IR 87",
    ):
        assert cell in station
    assert station.split("  ")[0] == "station"
    for cell in ("nowhere", "nothing", "all", "as said", "jpeg-ls-lossless, explicit"):
        assert cell in everything
    assert result == "3 peers; AE titles that no peer has may: echo"


def test_programs_see_it_too(run, configured: None) -> None:
    *lines, result = [json.loads(line) for line in run("peers", "list", "--json").output.splitlines()]
    scanner, station, everything = (line["peer"] for line in lines)
    assert scanner == {
        "name": "scanner",
        "ae_title": "CT1",
        "host": None,
        "port": None,
        "calls_from": ["10.0.0.0/24", "ct1.example.org"],
        "allow": ["echo", "store"],
        "max_associations": 4,
        "move_destinations": None,
        "sees": [],
        "default_character_set": ["ISO_IR 100"],
        "character_set": None,
        "transfer_syntaxes": None,
        "calling_ae_title": None,
        "tls": False,
        "certificate_subject": None,
    }
    assert [station[key] for key in ("calling_ae_title", "tls", "certificate_subject")] == [
        "GATEWAY",
        True,
        "ws1",
    ]
    assert (station["default_character_set"], station["character_set"]) == (None, ["", "ISO 2022 IR 87"])
    assert (station["calls_from"], station["move_destinations"]) == (["10.0.0.17"], ["station"])
    assert station["sees"] == [
        {"institution": ["ST. MARY*", "X"], "department": ["CARDIO"]},
        {"own_sends": True},
    ]
    assert (everything["calls_from"], everything["allow"], everything["sees"]) == ([], [], None)
    assert everything["transfer_syntaxes"] == ["1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.1"]
    assert result == {"result": {"peers": 3, "unknown_peers": "echo"}}


def test_without_peers_there_is_only_what_unknown_ones_may(run) -> None:
    assert run("peers", "list").output == "0 peers; AE titles that no peer has may: echo\n"


def test_what_is_shown_of_tables_can_be_read_again(run, configured: None, tmp_path: Path) -> None:
    from pacsnode.config import read

    shown = tmp_path / "shown.toml"
    shown.write_text(run("config", "show").output, encoding="utf-8")
    assert read(shown, environment={}).config == read(tmp_path / "config.toml", environment={}).config
