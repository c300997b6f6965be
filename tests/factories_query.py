"""Stored records and queries as Hypothesis strategies.

The values come from small pools full of what goes wrong (`% _ [ ] * ? ' " \\`, names in several scripts,
dates that are none), so that queries hit, nearly hit and miss. Nearly all records have the attributes in
`HOT`, and half of the keys are about those; most others are among `FOCUS`, some of each level and for each
rule. `records()` are plain keyword -> text mappings, what the header scan would give; `queries()` are in the
form that `identifier.parse` gives, so that `factories_identifier.understood(query)` is the query.
"""

import json
from dataclasses import fields, replace
from functools import lru_cache

from hypothesis import strategies as st

from pacsnode.dicom import charset, names, temporal
from pacsnode.dicom.attributes import (
    ATTRIBUTES,
    BY_KEYWORD,
    TIME_OF,
    UNIQUE_KEY,
    Attribute,
    KeyType,
    Level,
    Source,
)
from pacsnode.dicom.keys import CASE_VRS, EMPTY_VRS
from pacsnode.dicom.query import (
    BASELINE,
    AllOf,
    AnyOf,
    Empty,
    InformationModel,
    Items,
    Key,
    Matching,
    Moments,
    Options,
    Query,
    Range,
    SingleValue,
    ValueList,
    Wildcard,
    Words,
)
from pacsnode.dicom.visibility import DEPARTMENT, INSTITUTION, ISSUER, Trait, View, Visibility, both
from tests.factories_identifier import EXPLICIT_LITTLE, IMPLICIT_LITTLE, UNKNOWN_IN_ITEM, as_text

WILDCARD_VRS = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
ALL_OF_VRS = frozenset({"AE", "AS", "AT", "CS", "LO", "PN", "SH", "UC"})
_TEXT_VRS = frozenset({"LT", "ST", "UR", "UT"})

# A private element, and attributes that no index column holds.
_UNKNOWN_TAGS = (0x00091001, 0x00180050, UNKNOWN_IN_ITEM)

# Some of each level and VR, one value and several, computed lists, sequences with sequences, dates with times.
FOCUS = tuple(
    BY_KEYWORD[keyword]
    for keyword in (
        "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientBirthTime", "PatientSex",
        "OtherPatientIDs", "OtherPatientNames", "PatientComments", "IssuerOfPatientIDQualifiersSequence",
        "OtherPatientIDsSequence", "StrainDescription", "StrainAdditionalInformation",
        "StudyDate", "StudyTime", "AccessionNumber", "ModalitiesInStudy", "SOPClassesInStudy",
        "ReferringPhysicianName", "StudyDescription", "PhysiciansOfRecord", "PatientAge", "PatientWeight",
        "PregnancyStatus", "StudyInstanceUID", "OtherStudyNumbers", "ReferringPhysicianIdentificationSequence",
        "ProcedureCodeSequence",
        "SeriesDate", "SeriesTime", "Modality", "InstitutionName", "InstitutionAddress", "SeriesInstanceUID",
        "SeriesNumber", "SeriesType", "RequestAttributesSequence", "AnatomicRegionSequence",
        "SOPClassUID", "SOPInstanceUID", "ContentDate", "ContentTime", "AcquisitionDateTime", "InstanceNumber",
        "ImageType", "ImagePositionPatient", "AvailableTransferSyntaxUID", "Rows", "VerifyingObserverSequence",
    )
)  # fmt: skip
HOT = tuple(
    BY_KEYWORD[keyword]
    for keyword in (
        "PatientName", "OtherPatientIDs", "StudyDate", "StudyTime", "ModalitiesInStudy", "PhysiciansOfRecord",
        "StudyDescription", "ProcedureCodeSequence", "SeriesDate", "SeriesTime", "Modality", "SeriesType",
        "RequestAttributesSequence", "InstanceNumber", "ImageType", "AcquisitionDateTime",
    )
)  # fmt: skip
OPTIONS = tuple(field.name for field in fields(Options))
ZONES = ("+0000", "+0100", "-0500", "+0530", "+1400")
_BAD_ZONES = ("0100", "+1500", "EST")

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
_DATE_TIMES = (
    "20200115",
    "2020",
    "202001",
    "20200115103000",
    "20200115103000.25",
    "20200115103000+0100",
    "20200115093000-0100",
    "20200115103000.250000+0000",
    "2020011510+0530",
    "20200114235959.999999",
    "20200116-0500",
)
_BAD_DATE_TIMES = ("20200230", "2020011525", "20200115103000+1500", "UNKNOWN", "20200115 103000")
_INTEGERS = ("0", "1", "2", "10", "01", "+1", "-1", "100", "512", "16")
_DECIMALS = ("1.5", "1.50", "1.5e0", "70", "70.0", "0.1", "-0.5", "1")
_BAD_NUMBERS = ("one", "1A", "-")
_UNSIGNED = ("0", "1", "8", "16", "512", "513", "65535")
_AGES = ("045Y", "45Y", "003W", "010M")
_LOCATIONS = ("urn:oid:1.2.3", "URN:OID:1.2.3", "http://example.com/a?b=1", "http://example.com/a%20b", "a_b")
_CLASSES = ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.88.11")
_SYNTAXES = (IMPLICIT_LITTLE, EXPLICIT_LITTLE, "1.2.840.10008.1.2.4.70")
_STUDIES = tuple(f"1.2.826.7.{study}" for study in range(1, 4))
_SERIES = tuple(f"{study}.{series}" for study in _STUDIES for series in (1, 2))
_INSTANCES = tuple(f"{series}.{instance}" for series in _SERIES for instance in (1, 20))

