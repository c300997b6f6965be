import click
import pytest

from pacsnode.cli.peers import checked_ae_title, parse_address, remote
from pacsnode.config import Config

CONFIG = Config.model_validate(
    {
        "peers": [
            {"name": "station", "ae_title": "WS1", "host": "10.0.0.2", "port": 11112},
            {"name": "scanner", "ae_title": "CT1"},
        ]
    }
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("PACS@127.0.0.1:11112", ("PACS", "127.0.0.1", 11112)),
        ("PACS ONE@pacs.example.org:104", ("PACS ONE", "pacs.example.org", 104)),
        ("A@B@host:1", ("A@B", "host", 1)),
        ("PACS@[::1]:104", ("PACS", "::1", 104)),
        ("host:104", (None, "host", 104)),
        ("station", None),
        ("host", None),
        ("PACS@host", None),
        ("PACS@:104", None),
        ("PACS@host:port", None),
        ("::1:104", None),
    ],
)
def test_addresses(text: str, expected: tuple[str | None, str, int] | None) -> None:
    assert parse_address(text) == expected


@pytest.mark.parametrize("port", [0, 65536, 99999])
def test_ports_that_are_none(port: int) -> None:
    with pytest.raises(click.BadParameter, match="1 to 65535"):
        parse_address(f"A@h:{port}")


def test_an_address_is_called_as_it_says(network: object) -> None:
    called = remote("PACS@127.0.0.1:11112", CONFIG)
    assert (called.ae_title, called.host, called.port) == ("PACS", "127.0.0.1", 11112)


def test_a_name_stands_for_the_configured_peer(network: object) -> None:
    called = remote("station", CONFIG)
    assert (called.ae_title, called.host, called.port) == ("WS1", "10.0.0.2", 11112)


def test_aec_wins(network: object) -> None:
    assert remote("station", CONFIG, called_ae_title="OTHER").ae_title == "OTHER"
    assert remote("PACS@h:1", CONFIG, called_ae_title="OTHER").ae_title == "OTHER"
    assert remote("h:1", CONFIG, called_ae_title="OTHER").ae_title == "OTHER"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("h:1", "write AET@h:1, or use -aec AET"),
        ("nobody", r"a name from the configuration \(scanner, station\)"),
        ("scanner", "has no host"),
        ("SEVENTEEN LETTERS@h:1", "not an AE title"),
        ("@h:1", "not an AE title"),
    ],
)
def test_what_cannot_be_called(text: str, message: str, network: object) -> None:
    with pytest.raises(click.UsageError, match=message):
        remote(text, CONFIG)


def test_ae_titles_lose_their_padding() -> None:
    assert checked_ae_title(" WS1 ") == "WS1"
