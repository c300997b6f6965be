"""C-FIND response Identifiers (PS3.4 C.4.1.1.3.2), read back by pydicom."""

import io
import json
import zlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import config
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.multival import MultiValue
from pydicom.uid import UID
from pydicom.valuerep import IS, DSfloat, PersonName

from pacsnode.dicom.attributes import (
    BY_KEYWORD,
    INSTANCE_AVAILABILITY,
    QUERY_RETRIEVE_LEVEL,
    RETRIEVE_AE_TITLE,
    SPECIFIC_CHARACTER_SET,
    Attribute,
    KeyType,
    Level,
    Source,
)
from pacsnode.dicom.query import InformationModel, Items, Key, Query, SingleValue
from pacsnode.dicom.response import ResponseEncoder
from pacsnode.dicom.writing import MAX_VALUE_BYTES
from tests.factories_identifier import DEFLATED, EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE
from tests.factories_query import queries, records

SYNTAXES = (IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG, DEFLATED)
TEXT_VRS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
CHARACTER_SETS = (
    (),
    ("ISO_IR 100",),
    ("ISO_IR 144",),
    ("ISO_IR 192",),
    ("GB18030",),
    ("", "ISO 2022 IR 87"),
    ("", "ISO 2022 IR 149"),
    ("ISO 2022 IR 13", "ISO 2022 IR 87"),
)


def query_of(*keywords: str, sets: tuple[str, ...] = (), **flags: bool) -> Query:
    returned = tuple(sorted((BY_KEYWORD[one] for one in keywords), key=lambda attribute: attribute.tag))
    return Query(
        InformationModel.STUDY_ROOT, Level.IMAGE, keys=(), returned=returned, character_sets=sets, **flags
    )


def answer(
    query: Query,
    row: tuple[str | None, ...],
    syntax: str = EXPLICIT_LITTLE,
    override: tuple[str, ...] | None = None,
) -> bytes:
    encoder = ResponseEncoder(
        query, transfer_syntax_uid=syntax, retrieve_ae_title="PACSNODE", character_sets=override
    )
    return encoder.encode(row)


def read(data: bytes, syntax: str = EXPLICIT_LITTLE) -> Dataset:
    """Return the data set; the order of its elements must be ascending (PS3.5 7.1)."""
    assert len(data) % 2 == 0
    if syntax == DEFLATED:
        data = zlib.decompress(data, wbits=-15)
    with config.disable_value_validation():
        dataset = read_dataset(
            io.BytesIO(data),
            is_implicit_VR=syntax == IMPLICIT_LITTLE,
            is_little_endian=syntax != EXPLICIT_BIG,
        )
        tags = [int(element.tag) for element in dataset.values()]
    assert tags == sorted(set(tags))
    return dataset


def raw(dataset: Dataset, tag: int) -> bytes:
    """Return the bytes of a value; pydicom may have read it already."""
    value = dataset.get_item(tag).value
    if not isinstance(value, str | MultiValue | UID | IS | DSfloat):
        return value or b""
    several = value if isinstance(value, MultiValue) else [value]
    return "\\".join(str(getattr(one, "original_string", one)) for one in several).encode("ascii")


def text(dataset: Dataset, attribute: Attribute) -> str:
    """Return the value as pydicom decodes it by the (0008,0005) of the data set."""
    with config.disable_value_validation():
        value = dataset[attribute.tag].value
    if attribute.multi_valued and not isinstance(value, str | PersonName):
        return "\\".join(str(one) for one in value)
    return "" if value is None else str(value)


def check(dataset: Dataset, attribute: Attribute, wanted: object) -> None:
    """Fail unless the data set has this value, that of a sequence as JSON text or as a list of its items."""
    if attribute.vr == "SQ":
        items = json.loads(wanted) if isinstance(wanted, str) and wanted else wanted or []
        assert isinstance(items, list)
        assert len(dataset[attribute.tag].value) == len(items)
        for found, item in zip(dataset[attribute.tag].value, items, strict=True):
            assert {int(element.tag) for element in found} == {one.tag for one in attribute.items}
            for one in attribute.items:
                check(found, one, item.get(one.keyword, ""))
        return
    assert isinstance(wanted, str)
    if attribute.vr == "PN":  # pydicom leaves out empty component groups at the end
        names = text(dataset, attribute).split("\\")
        assert names == [name.rstrip("=") for name in wanted.split("\\")]
    elif attribute.vr in TEXT_VRS:
        assert text(dataset, attribute) == wanted
    elif attribute.vr == "US":
        assert dataset[attribute.tag].value == (int(wanted) if wanted else None)
    else:
        assert raw(dataset, attribute.tag).rstrip(b" \0").decode("ascii") == wanted