_POOLS = {
    "PN": _NAMES, "LT": _LONG_TEXTS, "CS": _CODES, "DA": _DATES, "TM": _TIMES, "IS": _INTEGERS,
    "DS": _DECIMALS, "US": _UNSIGNED, "AS": _AGES, "DT": _DATE_TIMES, "ST": _LONG_TEXTS, "UT": _LONG_TEXTS,
    "UI": ("1.2.3", "1.2.4", "1.2.840.10008.1.1"), "UR": _LOCATIONS,
}  # fmt: skip
_BAD_POOLS = {
    "DA": _BAD_DATES, "TM": _BAD_TIMES, "IS": _BAD_NUMBERS, "DS": _BAD_NUMBERS, "DT": _BAD_DATE_TIMES,
}  # fmt: skip
_KEYWORD_POOLS = {
    "PatientName": (
        "DOE^JOHN", "Doe^John", "MÜLLER^JÜRGEN", "Muller^Jurgen", "YAMADA^TARO=山田^太郎=やまだ^たろう", "O'BRIEN^PAT",
    ),
    "OtherPatientIDs": ("A1", "a1", "B%", "B2"),
    "PhysiciansOfRecord": ("ADAMS^AMY", "Adams^Amy", "BAKER^BOB^^DR", "Baker^Bob"),
    "StudyDescription": ("CT HEAD", "ct head", "100%", "a_b", "Größe"),
    "Modality": ("CT", "MR", "SR", "C*"),
    "ModalitiesInStudy": ("CT", "MR", "SR"),
    "ImageType": ("ORIGINAL", "DERIVED", "PRIMARY", "AXIAL"),
    "CodeValue": ("T-D1100", "t-d1100", "69536005"),
    "CodingSchemeDesignator": ("SRT", "SCT"),
    "StudyInstanceUID": _STUDIES,
    "SeriesInstanceUID": _SERIES,
    "SOPInstanceUID": _INSTANCES,
    "SOPClassUID": _CLASSES,
    "SOPClassesInStudy": _CLASSES,
    "AvailableTransferSyntaxUID": _SYNTAXES,
    "PatientID": ("P1", "p1", "P2", "P%", "P_", "0001", "1", "P*", "Ä1", "P 1"),
    "IssuerOfPatientID": ("HOSPITAL A", "HOSPITAL B", "H%"),
}  # fmt: skip

