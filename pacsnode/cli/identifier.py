"""Identifiers from the command line: `-k Keyword`, `-k Keyword=value`, `-k 0010,0020=value`.

An attribute of a sequence's item has a path, `RequestAttributesSequence.RequestedProcedureID=1`.
Dates may be written short, as people do: `2020` is the year, `2020-` everything since, `2020-03-31` one day.
Imports pydicom, so commands import it only when they run.
"""

import calendar
import re
from collections.abc import Iterable, Mapping
from typing import Any

import click
from pydicom import Dataset, config
from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.dataelem import DataElement

_ITEM = re.compile(r"\[0\]\.|\.")  # DCMTK writes [0] behind a sequence, too
_TAG = re.compile(r"\(?([0-9A-Fa-f]{4}),?([0-9A-Fa-f]{4})\)?")
_QUERY_RETRIEVE_LEVEL = "QueryRetrieveLevel"
_DAY = re.compile(r"(?<![0-9])([0-9]{4})-([0-9]{2})-([0-9]{2})(?![0-9])", re.ASCII)
_BOUNDS = {"US": (0, 0xFFFF), "UL": (0, 0xFFFFFFFF), "SS": (-0x8000, 0x7FFF), "SL": (-0x80000000, 0x7FFFFFFF)}
_SHORT_DATE = re.compile(r"[0-9]{4}(?:[0-9]{2}){0,2}", re.ASCII)

UNIQUE_KEYWORDS = {
    "PATIENT": "PatientID",
    "STUDY": "StudyInstanceUID",
    "SERIES": "SeriesInstanceUID",
    "IMAGE": "SOPInstanceUID",
}

# What is asked for, and shown, when no key is named.
DEFAULT_KEYWORDS = {
    "PATIENT": (
        "PatientID",
        "PatientName",
        "PatientBirthDate",
        "PatientSex",
        "NumberOfPatientRelatedStudies",
    ),
    "STUDY": (
        "StudyDate",
        "PatientID",
        "PatientName",
        "ModalitiesInStudy",
        "StudyDescription",
        "NumberOfStudyRelatedInstances",
        "StudyInstanceUID",
    ),
    "SERIES": (
        "Modality",
        "SeriesNumber",
        "SeriesDescription",
        "NumberOfSeriesRelatedInstances",
        "SeriesInstanceUID",
    ),
    "IMAGE": ("InstanceNumber", "SOPClassUID", "SOPInstanceUID"),
}


def query_identifier(level: str, keys: Iterable[str]) -> Dataset:
    """Return the Identifier of a C-FIND; `level` is a Query/Retrieve Level unless a key says another."""
    identifier = Dataset()
    identifier.QueryRetrieveLevel = level
    for key in keys:
        _add(identifier, key)
    asked = str(identifier.QueryRetrieveLevel)
    if asked not in UNIQUE_KEYWORDS:
        raise click.BadParameter(f"{asked!r} is not a level: PATIENT, STUDY, SERIES or IMAGE")
    if len(identifier) == 1:
        for keyword in DEFAULT_KEYWORDS[asked]:
            _set(identifier, keyword, "")
    elif UNIQUE_KEYWORDS[asked] not in identifier:
        _set(identifier, UNIQUE_KEYWORDS[asked], "")
    _declare_character_set(identifier)
    return identifier


def retrieve_identifier(unique_keys: Mapping[str, Iterable[str]]) -> Dataset:
    """Return the Identifier of a C-GET or C-MOVE: its level is the lowest that has a value."""
    identifier = Dataset()
    for level, keyword in UNIQUE_KEYWORDS.items():
        values = [value for value in unique_keys.get(level, ()) if value]
        if values:
            identifier.QueryRetrieveLevel = level
            _set(identifier, keyword, "\\".join(values))
    if _QUERY_RETRIEVE_LEVEL not in identifier:
        raise click.UsageError("what is to be fetched? name a --patient, --study, --series or --image")
    _declare_character_set(identifier)
    return identifier


def shown_keywords(identifier: Dataset) -> list[str]:
    """Return the columns of a table of answers."""
    hidden = (_QUERY_RETRIEVE_LEVEL, "SpecificCharacterSet", "TimezoneOffsetFromUTC")
    asked = [_name(element.tag) for element in identifier if element.keyword not in hidden]
    default = DEFAULT_KEYWORDS[str(identifier.QueryRetrieveLevel)]
    return list(default) if set(asked) == set(default) else asked


