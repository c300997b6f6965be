"""The documents say what the program does: what they name is there, and no command or key is missing."""

import dataclasses
import re
import shlex
import tomllib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import get_args

import click
import pytest

from pacsnode.cli.config import example
from pacsnode.cli.main import pacsnode
from pacsnode.config import Config, read
from pacsnode.config.access import AETitleSection, PeerSection, SeesSection
from pacsnode.config.quantities import written
from pacsnode.config.reading import is_list
from pacsnode.config.values import Section
from pacsnode.observe import Event

ROOT = Path(__file__).resolve().parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
MANUAL = {
    page.name: page.read_text(encoding="utf-8")
    for page in (resources.files("pacsnode") / "manual").iterdir()
    if page.name.endswith(".md")
}


def commands(group: click.Group = pacsnode, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)
        else:
            yield (*path, name), command


def keys() -> Iterator[tuple[str, str]]:
    for section, field in Config.model_fields.items():
        model = get_args(field.annotation)[0] if is_list(section) else field.annotation
        for key, known in model.model_fields.items():
            if isinstance(known.annotation, type) and issubclass(known.annotation, Section):
                yield from ((f"{section}.{key}", inner) for inner in known.annotation.model_fields)
            else:
                yield section, key


def test_the_example_loads_and_equals_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(example(), encoding="utf-8")
    assert read(tmp_path / "config.toml", environment={}).config == Config()
    assert (ROOT / "config.example.toml").read_text(encoding="utf-8") == example()


def test_the_example_still_loads_with_every_key_that_is_commented_out(tmp_path: Path) -> None:
    lines = [re.sub(r"^# (\[\[[a-z_]+\]\]|[a-z_]+ = )", r"\1", line) for line in example().splitlines()]
    (tmp_path / "config.toml").write_text("\n".join(lines), encoding="utf-8")
    config = read(tmp_path / "config.toml", environment={}).config
    (peer,) = config.peers
    defaults = PeerSection(ae_title=peer.ae_title)
    without = (
        "character_set", "default_character_set", "addresses", "move_destinations", "sees", "calling_ae_title",
    )  # fmt: skip
    assert peer.model_copy(update={"name": "", "transfer_syntaxes": (), **dict.fromkeys(without)}) == defaults
    (title,) = config.ae_titles
    assert title.model_copy(update={"duplicates": None, "sees": None}) == AETitleSection(
        ae_title=title.ae_title
    )


@pytest.mark.parametrize(("section", "key"), list(keys()))
def test_each_key_is_in_the_example_and_the_manual(section: str, key: str) -> None:
    header = rf"# \[\[{section}\]\]" if is_list(section) else rf"\[{re.escape(section)}\]"
    text = example()
    if is_list(section):
        body = re.split(r"(?m)^# \[\[[a-z_]+\]\]$", re.split(rf"(?m)^{header}$", text)[1])[0]
    else:
        body = re.split(r"(?m)^\[[a-z.]+\]$", re.split(rf"(?m)^{header}$", text)[1])[0]
    assert re.search(rf"(?m)^(?:# )?{key} = ", body), f"{section}.{key} is not in config.example.toml"
    assert re.search(rf"\b{key}\b", MANUAL["configuration.md"]), f"{section}.{key} is not in the manual"


@pytest.mark.parametrize("key", list(SeesSection.model_fields))
def test_each_key_of_what_is_seen_is_in_the_manual(key: str) -> None:
    assert re.search(rf"(?m)^    {key}  ", MANUAL["access.md"])


@pytest.mark.parametrize(("section", "key"), [at for at in keys() if not is_list(at[0])])
def test_the_example_writes_each_value_as_a_person_would(section: str, key: str) -> None:
    values, model = tomllib.loads(example()), Config()
    for table in section.split("."):
        values, model = values.get(table, {}), getattr(model, table)
    if key in values:
        shown = written(getattr(model, key), type(model).model_fields[key].metadata)
        assert isinstance(values[key], type(shown)) or not isinstance(shown, str)


@pytest.mark.parametrize("path", [path for path, _ in commands()], ids=" ".join)
def test_each_command_is_in_the_manual(path: tuple[str, ...]) -> None:
    assert re.search(rf"(?m)^    {' '.join(path)}\b", MANUAL["commands.md"])


def typed() -> Iterator[list[str]]:
    """Yield the pacsnode command lines of README and manual."""
    for text in (README, *MANUAL.values()):
        for line in text.splitlines():
            match = re.match(r"(?:    |\$ )?(?:\.venv/bin/|/opt/pacsnode/bin/)?pacsnode +(.+)", line)
            if match:
                yield shlex.split(match[1], comments=True)


@pytest.mark.parametrize("words", list(typed()), ids=" ".join)
def test_each_command_line_in_the_documents_can_be_typed(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "image.dcm").touch()
    words = [{"PORT": "11112", "PATH": "folder", "SHELL": "bash"}.get(word, word) for word in words]
    context = pacsnode.make_context("pacsnode", list(words))
    command: click.Command = pacsnode
    rest = list(words[2:] if words[0] == "--config" else words)
    while isinstance(command, click.Group):
        found = command.get_command(context, rest.pop(0))
        assert found is not None, f"no such command: {words}"
        command = found
    command.make_context(words[0], rest)


def test_the_readme_is_short_and_its_links_lead_somewhere() -> None:
    assert len(README.splitlines()) < 400
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target
    for topic in re.findall(r"pacsnode manual ([a-z]+)", README):
        assert f"{topic}.md" in MANUAL


def test_the_readme_names_all_topics_of_the_manual() -> None:
    for page in MANUAL:
        assert f"pacsnode manual {page.removesuffix('.md')}" in README


@pytest.mark.parametrize("event", get_args(Event))
def test_the_manual_names_the_fields_of_each_event(event: type) -> None:
    log = re.split(r"(?m)^## ", MANUAL["logs.md"])
    (fields,) = (section for section in log if section.startswith("Fields of a JSON line"))
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", event.__name__).lower()
    (row,) = re.findall(rf"(?ms)^    {name} +(.+?)(?=^    \w|^$)", fields)
    for field in dataclasses.fields(event):
        said = {"level": "query_retrieve_level", "association_id": ""}.get(field.name, field.name)
        assert not said or said in row.replace(",", " ").split(), f"{name}.{said} is not in the manual"


def test_the_unit_file_starts_a_command_that_exists() -> None:
    unit = (ROOT / "systemd" / "pacsnode.service").read_text(encoding="utf-8")
    assert re.search(r"(?m)^ExecStart=\S+/pacsnode serve$", unit)
    assert re.search(r"(?m)^RestartPreventExitStatus=78$", unit)


def test_the_recipe_installs_files_that_are_there() -> None:
    named = set(re.findall(r"systemd/[\w./-]+", MANUAL["systemd.md"]))
    there = {str(path.relative_to(ROOT)) for path in (ROOT / "systemd").rglob("*") if path.is_file()}
    assert {name.rstrip(".") for name in named if not name.startswith("systemd/system/")} == there
