"""`pacsnode studies` and `pacsnode show`: what this node keeps, read from its index, served or not."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from pacsnode.cli.output import Output, counted, printable
from pacsnode.cli.program import Program, data_dir_option, json_option, pass_program

if TYPE_CHECKING:
    from pacsnode.dicom.attributes import Level
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
_UNIQUE_KEYWORDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")


@click.command()
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Show no more than N studies.")
@data_dir_option
@json_option
@pass_program
def studies(program: Program, *, output: Output, data_dir: str | None, limit: int | None) -> None:
    """List the studies of this node, newest first. It may be serving."""
    from pacsnode.dicom.attributes import Level
    from pacsnode.node import open_archive

    shown = 0
    with (
        open_archive(program.config(node__data_dir=data_dir)) as archive,
        output.table("study", _COLUMNS) as table,
    ):
        for values in _entities(archive.index, _query(Level.STUDY, None, _COLUMNS)):
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
    from pacsnode.dicom.attributes import ATTRIBUTES, Level, Source
    from pacsnode.dicom.uid import validated
    from pacsnode.node import open_archive

    uid = validated(uid)
    with open_archive(program.config(node__data_dir=data_dir)) as archive:
        for level in (Level.STUDY, Level.SERIES, Level.IMAGE):
            keywords = tuple(
                a.keyword for a in ATTRIBUTES if a.level <= level and a.source is not Source.CONSTANT
            )
            query = _query(level, uid, keywords)
            for values in _entities(archive.index, query):
                _show_entity(output, level.name.lower(), values)
                instances = archive.index.locate(query)
                for located in instances:
                    _show_instance(output, located, name_of(located))
                output.result(
                    {"level": level.name, "instances": len(instances)},
                    f"\n{counted(len(instances), 'instance')}",
                )
                return
    raise click.UsageError(f"this node has no study, series or instance {uid}")


def _query(level: "Level", uid: str | None, keywords: tuple[str, ...]) -> "Query":
    """Return the question for the entity with this UID, or for all of the level."""
    from pacsnode.dicom.attributes import ATTRIBUTES
    from pacsnode.dicom.query import InformationModel, Key, Query, SingleValue

    by_keyword = {attribute.keyword: attribute for attribute in ATTRIBUTES}
    unique = by_keyword[_UNIQUE_KEYWORDS[level - 1]]
    returned = sorted((by_keyword[keyword] for keyword in keywords), key=lambda attribute: attribute.tag)
    return Query(
        model=InformationModel.STUDY_ROOT,
        level=level,
        keys=() if uid is None else (Key(unique, SingleValue(uid)),),
        returned=tuple(returned),
    )


def _entities(index: "Index", query: "Query") -> Iterator[dict[str, str]]:
    """Yield the answers by keyword."""
    keywords = [attribute.keyword for attribute in query.returned]
    for page in index.find(query):
        for row in page:
            yield {keyword: value or "" for keyword, value in zip(keywords, row, strict=False)}


def _show_entity(output: Output, kind: str, values: dict[str, str]) -> None:
    present = {keyword: value for keyword, value in values.items() if value}
    lines = [f"{keyword:<34}{printable(value)}" for keyword, value in present.items()]
    output.item(kind, present, "\n".join(lines) + "\n")


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
