"""Durations and sizes as people write them: "10s", "1.5m", "4 GiB"."""

import math
import re
from collections.abc import Iterable
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

_NUMBER_AND_UNIT = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([A-Za-z]*)\s*", re.ASCII)

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"b": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40} | {
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
}


def _parsed(value: object, units: dict[str, float] | dict[str, int], expected: str) -> float:
    """Return the value in its base unit; a number is in the base unit already."""
    if isinstance(value, str):
        written = _NUMBER_AND_UNIT.fullmatch(value)
        unit = written[2].lower() if written else ""
        if not written or (unit and unit not in units):
            raise ValueError(f"expected {expected}")
        return float(written[1]) * units.get(unit, 1)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise ValueError(f"expected {expected}")
    return float(value)


def seconds(value: object) -> float:
    """Return a duration in seconds; raises ValueError if it is none."""
    return _parsed(value, _SECONDS, 'a duration such as "10s", "5m" or "1h", or a number of seconds')


def size_bytes(value: object) -> int:
    """Return a size in bytes; raises ValueError if it is none."""
    return round(_parsed(value, _BYTES, 'a size such as "512 MiB" or "4 GiB", or a number of bytes'))


def written_duration(value: float) -> str:
    """Return the shortest exact way to write a duration: 7200.0 is `2h`."""
    for unit in ("h", "m"):
        if value and value % _SECONDS[unit] == 0:
            return f"{value / _SECONDS[unit]:.0f}{unit}"
    return f"{value:.9f}".rstrip("0").rstrip(".") + "s"


def written_size(value: int) -> str:
    """Return the shortest exact way to write a size: 1073741824 is `1 GiB`."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if value and value % _BYTES[unit.lower()] == 0:
            return f"{value // _BYTES[unit.lower()]} {unit}"
    return f"{value} B"


def abbreviated_size(value: float) -> str:
    """Return a size for people, to one decimal: 1572864 is `1.5 MiB`."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if value >= _BYTES[unit.lower()]:
            return f"{value / _BYTES[unit.lower()]:.1f} {unit}"
    return f"{value:.0f} B"


def written(value: object, metadata: Iterable[object]) -> object:
    """Return a field's value as the file would have it; `metadata` is the field's."""
    schemas = [item.json_schema or {} for item in metadata if isinstance(item, WithJsonSchema)]
    match schemas, value:
        case [{"format": "duration"}], float():
            return written_duration(value)
        case [{"format": "size"}], int():
            return written_size(value)
        case _:
            return value


# The fields hold seconds and bytes; only what is written in the file has units.
Duration = Annotated[
    float,
    BeforeValidator(seconds),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "number"}], "format": "duration"}),
]
Size = Annotated[
    int,
    BeforeValidator(size_bytes),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "integer"}], "format": "size"}),
]
