"""Sequence matching (PS3.4 C.2.2.2.6)."""

from tests.matrix.archive import uid
from tests.matrix.cases import Case
from tests.matrix.matching import ALL

_NO_CODE = {"CodeMeaning": "", "CodeValue": "", "CodingSchemeDesignator": ""}

SEQUENCES = (
    Case(
        section="C.2.2.2.6",
        says="one item matches",
        keys={"ProcedureCodeSequence": [{"CodeValue": "CTHEAD"}]},
        found="a c",
    ),
    Case(
        section="C.2.2.2.6",
        says="all keys must match for the same item",
        keys={"ProcedureCodeSequence": [{"CodeValue": "CTHEAD", "CodingSchemeDesignator": "L"}]},
        found="a",
    ),
    Case(
        section="C.2.2.2.6",
        says="wild cards within an item",
        keys={"ProcedureCodeSequence": [{"CodeValue": "*KNEE"}]},
        found="c",
    ),
    Case(
        section="C.2.2.2.6",
        says="no item has it",
        keys={"ProcedureCodeSequence": [{"CodeValue": "CTFOOT"}]},
        found="",
    ),
    Case(
        section="C.2.2.2.6",
        says="an empty item matches all",
        keys={"ProcedureCodeSequence": [{}]},
        found=ALL,
    ),
    Case(
        section="C.2.2.2.6",
        says="an empty sequence matches all",
        keys={"ProcedureCodeSequence": []},
        found=ALL,
        is_free=True,
    ),
    Case(
        section="C.2.2.2.6",
        says="keys of an item without values match all",
        keys={"ProcedureCodeSequence": [_NO_CODE]},
        found=ALL,
    ),
    Case(
        section="C.2.2.2.6",
        says="a sequence within the item",
        keys={
            "ReferringPhysicianIdentificationSequence": [
                {"PersonIdentificationCodeSequence": [{"CodeValue": "DR1"}]}
            ]
        },
        found="a",
    ),
    Case(
        section="C.2.2.2.6",
        says="of series",
        level="SERIES",
        keys={
            "StudyInstanceUID": uid("a"),
            "RequestAttributesSequence": [{"RequestedProcedureID": "RP2", "ScheduledProcedureStepID": "S2"}],
        },
        found="a1",
    ),
    Case(
        section="C.2.2.2.6",
        says="of series, not the first of one item and the second of another",
        level="SERIES",
        keys={
            "StudyInstanceUID": uid("a"),
            "RequestAttributesSequence": [{"RequestedProcedureID": "RP1", "ScheduledProcedureStepID": "S2"}],
        },
        found="",
    ),
    Case(
        section="C.2.2.2.6",
        says="of instances, a name within, whatever its case",
        level="IMAGE",
        keys={
            "StudyInstanceUID": uid("a"),
            "SeriesInstanceUID": uid("a2"),
            "VerifyingObserverSequence": [{"VerifyingObserverName": "ADAMS*"}],
        },
        found="a21",
        is_free=True,
    ),
    Case(
        section="C.2.2.2.6",
        says="the items that match come back, with what was asked for",
        level="SERIES",
        keys={
            "StudyInstanceUID": uid("a"),
            "RequestAttributesSequence": [{"RequestedProcedureID": "", "ScheduledProcedureStepID": "S2"}],
        },
        found="a1",
        values={
            "RequestAttributesSequence": [{"RequestedProcedureID": "RP2", "ScheduledProcedureStepID": "S2"}]
        },
    ),
    Case(
        section="C.2.2.2.6",
        says="all items come back where none is asked for",
        keys={"StudyInstanceUID": uid("c"), "ProcedureCodeSequence": [{"CodeValue": ""}]},
        found="c",
        values={"ProcedureCodeSequence": [{"CodeValue": "MRKNEE"}, {"CodeValue": "CTHEAD"}]},
    ),
    Case(
        section="C.4.1.1.4",
        says="a key within an item that is not supported is left out and said",
        keys={
            "StudyInstanceUID": uid("a"),
            "ProcedureCodeSequence": [{"CodeValue": "", "MappingResource": ""}],
        },
        found="a",
        values={"ProcedureCodeSequence": [{"CodeValue": "CTHEAD"}]},
        pending=0xFF01,
        is_free=True,
    ),
    Case(
        section="C.2.2.2.6",
        says="two items have no meaning",
        keys={"ProcedureCodeSequence": [{"CodeValue": "CTHEAD"}, {"CodeValue": "MRKNEE"}]},
        found=None,
        status=0xA900,
        is_free=True,
    ),
)
