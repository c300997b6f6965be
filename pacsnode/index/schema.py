"""How the index keeps what it knows: the tables of the four levels and where in them an attribute is.

The tables are compact and the views are for people: `patients`, `studies`, `study_series` and `instances`
show UIDs as text and all attributes, so that `sqlite3 index-1.db 'SELECT * FROM studies'` answers questions
by hand.

- A STORED or COMPUTED attribute of a level is a column of that level's table, under `Attribute.column`. A PN
  has a second one, `<column>_folded`, which is what is matched.
- What the images of a series mostly have in common is not kept with each of them: `instance.common` is the id
  of a row of `image_common`, which is there once for all images that agree.
- Times, and positions, of images are packed to half their length (`packed_text`).
- A sequence is the JSON text of its items (`Header.values`), in which names stand folded as well, under
  `<Keyword>_folded`.
- What the configuration adds (`index.extra_tags`) is in the column `extra`, a JSON object by keyword, with the
  names folded as well.
- UIDs of studies, series and instances are packed blobs; SOP classes, transfer syntaxes, senders and
  character sets are numbers of a small table. Character set 0 is the default repertoire.
- A numeric attribute (IS, DS, US) of one value is kept as a number, since that is how it is matched; text that
  is no number stays text. Where the number does not give the text back (`01`, `1.50`), `as_sent` has it: a JSON
  object by keyword.
- Counts and lists over children are kept in the transaction that changes them. They cover what is served; an
  entity whose number of instances is 0 is vacant, and not answered.
- A series belongs to its study: the same UID under another study is another row.
- Instances are found by `uid_hash`, the CRC32 of the packed UID. The index over 4 bytes takes a third of one
  over whole UIDs, which is 34 bytes an instance; that two UIDs share a hash costs one more look.
- `spooled` has a row only for what the storage does not hold yet.
- `timezone_offset_from_utc` is that of the data sets of a study, a series and, where it is another than its
  series', of an instance.

A change of the attribute table is a migration (`migrations`), which a test tells.
"""

import zlib
from binascii import unhexlify
from dataclasses import dataclass

from pacsnode.dicom.attributes import ATTRIBUTES, BY_KEYWORD, UNIQUE_KEY, Attribute, Level, Source
from pacsnode.dicom.matching import NUMERIC_VRS
from pacsnode.dicom.zones import ZONES


@dataclass(frozen=True, slots=True)
class Table:
    """The table of one level. `parent` is the column that holds the parent's id, and the parent's table."""

    name: str
    level: Level
    parent: str | None

    @property
    def stored(self) -> tuple[Attribute, ...]:
        """The attributes that are a column by their name."""
        own = tuple(a for a in _of(self.level, Source.STORED) if a not in _SPECIAL and not is_common(a))
        return (*own, ZONES[self.level]) if self.level in (Level.STUDY, Level.SERIES) else own

    @property
    def visible(self) -> str:
        """The condition under which a row is answered."""
        if self.level is Level.IMAGE:
            return "instance.is_served"
        return f"{self.name}.{counting(self.level, Level.IMAGE)} > 0"


def _of(level: Level, source: Source) -> tuple[Attribute, ...]:
    return tuple(a for a in ATTRIBUTES if a.level is level and a.source is source)


# Kept in another form than as a column of text: packed UIDs, and numbers of a small table.
_SPECIAL = tuple(UNIQUE_KEY[level] for level in (Level.STUDY, Level.SERIES, Level.IMAGE)) + tuple(
    a for a in ATTRIBUTES if a.keyword in ("SOPClassUID", "AvailableTransferSyntaxUID")
)

# The attributes of images that are no columns of `image_common`: they differ between the images of a series.
_OWN_OF_IMAGE = frozenset(
    (
        "AcquisitionDateTime",
        "AcquisitionNumber",
        "AcquisitionTime",
        "BitsAllocated",
        "Columns",
        "ContentDate",
        "ContentTime",
        "ImageIndex",
        "ImagePositionPatient",
        "InstanceCreationTime",
        "InstanceNumber",
        "NumberOfFrames",
        "Rows",
        "SOPClassUID",
        "SOPInstanceUID",
        "TemporalPositionIdentifier",
        "TimezoneOffsetFromUTC",
    )
)
_PACKED = frozenset(
    ("AcquisitionDateTime", "AcquisitionTime", "ImagePositionPatient", "InstanceCreationTime")
)

TABLES = {
    Level.PATIENT: Table("patient", Level.PATIENT, None),
    Level.STUDY: Table("study", Level.STUDY, "patient"),
    Level.SERIES: Table("series", Level.SERIES, "study"),
    Level.IMAGE: Table("instance", Level.IMAGE, "series"),
}

# Attributes that are looked up by an index, and its name; some over another column (`lookups`, `uid_hash`).
INDEX_OF = {
    "PatientID": "patient_by_patient_id",
    "PatientName": "patient_by_name",
    "StudyInstanceUID": "study_by_uid",
    "StudyDate": "study_by_moment",
    "AccessionNumber": "study_by_accession_number",
    "SeriesInstanceUID": "series_by_uid",
    "SOPInstanceUID": "instance_by_uid_hash",
}

_CHILDREN = {Level.STUDY: "studies", Level.SERIES: "series", Level.IMAGE: "instances"}


