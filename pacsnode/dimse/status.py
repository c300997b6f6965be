"""Statuses, with the tables that they stand in, and which error becomes which.

An Error Comment (0000,0902) has at most 64 characters and says what the peer can do; nothing internal.
"""

from enum import IntEnum

from pacsnode.errors import (
    DataSetMismatch,
    DataSetTooLong,
    DifferentContent,
    InvalidIdentifier,
    InvalidUID,
    OutOfResources,
    PacsNodeError,
    PatientConflict,
    QueryTooLarge,
    ReceivingOnly,
    RequestError,
    StorageAway,
    StorageRefused,
    TemporaryError,
    UnreadableDataSet,
)


class GeneralStatus(IntEnum):
    """PS3.7 annex C."""

    SUCCESS = 0x0000
    PROCESSING_FAILURE = 0x0110
    INVALID_SOP_INSTANCE = 0x0117
    SOP_CLASS_NOT_SUPPORTED = 0x0122
    NOT_AUTHORIZED = 0x0124
    MISTYPED_ARGUMENT = 0x0212
    UNRECOGNIZED_OPERATION = 0x0211


class StorageStatus(IntEnum):
    """PS3.4 table B.2-1."""

    SUCCESS = 0x0000
    OUT_OF_RESOURCES = 0xA700
    DATA_SET_DOES_NOT_MATCH_SOP_CLASS = 0xA900
    CANNOT_UNDERSTAND = 0xC000
    DIFFERENT_CONTENT = 0xC001  # ours: the UID is stored with other content and the first is kept
    COERCION_OF_DATA_ELEMENTS = 0xB000
    ELEMENTS_DISCARDED = 0xB006
    DATA_SET_DOES_NOT_MATCH_SOP_CLASS_WARNING = 0xB007

    @classmethod
    def is_warning(cls, status: int) -> bool:
        """Return whether a status of C-STORE is a warning (PS3.7 C.4.2: Bxxx, and the three general ones)."""
        return status >> 12 == 0xB or status in (0x0001, 0x0107, 0x0116)


class FindStatus(IntEnum):
    """PS3.4 table C.4-1."""

    SUCCESS = 0x0000
    OUT_OF_RESOURCES = 0xA700
    IDENTIFIER_DOES_NOT_MATCH_SOP_CLASS = 0xA900
    UNABLE_TO_PROCESS = 0xC000
    CANCEL = 0xFE00
    PENDING = 0xFF00
    PENDING_WITHOUT_OPTIONAL_KEYS = 0xFF01


class RetrieveStatus(IntEnum):
    """PS3.4 tables C.4-2 (C-MOVE) and C.4-3 (C-GET)."""

    SUCCESS = 0x0000
    OUT_OF_RESOURCES_MATCHES = 0xA701
    OUT_OF_RESOURCES_SUB_OPERATIONS = 0xA702
    MOVE_DESTINATION_UNKNOWN = 0xA801
    IDENTIFIER_DOES_NOT_MATCH_SOP_CLASS = 0xA900
    WARNING = 0xB000
    UNABLE_TO_PROCESS = 0xC000
    CANCEL = 0xFE00
    PENDING = 0xFF00


_RECEIVING_ONLY = "the node's state is damaged or missing, it receives only"
_STORAGE_AWAY = "the storage is away, send again later"

_STORAGE: tuple[tuple[type[PacsNodeError], int, str], ...] = (
    (
        DataSetMismatch,
        StorageStatus.DATA_SET_DOES_NOT_MATCH_SOP_CLASS,
        "data set does not match the command or lacks UIDs",
    ),
    (InvalidUID, StorageStatus.DATA_SET_DOES_NOT_MATCH_SOP_CLASS, "the data set has a UID that is no UID"),
    (DataSetTooLong, StorageStatus.OUT_OF_RESOURCES, "the data set is longer than this node takes"),
    (DifferentContent, StorageStatus.DIFFERENT_CONTENT, "UID is stored already with other content"),
    (UnreadableDataSet, StorageStatus.CANNOT_UNDERSTAND, "the data set cannot be understood"),
    (RequestError, StorageStatus.CANNOT_UNDERSTAND, "the data set cannot be understood"),
    (OutOfResources, StorageStatus.OUT_OF_RESOURCES, "out of resources, send again later"),
    (StorageAway, StorageStatus.OUT_OF_RESOURCES, _STORAGE_AWAY),
    (StorageRefused, StorageStatus.OUT_OF_RESOURCES, _STORAGE_AWAY),
    (PacsNodeError, GeneralStatus.PROCESSING_FAILURE, "not stored, send again later"),
)
_FIND: tuple[tuple[type[PacsNodeError], int, str], ...] = (
    (InvalidIdentifier, FindStatus.IDENTIFIER_DOES_NOT_MATCH_SOP_CLASS, ""),
    (InvalidUID, FindStatus.IDENTIFIER_DOES_NOT_MATCH_SOP_CLASS, ""),
    (QueryTooLarge, FindStatus.OUT_OF_RESOURCES, ""),
    (RequestError, FindStatus.UNABLE_TO_PROCESS, "the Identifier cannot be understood"),
    (ReceivingOnly, FindStatus.OUT_OF_RESOURCES, _RECEIVING_ONLY),
    (TemporaryError, FindStatus.OUT_OF_RESOURCES, "the index is busy, ask again later"),
    (PacsNodeError, FindStatus.UNABLE_TO_PROCESS, "the index cannot answer"),
)
_RETRIEVE: tuple[tuple[type[PacsNodeError], int, str], ...] = (
    (InvalidIdentifier, RetrieveStatus.IDENTIFIER_DOES_NOT_MATCH_SOP_CLASS, ""),
    (InvalidUID, RetrieveStatus.IDENTIFIER_DOES_NOT_MATCH_SOP_CLASS, ""),
    (
        PatientConflict,
        RetrieveStatus.IDENTIFIER_DOES_NOT_MATCH_SOP_CLASS,
        "Patient ID belongs to several persons, retrieve studies",
    ),
    (RequestError, RetrieveStatus.UNABLE_TO_PROCESS, "the Identifier cannot be understood"),
    (ReceivingOnly, RetrieveStatus.OUT_OF_RESOURCES_MATCHES, _RECEIVING_ONLY),
    (TemporaryError, RetrieveStatus.OUT_OF_RESOURCES_MATCHES, "the index is busy, ask again later"),
    (PacsNodeError, RetrieveStatus.UNABLE_TO_PROCESS, "the index cannot answer"),
)


def of_store(error: PacsNodeError) -> tuple[int, str]:
    """Return status and comment of a C-STORE that failed."""
    return _of(error, _STORAGE)


def of_find(error: PacsNodeError) -> tuple[int, str]:
    """Return status and comment of a C-FIND that failed."""
    return _of(error, _FIND)


def of_retrieve(error: PacsNodeError) -> tuple[int, str]:
    """Return status and comment of a C-GET or C-MOVE that could not begin."""
    return _of(error, _RETRIEVE)


def offending_of(error: PacsNodeError) -> tuple[int, ...]:
    """Return the tags at fault, for Offending Element (0000,0901)."""
    return error.offending if isinstance(error, RequestError) else ()


def _of(error: PacsNodeError, table: tuple[tuple[type[PacsNodeError], int, str], ...]) -> tuple[int, str]:
    for kind, status, comment in table:
        if isinstance(error, kind):
            return status, comment or str(error)
    raise error