def test_an_answer_to_the_byte() -> None:
    query = query_of("StudyDate", "PatientName", "StudyInstanceUID", "Rows", asks_retrieve_ae_title=True)
    row = ("20200115", "DOE^J", "1.2.3", "512", None)
    assert answer(query, row) == (
        b"\x08\x00\x20\x00DA\x08\x0020200115"
        b"\x08\x00\x52\x00CS\x06\x00IMAGE "
        b"\x08\x00\x54\x00AE\x08\x00PACSNODE"
        b"\x10\x00\x10\x00PN\x06\x00DOE^J "
        b"\x20\x00\x0d\x00UI\x06\x001.2.3\x00"
        b"\x28\x00\x10\x00US\x02\x00\x00\x02"
    )
    assert answer(query, (None, "", None, None, None), IMPLICIT_LITTLE) == (
        b"\x08\x00\x20\x00\0\0\0\0"
        b"\x08\x00\x52\x00\x06\0\0\0IMAGE "
        b"\x08\x00\x54\x00\x08\0\0\0PACSNODE"
        b"\x10\x00\x10\x00\0\0\0\0"
        b"\x20\x00\x0d\x00\0\0\0\0"
        b"\x28\x00\x10\x00\0\0\0\0"
    )
    big = answer(query, (None, None, None, "512", None), EXPLICIT_BIG)
    assert big.startswith(b"\x00\x08\x00\x20DA\0\0")
    assert big.endswith(b"\x00\x28\x00\x10US\x00\x02\x02\x00")


def test_a_sequence_to_the_byte() -> None:
    """Lengths are defined; an item has the attributes that are asked for, those in sequences too."""
    sequence = BY_KEYWORD["RequestAttributesSequence"]
    by_keyword = {one.keyword: one for one in sequence.items}
    code = by_keyword["ScheduledProtocolCodeSequence"]
    asked = replace(
        sequence,
        items=(
            replace(code, items=code.items[:1]),
            by_keyword["ScheduledProcedureStepID"],
            by_keyword["RequestedProcedureID"],
        ),
    )
    query = replace(query_of(), returned=(asked,))
    items = (
        '[{"ScheduledProcedureStepID":"S1","ScheduledProtocolCodeSequence":[{"CodeValue":"C"}]},{"A":"B"}]'
    )
    inner = b"\x08\x00\x00\x01SH\x02\x00C "
    first = (
        b"\x40\x00\x08\x00SQ\0\0\x12\0\0\0" + b"\xfe\xff\x00\xe0\x0a\0\0\0" + inner
        + b"\x40\x00\x09\x00SH\x02\x00S1" + b"\x40\x00\x01\x10SH\x00\x00"
    )  # fmt: skip
    second = b"\x40\x00\x08\x00SQ\0\0\0\0\0\0" + b"\x40\x00\x09\x00SH\0\0" + b"\x40\x00\x01\x10SH\0\0"
    value = b"".join(b"\xfe\xff\x00\xe0" + len(one).to_bytes(4, "little") + one for one in (first, second))
    level = b"\x08\x00\x52\x00CS\x06\x00IMAGE "
    head = b"\x40\x00\x75\x02SQ\0\0" + len(value).to_bytes(4, "little")
    assert answer(query, (items, None)) == level + head + value
    assert answer(query, (None, None)) == level + b"\x40\x00\x75\x02SQ\0\0\0\0\0\0"


def test_only_items_that_match_are_answered() -> None:
    """PS3.4 C.2.2.2.6."""
    sequence = BY_KEYWORD["ProcedureCodeSequence"]
    wanted = Items((Key(sequence.items[0], SingleValue("B")),))
    query = replace(query_of("ProcedureCodeSequence"), keys=(Key(sequence, wanted),))
    (item,) = read(answer(query, ('[{"CodeValue":"A"},{"CodeValue":"B"}]', None))).ProcedureCodeSequence
    assert item.CodeValue == "B"
    assert item.CodeMeaning == ""