def counting(level: Level, below: Level) -> str:
    """Return the column of a level's table that counts the served entities of a level below."""
    return f"number_of_{TABLES[level].name}_related_{_CHILDREN[below]}"


def is_folded(attribute: Attribute) -> bool:
    """Return whether the attribute is matched in its folded form, which has its own column."""
    return attribute.vr == "PN"


def is_numeric(attribute: Attribute) -> bool:
    """Return whether the attribute is kept as a number, with `as_sent` beside it."""
    is_number = attribute.vr in NUMERIC_VRS and not attribute.multi_valued
    return is_number and attribute.source is Source.STORED and not attribute.is_extra


def is_common(attribute: Attribute) -> bool:
    """Return whether the attribute is a column of `image_common`."""
    is_of_images = attribute.level is Level.IMAGE and attribute.source is Source.STORED
    return is_of_images and not attribute.is_extra and attribute.keyword not in _OWN_OF_IMAGE


def is_packed(attribute: Attribute) -> bool:
    """Return whether the attribute is kept as `packed_text`."""
    return attribute.keyword in _PACKED


def is_uid(attribute: Attribute) -> bool:
    """Return whether the attribute is a UID that is kept packed, or as the number of a small table."""
    return attribute in _SPECIAL


def common() -> tuple[Attribute, ...]:
    """Return the attributes of `image_common`."""
    return tuple(a for a in ATTRIBUTES if is_common(a))


def names_in(attribute: Attribute) -> tuple[Attribute, ...]:
    """Return the person names in the items of a sequence; all of them, where a query asks for some attributes only."""
    known = attribute if attribute.is_extra else BY_KEYWORD.get(attribute.keyword, attribute)
    return tuple(item for item in known.items if item.vr == "PN")


def uid_hash(packed_uid: bytes) -> int:
    """Return the hash that instances are found by, signed so that SQLite keeps it in 4 bytes."""
    return signed(zlib.crc32(packed_uid))


def signed(unsigned: int) -> int:
    """Return 32 bits as a signed number; `column & 0xffffffff` is the way back in SQL."""
    return unsigned - 0x1_0000_0000 if unsigned & 0x8000_0000 else unsigned


def uid_text(column: str) -> str:
    """Return the SQL that turns a packed UID into text."""
    return f"rtrim(replace(hex({column}), 'A', '.'), 'F')"


_DIGITS = "0123456789.-\\+e"  # and F for what is left over of the last byte
_AS_HEX = bytes(
    b"0123456789ABCDE"[at] if (at := _DIGITS.find(chr(code))) >= 0 else 0x3F for code in range(256)
)


def packed_text(value: str) -> str | bytes:
    """Return numbers, several too, dates and times with half a byte for each character; other text as it is."""
    try:
        return unhexlify(value.encode("ascii").translate(_AS_HEX) + b"F" * (len(value) & 1))
    except ValueError:
        return value


def _unpacked_text(column: str) -> str:
    text = f"hex({column})"
    for digit, char in zip("ABCDE", _DIGITS[10:], strict=True):
        text = f"replace({text}, '{digit}', '{char}')"
    return f"CASE typeof({column}) WHEN 'blob' THEN rtrim({text}, 'F') ELSE {column} END"


def matched(attribute: Attribute) -> str:
    """Return the SQL expression of the attribute as it is matched: names folded, UIDs packed."""
    return _kept(attribute, "_folded" if is_folded(attribute) else "")


def text(attribute: Attribute) -> str:
    """Return the SQL expression of the attribute as the text that is answered."""
    table = TABLES[attribute.level].name
    if attribute.keyword == "SOPClassUID":
        return "(SELECT uid FROM sop_class WHERE sop_class.id = instance.sop_class)"
    if attribute.keyword == "AvailableTransferSyntaxUID":
        return "(SELECT uid FROM transfer_syntax WHERE transfer_syntax.id = instance.transfer_syntax)"
    column = _kept(attribute, "")
    if is_uid(attribute):
        return uid_text(column)
    if is_numeric(attribute):
        return (
            f"CASE WHEN {table}.as_sent IS NULL THEN CAST({column} AS TEXT) ELSE "
            f"coalesce(json_extract({table}.as_sent, '$.{attribute.keyword}'), CAST({column} AS TEXT)) END"
        )
    if names_in(attribute):
        paths = ", ".join(f"'$.{name.keyword}_folded'" for name in names_in(attribute))
        items = f"SELECT json_group_array(json_remove(value, {paths})) FROM json_each({column})"
        return f"nullif(({items}), '[]')"
    return f"CAST({column} AS TEXT)" if attribute.vr == "IS" else column


def _kept(attribute: Attribute, suffix: str) -> str:
    """Return the SQL expression of what is kept, or of its other form, `_folded`."""
    table = TABLES[attribute.level].name
    if attribute.is_extra:
        return f"json_extract({table}.extra, '$.\"{attribute.keyword}{suffix}\"')"
    if is_common(attribute):
        name = f'image_common."{attribute.column}{suffix}"'
        return f"(SELECT {name} FROM image_common WHERE image_common.id = instance.common)"
    column = f'{table}."{attribute.column}{suffix}"'
    return _unpacked_text(column) if is_packed(attribute) else column
