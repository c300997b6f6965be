"""From a TOML file, the environment and the command line to a `Config`, or to all mistakes at once.

What is set later wins: defaults, the file, `PACSNODE_SECTION__KEY` in the environment, options of a command.
"""

import difflib
import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from pacsnode.config.access import SeesSection
from pacsnode.config.index import ExtraTag
from pacsnode.config.model import Config
from pacsnode.config.storage import GcsSection
from pacsnode.config.tls import TLSSection
from pacsnode.config.values import PlacedError, Section
from pacsnode.errors import ConfigError
from pacsnode.tls import ClientTLS, UnusableFile, client_context

_SYSTEM_FILE = Path("/etc/pacsnode/config.toml")
_PREFIX = "PACSNODE_"

_Location = tuple[str | int, ...]

_KEY = r"(?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*'))*"
_HEADER = re.compile(rf"\s*(\[\[?)\s*({_KEY})\s*\]\]?\s*(?:#.*)?")
_ASSIGNMENT = re.compile(rf"\s*({_KEY})\s*=")
_KEY_PART = re.compile(r"[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*'")
_TOKEN = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'[^']*'|#.*|[\[\]{},]|[^\s\[\]{},\"'#]+")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration, the file it is from (None without one), and where each key that is set was set."""

    config: Config
    file: Path | None
    origins: Mapping[str, str]


@dataclass(slots=True)
class _Settings:
    """The values that were set, still unchecked, and where each was."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[_Location, str] = field(default_factory=dict)

    def set(self, section: str, key: str, value: object, origin: str) -> None:
        table: Any = self.values
        *tables, last = (section, *key.split("__"))
        for name in tables:
            table = table.setdefault(name, {}) if isinstance(table, dict) else None
        if isinstance(table, dict):
            table[last] = value
            for depth in range(2, len(tables) + 1):
                self.origins.setdefault(tuple(tables[:depth]), origin)
            self.origins[(*tables, last)] = origin

    def origin(self, location: _Location) -> str:
        """Return where the value, or the nearest thing around it, was set."""
        for length in range(len(location), 0, -1):
            if origin := self.origins.get(location[:length]):
                return origin
        return self.origins.get((), "configuration")


def read(
    file: Path | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    overrides: Mapping[tuple[str, str], tuple[object, str]] | None = None,
) -> Loaded:
    """Read the configuration; without `file` it is searched for.

    `overrides` maps (section, key) to a value and the option that set it. Raises `ConfigError`, one line for
    each mistake.
    """
    environment = os.environ if environment is None else environment
    found = search(file, environment)
    settings = _Settings() if found is None else _from_file(found)
    for (section, key), (value, origin) in (*_from_environment(environment), *(overrides or {}).items()):
        settings.set(section, key, value, origin)
    try:
        config = Config.model_validate(settings.values)
    except ValidationError as error:
        problems = [
            (settings.origin(_location(details)), _problem(details, settings))
            for details in error.errors(include_url=False)
        ]
        places = list(settings.origins.values())  # in the order of the file
        problems.sort(key=lambda problem: places.index(problem[0]) if problem[0] in places else -1)
        raise ConfigError("\n".join(text for _, text in problems)) from None
    origins = {".".join(map(str, at)): origin for at, origin in settings.origins.items() if _is_key(at)}
    return Loaded(_placed(config, found, environment), found, origins)


def check_files(loaded: Loaded) -> None:
    """Look into the files that the configuration names, if TLS is used; raises `ConfigError` for the first mistake."""
    tls = loaded.config.dicom.tls.client()
    if tls == ClientTLS() and not any(section.tls for section in loaded.config.peers):
        return
    try:
        client_context(tls)
    except UnusableFile as error:
        key = f"dicom.tls.{error.key}"
        raise ConfigError(f"{loaded.origins.get(key, 'configuration')}: dicom.tls.{error}") from None


def _placed(config: Config, file: Path | None, environment: Mapping[str, str]) -> Config:
    """Return the configuration with the files that it names in absolute places: beside its own file."""
    folder = (file.parent if file else Path()).absolute()
    tls = config.dicom.tls.placed(folder, environment)
    return config.model_copy(update={"dicom": config.dicom.model_copy(update={"tls": tls})})


def search(file: Path | None, environment: Mapping[str, str]) -> Path | None:
    """Return the file given, else $PACSNODE_CONFIG, ./config.toml or /etc/pacsnode/config.toml."""
    if file is not None:
        return file
    if named := environment.get("PACSNODE_CONFIG"):
        return Path(named)
    return next((path for path in (Path("config.toml"), _SYSTEM_FILE) if path.is_file()), None)


def _from_file(file: Path) -> _Settings:
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: is not UTF-8 text, which TOML is ({error})") from None
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"\(at line (\d+), column \d+\)", str(error))
        what = str(error)[: line.start()].strip() if line else str(error)
        raise ConfigError(
            f"{file}:{line[1] if line else text.count(chr(10)) + 1}: is not TOML: {what}"
        ) from None
    lines = {location: f"{file}:{number}" for location, number in _locations(text)}
    return _Settings(values, {(): str(file)} | lines)


def _locations(text: str) -> Iterator[tuple[_Location, int]]:
    """Yield where each key, each table and each element of a list of a TOML text begins.

    tomllib does not tell. This reads headers and assignments line by line, which is enough for a
    configuration without strings over several lines; at worst a message names the wrong line.
    """
    table: _Location = ()
    counts: dict[str, int] = {}
    lines = text.splitlines()
    for number, line in enumerate(lines, start=1):
        if header := _HEADER.fullmatch(line):
            name, *rest = _parts(header[2])
            if header[1] == "[[":
                counts[name] = counts.get(name, -1) + 1
            table = (name, counts[name], *rest) if name in counts else (name, *rest)
            yield table, number
        elif assignment := _ASSIGNMENT.match(line):
            location: _Location = table
            for part in _parts(assignment[1]):
                location = (*location, part)
                yield location, number
            rest = [line[assignment.end() :], *lines[number:]]
            yield from (((*location, at), number + below) for at, below in _elements(rest))


def _elements(lines: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield the position of each element of the list that the lines begin with, and in which of them it begins."""
    depth, at, is_next = 0, 0, True
    for below, line in enumerate(lines):
        for part in _TOKEN.findall(line):
            if part.startswith("#"):
                continue
            if depth == 1 and is_next and part not in ",]":
                yield at, below
                at, is_next = at + 1, False
            is_next = is_next or (depth == 1 and part == ",")
            depth += (part in "[{") - (part in "]}")
        if depth == 0:
            return