def test_text_in_items_decides_on_the_character_set() -> None:
    row = ('[{"CodeMeaning":"Schädel"}]', "ISO_IR 100")
    dataset = read(answer(query_of("ProcedureCodeSequence"), row))
    assert dataset.SpecificCharacterSet == "ISO_IR 100"
    assert dataset.ProcedureCodeSequence[0].CodeMeaning == "Schädel"
    dataset = read(answer(query_of("ProcedureCodeSequence"), row, override=()))
    assert dataset.ProcedureCodeSequence[0].CodeMeaning == "Sch?del"


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_private_attribute_is_answered_in_the_block_that_it_was_asked_in(syntax: str) -> None:
    private = Attribute(0x0019120A, "0019,xx0A:ACME", "US", Level.IMAGE, KeyType.OPTIONAL, creator="ACME")
    other = replace(private, tag=0x0019130A, keyword="0019,xx0A:OTHER", vr="UT", creator="OTHER")
    query = replace(query_of(), returned=(private, other))
    dataset = read(answer(query, ("7", "text", None), syntax), syntax)
    assert dataset[0x00190012].value == "ACME"
    assert dataset[0x00190013].value == "OTHER"
    assert raw(dataset, 0x0019120A) == (b"\0\x07" if syntax == EXPLICIT_BIG else b"\x07\0")
    assert raw(dataset, 0x0019130A) == b"text"


@pytest.mark.parametrize("asks_title", [True, False])
@pytest.mark.parametrize("asks_availability", [True, False])
@pytest.mark.parametrize(
    "keywords", [(), ("SOPClassUID",), ("PatientID",), ("StudyDate", "Modality", "Rows")]
)
def test_elements_that_are_the_same_in_all_answers(
    asks_title: bool, asks_availability: bool, keywords: tuple[str, ...]
) -> None:
    query = query_of(
        *keywords, asks_retrieve_ae_title=asks_title, asks_instance_availability=asks_availability
    )
    dataset = read(answer(query, (*(None for _ in keywords), None)))
    assert dataset.QueryRetrieveLevel == "IMAGE"
    assert (RETRIEVE_AE_TITLE in dataset) is asks_title
    assert (INSTANCE_AVAILABILITY in dataset) is asks_availability
    assert dataset.get("RetrieveAETitle", "PACSNODE") == "PACSNODE"
    assert dataset.get("InstanceAvailability", "ONLINE") == "ONLINE"
    assert len(dataset) == 1 + asks_title + asks_availability + len(keywords)


@pytest.mark.parametrize(
    ("asked", "stored", "name", "expected"),
    [
        # the requester's if it represents all text, also where ASCII would do
        ((), None, "DOE^JOHN", ()),
        (("ISO_IR 6",), None, "DOE^JOHN", ()),
        ((), "ISO_IR 100", "DOE^JOHN", ()),
        (("ISO_IR 100",), None, "DOE^JOHN", ("ISO_IR 100",)),
        (("ISO_IR 100",), "ISO_IR 192", "MÜLLER^J", ("ISO_IR 100",)),
        (("ISO_IR 192",), "ISO_IR 100", "MÜLLER^J", ("ISO_IR 192",)),
        (("", "ISO 2022 IR 87"), "ISO_IR 192", "YAMADA=山田", ("", "ISO 2022 IR 87")),
        # else the stored one
        ((), "ISO_IR 100", "MÜLLER^J", ("ISO_IR 100",)),
        (("ISO_IR 100",), "ISO_IR 144", "Иванов", ("ISO_IR 144",)),
        (("ISO_IR 100",), "\\ISO 2022 IR 87", "YAMADA=山田", ("", "ISO 2022 IR 87")),
        # else UTF-8: the entity's text need not all come from one instance
        (("ISO_IR 100",), "ISO_IR 144", "山田", ("ISO_IR 192",)),
        ((), None, "MÜLLER^J", ("ISO_IR 192",)),
        # what no reader would understand is not repeated
        (("ISO IR 100",), "latin1", "MÜLLER^J", ("ISO_IR 192",)),
        (("NONSENSE",), None, "DOE^JOHN", ()),
        (("ISO_IR 192", "ISO_IR 100"), None, "MÜLLER^J", ("ISO_IR 192",)),
    ],
)
def test_the_character_set_of_an_answer(
    asked: tuple[str, ...], stored: str | None, name: str, expected: tuple[str, ...]
) -> None:
    """PS3.4 C.4.1.1.3.2, and C.2.2.2 on what the requester may send."""
    dataset = read(answer(query_of("PatientName", sets=asked), (name, stored)))
    found = raw(dataset, SPECIFIC_CHARACTER_SET) if SPECIFIC_CHARACTER_SET in dataset else b""
    assert tuple(filter(None, found.decode().rstrip().split("\\"))) == tuple(filter(None, expected))
    assert (SPECIFIC_CHARACTER_SET in dataset) is bool(expected)
    assert text(dataset, BY_KEYWORD["PatientName"]) == name


