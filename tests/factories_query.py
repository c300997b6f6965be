"""Stored records and queries as Hypothesis strategies, and the encoder of a `Query` as an Identifier.

The values come from small pools full of what goes wrong (`% _ [ ] * ? ' " \\`, names in several scripts,
dates that are none), so that queries hit, nearly hit and miss. `records()` are plain keyword -> text
mappings, what the header scan would give; `queries()` are in the form that `identifier.parse` gives, so that
`parse(encode_query(query)) == query`.
"""

from hypothesis import strategies as st
from pydicom import config
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import UID

from pacsnode.dicom import charset
from pacsnode.dicom.attributes import (
    ATTRIBUTES,
    BY_KEYWORD,
    BY_TAG,
    INSTANCE_AVAILABILITY,
    QUERY_RETRIEVE_LEVEL,
    RETRIEVE_AE_TITLE,
    SPECIFIC_CHARACTER_SET,
    UNIQUE_KEY,
    Attribute,
    KeyType,
    Level,
    Source,
)
from pacsnode.dicom.query import (
    InformationModel,
    Key,
    Matching,
    Query,
    Range,
    SingleValue,
    ValueList,
    Wildcard,
)
from pacsnode.dicom.visibility import DEPARTMENT, INSTITUTION, ISSUER, Trait, View, Visibility, both

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"

WILDCARD_VRS = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
LIST_VRS = frozenset({"AE", "CS", "LO", "SH", "UI"})

# A sequence, a private element, and an attribute that no index column holds.
_UNKNOWN_TAGS = (0x00091001, 0x00400275, 0x00180050)

_NAMES = (
    "DOE^JOHN", "Doe^John", "DOE", "DOE^JOHN^^DR", "DOE^JANE", "O'BRIEN^PAT", 'QUO"TE^A', "100%^SURE",
    "UNDER_SCORE^B", "A[B]C^D", "STAR*^Q?", "MÜLLER^JÜRGEN", "Muller^Jurgen", "Straße^Æsa", "ИВАНОВ^ИВАН",
    "ΣΊΣΥΦΟΣ", "YAMADA^TARO=山田^太郎=やまだ^たろう", "=山田^太郎", "山田^太郎", "김^희중", "A=B", "A",
)  # fmt: skip
_TEXTS = (
    "CT HEAD", "ct head", "CT", "HEAD", "100%", "a_b", "a b", "A[1]", "A1", "[", "]", "'", '"',
    "x' OR '1'='1", "*", "?", "a*b", "a?b", "axb", "Größe", "GRÖSSE", "größe", "頭部", "0", "00", "1",
    "-", "%", "_", "A-B", "line one", "tab\tbed",
)  # fmt: skip
_LONG_TEXTS = (*_TEXTS, "a\\b", "\\", "first\r\nsecond", "  indented")
_CODES = ("CT", "MR", "CR", "PT", "SR", "M", "F", "O", "HEAD", "R", "L", "A_B", "C*", "100%")
_DATES = ("20200114", "20200115", "20200116", "20200201", "20191231", "20200229", "19991231", "19000101")
_BAD_DATES = ("20200230", "20201301", "00000000", "2020", "2020011", "UNKNOWN", "99999999", "202001150")
_TIMES = (
    "10", "1030", "103000", "103000.25", "103000.250000", "103000.250001", "103059", "103059.999999", "1031",
    "000000", "00", "235959.999999", "23", "105959", "105959.999999", "11", "110000",
)  # fmt: skip
_BAD_TIMES = ("25", "1060", "1", "103", "UNKNOWN", "103000.", "10:30", "99")
_INTEGERS = ("0", "1", "2", "10", "01", "+1", "-1", "100", "512", "16")
_DECIMALS = ("1.5", "1.50", "1.5e0", "70", "70.0", "0.1", "-0.5", "1")
_BAD_NUMBERS = ("one", "1A", "-")
_UNSIGNED = ("0", "1", "8", "16", "512", "513", "65535")
_AGES = ("045Y", "45Y", "003W", "010M")
_CLASSES = ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.88.11")
_SYNTAXES = (IMPLICIT_LITTLE, EXPLICIT_LITTLE, "1.2.840.10008.1.2.4.70")
_STUDIES = tuple(f"1.2.826.7.{study}" for study in range(1, 4))
_SERIES = tuple(f"{study}.{series}" for study in _STUDIES for series in (1, 2))
_INSTANCES = tuple(f"{series}.{instance}" for series in _SERIES for instance in (1, 20))

