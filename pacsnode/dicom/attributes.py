"""The one table of the attributes that the index knows (PS3.4 C.6.1.1, C.6.2.1).

Level, key type, Value Representation and multiplicity stand here and nowhere else: the header scan, the index
columns, query parsing, matching and the encoding of answers are all derived from it. In the Study Root model the
patient's attributes belong to the STUDY level (PS3.4 C.6.2.1.2).

It has all Unique and Required keys, and of the Optional ones those that these archives keep between them:

- Orthanc 1.12: the default main DICOM tags of its four levels, which have its identifiers in them
  (`DicomMap.cpp`).
- dcm4chee-arc 5: the default attribute filters of patient, study, series and instance
  (`ArchiveDeviceFactory.java`), and what its `QueryBuilder` matches.
- DCMTK 3.6: the keys of dcmqrscp (`TbFindAttr` in `dcmqrdbi.cc`).

Of dcm4chee's filters these sequences are left out, since they are the content of an object and are never asked
for: functional groups, segments, quantity definitions, evidence and other references to instances, the
patient's photo, documents and trial participation. An attribute that these archives put on different levels is
on the level of its module in PS3.3: what may differ between the images of a series is on IMAGE level, so that
no image is answered with the value of another. The items of sequences are in `sequences`.
"""

from collections.abc import Mapping

from pacsnode.dicom import sequences
from pacsnode.dicom.catalogue import Attribute, Catalogue, KeyType, Level, Source

__all__ = [
    "ATTRIBUTES",
    "BY_KEYWORD",
    "INSTANCE_AVAILABILITY",
    "QUERY_RETRIEVE_LEVEL",
    "RETRIEVE_AE_TITLE",
    "SPECIFIC_CHARACTER_SET",
    "STANDARD",
    "STEERING",
    "TIMEZONE_OFFSET_FROM_UTC",
    "TIME_OF",
    "UNIQUE_KEY",
    "Attribute",
    "Catalogue",
    "KeyType",
    "Level",
    "Source",
]

_U, _R, _O = KeyType.UNIQUE, KeyType.REQUIRED, KeyType.OPTIONAL
_STORED, _COMPUTED, _CONSTANT = Source.STORED, Source.COMPUTED, Source.CONSTANT

