"""`pacsnode studies` and `pacsnode show`: what this node keeps, read from its index, served or not."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from pacsnode.cli.output import Output, counted, printable
from pacsnode.cli.program import Program, data_dir_option, json_option, pass_program

if TYPE_CHECKING:
    from pacsnode.dicom.attributes import Attribute, Level
    from pacsnode.dicom.query import Query
    from pacsnode.index.base import Index, Located

_COLUMNS = (
    "StudyDate",
    "PatientID",
    "PatientName",
    "ModalitiesInStudy",
    "StudyDescription",
    "NumberOfStudyRelatedInstances",
    "StudyInstanceUID",
)


@click.command()
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Show no more than N studies.")
@data_dir_option
@json_option
@pass_program
def studies(program: Program, *, output: Output, data_dir: str | None, limit: int | None) -> None:
    """List the studies of this node, newest first. It may be serving."""
    from pacsnode.dicom.attributes import STANDARD, Level
    from pacsnode.node import open_archive

    asked = tuple(STANDARD.by_keyword[column] for column in _COLUMNS)
    shown = 0
    with (
        open_archive(program.config(node__data_dir=data_dir)) as archive,
        output.table("study", _COLUMNS) as table,
    ):
        for values in _entities(archive.index, _query(Level.STUDY, None, asked)):
            table.row([values[column] for column in _COLUMNS], values)
            shown += 1
            if shown == limit:
                break
    output.result({"studies": shown}, counted(shown, "study"))


@click.command()
@click.argument("uid")
@data_dir_option
@json_option
@pass_program
def show(program: Program, *, output: Output, data_dir: str | None, uid: str) -> None:
    """Show a study, series or instance of this node: its attributes, and where its bytes are."""
    from pacsnode.archive.objects import name_of
    from pacsnode.dicom.attributes import Level, Source
    from pacsnode.dicom.uid import validated
    from pacsnode.node import open_archive

    uid = validated(uid)
    with open_archive(program.config(node__data_dir=data_dir)) as archive:
        for level in (Level.STUDY, Level.SERIES, Level.IMAGE):
            known = archive.index.catalogue.attributes
            asked = tuple(a for a in known if a.level <= level and a.source is not Source.CONSTANT)
            query = _query(level, uid, asked)
            for values in _entities(archive.index, query):
                _show_entity(output, level.name.lower(), values, query)
                instances = archive.index.locate(query)
                for located in instances:
                    _show_instance(output, located, name_of(located))
                output.result(
                    {"level": level.name, "instances": len(instances)},
                    f"\n{counted(len(instances), 'instance')}",
                )
                return
    raise click.UsageError(f"this node has no study, series or instance {uid}")


def _query(level: "Level", uid: str | None, asked: tuple["Attribute", ...]) -> "Query":
    """Return the question for the entity with this UID, or for all of the level."""
    from pacsnode.dicom.attributes import UNIQUE_KEY
    from pacsnode.dicom.query import InformationModel, Key, Query, SingleValue

    return Query(
        model=InformationModel.STUDY_ROOT,
        level=level,
        keys=() if uid is None else (Key(UNIQUE_KEY[level], SingleValue(uid)),),
        returned=tuple(sorted(asked, key=lambda attribute: attribute.tag)),
    )


def _entities(index: "Index", query: "Query") -> Iterator[dict[str, str]]:
    """Yield the answers by keyword."""
    keywords = [attribute.keyword for attribute in query.returned]
    for page in index.find(query):
        for row in page:
            yield {keyword: value or "" for keyword, value in zip(keywords, row, strict=False)}


def _show_entity(output: Output, kind: str, values: dict[str, str], query: "Query") -> None:
    sequences = {attribute.keyword for attribute in query.returned if attribute.vr == "SQ"}
    present: dict[str, object] = {
        keyword: json.loads(value) if keyword in sequences else value
        for keyword, value in values.items()
        if value
    }
    output.item(kind, present, "\n".join(_lines(present)) + "\n")


def _lines(values: Mapping[str, object], indent: str = "") -> Iterator[str]:
    """Yield a line for each value; the items of a sequence stand below it, further in."""
    for keyword, value in values.items():
        if isinstance(value, list):
            for number, item in enumerate(value, start=1):
                yield f"{indent}{keyword}, item {number}"
                yield from _lines(item, indent + "    ")
        else:
            yield f"{indent}{keyword:<{max(34 - len(indent), 0)}}{printable(str(value))}"


def _show_instance(output: Output, located: "Located", name: str) -> None:
    from pacsnode.archive.objects import entry_of

    entry = entry_of(located)
    fields: dict[str, object] = {
        "sop_instance_uid": located.sop_instance_uid,
        "version": located.version,
        "transfer_syntax_uid": located.transfer_syntax_uid,
        "place": "storage" if entry is None else "spool",
        "name": name if entry is None else entry.name,
        "file_length": located.file_length,
        "file_crc32c": f"{located.file_crc32c:08x}",
        "data_set_length": located.data_set_length,
        "data_set_crc32c": f"{located.data_set_crc32c:08x}",
    }
    if entry is not None:
        fields["received"] = datetime.fromtimestamp(entry.received_at_ms / 1000, UTC).isoformat(
            timespec="seconds"
        )
    output.item(
        "instance",
        fields,
        f"{located.sop_instance_uid}\n"
        f"    {fields['place']}: {fields['name']}, version {located.version}\n"
        f"    file {located.file_length:,} bytes, CRC32C {fields['file_crc32c']}; "
        f"data set {located.data_set_length:,} bytes, CRC32C {fields['data_set_crc32c']}",
    )