_POOLS = {
    "PN": _NAMES, "LT": _LONG_TEXTS, "CS": _CODES, "DA": _DATES, "TM": _TIMES, "IS": _INTEGERS,
    "DS": _DECIMALS, "US": _UNSIGNED, "AS": _AGES,
}  # fmt: skip
_BAD_POOLS = {"DA": _BAD_DATES, "TM": _BAD_TIMES, "IS": _BAD_NUMBERS, "DS": _BAD_NUMBERS}
_KEYWORD_POOLS = {
    "StudyInstanceUID": _STUDIES,
    "SeriesInstanceUID": _SERIES,
    "SOPInstanceUID": _INSTANCES,
    "SOPClassUID": _CLASSES,
    "SOPClassesInStudy": _CLASSES,
    "AvailableTransferSyntaxUID": _SYNTAXES,
    "PatientID": ("P1", "p1", "P2", "P%", "P_", "0001", "1", "P*", "Ä1", "P 1"),
    "IssuerOfPatientID": ("HOSPITAL A", "HOSPITAL B", "H%"),
}

SENDERS = ("CT1", "MR 2", "*", "?'")

_HARD_ALPHABET = "aAbB1 %_[]*?'\"-.éÉßжЖ山\u0301"


def _normal(text: str, vr: str) -> str:
    """Return the text as it is without insignificant spaces (PS3.5 6.2), and names without `=` at the end."""
    if vr == "PN":
        return text.strip(" ").rstrip("= ")  # pydicom writes no empty component group at the end
    return text.rstrip(" ") if vr in ("LT", "ST", "UT") else text.strip(" ")


def _free_text(vr: str) -> st.SearchStrategy[str]:
    """Return short texts of the characters that patterns, SQL and folding get wrong."""
    alphabet = _HARD_ALPHABET + {"PN": "^=", "LT": "\\\n"}.get(vr, "")
    if vr in ("AE", "CS"):
        alphabet = "".join(filter(str.isascii, alphabet))
    return st.text(alphabet, min_size=1, max_size=6).map(lambda text: _normal(text, vr)).filter(bool)


def pool(attribute: Attribute) -> tuple[str, ...]:
    """Return the valid values that records and queries of this attribute share."""
    return _KEYWORD_POOLS.get(attribute.keyword) or _POOLS.get(attribute.vr, _TEXTS)


def stored_values(attribute: Attribute) -> st.SearchStrategy[str]:
    """Return what a header may hold for the attribute: mostly valid, sometimes garbage, never empty."""
    one = st.sampled_from(pool(attribute) + _BAD_POOLS.get(attribute.vr, ()))
    if attribute.vr in WILDCARD_VRS - {"CS"} and attribute.keyword not in _KEYWORD_POOLS:
        one |= _free_text(attribute.vr)
    if not attribute.multi_valued:
        return one
    return st.lists(one, min_size=1, max_size=3, unique=True).map("\\".join)


@st.composite
def records(draw: st.DrawFn, *, computed: bool = False) -> dict[str, str]:
    """Return one instance with the attributes of all its levels; the unique keys of images are there.

    With `computed`, the lists that the index computes (Modalities in Study, ...) are drawn too, counts never.
    """
    record = {}
    for attribute in ATTRIBUTES:
        wanted = attribute.source is Source.STORED or (computed and attribute.multi_valued)
        if wanted and attribute.key_type is not KeyType.UNIQUE and draw(st.booleans()):
            record[attribute.keyword] = draw(stored_values(attribute))
    sop_instance_uid = draw(st.sampled_from(_INSTANCES))
    record["SOPInstanceUID"] = sop_instance_uid
    record["SeriesInstanceUID"] = sop_instance_uid.rpartition(".")[0]
    record["StudyInstanceUID"] = record["SeriesInstanceUID"].rpartition(".")[0]
    record["SOPClassUID"] = draw(st.sampled_from(_CLASSES))
    if draw(st.integers(0, 4)):
        record["PatientID"] = draw(stored_values(BY_KEYWORD["PatientID"]))
    return record