SENDERS = ("CT1", "MR 2", "*", "?'")

_HARD_ALPHABET = "aAbB1 %_[]*?'\"-.éÉßжЖ山\u0301"


def _normal(text: str, vr: str) -> str:
    """Return the text as it is without insignificant spaces (PS3.5 6.2), and names without `=` at the end.

    Text that is not folded is composed (NFC), stored and asked for.
    """
    if vr == "PN":
        return text.strip(" ").rstrip("= ")  # pydicom writes no empty component group at the end
    text = charset.normalized(text)
    return text.rstrip(" ") if vr in ("LT", "ST", "UT") else text.strip(" ")


def _free_text(vr: str) -> st.SearchStrategy[str]:
    """Return short texts of the characters that patterns, SQL and folding get wrong."""
    alphabet = _HARD_ALPHABET + {"PN": "^= ", "LT": "\\\n", "UT": "\\\n"}.get(vr, "")
    if vr in ("AE", "CS", "UR"):
        alphabet = "".join(filter(str.isascii, alphabet))
    return st.text(alphabet, min_size=1, max_size=6).map(lambda text: _normal(text, vr)).filter(bool)


def pool(attribute: Attribute) -> tuple[str, ...]:
    """Return the valid values that records and queries of this attribute share."""
    return _KEYWORD_POOLS.get(attribute.keyword) or _POOLS.get(attribute.vr, _TEXTS)


@lru_cache(maxsize=1024)
def stored_values(attribute: Attribute) -> st.SearchStrategy[str]:
    """Return what a header may hold for the attribute: mostly valid, sometimes garbage, never empty."""
    if attribute.vr == "SQ":
        return st.lists(_stored_items(attribute), min_size=1, max_size=2).map(_as_json)
    one = st.sampled_from(pool(attribute) + _BAD_POOLS.get(attribute.vr, ()))
    if attribute.vr in WILDCARD_VRS - {"CS"} and attribute.keyword not in _KEYWORD_POOLS:
        one |= _free_text(attribute.vr)
    if not attribute.multi_valued:
        return one
    return st.lists(one, min_size=1, max_size=4, unique=True).map("\\".join)


def _as_json(items: list[dict[str, object]]) -> str:
    return json.dumps(items, ensure_ascii=False, separators=(",", ":"))


@lru_cache(maxsize=1024)
@st.composite
def _stored_items(draw: st.DrawFn, sequence: Attribute) -> dict[str, object]:
    """Return an item with some of the attributes that it may have, of its first four mostly."""
    some = st.sampled_from(sequence.items[:4]) | st.sampled_from(sequence.items)
    item: dict[str, object] = {}
    for attribute in draw(st.lists(some, min_size=2, max_size=4, unique=True)):
        value = draw(stored_values(attribute))
        item[attribute.keyword] = json.loads(value) if attribute.vr == "SQ" else value
    return item


@lru_cache(maxsize=64)
def _some(attributes: tuple[Attribute, ...], *, max_size: int) -> st.SearchStrategy[list[Attribute]]:
    """Return different ones of these attributes, mostly those that are hot or in focus."""
    given = set(attributes)
    one = st.sampled_from([one for one in FOCUS if one in given]) | st.sampled_from(attributes)
    hot = [one for one in HOT if one in given]
    return st.lists(st.sampled_from(hot) | one if hot else one, max_size=max_size, unique=True)


_OPTIONAL_OR_COMPUTED = tuple(
    attribute
    for attribute in ATTRIBUTES
    if attribute.key_type is not KeyType.UNIQUE
    and (attribute.source is Source.STORED or attribute.multi_valued)
)
_OPTIONAL = tuple(attribute for attribute in _OPTIONAL_OR_COMPUTED if attribute.source is Source.STORED)


