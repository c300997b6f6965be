from pathlib import Path

import pytest

from pacsnode.config import Config, check_files, read
from pacsnode.config.reading import search
from pacsnode.errors import ConfigError
from pacsnode.tls import ClientTLS
from tests.certificates import Certificates


@pytest.fixture
def written(tmp_path: Path):
    def write(text: str) -> Path:
        (tmp_path / "node.toml").write_text(text, encoding="utf-8")
        return tmp_path / "node.toml"

    return write


def mistakes(file: Path, **environment: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        read(file, environment=environment)
    return [line.removeprefix(f"{file}:") for line in str(raised.value).splitlines()]


def test_without_a_file_the_defaults_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pacsnode.config.reading._SYSTEM_FILE", tmp_path / "none.toml")
    loaded = read(environment={})
    assert (loaded.config, loaded.file, loaded.origins) == (Config(), None, {})


def test_a_file_is_read(written) -> None:
    file = written(
        '[dicom]\nport = 104\nacse_timeout = "5s"\n[limits]\nmax_dataset = "1 GiB"\n[[peers]]\nae_title="A"\n'
    )
    loaded = read(file, environment={})
    assert loaded.config.dicom.port == 104
    assert loaded.config.dicom.acse_timeout == 5.0
    assert loaded.config.limits.max_dataset == 1 << 30
    assert [peer.ae_title for peer in loaded.config.peers] == ["A"]
    assert loaded.file == file
    assert loaded.origins["dicom.port"] == f"{file}:2"


def test_the_environment_wins_over_the_file_and_options_over_both(written) -> None:
    file = written('[dicom]\nport = 104\nhost = "10.0.0.1"\nae_title = "FILE"\n')
    loaded = read(
        file,
        environment={
            "PACSNODE_DICOM__PORT": "105",
            "PACSNODE_DICOM__HOST": "10.0.0.2",
            "PACSNODE_OTHER": "ignored",
        },
        overrides={("dicom", "port"): (106, "--port")},
    )
    assert (loaded.config.dicom.port, loaded.config.dicom.host) == (106, "10.0.0.2")
    assert loaded.config.dicom.ae_title == "FILE"
    assert loaded.origins == {
        "dicom.port": "--port",
        "dicom.host": "PACSNODE_DICOM__HOST",
        "dicom.ae_title": f"{file}:4",
    }


def test_a_table_within_a_section_in_the_environment(written) -> None:
    file = written('[storage]\nurl = "gs://bucket"\n[storage.gcs]\ntimeout = "9s"\nthreads = 3\n')
    loaded = read(file, environment={"PACSNODE_STORAGE__GCS__THREADS": "5"})
    assert (loaded.config.storage.gcs.timeout, loaded.config.storage.gcs.threads) == (9.0, 5)
    assert loaded.origins == {
        "storage.url": f"{file}:2",
        "storage.gcs.timeout": f"{file}:4",
        "storage.gcs.threads": "PACSNODE_STORAGE__GCS__THREADS",
    }
    (mistake,) = mistakes(file, PACSNODE_STORAGE__GCS__UPLOADERS="0")
    assert mistake.startswith('PACSNODE_STORAGE__GCS__UPLOADERS: storage.gcs.uploaders = "0": ')
    (mistake,) = mistakes(file, PACSNODE_STORAGE__GSC__THREADS="0")
    assert mistake == "PACSNODE_STORAGE__GSC__THREADS: storage.gsc: there is no such key; did you mean gcs?"


def test_mistakes_in_a_table_within_a_section(written) -> None:
    file = written('[storage.gcs]\nstorage_class = "COOL"\nthread = 5\n')
    wrong_class, unknown = mistakes(file)
    assert wrong_class.startswith('2: storage.gcs.storage_class = "COOL": expected one of STANDARD, NEARLINE')
    assert unknown == "3: storage.gcs.thread: there is no such key; did you mean threads?"


def test_a_table_of_tls_in_the_environment(written) -> None:
    file = written('[dicom]\nport = 104\n[dicom.tls]\nca = "/a.pem"\n')
    loaded = read(file, environment={"PACSNODE_DICOM__TLS__CA": "/b.pem"})
    assert loaded.config.dicom.tls.ca == Path("/b.pem")
    assert loaded.origins == {"dicom.port": f"{file}:2", "dicom.tls.ca": "PACSNODE_DICOM__TLS__CA"}
    (mistake,) = mistakes(file, PACSNODE_DICOM__TSL__CA="/b.pem")
    assert mistake == "PACSNODE_DICOM__TSL__CA: dicom.tsl: there is no such key; did you mean tls?"


def test_mistakes_in_a_table_within_a_section_of_tls(written) -> None:
    file = written('[dicom.tls]\nca = 5\nkey = "/a.key"\n')
    no_path, unknown = mistakes(file)
    assert no_path.startswith("2: dicom.tls.ca = 5: ")
    assert "authorities" in no_path
    assert unknown == "3: dicom.tls.key: there is no such key; there are ca, certificate, private_key"


@pytest.mark.parametrize(("key", "other"), [("certificate", "private_key"), ("private_key", "certificate")])
def test_a_certificate_needs_its_key(written, key: str, other: str) -> None:
    (mistake,) = mistakes(written(f'[dicom.tls]\n{key} = "/a"\n'))
    assert mistake.startswith(f"1: dicom.tls.{other}: is needed beside {key}")


def test_files_are_beside_the_configuration_or_are_credentials(written, tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "our.key").touch()
    file = written('[dicom.tls]\nca = "/ca.pem"\ncertificate = "tls/our.pem"\nprivate_key = "our.key"\n')
    tls = read(file, environment={"CREDENTIALS_DIRECTORY": str(credentials)}).config.dicom.tls
    assert tls.client() == ClientTLS(Path("/ca.pem"), tmp_path / "tls" / "our.pem", credentials / "our.key")
    assert read(file, environment={}).config.dicom.tls.private_key == tmp_path / "our.key"


def test_files_are_looked_into_only_if_they_are_needed(written, certificates: Certificates) -> None:
    check_files(read(written('[[peers]]\nae_title = "A"\n'), environment={}))
    check_files(read(written('[[peers]]\nae_title = "A"\ntls = true\n'), environment={}))
    file = written(f'[dicom.tls]\nca = "{certificates.ca}"\n')
    check_files(read(file, environment={}))
    file.write_text('[dicom.tls]\nca = "none.pem"\n', encoding="utf-8")
    with pytest.raises(ConfigError) as raised:
        check_files(read(file, environment={}))
    expected = f"{file}:2: dicom.tls.ca: {file.parent}/none.pem: cannot be read: No such file or directory"
    assert str(raised.value) == expected


def test_booleans_and_lists_in_the_environment(written) -> None:
    environment = {
        "PACSNODE_DICOM__CHECK_CALLED_AE": "false",
        "PACSNODE_DICOM__AE_TITLE_ALIASES": "OLD, OLDER",
    }
    dicom = read(written(""), environment=environment).config.dicom
    assert not dicom.check_called_ae
    assert dicom.ae_title_aliases == ("OLD", "OLDER")


def test_all_mistakes_are_told_at_once_with_their_lines(written) -> None:
    file = written(
        "# a comment\n"
        "[dicom]\n"
        "port = 99999  # too large\n"
        "prot = 5\n"
        'acse_timeout = "10 parsecs"\n'
        "\n"
        "[accss]\n"
        "[[peers]]\n"
        'ae_title = "CT1"\n'
        "[[peers]]\n"
        'name = "station"\n'
        'allow = ["echo", "fly"]\n'
        "[storage]\n"
        'url = "gs://Bucket/prefix"\n'
    )
    found = mistakes(file)
    assert [line.split(":")[0] for line in found] == ["3", "4", "5", "7", "10", "12", "14"]
    port, prot, timeout, accss, required, allow, url = found
    assert port.startswith("3: dicom.port = 99999: ")
    assert "0 to 65535" in port
    assert prot == "4: dicom.prot: there is no such key; did you mean port?"
    assert 'dicom.acse_timeout = "10 parsecs": expected a duration such as "10s"' in timeout
    assert accss == "7: accss: there is no such key; did you mean access?"
    assert required.startswith("10: peers[station].ae_title: is required")
    assert 'peers[station].allow[2] = "fly": ' in allow
    assert "'store'" in allow
    assert "'Bucket' is no bucket's name: lower case letters" in url


def test_a_key_that_resembles_nothing_is_told_what_there_is(written) -> None:
    known = "extra_tags, match_case, max_find_results, max_find_time, path"
    assert mistakes(written("[index]\nxyzzy = 1\n")) == [
        f"2: index.xyzzy: there is no such key; there are {known}"
    ]


def test_dotted_keys_and_inline_tables_have_lines_too(written) -> None:
    assert [
        line.split(":")[0] for line in mistakes(written("dicom.port = -1\n\nindex = { path = 3 }\n"))
    ] == ["1", "3"]


def test_a_section_that_is_no_table(written) -> None:
    assert mistakes(written("dicom = 5\n"), PACSNODE_DICOM__PORT="1")[0].startswith("1: dicom = 5: ")


def test_a_mistake_in_the_environment_names_the_variable(written) -> None:
    file = written("[dicom]\nport = 104\n")
    (mistake,) = mistakes(file, PACSNODE_DICOM__PORT="many")
    assert mistake.startswith('PACSNODE_DICOM__PORT: dicom.port = "many": ')


def test_peers_have_no_place_in_the_environment(written) -> None:
    assert mistakes(written(""), PACSNODE_PEERS__A="x") == [
        "PACSNODE_PEERS__A: peers can only be set in a file"
    ]


def test_what_is_not_toml_is_told_with_its_line(written) -> None:
    (mistake,) = mistakes(written("[dicom]\nport = \n"))
    assert mistake.startswith("2: is not TOML: ")
    (unfinished,) = mistakes(written('[dicom]\nhost = "'))
    assert unfinished.startswith("2: is not TOML: ")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: cannot be read: No such file"):
        read(tmp_path / "none.toml", environment={})
    (tmp_path / "latin1.toml").write_bytes(b'host = "R\xf6ntgen"')
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        read(tmp_path / "latin1.toml", environment={})


def test_where_the_file_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = tmp_path / "system.toml"
    monkeypatch.setattr("pacsnode.config.reading._SYSTEM_FILE", system)
    monkeypatch.chdir(tmp_path)
    assert search(None, {}) is None
    system.touch()
    assert search(None, {}) == system
    Path("config.toml").touch()
    assert search(None, {}) == Path("config.toml")
    assert search(None, {"PACSNODE_CONFIG": "/other.toml"}) == Path("/other.toml")
    assert search(Path("/given.toml"), {"PACSNODE_CONFIG": "/other.toml"}) == Path("/given.toml")


def test_mistakes_about_access_say_where_and_what_is_allowed(written) -> None:
    file = written(
        "[[ae_titles]]\n"
        'ae_title = "RESEARCH"\n'
        'duplicates = "both"\n'
        "[[peers]]\n"
        'ae_title = "CT1"\n'
        'addresses = ["10.0.0.1", "10.0.0.5/24"]\n'
        "[[peers]]\n"
        'name = "station"\n'
        'ae_title = "WS1"\n'
        'host = "10.0.0.256"\n'
        'sees = [{ institutions = ["A"] }, {}]\n'
    )
    duplicates, addresses, host, unknown, empty = mistakes(file)
    assert duplicates.startswith('3: ae_titles[RESEARCH].duplicates = "both": ')
    assert "'keep-both'" in duplicates
    assert addresses.startswith('6: peers[CT1].addresses[2] = "10.0.0.5/24": ')
    assert 'host bits set: the network is "10.0.0.0/24"' in addresses
    assert host.startswith('10: peers[station].host = "10.0.0.256": expected an IP address or a host name')
    assert unknown == (
        "11: peers[station].sees[1].institutions: there is no such key; did you mean institution?"
    )
    assert empty.startswith("11: peers[station].sees[2]: a table of sees needs one of institution, ")


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        (
            '[[peers]]\nae_title = "A"\n[[peers]]\nname = "b"\nae_title = "A"\n',
            "3: peers[b]: two peers have the AE title 'A'; each needs its own",
        ),
        (
            '[[peers]]\nae_title = "A"\nhost = "h"\n[[peers]]\nae_title = "B"\nmove_destinations = ["A", "C"]\n',
            "6: peers[B].move_destinations: no peer 'C' with a host; there are A",
        ),
        (
            '[[peers]]\nae_title = "A"\nmove_destinations = ["A"]\n',
            "3: peers[A].move_destinations: no peer 'A' with a host; there are none",
        ),
        (
            '[access]\ncheck_peer_host = true\n[[peers]]\nae_title = "A"\n',
            "3: peers[A]: with access.check_peer_host each peer needs a host or addresses",
        ),
        (
            '[[ae_titles]]\nae_title = "PACSNODE"\n',
            "1: ae_titles[PACSNODE]: this node answers to 'PACSNODE' already",
        ),
        (
            '[[ae_titles]]\nae_title = "A"\n[[ae_titles]]\nae_title = "B"\naliases = ["A"]\n',
            "3: ae_titles[B]: this node answers to 'A' already",
        ),
    ],
)
def test_mistakes_that_show_beside_other_keys_have_their_lines(written, text: str, mistake: str) -> None:
    (found,) = mistakes(written(text))
    assert found.startswith(mistake)


def test_our_titles_have_no_place_in_the_environment(written) -> None:
    assert mistakes(written(""), PACSNODE_AE_TITLES__A="x") == [
        "PACSNODE_AE_TITLES__A: ae_titles can only be set in a file"
    ]