@pytest.mark.parametrize(
    ("override", "name", "expected"),
    [
        (("ISO_IR 100",), "DOE^JOHN", "DOE^JOHN"),
        (("ISO_IR 100",), "MÜLLER^J", "MÜLLER^J"),
        (("ISO_IR 100",), "MÜLLER=山田", "MÜLLER=??"),
        ((), "MÜLLER^J", "M?LLER^J"),
    ],
)
def test_the_override_of_a_peer_always_holds(override: tuple[str, ...], name: str, expected: str) -> None:
    query = query_of("PatientName", sets=("ISO_IR 192",))
    dataset = read(answer(query, (name, "ISO_IR 192"), override=override))
    assert (SPECIFIC_CHARACTER_SET in dataset) is bool(override)
    assert text(dataset, BY_KEYWORD["PatientName"]) == expected


@pytest.mark.parametrize(
    ("keyword", "value", "expected"),
    [
        ("PatientID", "P1", b"P1"),
        ("PatientID", "P10", b"P10 "),
        ("StudyInstanceUID", "1.2.3", b"1.2.3\0"),  # PS3.5 6.2: a UI is padded with NUL
        ("SOPClassesInStudy", "1.2.3\\1.2.4", b"1.2.3\\1.2.4\0"),
        ("StudyTime", "101500.123", b"101500.123"),
        ("InstanceNumber", "7", b"7 "),
        ("InstanceNumber", "one", b"one "),
        ("NumberOfStudyRelatedInstances", "12", b"12"),
        ("PatientWeight", "70.5", b"70.5"),
        ("Rows", "65535", b"\xff\xff"),
        ("Rows", "27", b"\x1b\x00"),
        ("Rows", "1\\2", b"\x01\x00\x02\x00"),
        # what cannot be encoded has zero length
        ("Rows", "65536", b""),
        ("Rows", "-1", b""),
        ("Rows", "1.0", b""),
        ("Rows", "1\\x", b""),
        ("Rows", "１", b""),
        ("Rows", "9" * 6000, b""),
        ("StudyInstanceUID", "1.2.é", b""),
        ("Modality", "CŤ", b""),
        # a long value is cut to the longest even length
        ("PatientID", "P" * 65_534, b"P" * 65_534),
        ("PatientID", "P" * 65_535, b"P" * 65_534),
        ("PatientComments", "P" * 200_000, b"P" * 65_534),
        ("Modality", "C" * 200_000, b"C" * 65_534),
    ],
)
@pytest.mark.parametrize("syntax", [IMPLICIT_LITTLE, EXPLICIT_LITTLE])
def test_values(keyword: str, value: str, expected: bytes, syntax: str) -> None:
    query = query_of(keyword, asks_instance_availability=True)
    dataset = read(answer(query, (value, None), syntax), syntax)
    assert raw(dataset, BY_KEYWORD[keyword].tag) == expected
    assert dataset.InstanceAvailability == "ONLINE"


@pytest.mark.parametrize("char", ["ü", "山", "\U0001f98b"])
def test_a_long_text_is_cut_between_characters(char: str) -> None:
    dataset = read(answer(query_of("PatientComments", sets=("ISO_IR 192",)), (char * 70_000, None)))
    value = raw(dataset, BY_KEYWORD["PatientComments"].tag)
    assert MAX_VALUE_BYTES - 4 <= len(value) <= MAX_VALUE_BYTES
    assert set(value.decode().rstrip()) == {char}