def can_be_key(attribute: Attribute) -> bool:
    """Return whether the attribute is matched at all: counts are only returned."""
    return attribute.source is Source.STORED or attribute.multi_valued


@st.composite
def matchings(draw: st.DrawFn, attribute: Attribute) -> Matching:
    """Return a condition in the form that `identifier.parse` gives."""
    if attribute.vr == "DA":
        return draw(st.sampled_from(_DATES).map(SingleValue) | ranges(_DATES))
    if attribute.vr == "TM":
        return draw(st.sampled_from(_TIMES).map(lambda time: Range(time, time)) | ranges(_TIMES))
    values = st.sampled_from(pool(attribute)).filter(lambda text: not set(text) & set("*?"))
    if attribute.vr in LIST_VRS and draw(st.integers(0, 3)) == 0:
        several = draw(st.lists(values, min_size=2, max_size=3, unique=True))
        return ValueList(tuple(several))
    if attribute.vr in WILDCARD_VRS and draw(st.booleans()):
        return draw(wildcards(attribute))
    return SingleValue(draw(values))


@st.composite
def ranges(draw: st.DrawFn, ends: tuple[str, ...]) -> Range:
    """Return a range with one end or both, the low one not always below the high one."""
    low = draw(st.none() | st.sampled_from(ends))
    high = draw(st.sampled_from(ends) if low is None else st.none() | st.sampled_from(ends))
    return Range(low, high)


@st.composite
def wildcards(draw: st.DrawFn, attribute: Attribute) -> Wildcard:
    """Return a pattern made from a value: runs become `*`, characters become `?`, ends are added."""
    text = list(draw(st.sampled_from(pool(attribute)) | _free_text(attribute.vr)))
    for _ in range(draw(st.integers(1, 2))):
        start = draw(st.integers(0, len(text)))
        stop = draw(st.integers(start, min(len(text), start + 4)))
        text[start:stop] = draw(st.sampled_from(("*", "?", "?" * (stop - start))))
    if attribute.vr not in ("LT", "ST", "UT"):
        text = [char for char in text if char != "\\"]
    pattern = _normal("".join(text), attribute.vr)
    while "**" in pattern:
        pattern = pattern.replace("**", "*")
    if charset.folded_pattern(pattern) in ("", "*") or not set(pattern) & set("*?"):
        pattern += "?"
    return Wildcard(pattern)


def unique_keys(model: InformationModel, level: Level) -> list[Attribute]:
    """Return the unique keys of the level and those above it in the model."""
    top = Level.PATIENT if model is InformationModel.PATIENT_ROOT else Level.STUDY
    return [UNIQUE_KEY[one] for one in Level if top <= one <= level]


@st.composite
def traits(draw: st.DrawFn) -> Trait:
    """Return a trait whose values records share, miss, or match by a pattern."""
    attribute = draw(st.sampled_from((INSTITUTION, DEPARTMENT, ISSUER, None)))
    if attribute is None:
        return Trait(None, tuple(draw(st.lists(st.sampled_from(SENDERS), max_size=2, unique=True))))
    values = st.sampled_from(pool(attribute)) | wildcards(attribute).map(lambda one: one.pattern)
    return Trait(attribute, tuple(draw(st.lists(values, max_size=3))))


def visibilities() -> st.SearchStrategy[Visibility | None]:
    """Return what a requester sees: everything, nothing, or what suits one of some views."""
    views = st.lists(traits(), max_size=3).map(lambda several: View(tuple(several)))
    some = st.lists(views, max_size=2).map(tuple)
    return st.none() | some | st.builds(both, some, some)