_PATIENT = (
    (0x00100010, "PatientName", "PN", _R),
    (0x00100020, "PatientID", "LO", _U),
    (0x00100021, "IssuerOfPatientID", "LO", _O),
    (0x00100022, "TypeOfPatientID", "CS", _O),
    (
        0x00100024,
        "IssuerOfPatientIDQualifiersSequence",
        "SQ",
        _O,
        False,
        _STORED,
        sequences.ISSUER_QUALIFIERS,
    ),
    (0x00100030, "PatientBirthDate", "DA", _O),
    (0x00100032, "PatientBirthTime", "TM", _O),
    (0x00100033, "PatientBirthDateInAlternativeCalendar", "LO", _O),
    (0x00100034, "PatientDeathDateInAlternativeCalendar", "LO", _O),
    (0x00100035, "PatientAlternativeCalendar", "CS", _O),
    (0x00100040, "PatientSex", "CS", _O),
    (0x00100050, "PatientInsurancePlanCodeSequence", "SQ", _O, False, _STORED, sequences.CODE),
    (0x00100101, "PatientPrimaryLanguageCodeSequence", "SQ", _O, False, _STORED, sequences.CODE),
    (0x00100200, "QualityControlSubject", "CS", _O),
    (0x00100212, "StrainDescription", "UC", _O),
    (0x00100213, "StrainNomenclature", "LO", _O),
    (0x00100216, "StrainStockSequence", "SQ", _O, False, _STORED, sequences.STRAIN_STOCK),
    (0x00100218, "StrainAdditionalInformation", "UT", _O),
    (0x00100219, "StrainCodeSequence", "SQ", _O, False, _STORED, sequences.CODE),
    (0x00100229, "GeneticModificationsCodeSequence", "SQ", _O, False, _STORED, sequences.CODE),
    (0x00101000, "OtherPatientIDs", "LO", _O, True),
    (0x00101001, "OtherPatientNames", "PN", _O, True),
    (0x00101002, "OtherPatientIDsSequence", "SQ", _O, False, _STORED, sequences.OTHER_PATIENT_IDS),
    (0x00101005, "PatientBirthName", "PN", _O),
    (0x00101040, "PatientAddress", "LO", _O),
    (0x00101060, "PatientMotherBirthName", "PN", _O),
    (0x00101080, "MilitaryRank", "LO", _O),
    (0x00101081, "BranchOfService", "LO", _O),
    (0x00101090, "MedicalRecordLocator", "LO", _O),
    (0x00102150, "CountryOfResidence", "LO", _O),
    (0x00102152, "RegionOfResidence", "LO", _O),
    (0x00102154, "PatientTelephoneNumbers", "SH", _O, True),
    (0x00102155, "PatientTelecomInformation", "LT", _O),
    (0x00102160, "EthnicGroup", "SH", _O),
    (0x001021F0, "PatientReligiousPreference", "LO", _O),
    (0x00102201, "PatientSpeciesDescription", "LO", _O),
    (0x00102202, "PatientSpeciesCodeSequence", "SQ", _O, False, _STORED, sequences.CODE),
    (0x00102292, "PatientBreedDescription", "LO", _O),
    (0x00102293, "PatientBreedCodeSequence", "SQ", _O, False, _STORED, sequences.CODE),
    (0x00102294, "BreedRegistrationSequence", "SQ", _O, False, _STORED, sequences.BREED_REGISTRATION),
    (0x00102297, "ResponsiblePerson", "PN", _O),
    (0x00102298, "ResponsiblePersonRole", "CS", _O),
    (0x00102299, "ResponsibleOrganization", "LO", _O),
    (0x00104000, "PatientComments", "LT", _O),
    (0x00120010, "ClinicalTrialSponsorName", "LO", _O),
    (0x00120020, "ClinicalTrialProtocolID", "LO", _O),
    (0x00120021, "ClinicalTrialProtocolName", "LO", _O),
    (0x00120030, "ClinicalTrialSiteID", "LO", _O),
    (0x00120031, "ClinicalTrialSiteName", "LO", _O),
    (0x00120040, "ClinicalTrialSubjectID", "LO", _O),
    (0x00120042, "ClinicalTrialSubjectReadingID", "LO", _O),
    (0x00120062, "PatientIdentityRemoved", "CS", _O),
    (0x00120063, "DeidentificationMethod", "LO", _O, True),
    (0x00120064, "DeidentificationMethodCodeSequence", "SQ", _O, False, _STORED, sequences.CODE),
    (0x00120081, "ClinicalTrialProtocolEthicsCommitteeName", "LO", _O),
    (0x00120082, "ClinicalTrialProtocolEthicsCommitteeApprovalNumber", "LO", _O),
    (0x00201200, "NumberOfPatientRelatedStudies", "IS", _O, False, _COMPUTED),
    (0x00201202, "NumberOfPatientRelatedSeries", "IS", _O, False, _COMPUTED),
    (0x00201204, "NumberOfPatientRelatedInstances", "IS", _O, False, _COMPUTED),
    (0x00403001, "ConfidentialityConstraintOnPatientDataDescription", "LO", _O),
)
_STUDY = (
    (0x00080020, "StudyDate", "DA", _R),
    (0x00080030, "StudyTime", "TM", _R),
    (0x00080050, "AccessionNumber", "SH", _R),
    (0x00080051, "IssuerOfAccessionNumberSequence", "SQ", _O, False, _STORED, sequences.ISSUER),
    (0x00080061, "ModalitiesInStudy", "CS", _O, True, _COMPUTED),
    (0x00080062, "SOPClassesInStudy", "UI", _O, True, _COMPUTED),
    (0x00080090, "ReferringPhysicianName", "PN", _O),
    (0x00080096, "ReferringPhysicianIdentificationSequence", "SQ", _O, False, _STORED, sequences.PERSON),
    (0x00081030, "StudyDescription", "LO", _O),
    (0x00081032, "ProcedureCodeSequence", "SQ", _O, False, _STORED, sequences.CODE),
    (0x00081048, "PhysiciansOfRecord", "PN", _O, True),
    (0x00081060, "NameOfPhysiciansReadingStudy", "PN", _O, True),
    (0x00081080, "AdmittingDiagnosesDescription", "LO", _O, True),
    (0x00081084, "AdmittingDiagnosesCodeSequence", "SQ", _O, False, _STORED, sequences.CODE),
    (0x00101010, "PatientAge", "AS", _O),
    (0x00101020, "PatientSize", "DS", _O),
    (0x00101021, "PatientSizeCodeSequence", "SQ", _O, False, _STORED, sequences.CODE),
    (0x00101022, "PatientBodyMassIndex", "DS", _O),
    (0x00101023, "MeasuredAPDimension", "DS", _O),
    (0x00101024, "MeasuredLateralDimension", "DS", _O),
    (0x00101030, "PatientWeight", "DS", _O),
    (0x00102000, "MedicalAlerts", "LO", _O, True),
    (0x00102110, "Allergies", "LO", _O, True),
    (0x00102180, "Occupation", "SH", _O),
    (0x001021A0, "SmokingStatus", "CS", _O),
    (0x001021B0, "AdditionalPatientHistory", "LT", _O),
    (0x001021C0, "PregnancyStatus", "US", _O),
    (0x001021D0, "LastMenstrualDate", "DA", _O),
    (0x00102203, "PatientSexNeutered", "CS", _O),
    (0x0020000D, "StudyInstanceUID", "UI", _U),
    (0x00200010, "StudyID", "SH", _R),
    (0x00201070, "OtherStudyNumbers", "IS", _O, True),
    (0x00201206, "NumberOfStudyRelatedSeries", "IS", _O, False, _COMPUTED),
    (0x00201208, "NumberOfStudyRelatedInstances", "IS", _O, False, _COMPUTED),
    (0x00321032, "RequestingPhysician", "PN", _O),
    (0x00321033, "RequestingService", "LO", _O),
    (0x00321060, "RequestedProcedureDescription", "LO", _O),
    (0x00321066, "ReasonForVisit", "UT", _O),
    (0x00321067, "ReasonForVisitCodeSequence", "SQ", _O, False, _STORED, sequences.CODE),
    (0x00380010, "AdmissionID", "LO", _O),
    (0x00380014, "IssuerOfAdmissionIDSequence", "SQ", _O, False, _STORED, sequences.ISSUER),
    (0x00380016, "RouteOfAdmissions", "LO", _O),
    (0x00380050, "SpecialNeeds", "LO", _O),
    (0x00380060, "ServiceEpisodeID", "LO", _O),
    (0x00380062, "ServiceEpisodeDescription", "LO", _O),
    (0x00380064, "IssuerOfServiceEpisodeIDSequence", "SQ", _O, False, _STORED, sequences.ISSUER),
    (0x00380500, "PatientState", "LO", _O),
    (0x00401012, "ReasonForPerformedProcedureCodeSequence", "SQ", _O, False, _STORED, sequences.CODE),
)
_SERIES = (
    (0x00080021, "SeriesDate", "DA", _O),
    (0x00080031, "SeriesTime", "TM", _O),
    (0x00080060, "Modality", "CS", _R),
    (0x00080070, "Manufacturer", "LO", _O),
    (0x00080080, "InstitutionName", "LO", _O),
    (0x00080081, "InstitutionAddress", "ST", _O),
    (0x00080082, "InstitutionCodeSequence", "SQ", _O, False, _STORED, sequences.CODE),
    (0x00081010, "StationName", "SH", _O),
    (0x0008103E, "SeriesDescription", "LO", _O),
    (0x0008103F, "SeriesDescriptionCodeSequence", "SQ", _O, False, _STORED, sequences.CODE),
    (0x00081040, "InstitutionalDepartmentName", "LO", _O),
    (0x00081041, "InstitutionalDepartmentTypeCodeSequence", "SQ", _O, False, _STORED, sequences.CODE),
    (0x00081050, "PerformingPhysicianName", "PN", _O, True),
    (0x00081052, "PerformingPhysicianIdentificationSequence", "SQ", _O, False, _STORED, sequences.PERSON),
    (0x00081070, "OperatorsName", "PN", _O, True),
    (0x00081072, "OperatorIdentificationSequence", "SQ", _O, False, _STORED, sequences.PERSON),
    (0x00081090, "ManufacturerModelName", "LO", _O),
    (0x00081111, "ReferencedPerformedProcedureStepSequence", "SQ", _O, False, _STORED, sequences.REFERENCE),
    (0x00082218, "AnatomicRegionSequence", "SQ", _O, False, _STORED, sequences.ANATOMIC_REGION),
    (0x00180010, "ContrastBolusAgent", "LO", _O),
    (0x00180015, "BodyPartExamined", "CS", _O),
    (0x00180024, "SequenceName", "SH", _O),
    (0x00181030, "ProtocolName", "LO", _O),
    (0x00181090, "CardiacNumberOfImages", "IS", _O),
    (0x00181400, "AcquisitionDeviceProcessingDescription", "LO", _O),
    (0x0020000E, "SeriesInstanceUID", "UI", _U),
    (0x00200011, "SeriesNumber", "IS", _R),
    (0x00200060, "Laterality", "CS", _O),
    (0x00200105, "NumberOfTemporalPositions", "IS", _O),
    (0x00201002, "ImagesInAcquisition", "IS", _O),
    (0x00201209, "NumberOfSeriesRelatedInstances", "IS", _O, False, _COMPUTED),
    (0x00400244, "PerformedProcedureStepStartDate", "DA", _O),
    (0x00400245, "PerformedProcedureStepStartTime", "TM", _O),
    (0x00400250, "PerformedProcedureStepEndDate", "DA", _O),
    (0x00400251, "PerformedProcedureStepEndTime", "TM", _O),
    (0x00400253, "PerformedProcedureStepID", "SH", _O),
    (0x00400254, "PerformedProcedureStepDescription", "LO", _O),
    (0x00400260, "PerformedProtocolCodeSequence", "SQ", _O, False, _STORED, sequences.CODE),
    (0x00400275, "RequestAttributesSequence", "SQ", _O, False, _STORED, sequences.REQUEST),
    (0x00400280, "CommentsOnThePerformedProcedureStep", "ST", _O),
    (0x00540081, "NumberOfSlices", "US", _O),
    (0x00540101, "NumberOfTimeSlices", "US", _O),
    (0x00541000, "SeriesType", "CS", _O, True),
)
_IMAGE = (
    (0x00080008, "ImageType", "CS", _O, True),
    (0x00080012, "InstanceCreationDate", "DA", _O),
    (0x00080013, "InstanceCreationTime", "TM", _O),
    (0x00080016, "SOPClassUID", "UI", _O),
    (0x00080018, "SOPInstanceUID", "UI", _U),
    (0x00080022, "AcquisitionDate", "DA", _O),
    (0x00080023, "ContentDate", "DA", _O),
    (0x0008002A, "AcquisitionDateTime", "DT", _O),
    (0x00080032, "AcquisitionTime", "TM", _O),
    (0x00080033, "ContentTime", "TM", _O),
    (0x00082228, "PrimaryAnatomicStructureSequence", "SQ", _O, False, _STORED, sequences.ANATOMIC_STRUCTURE),
    (0x00083002, "AvailableTransferSyntaxUID", "UI", _O, True, _COMPUTED),
    (0x00185101, "ViewPosition", "CS", _O),
    (0x0018A001, "ContributingEquipmentSequence", "SQ", _O, False, _STORED, sequences.CONTRIBUTING_EQUIPMENT),
    (0x00200012, "AcquisitionNumber", "IS", _O),
    (0x00200013, "InstanceNumber", "IS", _R),
    (0x00200032, "ImagePositionPatient", "DS", _O, True),
    (0x00200037, "ImageOrientationPatient", "DS", _O, True),
    (0x00200062, "ImageLaterality", "CS", _O),
    (0x00200100, "TemporalPositionIdentifier", "IS", _O),
    (0x00200242, "SOPInstanceUIDOfConcatenationSource", "UI", _O),
    (0x00204000, "ImageComments", "LT", _O),
    (0x00209161, "ConcatenationUID", "UI", _O),
    (0x00280008, "NumberOfFrames", "IS", _O),
    (0x00280010, "Rows", "US", _O),
    (0x00280011, "Columns", "US", _O),
    (0x00280100, "BitsAllocated", "US", _O),
    (0x00400512, "ContainerIdentifier", "LO", _O),
    (0x00400513, "IssuerOfTheContainerIdentifierSequence", "SQ", _O, False, _STORED, sequences.ISSUER),
    (0x00400551, "SpecimenIdentifier", "LO", _O),
    (0x00400554, "SpecimenUID", "UI", _O),
    (0x00400562, "IssuerOfTheSpecimenIdentifierSequence", "SQ", _O, False, _STORED, sequences.ISSUER),
    (0x0040A032, "ObservationDateTime", "DT", _O),
    (0x0040A043, "ConceptNameCodeSequence", "SQ", _O, False, _STORED, sequences.CODE),
    (0x0040A073, "VerifyingObserverSequence", "SQ", _O, False, _STORED, sequences.VERIFYING_OBSERVER),
    (0x0040A078, "AuthorObserverSequence", "SQ", _O, False, _STORED, sequences.AUTHOR_OBSERVER),
    (0x0040A370, "ReferencedRequestSequence", "SQ", _O, False, _STORED, sequences.REFERENCED_REQUEST),
    (0x0040A491, "CompletionFlag", "CS", _O),
    (0x0040A493, "VerificationFlag", "CS", _O),
    (0x0040A504, "ContentTemplateSequence", "SQ", _O, False, _STORED, sequences.TEMPLATE),
    (0x0040E001, "HL7InstanceIdentifier", "ST", _O),
    (0x00420010, "DocumentTitle", "ST", _O),
    (0x00420012, "MIMETypeOfEncapsulatedDocument", "LO", _O),
    (0x00540220, "ViewCodeSequence", "SQ", _O, False, _STORED, sequences.VIEW),
    (0x00541330, "ImageIndex", "US", _O),
    (0x00700080, "ContentLabel", "CS", _O),
    (0x00700081, "ContentDescription", "LO", _O),
    (0x00700082, "PresentationCreationDate", "DA", _O),
    (0x00700083, "PresentationCreationTime", "TM", _O),
    (0x00700084, "ContentCreatorName", "PN", _O),
)


