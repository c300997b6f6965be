"""The rules of matching that need no negotiation (PS3.4 C.2.2.2.1 to C.2.2.2.5), for each VR that has them."""

from tests.matrix.archive import ROOT, uid
from tests.matrix.cases import Case

ALL = "a b c d e f g h i j k l m n o"

UNIVERSAL = (
    Case(
        section="C.2.2.2.3", says="a zero length value matches all", keys={"StudyDescription": ""}, found=ALL
    ),
    Case(section="C.2.2.2.3", says="also where the entity has no value", keys={"PatientName": ""}, found=ALL),
    Case(section="C.2.2.2.3", says="a date", keys={"StudyDate": ""}, found=ALL),
    Case(section="C.2.2.2.3", says="a UID", keys={"StudyInstanceUID": ""}, found=ALL),
    Case(section="C.2.2.2.4", says="* alone is universal", keys={"StudyDescription": "*"}, found=ALL),
    Case(section="C.2.2.2.4", says="* alone is universal in a name", keys={"PatientName": "*"}, found=ALL),
    Case(
        section="C.2.2.2.4",
        says="several * are no more than one",
        keys={"StudyDescription": "***"},
        found=ALL,
        is_free=True,
    ),
    Case(
        section="PS3.5 6.2.1",
        says="a name of delimiters alone is an empty one",
        keys={"PatientName": "^^"},
        found=ALL,
        is_free=True,
    ),
)

SINGLE_VALUE = (
    Case(section="C.2.2.2.1", says="SH equal", keys={"AccessionNumber": "A12"}, found="c"),
    Case(section="C.2.2.2.1", says="SH case counts", keys={"AccessionNumber": "a12"}, found="l"),
    Case(
        section="C.2.2.2.1",
        says="leading zeros are part of a text",
        keys={"AccessionNumber": "0012"},
        found="a",
    ),
    Case(section="C.2.2.2.1", says="a text is no number", keys={"AccessionNumber": "12"}, found="b"),
    Case(
        section="C.2.2.2.1", says="spaces within are part of it", keys={"AccessionNumber": "A 12"}, found="d"
    ),
    Case(
        section="PS3.5 6.2",
        says="trailing spaces are padding",
        keys={"AccessionNumber": "A12   "},
        found="c",
    ),
    Case(
        section="PS3.5 6.2",
        says="leading spaces of SH are padding, in the key and in the entity",
        keys={"StudyID": "001"},
        found="a d",
    ),
    Case(section="C.2.2.2.1", says="LO equal, all of it", keys={"StudyDescription": "knee_left"}, found="c"),
    Case(section="C.2.2.2.1", says="LO not a part of it", keys={"StudyDescription": "knee"}, found=""),
    Case(section="C.2.2.2.1", says="LO case counts", keys={"StudyDescription": "KNEE_LEFT"}, found=""),
    Case(section="C.2.2.2.1", says="% is no wild card", keys={"StudyDescription": "100% head"}, found="a"),
    Case(section="C.2.2.2.1", says="% alone matches nothing", keys={"StudyDescription": "%"}, found=""),
    Case(section="C.2.2.2.1", says="_ is no wild card", keys={"StudyDescription": "knee_left"}, found="c"),
    Case(
        section="C.2.2.2.1", says="a bracket is a bracket", keys={"StudyDescription": "[1] 50%_x"}, found="l"
    ),
    Case(section="C.2.2.2.1", says="CS equal", keys={"PatientSex": "F"}, found="b c"),
    Case(section="C.2.2.2.1", says="AS equal", keys={"PatientAge": "050Y"}, found="a"),
    Case(
        section="C.2.2.2.1",
        says="UI equal",
        keys={"StudyInstanceUID": uid("b")},
        found="b",
    ),
    Case(
        section="C.2.2.2.1",
        says="no part of a UID",
        keys={"StudyInstanceUID": ROOT},
        found="",
    ),
    Case(
        section="PS3.5 6.2",
        says="DS are numbers: 70.5 is 70.50",
        keys={"PatientWeight": "70.5"},
        found="a b",
        is_free=True,
    ),
    Case(
        section="PS3.5 6.2",
        says="IS are numbers: 1 is 01",
        level="SERIES",
        keys={"StudyInstanceUID": f"{uid('a')}\\{uid('b')}", "SeriesNumber": "1"},
        found="a1 b1",
        is_free=True,
    ),
    Case(
        section="C.2.2.3",
        says="one value of several matches",
        keys={"OtherPatientIDs": "X2"},
        found="a m",
    ),
    Case(
        section="C.2.2.3",
        says="a name of several matches",
        keys={"NameOfPhysiciansReadingStudy": "Grey^Meredith"},
        found="a",
    ),
    Case(
        section="PS3.5 6.2",
        says="a backslash in LT is text",
        keys={"PatientComments": "left\\right"},
        found="a m",
    ),
    Case(
        section="C.2.2.2.1", says="all keys must match", keys={"PatientID": "P1", "StudyID": "001"}, found="a"
    ),
    Case(
        section="C.2.2.2.1",
        says="one that does not is enough",
        keys={"PatientID": "P1", "StudyID": "9"},
        found="",
    ),
)