@st.composite
def queries(
    draw: st.DrawFn, model: InformationModel | None = None, level: Level | None = None, *, max_keys: int = 4
) -> Query:
    """Return a query with up to `max_keys` conditions, unique keys above the level given or not."""
    model = model or draw(st.sampled_from(InformationModel))
    top = Level.PATIENT if model is InformationModel.PATIENT_ROOT else Level.STUDY
    level = draw(st.sampled_from([one for one in Level if one >= top])) if level is None else level
    known = [attribute for attribute in ATTRIBUTES if attribute.level <= level]
    eligible = [attribute for attribute in known if can_be_key(attribute)]
    asked = draw(st.lists(st.sampled_from(eligible), max_size=max_keys, unique=True))
    keys = [Key(attribute, draw(matchings(attribute))) for attribute in asked]
    also = draw(st.lists(st.sampled_from(known), max_size=8))
    unique = unique_keys(model, level)
    single = {key.attribute for key in keys if isinstance(key.matching, SingleValue)}
    unsupported = draw(st.lists(st.sampled_from(_UNKNOWN_TAGS), unique=True, max_size=2))
    return Query(
        model=model,
        level=level,
        keys=tuple(sorted(keys, key=lambda key: key.attribute.tag)),
        returned=tuple(sorted({*asked, *also, *unique}, key=lambda attribute: attribute.tag)),
        unsupported=tuple(sorted(unsupported)),
        character_sets=("ISO_IR 192",),
        asks_retrieve_ae_title=draw(st.booleans()),
        asks_instance_availability=draw(st.booleans()),
        is_relational=any(attribute not in single for attribute in unique[:-1]),
    )


def as_text(matching: Matching) -> str:
    """Return the value of the key in an Identifier (PS3.4 C.2.2.2)."""
    match matching:
        case SingleValue(value):
            return value
        case ValueList(values):
            return "\\".join(values)
        case Wildcard(pattern):
            return pattern
        case Range(low, high):
            return f"{low or ''}-{high or ''}"


def encode_query(query: Query, transfer_syntax_uid: str = EXPLICIT_LITTLE) -> bytes:
    """Return the Identifier that asks this query (not deflated)."""
    conditions = {key.attribute.tag: as_text(key.matching) for key in query.keys}
    values: dict[int, tuple[str, str | None]] = {
        SPECIFIC_CHARACTER_SET: ("CS", "\\".join(query.character_sets)),
        QUERY_RETRIEVE_LEVEL: ("CS", query.level.name),
    }
    for attribute in query.returned:
        values[attribute.tag] = (attribute.vr, conditions.get(attribute.tag))
    values |= {
        tag: ("SQ" if tag == 0x00400275 else "LO", None) for tag in query.unsupported if tag not in BY_TAG
    }
    if query.asks_retrieve_ae_title:
        values[RETRIEVE_AE_TITLE] = ("AE", None)
    if query.asks_instance_availability:
        values[INSTANCE_AVAILABILITY] = ("CS", None)
    return encode_identifier(values, transfer_syntax_uid)


def encode_identifier(
    values: dict[int, tuple[str, str | None]], transfer_syntax_uid: str = EXPLICIT_LITTLE
) -> bytes:
    """Return a data set of tag -> (VR, text) as pydicom writes it, without its judging the values."""
    dataset = Dataset()
    for tag, (vr, text) in sorted(values.items()):
        value: object = text
        if vr == "US" and text:
            value = [int(one) for one in text.split("\\")]
        elif vr == "SQ":
            value = []
        elif vr == "UI" and text:
            value = [UID(one, validation_mode=config.IGNORE) for one in text.split("\\")]
        dataset.add(DataElement(tag, vr, value, validation_mode=config.IGNORE))
    stream = DicomBytesIO()
    stream.is_implicit_VR = transfer_syntax_uid == IMPLICIT_LITTLE
    stream.is_little_endian = transfer_syntax_uid != EXPLICIT_BIG
    write_dataset(stream, dataset)
    return stream.getvalue()