@st.composite
def records(draw: st.DrawFn, *, computed: bool = False) -> dict[str, str]:
    """Return one instance with the attributes of all its levels; the unique keys of images are there.

    With `computed`, the lists that the index computes (Modalities in Study, ...) are drawn too, counts never.
    """
    optional = _OPTIONAL_OR_COMPUTED if computed else _OPTIONAL
    left_out = draw(st.lists(st.sampled_from(HOT), max_size=4))
    hot = (one for one in HOT if one not in left_out and (computed or one.source is Source.STORED))
    chosen = dict.fromkeys((*hot, *draw(_some(optional, max_size=12))))
    record = {attribute.keyword: draw(stored_values(attribute)) for attribute in chosen}
    sop_instance_uid = draw(st.sampled_from(_INSTANCES))
    record["SOPInstanceUID"] = sop_instance_uid
    record["SeriesInstanceUID"] = sop_instance_uid.rpartition(".")[0]
    record["StudyInstanceUID"] = record["SeriesInstanceUID"].rpartition(".")[0]
    record["SOPClassUID"] = draw(st.sampled_from(_CLASSES))
    if draw(st.integers(0, 4)):
        record["PatientID"] = draw(stored_values(BY_KEYWORD["PatientID"]))
    if draw(st.booleans()):
        record["TimezoneOffsetFromUTC"] = draw(st.sampled_from(ZONES + _BAD_ZONES))
    return record


def can_be_key(attribute: Attribute) -> bool:
    """Return whether the attribute is matched at all: counts are only returned."""
    return attribute.source is Source.STORED or attribute.multi_valued


@st.composite
def matchings(draw: st.DrawFn, attribute: Attribute, options: Options = BASELINE) -> Matching:
    """Return a condition in the form that `identifier.parse` gives."""
    if attribute.vr == "SQ":
        return draw(item_keys(attribute, options))
    often = 1 if options.multiple_value and attribute.multi_valued else 3
    if draw(st.integers(0, often)) == 0 and attribute.vr not in _TEXT_VRS:
        return draw(_several(attribute, options))
    if options.empty_value and attribute.vr in EMPTY_VRS and draw(st.integers(0, 3)) == 0:
        return Empty()
    return draw(_one(attribute, options))


@lru_cache(maxsize=1024)
@st.composite
def _one(draw: st.DrawFn, attribute: Attribute, options: Options) -> Matching:
    """Return what one value asks for."""
    if attribute.vr == "DA":
        return draw(st.sampled_from(_DATES).map(SingleValue) | ranges(_DATES))
    if attribute.vr == "TM":
        return draw(st.sampled_from(_TIMES).map(lambda time: Range(time, time)) | ranges(_TIMES))
    if attribute.vr == "DT":
        return draw(date_times())
    if attribute.vr == "PN" and options.fuzzy_names:
        return draw(words(attribute))
    if attribute.vr in WILDCARD_VRS and draw(st.booleans()):
        return draw(wildcards(attribute))
    values = st.sampled_from(pool(attribute)).filter(lambda text: not set(text) & set("*?"))
    if attribute.vr not in _TEXT_VRS:
        values = values.filter(lambda text: "\\" not in text)
    return SingleValue(draw(values))


@st.composite
def _several(draw: st.DrawFn, attribute: Attribute, options: Options) -> Matching:
    """Return what several values ask for."""
    one = _one(attribute, options)
    is_all = options.multiple_value and attribute.multi_valued and attribute.vr in ALL_OF_VRS
    if options.empty_value and attribute.vr in EMPTY_VRS:
        one |= st.just(Empty())
    if is_all or attribute.vr == "UI":
        one = one.filter(lambda matching: not _has_wildcards(matching))
    found = draw(st.lists(one, min_size=2, max_size=3, unique=True))
    if is_all:
        return AllOf(tuple(found))
    values = [matching.value for matching in found if isinstance(matching, SingleValue)]
    return ValueList(tuple(values)) if len(values) == len(found) else AnyOf(tuple(found))


def _has_wildcards(matching: Matching) -> bool:
    return bool(set(as_text(matching)) & set("*?"))


