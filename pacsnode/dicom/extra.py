"""Attributes that an administrator adds to the index (`index.extra_tags`): from what was written to an `Attribute`.

An attribute is named by its keyword, by its tag (`0018,1000`, `(0018,1000)` or `00181000`), or, a private one, by
`GGGG,xxEE:CREATOR`: the block `xx` is another in each data set (PS3.5 7.8.1). Its level has to be said, unless it
is that of a module in PS3.3 that everybody has; its Value Representation, unless the dictionary knows it.
"""

import re

from pydicom.datadict import (
    dictionary_VM,
    dictionary_VR,
    keyword_for_tag,
    private_dictionary_VM,
    private_dictionary_VR,
    tag_for_keyword,
)

from pacsnode.dicom.attributes import (
    STANDARD,
    STEERING,
    Attribute,
    KeyType,
    Level,
)
from pacsnode.dicom.catalogue import SINGLE_VRS
from pacsnode.dicom.encoding import PIXEL_DATA_GROUP

EXPECTED = "a keyword, a tag GGGG,EEEE, or GGGG,xxEE:CREATOR for a private attribute"
VRS = (
    "AE",
    "AS",
    "CS",
    "DA",
    "DS",
    "DT",
    "IS",
    "LO",
    "LT",
    "PN",
    "SH",
    "ST",
    "TM",
    "UC",
    "UI",
    "UR",
    "US",
    "UT",
)

_TAG = re.compile(r"\(?([0-9A-Fa-f]{4}),?([0-9A-Fa-f]{4})\)?", re.ASCII)
# What stands in the way of JSON paths and of SQL is in no creator of a device.
_PRIVATE = re.compile(
    r"\(?([0-9A-Fa-f]{4}),xx([0-9A-Fa-f]{2})\)?:([^\x00-\x1f\x7f-\uffff\"'\\]{1,64})", re.ASCII
)

# PS3.3 C.7.1 Patient and Clinical Trial Subject; C.7.2 General Study, Patient Study, Clinical Trial Study, and the
# visit and request that C.3 puts beside them; C.7.3 and C.7.5 General Series, Clinical Trial Series, General Equipment,
# C.7.4 Frame of Reference. What the table of attributes has is not repeated.
_LEVELS = {
    Level.PATIENT: """InsurancePlanIdentification IssuerOfClinicalTrialProtocolID IssuerOfClinicalTrialSiteID
        IssuerOfClinicalTrialSubjectID IssuerOfClinicalTrialSubjectReadingID""",
    Level.STUDY: """AdmittingDate AdmittingTime ClinicalTrialTimePointDescription ClinicalTrialTimePointID
        ConsultingPhysicianName CurrentPatientLocation PatientInstitutionResidence ReasonForStudy
        ReferringPhysicianAddress ReferringPhysicianTelephoneNumbers RequestedContrastAgent
        RequestedProcedureComments RequestedProcedureID RequestedProcedurePriority StudyComments VisitComments
        VisitStatusID""",
    Level.SERIES: """AnatomicalOrientationType ClinicalTrialCoordinatingCenterName ClinicalTrialSeriesDescription
        ClinicalTrialSeriesID DateOfLastCalibration DateOfManufacture DeviceSerialNumber DeviceUID
        FrameOfReferenceUID GantryID PatientPosition PerformedLocation PerformedStationAETitle
        PerformedStationName PositionReferenceIndicator SmallestPixelValueInSeries LargestPixelValueInSeries
        SoftwareVersions SpatialResolution StationAETitle TimeOfLastCalibration TreatmentSessionUID""",
    Level.IMAGE: """InstanceCreatorUID DerivationDescription PatientOrientation QualityControlImage
        SliceLocation SliceThickness""",
}
_LEVEL_OF = {keyword: level for level, keywords in _LEVELS.items() for keyword in keywords.split()}
_IMAGE_GROUPS = (
    0x0018,
    0x0028,
)  # acquisition and pixels; what equipment and series have of the first is above