def _parts(key: str) -> list[str]:
    return [part.strip("\"'") for part in _KEY_PART.findall(key)]


def _from_environment(environment: Mapping[str, str]) -> Iterator[tuple[tuple[str, str], tuple[object, str]]]:
    """Yield what `PACSNODE_SECTION__KEY` or `PACSNODE_SECTION__TABLE__KEY` sets. A list is written with commas."""
    for name, value in sorted(environment.items()):
        section, separator, key = name.removeprefix(_PREFIX).lower().partition("__")
        if not name.startswith(_PREFIX) or not separator:
            continue
        if is_list(section):
            raise ConfigError(f"{name}: {section} can only be set in a file")
        yield (section, key), (value, name)


def _problem(details: Mapping[str, Any], settings: _Settings) -> str:
    """Return one mistake as a line: where, which key, what it is, and what is allowed."""
    location = _location(details)
    origin, key, description = (
        settings.origin(location),
        _key(location, settings.values),
        _description(location),
    )
    allowed = f" ({description})" if description else ""
    match details["type"]:
        case "extra_forbidden":
            return f"{origin}: {key}: there is no such key{_suggestion(location)}"
        case "missing":
            return f"{origin}: {key}: is required{allowed}"
        case "value_error":
            what = str(details["ctx"]["error"])
        case _:
            what = details["msg"][0].lower() + details["msg"][1:]
    value = details["input"]
    written = f" = {json.dumps(value)}" if isinstance(value, str | int | float) else ""
    return f"{origin}: {key}{written}: {what}{allowed}"


def _key(location: _Location, values: Mapping[str, Any]) -> str:
    """Return the key as people call it; a peer goes by its name."""
    text = ""
    at: Any = values
    for part in location:
        at = _inside(at, part)
        if isinstance(part, int):
            name = (at.get("name") or at.get("ae_title")) if isinstance(at, dict) else None
            text += f"[{name or part + 1}]"
        else:
            text += f".{part}" if text else part
    return text


def _inside(values: Any, part: str | int) -> Any:
    """Return the value at a key or position, None if the values have no such thing."""
    if isinstance(values, dict):
        return values.get(part)
    return values[part] if isinstance(values, list) and isinstance(part, int) and part < len(values) else None


def _location(details: Mapping[str, Any]) -> _Location:
    """Return the key of a mistake: where it was found, or what it says itself."""
    error = details.get("ctx", {}).get("error")
    location: _Location = error.location if isinstance(error, PlacedError) else details["loc"]
    return location


def is_list(section: str) -> bool:
    """Return whether this is a list of tables, `[[section]]`."""
    return section in Config.model_fields and _model_of(section)[1]


def _is_key(location: _Location) -> bool:
    """Return whether this is the place of a value, outside of lists of tables: `section.key`, `section.table.key`."""
    if not 2 <= len(location) <= 3 or is_list(str(location[0])) or not isinstance(location[-1], str):
        return False
    field = _section(location).model_fields.get(location[-1])
    return field is not None and not (
        isinstance(field.annotation, type) and issubclass(field.annotation, Section)
    )


def _model_of(section: str) -> tuple[type[BaseModel], bool]:
    """Return the model of a section, and whether the section is a list of them."""
    annotation = Config.model_fields[section].annotation
    elements = get_args(annotation)
    model = elements[0] if elements else annotation
    assert isinstance(model, type)
    assert issubclass(model, BaseModel)
    return model, bool(elements)


def _section(location: _Location) -> type[BaseModel]:
    """Return the model that the last part of the location is a key of."""
    if len(location) == 1:
        return Config
    if "gcs" in location[:-1]:
        return GcsSection
    if location[:2] == ("dicom", "tls") and len(location) > 2:
        return TLSSection
    if "sees" in location[:-1]:
        return SeesSection
    if "extra_tags" in location[:-1]:
        return ExtraTag
    return _model_of(str(location[0]))[0]


def _description(location: _Location) -> str:
    keys = [part for part in location if isinstance(part, str)]
    known = _section(location).model_fields.get(keys[-1]) if len(keys) > 1 else None
    return known.description.rstrip(".") if known and known.description else ""


def _suggestion(location: _Location) -> str:
    known = sorted(_section(location).model_fields)
    close = difflib.get_close_matches(str(location[-1]), known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(known)}"