def test_text_that_no_character_set_holds_is_answered_all_the_same() -> None:
    """A lone surrogate cannot be read from a data set; whatever a row holds, an answer goes out."""
    dataset = read(answer(query_of("PatientName", "PatientID"), ("A\ud800B", "P1", None)))
    assert text(dataset, BY_KEYWORD["PatientName"]) == "A?B"
    assert dataset.PatientID == "P1"


def test_an_escape_character_cannot_switch_the_character_set() -> None:
    """A name with the bytes of an escape sequence in it must not be read in another character set."""
    name = "A\x1b$BBC"
    dataset = read(answer(query_of("PatientName", sets=("", "ISO 2022 IR 87")), (name, None)))
    assert dataset.SpecificCharacterSet == "ISO_IR 192"
    assert raw(dataset, BY_KEYWORD["PatientName"].tag).rstrip() == name.encode()


@given(
    queries(max_keys=1),
    records(computed=True),
    st.sampled_from(CHARACTER_SETS),
    st.sampled_from(CHARACTER_SETS),
    st.sampled_from(SYNTAXES),
)
def test_answers_are_read_back_as_they_were_stored(
    asked_query: Query,
    record: dict[str, str],
    asked: tuple[str, ...],
    stored: tuple[str, ...],
    syntax: str,
) -> None:
    query = Query(
        asked_query.model,
        asked_query.level,
        keys=(),
        returned=asked_query.returned,
        character_sets=asked,
        asks_retrieve_ae_title=asked_query.asks_retrieve_ae_title,
        asks_instance_availability=asked_query.asks_instance_availability,
    )
    counts = {a.keyword: "12" for a in query.returned if a.source is Source.COMPUTED and not a.multi_valued}
    values = counts | record
    row = (*(values.get(a.keyword) for a in query.returned), "\\".join(stored) or None)
    dataset = read(answer(query, row, syntax), syntax)
    steering = {SPECIFIC_CHARACTER_SET, QUERY_RETRIEVE_LEVEL, RETRIEVE_AE_TITLE, INSTANCE_AVAILABILITY}
    assert {int(element.tag) for element in dataset.values()} - steering == {a.tag for a in query.returned}
    assert dataset.QueryRetrieveLevel == query.level.name
    for attribute in query.returned:
        check(dataset, attribute, values.get(attribute.keyword, ""))


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_unsupported_keys_come_back_empty_for_peers_that_want_them(syntax: str) -> None:
    """The peer quirk `return_unknown_keys`: sequences, long VRs and private tags too, in tag order."""
    procedure_code_sequence, selector_ut_value, private = 0x00081032, 0x0072006E, 0x00091002
    query = query_of("StudyInstanceUID")
    query = replace(query, unsupported=(private, procedure_code_sequence, selector_ut_value))
    settings = {"transfer_syntax_uid": syntax, "retrieve_ae_title": "PACSNODE"}
    row = ("1.2.3", None)

    returned = read(ResponseEncoder(query, **settings, returns_unknown_keys=True).encode(row), syntax)
    assert len(returned[procedure_code_sequence].value) == 0
    assert returned[selector_ut_value].is_empty
    assert returned[private].is_empty

    plain = read(ResponseEncoder(query, **settings).encode(row), syntax)
    assert {procedure_code_sequence, selector_ut_value, private}.isdisjoint(plain.keys())


def test_an_answer_names_the_zone_of_its_times() -> None:
    """PS3.4 C.4.1.1.3.2."""
    row = ("20200115", None)
    for timezone, said in ((60, "+0100"), (-210, "-0330")):
        dataset = read(answer(replace(query_of("StudyDate"), timezone=timezone), row))
        assert dataset.TimezoneOffsetFromUTC == said
    assert "TimezoneOffsetFromUTC" not in read(answer(query_of("StudyDate"), row))
    birth = replace(query_of("PatientBirthDate"), timezone=60)
    assert "TimezoneOffsetFromUTC" not in read(answer(birth, row)), "it is not adjusted"
