"""The items of the sequences that the index knows: the macros of PS3.3 that are matched (PS3.4 C.2.2.2.6).

An item may hold sequences, whose items hold none. What a macro has besides, and what stands deeper, is not
read: it describes, and nobody asks for it.
"""

Row = tuple[int, str, str, bool, tuple["Row", ...]]  # tag, keyword, VR, whether multi-valued, items


def _one(tag: int, keyword: str, vr: str) -> Row:
    return (tag, keyword, vr, False, ())


def _sequence(tag: int, keyword: str, items: tuple[Row, ...]) -> Row:
    return (tag, keyword, "SQ", False, items)


# PS3.3 Table 8.8-1a, Basic Code Sequence Macro.
CODE = (
    _one(0x00080100, "CodeValue", "SH"),
    _one(0x00080102, "CodingSchemeDesignator", "SH"),
    _one(0x00080103, "CodingSchemeVersion", "SH"),
    _one(0x00080104, "CodeMeaning", "LO"),
    _one(0x00080119, "LongCodeValue", "UC"),
    _one(0x00080120, "URNCodeValue", "UR"),
)

# PS3.3 Table 10-17, HL7v2 Hierarchic Designator Macro.
ISSUER = (
    _one(0x00400031, "LocalNamespaceEntityID", "UT"),
    _one(0x00400032, "UniversalEntityID", "UT"),
    _one(0x00400033, "UniversalEntityIDType", "CS"),
)

# PS3.3 Table 10-18, Issuer of Patient ID Macro.
ISSUER_QUALIFIERS = (
    *ISSUER[1:],
    _one(0x00400035, "IdentifierTypeCode", "CS"),
    _sequence(0x00400036, "AssigningFacilitySequence", ISSUER),
    _sequence(0x00400039, "AssigningJurisdictionCodeSequence", CODE),
    _sequence(0x0040003A, "AssigningAgencyOrDepartmentCodeSequence", CODE),
)

# PS3.3 C.7.1.1, Other Patient IDs Sequence.
OTHER_PATIENT_IDS = (
    _one(0x00100020, "PatientID", "LO"),
    _one(0x00100021, "IssuerOfPatientID", "LO"),
    _one(0x00100022, "TypeOfPatientID", "CS"),
    _sequence(0x00100024, "IssuerOfPatientIDQualifiersSequence", ISSUER_QUALIFIERS[:3]),
)

# PS3.3 Table 10-1, Person Identification Macro.
PERSON = (
    _one(0x00080080, "InstitutionName", "LO"),
    _one(0x00080081, "InstitutionAddress", "ST"),
    _sequence(0x00080082, "InstitutionCodeSequence", CODE),
    _one(0x00081040, "InstitutionalDepartmentName", "LO"),
    _sequence(0x00401101, "PersonIdentificationCodeSequence", CODE),
    _one(0x00401102, "PersonAddress", "ST"),
    (0x00401103, "PersonTelephoneNumbers", "LO", True, ()),
)

# PS3.3 Table 10-9, Request Attributes Macro; besides it, the requester, which dcm4chee matches here.
REQUEST = (
    _one(0x00080050, "AccessionNumber", "SH"),
    _sequence(0x00080051, "IssuerOfAccessionNumberSequence", ISSUER),
    _one(0x0020000D, "StudyInstanceUID", "UI"),
    _one(0x00321032, "RequestingPhysician", "PN"),
    _one(0x00321033, "RequestingService", "LO"),
    _one(0x00321060, "RequestedProcedureDescription", "LO"),
    _sequence(0x00321064, "RequestedProcedureCodeSequence", CODE),
    _one(0x00400007, "ScheduledProcedureStepDescription", "LO"),
    _sequence(0x00400008, "ScheduledProtocolCodeSequence", CODE),
    _one(0x00400009, "ScheduledProcedureStepID", "SH"),
    _one(0x00401001, "RequestedProcedureID", "SH"),
    _one(0x00401002, "ReasonForTheRequestedProcedure", "LO"),
    _sequence(0x0040100A, "ReasonForRequestedProcedureCodeSequence", CODE),
)

# PS3.3 C.17.2, Referenced Request Sequence.
REFERENCED_REQUEST = (
    *(row for row in REQUEST if row[0] <= 0x00321064),
    _one(0x00401001, "RequestedProcedureID", "SH"),
    _one(0x00402016, "PlacerOrderNumberImagingServiceRequest", "LO"),
    _one(0x00402017, "FillerOrderNumberImagingServiceRequest", "LO"),
)

# PS3.3 Table 10-11, SOP Instance Reference Macro.
REFERENCE = (
    _one(0x00081150, "ReferencedSOPClassUID", "UI"),
    _one(0x00081155, "ReferencedSOPInstanceUID", "UI"),
)

# PS3.3 C.7.1.1, Breed Registration and Strain Stock Sequence.
BREED_REGISTRATION = (
    _one(0x00102295, "BreedRegistrationNumber", "LO"),
    _sequence(0x00102296, "BreedRegistryCodeSequence", CODE),
)
STRAIN_STOCK = (
    _one(0x00100214, "StrainStockNumber", "LO"),
    _sequence(0x00100215, "StrainSourceRegistryCodeSequence", CODE),
    _one(0x00100217, "StrainSource", "LO"),
)

# PS3.3 Tables 10-5 (General Anatomy Macros) and 10-8 (Primary Anatomic Structure), C.8.5.5 (view codes).
ANATOMIC_REGION = (*CODE, _sequence(0x00082220, "AnatomicRegionModifierSequence", CODE))
ANATOMIC_STRUCTURE = (*CODE, _sequence(0x00082230, "PrimaryAnatomicStructureModifierSequence", CODE))
VIEW = (*CODE, _sequence(0x00540222, "ViewModifierCodeSequence", CODE))

# PS3.3 C.17.2, SR Document General.
VERIFYING_OBSERVER = (
    _one(0x0040A027, "VerifyingOrganization", "LO"),
    _one(0x0040A030, "VerificationDateTime", "DT"),
    _one(0x0040A075, "VerifyingObserverName", "PN"),
    _sequence(0x0040A088, "VerifyingObserverIdentificationCodeSequence", CODE),
)
AUTHOR_OBSERVER = (
    _one(0x00080080, "InstitutionName", "LO"),
    _sequence(0x00080082, "InstitutionCodeSequence", CODE),
    _one(0x0040A084, "ObserverType", "CS"),
    _one(0x0040A123, "PersonName", "PN"),
    _sequence(0x00401101, "PersonIdentificationCodeSequence", CODE),
)
TEMPLATE = (
    _one(0x00080105, "MappingResource", "CS"),
    _one(0x0040DB00, "TemplateIdentifier", "CS"),
)

# PS3.3 C.12.1, Contributing Equipment Sequence.
CONTRIBUTING_EQUIPMENT = (
    _one(0x00080070, "Manufacturer", "LO"),
    _one(0x00080080, "InstitutionName", "LO"),
    _one(0x00081010, "StationName", "SH"),
    _one(0x00081040, "InstitutionalDepartmentName", "LO"),
    _one(0x00081090, "ManufacturerModelName", "LO"),
    _sequence(0x0040A170, "PurposeOfReferenceCodeSequence", CODE),
)
