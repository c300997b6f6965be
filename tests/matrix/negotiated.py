"""What SOP Class Extended Negotiation turns on (PS3.4 C.5.1.1), and the same queries without it."""

from tests.matrix.cases import Case

COMBINED_DATE_TIME = (
    Case(
        section="C.2.2.2.5.4",
        says="a range over midnight of both",
        options=("combined_date_time",),
        keys={"StudyDate": "20200115-20200229", "StudyTime": "2300-1030"},
        found="b c",
    ),
    Case(
        section="C.2.2.2.5.4",
        says="from a moment on",
        options=("combined_date_time",),
        keys={"StudyDate": "20210305-", "StudyTime": "0930-"},
        found="k l o",
    ),
    Case(
        section="C.2.2.2.5.4",
        says="up to a moment",
        options=("combined_date_time",),
        keys={"StudyDate": "-20200115", "StudyTime": "-103029"},
        found="a m",
    ),
    Case(
        section="C.2.2.2.5",
        says="a range of dates alone is one of dates",
        options=("combined_date_time",),
        keys={"StudyDate": "20200115-20200116"},
        found="a b d",
    ),
    Case(
        section="C.2.2.2.5",
        says="without it, from a time on is within each day",
        keys={"StudyDate": "20210305-", "StudyTime": "0930-"},
        found="",
    ),
)

FUZZY_NAMES = (
    Case(
        section="C.2.2.2.1.1",
        says="words in any order",
        options=("fuzzy_names",),
        keys={"PatientName": "john doe"},
        found="a m",
        is_free=True,
    ),
    Case(
        section="C.2.2.2.1.1",
        says="beginnings of words",
        options=("fuzzy_names",),
        keys={"PatientName": "do^jo"},
        found="a m",
        is_free=True,
    ),
    Case(
        section="C.2.2.2.1.1",
        says="without accents",
        options=("fuzzy_names",),
        keys={"PatientName": "jurgen mull"},
        found="f",
        is_free=True,
    ),
    Case(
        section="C.2.2.2.1.1",
        says="in another group",
        options=("fuzzy_names",),
        character_set="ISO_IR 192",
        keys={"PatientName": "太郎 山田"},
        found="g",
        is_free=True,
    ),
    Case(
        section="C.2.2.2.1.1",
        says="a physician",
        options=("fuzzy_names",),
        keys={"ReferringPhysicianName": "amy"},
        found="a c",
        is_free=True,
    ),
    Case(
        section="C.2.2.2.1.1",
        says="no name has both words",
        options=("fuzzy_names",),
        keys={"PatientName": "john smith"},
        found="",
        is_free=True,
    ),
    Case(
        section="C.2.2.2.1.1",
        says="without it, names are equal or not",
        keys={"PatientName": "john doe"},
        found="",
    ),
)

TIMEZONE = (
    Case(
        section="C.2.2.2.1.3",
        says="a day in the requester's zone",
        options=("timezone_adjustment",),
        keys={"StudyDate": "20211231", "StudyTime": "2300-", "TimezoneOffsetFromUTC": "+0000"},
        found="o",
    ),
    Case(
        section="C.4.1.1.3.2",
        says="and answered in it",
        options=("timezone_adjustment",),
        keys={"PatientID": "ZONE", "StudyDate": "", "StudyTime": "", "TimezoneOffsetFromUTC": "+0000"},
        found="o",
        values={"StudyDate": "20211231", "StudyTime": "233000", "TimezoneOffsetFromUTC": "+0000"},
    ),
    Case(
        section="C.2.2.2",
        says="without it, as it was stored",
        keys={"StudyDate": "20220101", "TimezoneOffsetFromUTC": "+0000"},
        found="o",
        is_free=True,
    ),
)

EMPTY_VALUE = (
    Case(
        section="C.2.2.2.7",
        says="absent or empty",
        options=("empty_value",),
        keys={"AccessionNumber": '""'},
        found="e f g h i j k",
    ),
    Case(section="C.2.2.2.7", says="a name", options=("empty_value",), keys={"PatientName": '""'}, found="e"),
    Case(section="C.2.2.2.7", says="a date", options=("empty_value",), keys={"StudyDate": '""'}, found="e"),
    Case(
        section="C.2.2.2.7",
        says="together with another key",
        options=("empty_value",),
        keys={"AccessionNumber": '""', "PatientName": "M*"},
        found="f",
    ),
    Case(
        section="C.2.2.2.7", says="without it, two quotation marks", keys={"AccessionNumber": '""'}, found=""
    ),
)

MULTIPLE_VALUE = (
    Case(
        section="C.2.2.2.8",
        says="each value must be there",
        options=("multiple_value",),
        keys={"ModalitiesInStudy": "CT\\SR"},
        found="a",
    ),
    Case(
        section="C.2.2.2.8",
        says="whatever their order, and others beside them",
        options=("multiple_value",),
        keys={"ModalitiesInStudy": "PT\\CT"},
        found="c",
    ),
    Case(
        section="C.2.2.2.8",
        says="of a text",
        options=("multiple_value",),
        keys={"OtherPatientIDs": "X2\\X1"},
        found="a m",
    ),
    Case(
        section="C.2.2.2.8",
        says="no entity has both",
        options=("multiple_value",),
        keys={"ModalitiesInStudy": "SR\\PT"},
        found="",
    ),
    Case(
        section="C.2.2.2.2",
        says="a list of UID stays one",
        options=("multiple_value",),
        keys={"StudyInstanceUID": "1.2.826.0.1.3680043.10.5.1\\1.2.826.0.1.3680043.10.5.2"},
        found="a b",
    ),
    Case(
        section="C.2.2.2.8",
        says="wild cards have no meaning in it",
        options=("multiple_value",),
        keys={"ModalitiesInStudy": "CT\\S*"},
        found=None,
        status=0xA900,
        is_free=True,
    ),
)