@st.composite
def item_keys(draw: st.DrawFn, sequence: Attribute, options: Options = BASELINE) -> Items:
    """Return keys for the item of a sequence, for its first four attributes mostly."""
    some = st.sampled_from(sequence.items[:4]) | st.sampled_from(sequence.items)
    asked = draw(st.lists(some, min_size=1, max_size=2, unique=True))
    keys = [Key(attribute, draw(matchings(attribute, options))) for attribute in asked]
    return Items(tuple(sorted(keys, key=lambda key: key.attribute.tag)))


@st.composite
def words(draw: st.DrawFn, attribute: Attribute) -> Words:
    """Return beginnings of words of names, some with wildcards."""
    found = list(names.asked_words(draw(st.sampled_from(pool(attribute)))))
    for at, word in enumerate(found):
        found[at] = draw(st.sampled_from((word, word[:2], f"?{word[1:]}", f"*{word[-1:]}")))
    some = draw(st.lists(st.sampled_from(found or ["a"]), min_size=1, max_size=3))
    return Words(names.asked_words(" ".join(some)) or ("a",))


@st.composite
def date_times(draw: st.DrawFn) -> Range:
    """Return a range of moments in UTC, as a single DT, with one end or with both."""
    first, last = sorted(
        (moment - (offset or 0) * temporal.MINUTE, end - (offset or 0) * temporal.MINUTE)
        for moment, end, offset in map(
            _span, (draw(st.sampled_from(_DATE_TIMES)), draw(st.sampled_from(_DATE_TIMES)))
        )
    )
    low, high = temporal.stamp(first[0]), temporal.stamp(max(first[1], last[1]))
    return draw(st.sampled_from((Range(low, high), Range(low, None), Range(None, high))))


def _span(text: str) -> tuple[int, int, int | None]:
    span = temporal.span(text)
    assert span is not None
    return span


def _is_ordered(low: str, high: str) -> bool:
    first, last = (temporal.instants(end) or (int(end), int(end)) for end in (low, high))
    return first[0] <= last[1]


@st.composite
def ranges(draw: st.DrawFn, ends: tuple[str, ...]) -> Range:
    """Return a range of dates or of times, with one end or both."""
    low, high = draw(st.sampled_from(ends)), draw(st.sampled_from(ends))
    if not _is_ordered(low, high):
        low, high = high, low
    return draw(st.sampled_from((Range(low, high), Range(low, None), Range(None, high))))


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
    folded = charset.folded_pattern(pattern).split("=")
    is_universal = all(names.patterns(group)[-1] in ("", "*") for group in folded)
    if is_universal or not set(pattern) & set("*?"):
        pattern = f"?{pattern}"
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


@lru_cache(maxsize=4)
def _down_to(level: Level) -> tuple[Attribute, ...]:
    return tuple(attribute for attribute in ATTRIBUTES if attribute.level <= level)


