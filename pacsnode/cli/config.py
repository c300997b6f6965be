"""`pacsnode config init|check|show|schema`."""

import json
from collections.abc import Iterator
from enum import Enum
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pacsnode.cli.output import Output, counted
from pacsnode.cli.program import Program, json_option, pass_program

if TYPE_CHECKING:
    from pydantic import BaseModel

    from pacsnode.config import Loaded


@click.group()
def config() -> None:
    """Write, check and show the configuration."""


@config.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), default="config.toml")
@click.option("--force", is_flag=True, help="Overwrite a file that exists.")
@json_option
def init(*, output: Output, file: Path, force: bool) -> None:
    """Write a configuration with every key, its default, unit and consequence to FILE (config.toml)."""
    try:
        with file.open("w" if force else "x", encoding="utf-8") as target:
            target.write(example())
    except FileExistsError:
        raise click.UsageError(f"{file} exists; --force overwrites it") from None
    except OSError as error:
        raise click.UsageError(f"{file} cannot be written: {error.strerror}") from None
    output.result(
        {"written": str(file)}, f"wrote {file}; edit it, then: pacsnode --config {file} config check"
    )


@config.command()
@json_option
@pass_program
def check(program: Program, *, output: Output) -> None:
    """Read the configuration as `serve` would; every mistake is named with its line and exits 78."""
    from pacsnode.config import check_files

    loaded = program.loaded()
    check_files(loaded)
    keys, peers = len(loaded.origins), len(loaded.config.peers)
    output.result(
        {"correct": True, "file": _file(loaded), "keys_set": keys, "peers": peers},
        f"{_file(loaded) or 'no file'}: correct, {counted(keys, 'key')} set, {counted(peers, 'peer')}",
    )


@config.command()
@json_option
@pass_program
def show(program: Program, *, output: Output) -> None:
    """Show every key with its value in effect and where it was set."""
    loaded = program.loaded()
    if output.as_json:
        for key, value, origin in _effective(loaded):
            output.item("key", {"key": key, "value": value, "set_by": origin}, None)
    else:
        for line in _as_toml(loaded):
            click.echo(line)
    output.result({"file": _file(loaded)}, None)


@config.command()
@json_option
def schema(*, output: Output) -> None:
    """Print the JSON Schema of the configuration file, for editors and checks."""
    from pacsnode.config import Config

    document = Config.schema_document()
    output.result({"schema": document}, json.dumps(document, indent=2))


def example() -> str:
    """Return the configuration with every key that is `config.example.toml`."""
    return (resources.files("pacsnode") / "manual" / "config.example.toml").read_text(encoding="utf-8")


def _file(loaded: "Loaded") -> str | None:
    return None if loaded.file is None else str(loaded.file)


def _effective(loaded: "Loaded") -> Iterator[tuple[str, object, str]]:
    """Yield each key, its value and where it was set."""
    for section, model in _sections(loaded.config):
        for key in _keys(model):
            name = f"{section}.{key}"
            yield name, _plain(getattr(model, key)), loaded.origins.get(name, "default")
    for section, tables in _lists(loaded.config):
        for table in tables:
            for key in type(table).model_fields:
                name = f"{section}[{_name(table)}].{key}"
                yield name, _plain(getattr(table, key)), str(loaded.file)


def _as_toml(loaded: "Loaded") -> Iterator[str]:
    from pacsnode.config.quantities import written

    for section, model in _sections(loaded.config):
        yield f"[{section}]"
        for key in _keys(model):
            value = _plain(written(getattr(model, key), type(model).model_fields[key].metadata))
            if value is not None:
                yield f"{key} = {_toml(value)}  # {loaded.origins.get(f'{section}.{key}', 'default')}"
        yield ""
    for section, tables in _lists(loaded.config):
        for table in tables:
            yield f"[[{section}]]"
            for key in type(table).model_fields:
                value = _plain(getattr(table, key))
                if value is not None:
                    yield f"{key} = {_toml(value)}"
            yield ""


def _sections(model: "BaseModel", above: str = "") -> Iterator[tuple[str, "BaseModel"]]:
    """Yield each table that comes once, and after it those within it."""
    for name in _tables(model):
        table = getattr(model, name)
        yield f"{above}{name}", table
        yield from _sections(table, f"{above}{name}.")


def _tables(model: "BaseModel") -> list[str]:
    from pacsnode.config.values import Section

    return [name for name in type(model).model_fields if isinstance(getattr(model, name), Section)]


def _keys(model: "BaseModel") -> list[str]:
    tables = _tables(model)
    return [key for key in type(model).model_fields if key not in tables]


def _lists(model: "BaseModel") -> Iterator[tuple[str, tuple["BaseModel", ...]]]:
    values = ((name, getattr(model, name)) for name in type(model).model_fields)
    return ((name, value) for name, value in values if isinstance(value, tuple))


def _name(table: "BaseModel") -> str:
    """Return what a table of a list goes by."""
    return getattr(table, "name", "") or getattr(table, "ae_title", "")


def _plain(value: object) -> object:
    """Return a value as TOML and JSON can hold it; of tables within tables what was set."""
    from pacsnode.config.values import Section

    match value:
        case Enum():
            return value.value
        case Path():
            return str(value)
        case tuple():
            return [_plain(item) for item in value]
        case Section():
            return {
                key: _plain(getattr(value, key))
                for key in type(value).model_fields
                if key in value.model_fields_set
            }
        case frozenset():
            return sorted(str(_plain(item)) for item in value)
        case _:
            return value


def _toml(value: object) -> str:
    """Return the value in TOML; its strings, numbers, booleans and arrays are written as in JSON."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