LIST_OF_UID = (
    Case(
        section="C.2.2.2.2",
        says="each UID of the list",
        keys={"StudyInstanceUID": f"{uid('a')}\\{uid('d')}"},
        found="a d",
    ),
    Case(
        section="C.2.2.2.2",
        says="one that is not there does no harm",
        keys={"StudyInstanceUID": f"{uid('a')}\\1.2.3.4"},
        found="a",
    ),
    Case(
        section="C.2.2.2.2",
        says="one twice is answered once",
        keys={"StudyInstanceUID": f"{uid('a')}\\{uid('a')}"},
        found="a",
    ),
    Case(
        section="C.2.2.2.2",
        says="of series",
        level="SERIES",
        keys={"StudyInstanceUID": uid("c"), "SeriesInstanceUID": f"{uid('c1')}\\{uid('c3')}"},
        found="c1 c3",
    ),
    Case(
        section="C.2.2.2.2",
        says="of instances",
        level="IMAGE",
        keys={
            "StudyInstanceUID": uid("a"),
            "SeriesInstanceUID": uid("a1"),
            "SOPInstanceUID": f"{uid('a12')}\\{uid('a21')}",
        },
        found="a12",
    ),
    Case(
        section="C.2.2.2.2",
        says="1,000 UIDs",
        keys={"StudyInstanceUID": "\\".join([*(f"1.2.3.{n}" for n in range(998)), uid("a"), uid("m")])},
        found="a m",
    ),
)

WILD_CARD = (
    Case(section="C.2.2.2.4", says="* at the end", keys={"StudyDescription": "100*"}, found="a b"),
    Case(section="C.2.2.2.4", says="* at the beginning", keys={"StudyDescription": "*head"}, found="a b"),
    Case(section="C.2.2.2.4", says="* in the middle", keys={"StudyDescription": "k*t"}, found="c d"),
    Case(
        section="C.2.2.2.4",
        says="* matches nothing at all, too",
        keys={"StudyDescription": "knee_left*"},
        found="c",
    ),
    Case(section="C.2.2.2.4", says="? is exactly one", keys={"StudyDescription": "100? head"}, found="a b"),
    Case(section="C.2.2.2.4", says="? is not none", keys={"StudyDescription": "knee_left?"}, found=""),
    Case(section="C.2.2.2.4", says="? and * together", keys={"StudyDescription": "knee?*"}, found="c d"),
    Case(section="C.2.2.2.4", says="_ stays literal", keys={"StudyDescription": "knee_*"}, found="c"),
    Case(section="C.2.2.2.4", says="% stays literal", keys={"StudyDescription": "100%*"}, found="a"),
    Case(section="C.2.2.2.4", says="[ stays literal", keys={"StudyDescription": "[1]*"}, found="l"),
    Case(section="C.2.2.2.4", says="case counts", keys={"StudyDescription": "KNEE*"}, found=""),
    Case(
        section="C.2.2.2.4",
        says="an empty value has no match",
        keys={"AccessionNumber": "*1*"},
        found="a b c d l m",
    ),
    Case(section="C.2.2.2.4", says="SH", keys={"AccessionNumber": "?12"}, found="c l"),
    Case(section="C.2.2.2.4", says="LO as a patient's ID", keys={"PatientID": "P1?"}, found="j k l"),
    Case(
        section="C.2.2.2.4",
        says="CS",
        level="SERIES",
        keys={"StudyInstanceUID": uid("a"), "Modality": "?R"},
        found="a2",
    ),
    Case(
        section="C.2.2.2.4",
        says="LT, with a backslash",
        keys={"PatientComments": "left\\*"},
        found="a m",
    ),
    Case(
        section="C.2.2.3",
        says="one value of several",
        keys={"OtherPatientIDs": "?2"},
        found="a m",
    ),
)