def attribute(tag: str, level: Level | None, vr: str | None) -> Attribute:
    """Return the attribute that was written so; raises `ValueError` with what is wrong and what is allowed."""
    if vr is not None and vr not in VRS:
        raise ValueError(f"{vr!r} is none of the value representations that can be added: {', '.join(VRS)}")
    if private := _PRIVATE.fullmatch(tag):
        return _private(int(private[1], 16), int(private[2], 16), private[3], level, vr)
    number = tag_for_keyword(tag) if tag else None
    if written := _TAG.fullmatch(tag):
        number = int(written[1] + written[2], 16)
    if number is None:
        raise ValueError(f"{tag!r} is not an attribute; expected {EXPECTED}")
    return _public(number, level, vr)


def _public(tag: int, level: Level | None, vr: str | None) -> Attribute:
    keyword = keyword_for_tag(tag) or written_tag(tag)
    _refuse_impossible(tag, keyword)
    known = STANDARD.by_tag.get(tag)
    if known is not None:
        raise ValueError(f"{keyword} is in the index without this, at level {known.level.name}")
    representation = _vr(keyword, _dictionary_vr(tag), vr)
    if level is None:
        level = _LEVEL_OF.get(keyword, Level.IMAGE if tag >> 16 in _IMAGE_GROUPS else None)
    if level is None:
        raise ValueError(f"{keyword} needs a level: patient, study, series or image")
    is_multi_valued = _is_multi_valued(representation, dictionary_VM(tag) if _dictionary_vr(tag) else "1-n")
    return Attribute(
        tag, keyword, representation, level, KeyType.OPTIONAL, multi_valued=is_multi_valued, is_extra=True
    )


def _private(group: int, element: int, creator: str, level: Level | None, vr: str | None) -> Attribute:
    keyword = f"{group:04X},xx{element:02X}:{creator}"
    if not group & 1 or not 0x0009 <= group < PIXEL_DATA_GROUP:
        raise ValueError(f"{keyword} is not private: expected an odd group from 0009 to 7FDF")
    if creator.strip() != creator:
        raise ValueError(f"{keyword!r}: expected a creator without spaces at its ends")
    if level is None:
        raise ValueError(f"{keyword} needs a level: patient, study, series or image")
    tag = group << 16 | element
    known = _private_entry(tag | 0x1000, creator)
    representation = _vr(keyword, known[0] if known else "", vr)
    return Attribute(
        tag,
        keyword,
        representation,
        level,
        KeyType.OPTIONAL,
        multi_valued=_is_multi_valued(representation, known[1] if known else "1-n"),
        creator=creator,
        is_extra=True,
    )


def _refuse_impossible(tag: int, keyword: str) -> None:
    group = tag >> 16
    if group & 1:
        raise ValueError(f"{keyword} is private: expected GGGG,xxEE:CREATOR")
    if group < 0x0008 or group >= PIXEL_DATA_GROUP or not tag & 0xFFFF:
        raise ValueError(f"{keyword} cannot be asked for: expected an attribute of the groups 0008 to 7FDE")
    if tag in STEERING:
        raise ValueError(f"{keyword} steers queries, it is never matched")


def _vr(keyword: str, known: str, said: str | None) -> str:
    """Return the value representation: that of the dictionary, or what was said where it has none or several."""
    if said is not None and known in ("", "UN", said):
        return said
    if said is not None and said in known.split(" or "):
        return said
    if not known or known == "UN":
        raise ValueError(f"{keyword} is not in the dictionary and needs a vr: {', '.join(VRS)}")
    if said is not None:
        raise ValueError(f"{keyword} has the value representation {known}, not {said}")
    if known not in VRS:
        raise ValueError(f"{keyword} has the value representation {known}; expected one of {', '.join(VRS)}")
    return known


def _is_multi_valued(vr: str, multiplicity: str) -> bool:
    return multiplicity != "1" and vr not in SINGLE_VRS


def _dictionary_vr(tag: int) -> str:
    try:
        return dictionary_VR(tag)
    except KeyError:
        return ""


def _private_entry(tag: int, creator: str) -> tuple[str, str] | None:
    try:
        return private_dictionary_VR(tag, creator), private_dictionary_VM(tag, creator)
    except KeyError:
        return None


def written_tag(tag: int) -> str:
    """Return a tag as people write it."""
    return f"{tag >> 16:04X},{tag & 0xFFFF:04X}"
