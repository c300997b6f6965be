from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from pacsnode.access.addresses import Sources
from pacsnode.access.peer import Peer, Service
from pacsnode.access.policy import Claim, Refused, Rights
from pacsnode.access.sees import Sees
from pacsnode.config.model import Config, default_data_dir
from pacsnode.config.storage import Bucket
from pacsnode.dicom.character_sets import CharacterSetRule
from pacsnode.duplicates import DuplicatePolicy
from pacsnode.tls import ClientTLS


def test_the_defaults_are_those_that_were_promised() -> None:
    config = Config()
    assert (config.dicom.ae_title, config.dicom.host, config.dicom.port) == ("PACSNODE", "127.0.0.1", 11112)
    assert config.dicom.max_associations == 100
    assert config.dicom.max_pdu == 262144
    assert (config.dicom.acse_timeout, config.dicom.dimse_timeout, config.dicom.network_timeout) == (
        10.0,
        120.0,
        900.0,
    )
    assert config.dicom.check_called_ae
    assert config.dicom.private_sop_classes
    assert config.limits.max_dataset == 4 << 30
    assert config.access.unknown_peers.value == "echo"
    assert config.storage.duplicates.value == "keep-both"
    assert config.spool.min_free == 1 << 30
    assert config.index.max_find_results == 0


def test_everything_is_kept_below_the_data_directory(tmp_path: Path) -> None:
    config = Config.model_validate({"node": {"data_dir": str(tmp_path)}})
    assert config.spool.path == tmp_path / "spool"
    assert config.index.path == tmp_path / "index"
    assert config.storage.url == f"file://{tmp_path}/archive"
    assert config.storage.directory == tmp_path / "archive"


def test_a_folder_with_odd_characters_survives_its_url() -> None:
    config = Config.model_validate({"node": {"data_dir": "/srv/Röntgen 100%"}})
    assert config.storage.directory == Path("/srv/Röntgen 100%/archive")


def test_absolute_paths_stay_where_they_are() -> None:
    config = Config.model_validate(
        {
            "spool": {"path": "/fast/spool"},
            "index": {"path": "/fast/index"},
            "storage": {"url": "file:///big"},
        }
    )
    assert (config.spool.path, config.index.path) == (Path("/fast/spool"), Path("/fast/index"))
    assert config.storage.directory == Path("/big")


def test_memory_has_no_directory() -> None:
    assert Config.model_validate({"storage": {"url": "memory:"}}).storage.directory is None


