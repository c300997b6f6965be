"""What the program says to its caller; 75 and 78 are those of sysexits.h, which systemd knows."""

from enum import IntEnum

from pacsnode.errors import ConfigError, PacsNodeError, RequestError, TemporaryError


class ExitCode(IntEnum):
    """The exit codes of every command."""

    DONE = 0
    UNEXPECTED = 1
    USAGE = 2
    SOME_FAILED = 3
    PROBLEMS_FOUND = 4
    INTERRUPTED = 130  # 128 + SIGINT, as a shell says it
    TRY_LATER = 75
    CONFIGURATION = 78


class CommandFailed(PacsNodeError):
    """A command that did not do what it was asked to, and the exit code that says so."""

    def __init__(self, message: str, code: ExitCode) -> None:
        super().__init__(message)
        self.code = code


def exit_code(error: PacsNodeError) -> ExitCode:
    """Return the exit code for an error that ended a command."""
    match error:
        case CommandFailed():
            return error.code
        case ConfigError():
            return ExitCode.CONFIGURATION
        case RequestError():
            return ExitCode.USAGE
        case TemporaryError():
            return ExitCode.TRY_LATER
        case _:
            return ExitCode.UNEXPECTED