RANGE_DATE = (
    Case(section="C.2.2.2.5", says="a day", keys={"StudyDate": "20200116"}, found="b"),
    Case(section="C.2.2.2.5", says="both ends count", keys={"StudyDate": "20200115-20200116"}, found="a b d"),
    Case(section="C.2.2.2.5", says="from a day on", keys={"StudyDate": "20210306-"}, found="k l o"),
    Case(section="C.2.2.2.5", says="up to a day", keys={"StudyDate": "-20200115"}, found="a d m"),
    Case(section="C.2.2.2.5", says="a leap day", keys={"StudyDate": "20200229-20200229"}, found="c"),
    Case(section="C.2.2.2.5", says="nothing lies in it", keys={"StudyDate": "19990101-19991231"}, found=""),
    Case(
        section="PS3.5 6.2",
        says="an entity with a date of ACR-NEMA",
        keys={"StudyDate": "20201224"},
        found="n",
        is_free=True,
    ),
    Case(
        section="PS3.5 6.2",
        says="a key with dates of ACR-NEMA",
        keys={"StudyDate": "2020.01.15-2020.01.15"},
        found="a d",
        is_free=True,
    ),
    Case(
        section="C.2.2.2.5",
        says="spaces around the ends are padding",
        keys={"StudyDate": "20200115 - 20200116"},
        found="a b d",
        is_free=True,
    ),
    Case(section="C.2.2.2.5", says="a birth date", keys={"PatientBirthDate": "19700102-"}, found="b"),
)

RANGE_TIME = (
    Case(section="C.2.2.2.5", says="both ends count", keys={"StudyTime": "103000-103030"}, found="a d"),
    Case(section="C.2.2.2.5", says="from a time on", keys={"StudyTime": "235959-"}, found="b m"),
    Case(section="C.2.2.2.5", says="up to a time", keys={"StudyTime": "-080000"}, found="f l o"),
    Case(
        section="PS3.5 6.2",
        says="the high end is as wide as it is precise",
        keys={"StudyTime": "10-10"},
        found="a c d",
        is_free=True,
    ),
    Case(
        section="PS3.5 6.2",
        says="a time is as wide as it is precise: an hour",
        keys={"StudyTime": "10"},
        found="a c d",
        is_free=True,
    ),
    Case(
        section="PS3.5 6.2",
        says="a time is as wide as it is precise: a minute",
        keys={"StudyTime": "1030"},
        found="a d",
        is_free=True,
    ),
    Case(section="PS3.5 6.2", says="a second", keys={"StudyTime": "103030"}, found="d"),
    Case(
        section="PS3.5 6.2",
        says="an entity with a time of ACR-NEMA",
        keys={"StudyTime": "2115-2116"},
        found="n",
        is_free=True,
    ),
    Case(section="PS3.5 6.2", says="fractions", keys={"StudyTime": "235959.5-235959.995"}, found="b"),
    Case(
        section="PS3.5 6.2",
        says="colons of ACR-NEMA in the key",
        keys={"StudyTime": "10:30:00-10:30:29"},
        found="a",
        is_free=True,
    ),
    Case(
        section="C.2.2.2.5",
        says="without negotiation a date and a time are two conditions",
        keys={"StudyDate": "20200115-20200116", "StudyTime": "1000-1100"},
        found="a d",
    ),
)