def _items(rows: tuple[sequences.Row, ...], level: Level) -> tuple[Attribute, ...]:
    return tuple(
        Attribute(tag, keyword, vr, level, _O, is_multi_valued, _STORED, _items(items, level))
        for tag, keyword, vr, is_multi_valued, items in rows
    )


def _attribute(
    level: Level,
    tag: int,
    keyword: str,
    vr: str,
    key_type: KeyType,
    multi_valued: bool = False,  # noqa: FBT001, FBT002 - a cell of the table
    source: Source = _STORED,
    items: tuple[sequences.Row, ...] = (),
) -> Attribute:
    return Attribute(tag, keyword, vr, level, key_type, multi_valued, source, _items(items, level))


ATTRIBUTES: tuple[Attribute, ...] = (
    *(_attribute(Level.PATIENT, *row) for row in _PATIENT),
    *(_attribute(Level.STUDY, *row) for row in _STUDY),
    *(_attribute(Level.SERIES, *row) for row in _SERIES),
    *(_attribute(Level.IMAGE, *row) for row in _IMAGE),
)
STANDARD = Catalogue(ATTRIBUTES)
BY_KEYWORD = STANDARD.by_keyword
TIME_OF: Mapping[Attribute, Attribute] = {
    date: BY_KEYWORD[time]
    for date in ATTRIBUTES
    if date.vr == "DA" and (time := f"{date.keyword.removesuffix('Date')}Time") in BY_KEYWORD
}
UNIQUE_KEY = {a.level: a for a in ATTRIBUTES if a.key_type is KeyType.UNIQUE}

# Elements of an Identifier that steer the query or are the same in each answer; they are never matched.
SPECIFIC_CHARACTER_SET = 0x00080005
QUERY_RETRIEVE_LEVEL = 0x00080052
RETRIEVE_AE_TITLE = 0x00080054
INSTANCE_AVAILABILITY = 0x00080056
TIMEZONE_OFFSET_FROM_UTC = 0x00080201
STEERING = frozenset(
    {
        SPECIFIC_CHARACTER_SET,
        QUERY_RETRIEVE_LEVEL,
        RETRIEVE_AE_TITLE,
        INSTANCE_AVAILABILITY,
        TIMEZONE_OFFSET_FROM_UTC,
    }
)