def text_values(answer: Dataset) -> dict[str, Any]:
    """Return an answer by keyword, as text; several values as a list, a sequence as a list of such answers."""
    return {_name(element.tag): _text_of(element) for element in answer}


def _text_of(element: DataElement) -> Any:
    if element.VR == "SQ":
        return [text_values(item) for item in element.value]
    if element.VM > 1:
        return [str(value) for value in element.value]
    return "" if element.value is None else str(element.value)


def _add(identifier: Dataset, key: str) -> None:
    path, _, value = key.partition("=")
    *sequences, name = _ITEM.split(path.strip())
    within = identifier
    for sequence in sequences:
        within = _item(within, sequence)
    tag = _tag(name)
    vr = _vr(tag)
    if vr == "SQ":
        if value:
            raise click.BadParameter(f"{name} is a sequence: a value belongs to an attribute of its item")
        _item(within, name)
        return
    try:
        within.add(DataElement(tag, vr, _value(name, vr, value), validation_mode=config.IGNORE))
    except (ValueError, OverflowError):  # what pydicom makes a number of, and is none
        raise click.BadParameter(f"{name}: {value!r} is not a number") from None


def _item(within: Dataset, name: str) -> Dataset:
    """Return the item of a sequence that is asked for; it has exactly one (PS3.4 C.2.2.2.6)."""
    tag = _tag(name)
    if _vr(tag) != "SQ":
        raise click.BadParameter(f"{name} is no sequence, so nothing can be asked for within it")
    if tag not in within:
        within.add(DataElement(tag, "SQ", [Dataset()]))
    item: Dataset = within[tag].value[0]
    return item


def _set(identifier: Dataset, keyword: str, value: str) -> None:
    tag = _tag(keyword)
    identifier.add(DataElement(tag, _vr(tag), value))


def _tag(name: str) -> int:
    match = _TAG.fullmatch(name)
    if match is not None:
        return int(match[1] + match[2], 16)
    tag = tag_for_keyword(name)
    if tag is None:
        raise click.BadParameter(
            f"{name!r} is neither a keyword of the data dictionary nor a tag as 0010,0020"
        )
    return tag


def _vr(tag: int) -> str:
    try:
        return dictionary_VR(tag).split(" or ")[0]
    except KeyError:
        return "LO"  # a private key


def _name(tag: int) -> str:
    return keyword_for_tag(tag) or f"{tag:08X}"


def _value(name: str, vr: str, value: str) -> object:
    """Return the value of an element; raises `ValueError` for what should be a number."""
    if vr == "DA":
        return expanded_dates(name, value)
    if vr in _BOUNDS and value:
        low, high = _BOUNDS[vr]
        if not low <= int(value) <= high:
            raise click.BadParameter(f"{name}: {value} is not a number from {low} to {high}")
        return int(value)
    return value


def expanded_dates(name: str, text: str) -> str:
    """Return Range Matching (PS3.4 C.2.2.2.5) for dates written short; anything else as it is."""
    low, dash, high = _DAY.sub(r"\1\2\3", text).partition("-")
    if not all(not end or _SHORT_DATE.fullmatch(end) for end in (low, high)):
        return text
    for end in (low, high):
        if len(end) == 6 and not 1 <= int(end[4:]) <= 12:
            raise click.BadParameter(f"{name}: {end} is no month (YYYYMM)")
    if not dash and len(low) in (4, 6):
        return f"{_first_day(low)}-{_last_day(low)}"
    return f"{_first_day(low)}{dash}{_last_day(high)}"


def _first_day(date: str) -> str:
    return date + "0101"[len(date) - 4 :] if date else ""


def _last_day(date: str) -> str:
    if len(date) == 4:
        return f"{date}1231"
    if len(date) == 6 and int(date[:4]) > 0:
        return f"{date}{calendar.monthrange(int(date[:4]), int(date[4:]))[1]}"
    return date


def _declare_character_set(identifier: Dataset) -> None:
    if not _is_ascii(identifier):
        identifier.SpecificCharacterSet = "ISO_IR 192"


def _is_ascii(asked: Dataset) -> bool:
    return all(
        all(map(_is_ascii, element.value)) if element.VR == "SQ" else str(element.value).isascii()
        for element in asked
    )