@st.composite
def queries(
    draw: st.DrawFn, model: InformationModel | None = None, level: Level | None = None, *, max_keys: int = 4
) -> Query:
    """Return a query with up to `max_keys` conditions, unique keys above the level given or not."""
    model = model or draw(st.sampled_from(InformationModel))
    top = Level.PATIENT if model is InformationModel.PATIENT_ROOT else Level.STUDY
    level = draw(st.sampled_from([one for one in Level if one >= top])) if level is None else level
    options = draw(st.just(BASELINE) | negotiated())
    match_case = draw(st.sampled_from((True, True, True, False)))
    timezone = (
        draw(st.none() | st.sampled_from(ZONES).map(temporal.offset)) if options.timezone_adjustment else None
    )
    known = _down_to(level)
    eligible = tuple(attribute for attribute in known if can_be_key(attribute))
    asked = draw(_some(eligible, max_size=max_keys))
    keys = {attribute: draw(matchings(attribute, options)) for attribute in asked}
    if options.combined_date_time and draw(st.booleans()):
        date = draw(st.sampled_from([one for one in TIME_OF if one.level <= level and one in FOCUS]))
        keys |= draw(date_and_time_ranges(date))
        asked = [*keys]
    if options.combined_date_time:
        asked += combine(keys)
    also = draw(_some(known, max_size=6))
    unique = unique_keys(model, level)
    returned = {attribute.tag: attribute for attribute in (*asked, *also, *unique)}
    unsupported_items = []
    for attribute in [one for one in returned.values() if one.vr == "SQ"]:
        returned[attribute.tag] = draw(asked_items(attribute, keys.get(attribute)))
        if returned[attribute.tag] != attribute and draw(st.integers(0, 3)) == 0:
            unsupported_items.append(attribute.tag)
    single = {attribute for attribute, matching in keys.items() if isinstance(matching, SingleValue)}
    unsupported = draw(st.lists(st.sampled_from(_UNKNOWN_TAGS), unique=True, max_size=2))
    return Query(
        model=model,
        level=level,
        keys=tuple(
            with_case(Key(attribute, matching), match_case=match_case)
            for attribute, matching in sorted(keys.items(), key=lambda pair: pair[0].tag)
        ),
        returned=tuple(attribute for _, attribute in sorted(returned.items())),
        unsupported=tuple(sorted(unsupported)),
        unsupported_items=tuple(sorted(unsupported_items)),
        character_sets=("ISO_IR 192",),
        asks_retrieve_ae_title=draw(st.booleans()),
        asks_instance_availability=draw(st.booleans()),
        is_relational=any(attribute not in single for attribute in unique[:-1]),
        options=options,
        timezone=timezone,
    )


def negotiated() -> st.SearchStrategy[Options]:
    """Return any combination of options."""
    return st.builds(Options, **{name: st.booleans() for name in OPTIONS})


def with_case(key: Key, *, match_case: bool) -> Key:
    """Return a key, and those in its item, as they are with or without regard to case."""
    matching = key.matching
    if isinstance(matching, Items):
        matching = Items(tuple(with_case(one, match_case=match_case) for one in matching.keys))
    return Key(key.attribute, matching, match_case or key.attribute.vr not in CASE_VRS)


@st.composite
def date_and_time_ranges(draw: st.DrawFn, date: Attribute) -> dict[Attribute, Matching]:
    """Return ranges of a date and its time in the same form."""
    days, hours = draw(ranges(_DATES)), draw(ranges(_TIMES))
    hour = hours.low or hours.high
    return {
        date: days,
        TIME_OF[date]: Range(days.low and (hours.low or hour), days.high and (hours.high or hour)),
    }


def combine(keys: dict[Attribute, Matching]) -> list[Attribute]:
    """Make one condition of dates and times with ranges of the same form; return the times."""
    times = []
    for date, time in TIME_OF.items():
        days, hours = keys.get(date), keys.get(time)
        if not (isinstance(days, Range) and isinstance(hours, Range)):
            continue
        if (days.low is None, days.high is None) != (hours.low is None, hours.high is None):
            continue
        low, high = (
            f"{day}{temporal.stamp(temporal.DAY + (temporal.instants(hour) or (0, 0))[at])[8:]}"
            if day and hour
            else None
            for at, (day, hour) in enumerate(((days.low, hours.low), (days.high, hours.high)))
        )
        del keys[time]
        keys[date] = Moments(low, high) if not (low and high and low > high) else Moments(high, low)
        times.append(time)
    return times


@st.composite
def asked_items(draw: st.DrawFn, sequence: Attribute, matching: Matching | None) -> Attribute:
    """Return a sequence with the attributes of its items that are asked for; all, if nothing is."""
    conditions = {key.attribute: key.matching for key in matching.keys} if isinstance(matching, Items) else {}
    also = draw(st.lists(st.sampled_from(sequence.items), max_size=2, unique=True))
    asked = sorted({*conditions, *also}, key=lambda attribute: attribute.tag)
    if not asked:
        return sequence
    return replace(
        sequence,
        items=tuple(draw(asked_items(one, conditions.get(one))) if one.vr == "SQ" else one for one in asked),
    )