@pytest.mark.parametrize(
    ("environment", "user", "expected"),
    [
        ({"STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}, 1000, "/var/lib/a"),
        ({"STATE_DIRECTORY": "/var/lib/a"}, 0, "/var/lib/a"),
        ({}, 0, "/var/lib/pacsnode"),
        ({"HOME": "/home/x"}, 1000, "/home/x/.local/share/pacsnode"),
        ({"HOME": "/home/x", "XDG_DATA_HOME": "/data"}, 1000, "/data/pacsnode"),
        ({"HOME": "/home/x", "XDG_DATA_HOME": "not/absolute"}, 1000, "/home/x/.local/share/pacsnode"),
    ],
)
def test_where_data_are_kept_by_default(
    environment: dict[str, str], user: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("STATE_DIRECTORY", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("os.geteuid", lambda: user)
    assert default_data_dir() == Path(expected)
    assert Config().node.data_dir == Path(expected)


def test_a_configuration_cannot_be_changed() -> None:
    config = Config()
    with pytest.raises(ValidationError, match="frozen"):
        config.dicom.port = 104
    with pytest.raises(ValidationError, match="frozen"):
        config.spool = config.spool


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("dicom", "ae_title", "SEVENTEEN LETTERS"),
        ("dicom", "ae_title", ""),
        ("dicom", "ae_title", "A\\B"),
        ("dicom", "ae_title_aliases", ["GOOD", "A\\B"]),
        ("dicom", "port", -1),
        ("dicom", "port", 65536),
        ("dicom", "port", True),
        ("dicom", "host", ""),
        ("dicom", "max_associations", 0),
        ("dicom", "max_pdu", 1024),
        ("dicom", "max_pdu", "1 GiB"),
        ("dicom", "acse_timeout", 0),
        ("dicom", "network_timeout", "soon"),
        ("limits", "max_dataset", 0),
        ("access", "unknown_peers", "some"),
        ("storage", "url", "gs://"),
        ("storage", "url", "gs://Bucket/prefix"),
        ("storage", "url", "gs://bu/prefix"),
        ("storage", "url", "gs://bucket-/prefix"),
        ("storage", "url", "gs://user@bucket/prefix"),
        ("storage", "url", "gs://bucket:80/prefix"),
        ("storage", "url", "gs://bucket/../prefix"),
        ("storage", "url", "gs://bucket/pre//fix"),
        ("storage", "url", "gs://bucket/prefix?x=y"),
        ("storage", "url", "gs://bucket/prefix#x"),
        ("storage", "gcs", {"storage_class": "GLACIER"}),
        ("storage", "gcs", {"kms_key": "my-key"}),
        ("storage", "gcs", {"user_project": "My Project"}),
        ("storage", "gcs", {"timeout": "0s"}),
        ("storage", "gcs", {"uploaders": 0}),
        ("storage", "gcs", {"threads": 65}),
        ("storage", "gcs", {"bucket": "b"}),
        ("storage", "url", "/srv/images"),
        ("storage", "url", "file://other-host/srv"),
        ("storage", "url", "file:relative"),
        ("storage", "duplicates", "both"),
        ("spool", "min_free", "-1 GiB"),
        ("index", "max_find_results", -1),
        ("logging", "level", "loud"),
        ("logging", "format", "xml"),
        ("node", "name", ""),
        ("node", "colour", "blue"),
        ("unknown", "key", 1),
    ],
)
def test_what_is_refused(section: str, key: str, value: object) -> None:
    with pytest.raises(ValidationError):
        Config.model_validate({section: {key: value}})


@pytest.mark.parametrize(
    "peer",
    [
        {},
        {"ae_title": "A", "name": "a@b"},
        {"ae_title": "A", "name": "a:1"},
        {"ae_title": "A", "name": "a b"},
        {"ae_title": "A", "port": 0},
        {"ae_title": "A", "allow": ["reject"]},
        {"ae_title": "A", "character_set": "UTF-8"},
        {"ae_title": "A", "character_set": []},
        {"ae_title": "A", "character_set": "ISO_IR 100 and more"},
        {"ae_title": "A", "character_set": ["ISO_IR 192", "ISO 2022 IR 87"]},
        {"ae_title": "A", "character_set": ["", ""]},
        {"ae_title": "A", "character_set": 100},
        {"ae_title": "A", "default_character_set": "ISO_IR 87"},
        {"ae_title": "A", "tls": "perhaps"},
        {"ae_title": "A", "certificate_subject": "ws1"},
        {"ae_title": "A", "tls": True, "certificate_subject": "x" * 65},
        {"ae_title": "A", "calling_ae_title": ""},
        {"ae_title": "A", "calling_ae_title": "SEVENTEEN LETTERS"},
        {"ae_title": "A", "tsl": True},
        {"ae_title": "A", "host": "10.0.0.256"},
        {"ae_title": "A", "host": "[::1]"},
        {"ae_title": "A", "addresses": ["10.0.0.5/24"]},
        {"ae_title": "A", "addresses": ["10.0.0.0/33"]},
        {"ae_title": "A", "addresses": [5]},
        {"ae_title": "A", "addresses": "10.0.0.0.0"},
        {"ae_title": "A", "max_associations": -1},
        {"ae_title": "A", "max_associations": True},
        {"ae_title": "A", "move_destinations": ["nobody"]},
        {"ae_title": "A", "move_destinations": ["A"]},
        {"ae_title": "A", "sees": {}},
        {"ae_title": "A", "transfer_syntaxes": ["jpeg"]},
        {"ae_title": "A", "transfer_syntaxes": ["1.2.840.10008.1.2.4.94"]},
        {"ae_title": "A", "sees": [{}]},
        {"ae_title": "A", "sees": {"own_sends": False}},
        {"ae_title": "A", "sees": {"institution": [""]}},
        {"ae_title": "A", "sees": {"sent_by": ["A\\B"]}},
        {"ae_title": "A", "sees": {"patient": ["X"]}},
        {"ae_title": "A", "sees": "everything"},
    ],
)
def test_peers_that_are_refused(peer: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Config.model_validate({"peers": [peer]})


@pytest.mark.parametrize(
    ("first", "second", "what"),
    [
        ({"ae_title": "A"}, {"ae_title": "A ", "name": "b"}, "two peers have the AE title 'A'"),
        ({"ae_title": "A"}, {"ae_title": "B", "name": "A"}, "two peers have the name 'A'"),
    ],
)
def test_peers_are_distinct(first: dict[str, object], second: dict[str, object], what: str) -> None:
    with pytest.raises(ValidationError, match=what):
        Config.model_validate({"peers": [first, second]})


def test_peers_become_the_policy() -> None:
    config = Config.model_validate(
        {
            "access": {"unknown_peers": "none"},
            "peers": [
                {"name": "scanner", "ae_title": "CT1", "allow": ["store", "echo"]},
                {"ae_title": "WS1", "host": "10.0.0.2", "port": 11112, "character_set": "ISO_IR 192"},
            ],
        }
    )
    scanner = Peer("scanner", "CT1", allow=frozenset({Service.STORE, Service.ECHO}))
    station = Peer("WS1", "WS1", "10.0.0.2", 11112, character_sets=CharacterSetRule(("ISO_IR 192",)))
    assert (config.peer("scanner"), config.peer("WS1"), config.peer("nobody")) == (scanner, station, None)
    policy = config.policy()
    assert policy.peer("CT1") == scanner
    rights = policy.admit(Claim("CT1", "PACSNODE", "192.0.2.1"))
    assert isinstance(rights, Rights)
    assert rights.may(Service.STORE)
    assert not rights.may(Service.FIND)
    assert isinstance(policy.admit(Claim("STRANGER", "PACSNODE", "192.0.2.1")), Refused)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("ISO_IR 144", ("ISO_IR 144",)),
        (["GB18030"], ("GB18030",)),
        (["", "ISO 2022 IR 87"], ("", "ISO 2022 IR 87")),
        ("\\ISO 2022 IR 149", ("", "ISO 2022 IR 149")),
        ("ISO 2022 IR 13\\ISO 2022 IR 87", ("ISO 2022 IR 13", "ISO 2022 IR 87")),
        ("ISO_IR 203", ("ISO_IR 203",)),
    ],
)
def test_character_sets_are_one_or_several(said: object, meant: tuple[str, ...]) -> None:
    peers = [{"ae_title": "A", "default_character_set": said}, {"ae_title": "B", "character_set": said}]
    config = Config.model_validate({"peers": peers})
    rules = [peer.peer().character_sets for peer in config.peers]
    assert rules == [CharacterSetRule(default=meant), CharacterSetRule(override=meant)]


def test_what_a_peer_may_and_sees_becomes_the_policy() -> None:
    config = Config.model_validate(
        {
            "peers": [
                {
                    "ae_title": "WS1",
                    "host": "10.0.0.2",
                    "addresses": ["10.0.0.0/24", "WS1.example.org"],
                    "max_associations": 3,
                    "move_destinations": ["WS1"],
                    "sees": {"institution": ["ST. MARY*"], "own_sends": True},
                },
                {"ae_title": "CT1", "host": "10.0.0.3", "addresses": [], "move_destinations": [], "sees": []},
                {"ae_title": "MR1", "host": "10.0.0.4"},
            ],
        }
    )
    station, scanner, other = (config.policy().peer(title) for title in ("WS1", "CT1", "MR1"))
    assert station is not None
    assert station.sources == Sources.parse(["10.0.0.0/24", "ws1.example.org"])
    assert station.max_associations == 3
    assert station.move_destinations == {"WS1"}
    assert station.sees == (Sees(institution=("ST. MARY*",), own_sends=True),)
    assert scanner == Peer(
        "CT1", "CT1", "10.0.0.3", sources=Sources(), move_destinations=frozenset(), sees=()
    )
    assert other == Peer("MR1", "MR1", "10.0.0.4")


def test_a_host_is_where_a_peer_may_call_from_if_that_is_checked() -> None:
    peers = [
        {"ae_title": "WS1", "host": "10.0.0.2"},
        {"ae_title": "WS2", "host": "10.0.0.2", "addresses": ["10.0.0.3"]},
    ]
    for check, own in ((True, Sources.parse(["10.0.0.2"], "host")), (False, None)):
        config = Config.model_validate({"access": {"check_peer_host": check}, "peers": peers})
        policy = config.policy()
        assert [peer.sources for peer in map(policy.peer, ("WS1", "WS2")) if peer] == [
            own,
            Sources.parse(["10.0.0.3"]),
        ]


def test_our_titles_and_what_belongs_to_each() -> None:
    config = Config.model_validate(
        {
            "dicom": {"ae_title": "MAIN", "ae_title_aliases": ["OLD", "MAIN", "OLD"]},
            "ae_titles": [
                {"ae_title": "RESEARCH", "aliases": ["STUDY"], "duplicates": "keep-first", "sees": []},
                {"ae_title": "PLAIN"},
            ],
        }
    )
    assert config.duplicates_of() == {
        "RESEARCH": DuplicatePolicy.KEEP_FIRST,
        "STUDY": DuplicatePolicy.KEEP_FIRST,
    }
    policy = config.policy()
    for called, title, sees in (
        ("MAIN", "MAIN", None),
        ("OLD", "MAIN", None),
        ("RESEARCH", "RESEARCH", ()),
        ("STUDY ", "RESEARCH", ()),
        ("PLAIN", "PLAIN", None),
    ):
        rights = policy.admit(Claim("ANY", called, "::1"))
        assert isinstance(rights, Rights)
        assert (rights.called.ae_title, rights.visibility) == (title, sees)


def test_a_configuration_survives_its_json() -> None:
    config = Config.model_validate(
        {
            "ae_titles": [{"ae_title": "RESEARCH", "duplicates": "replace", "sees": {"issuer": ["A"]}}],
            "peers": [
                {
                    "ae_title": "WS1",
                    "host": "h",
                    "addresses": ["10.0.0.1"],
                    "move_destinations": ["WS1"],
                    "sees": [{"own_sends": True}, {"department": ["X", "Y"]}],
                },
                {"ae_title": "WS2", "sees": []},
            ],
        }
    )
    assert Config.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize(
    ("url", "kept", "bucket"),
    [
        ("gs://hospital-archive", "gs://hospital-archive", Bucket("hospital-archive", "")),
        ("gs://hospital-archive/", "gs://hospital-archive", Bucket("hospital-archive", "")),
        ("gs://a.b_c/pacs/site-1/", "gs://a.b_c/pacs/site-1", Bucket("a.b_c", "pacs/site-1")),
        ("file:///srv", "file:///srv", None),
        ("memory:", "memory:", None),
    ],
)
def test_a_bucket_is_named_by_its_url(url: str, kept: str, bucket: Bucket | None) -> None:
    storage = Config.model_validate({"storage": {"url": url}}).storage
    assert (storage.url, storage.bucket) == (kept, bucket)
    assert (storage.directory is None) == (url != "file:///srv")


def test_how_a_bucket_is_used() -> None:
    key = "projects/hospital-1/locations/europe-west3/keyRings/pacs/cryptoKeys/images"
    gcs = Config.model_validate(
        {
            "storage": {
                "url": "gs://bucket",
                "gcs": {
                    "storage_class": "nearline",
                    "kms_key": key,
                    "user_project": "hospital-1",
                    "timeout": "5s",
                },
            }
        }
    ).storage.gcs
    assert (gcs.storage_class, gcs.kms_key, gcs.user_project) == ("NEARLINE", key, "hospital-1")
    assert (gcs.timeout, gcs.uploaders, gcs.threads) == (5.0, 1, 8)


def test_who_is_called_with_tls() -> None:
    sections = {
        "dicom": {"tls": {"ca": "/ca.pem", "certificate": "/our.pem", "private_key": "/our.key"}},
        "peers": [
            {"ae_title": "PLAIN", "host": "h"},
            {"ae_title": "BY_HOST", "host": "h", "tls": True, "calling_ae_title": " US "},
            {"ae_title": "BY_SUBJECT", "host": "h", "tls": True, "certificate_subject": "ws1"},
        ],
    }
    plain, by_host, by_subject = Config.model_validate(sections).known_peers()
    files = ClientTLS(Path("/ca.pem"), Path("/our.pem"), Path("/our.key"))
    assert (plain.tls, plain.calling_ae_title) == (None, "")
    assert (by_host.tls, by_host.calling_ae_title) == (files, "US")
    assert by_subject.tls == replace(files, subject="ws1")
    assert Config.model_validate(sections).peer("BY_HOST") == by_host


def test_each_key_says_what_it_means() -> None:
    for name, section in Config.schema_document()["$defs"].items():
        for key, schema in section.get("properties", {}).items():
            assert schema.get("description"), f"{name}.{key} has no description"
