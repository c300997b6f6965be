"""The exception tree. The type tells whose fault it is and whether to try again.

    PacsNodeError
    +-- ConfigError            the administrator's: a wrong configuration, said with file, key and what is allowed
    +-- RequestError           the peer's: the request can never succeed as it is
    |   +-- InvalidUID             not a UID by PS3.5 9.1
    |   +-- InvalidIdentifier      a C-FIND, C-MOVE or C-GET Identifier that has no meaning
    |   +-- UnreadableDataSet      a data set that cannot be understood
    |   +-- DataSetMismatch        a data set that contradicts the command set or its SOP class
    |   +-- DataSetTooLong         a data set longer than any that is taken
    |   +-- DifferentContent       a known SOP Instance UID with other content, refused by policy
    |   +-- PatientConflict        a Patient ID that belongs to more than one person
    |   +-- QueryTooLarge          a query over a limit of the node: too many matches, too long a search
    +-- TemporaryError         ours or the surroundings': the same request may succeed later
    |   +-- ReceivingOnly          the node's state is damaged: it takes images and answers nothing else
    |   +-- OutOfResources         no space, or the disk does not keep what is written
    |   +-- StorageAway            a bucket that cannot be reached, is busy or answers with an error of its own
    |   +-- NetworkError           a peer that is away, silent or breaks the protocol while we are the requestor
    +-- PermanentError         ours: trying again will not help
        +-- DamagedObject          stored bytes that are not what was received
        +-- ObjectNotFound         an object that should be there and is not
        +-- ObjectExists           a create-only write to a name that is taken by other bytes
        +-- StorageRefused         a bucket that is not there or not ours to use: all objects wait for an administrator
        +-- CannotConvert          an instance that does not exist in the transfer syntax asked for
        +-- ProgramFault           a statement of this program that SQLite cannot run

Unknown exceptions count as temporary: the sender keeps its copy and tries again. An error is logged once, where
it becomes a status. Messages say what failed, on which UID, and what was expected; they are lower case, carry no
full stop and no patient data.
"""


class PacsNodeError(Exception):
    """Anything pacsnode raises on purpose."""


class ConfigError(PacsNodeError):
    """The configuration is wrong."""


class RequestError(PacsNodeError):
    """The peer's request is wrong. `offending` are the tags at fault, for (0000,0901)."""

    def __init__(self, message: str, *, offending: tuple[int, ...] = ()) -> None:
        super().__init__(message)
        self.offending = offending


class InvalidUID(RequestError):
    """A value that is not a UID (PS3.5 9.1)."""


class InvalidIdentifier(RequestError):
    """An Identifier without a meaning (PS3.4 C.4)."""


class UnreadableDataSet(RequestError):
    """A data set that cannot be understood."""


class DataSetMismatch(RequestError):
    """A data set that contradicts its command set or SOP class."""


class DataSetTooLong(RequestError):
    """A data set longer than any that is taken (`limits.max_dataset`)."""


class DifferentContent(RequestError):
    """The SOP Instance UID is known with other content and the policy keeps the first."""


class PatientConflict(RequestError):
    """The Patient ID belongs to more than one person, so a PATIENT level retrieve would mix them."""


class QueryTooLarge(RequestError):
    """A query over a limit of the node: more matches, or a longer search, than it allows."""


class TemporaryError(PacsNodeError):
    """The same request may succeed later."""


class OutOfResources(TemporaryError):
    """No space, no descriptors, or a disk that does not keep what is written."""


class ReceivingOnly(TemporaryError):
    """The state is damaged: the node receives only, until an administrator restores it."""


class StorageAway(TemporaryError):
    """A bucket cannot be reached, is busy or failed; `retry_after_seconds` is what it asked for, if it did."""

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class NetworkError(TemporaryError):
    """A peer that is away, refuses, is silent or breaks the protocol, while we are the requestor."""


class PermanentError(PacsNodeError):
    """Trying again will not help."""


class DamagedObject(PermanentError):
    """Stored bytes that are not what was received."""


class ObjectNotFound(PermanentError):
    """An object that should be there and is not."""


class ObjectExists(PermanentError):
    """A create-only write to a name that is taken by other bytes."""


class StorageRefused(PermanentError):
    """A bucket that is missing, forbidden or switched off: no object of it can be used until somebody acts."""


class CannotConvert(PermanentError):
    """An instance that cannot be converted; the text is for the peer too, and names nobody."""


class ProgramFault(PermanentError):
    """A statement of this program that SQLite cannot run; the file that it was for is not damaged."""
