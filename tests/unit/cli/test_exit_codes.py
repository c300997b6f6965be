import pytest

from pacsnode.cli.exit_codes import ExitCode, exit_code
from pacsnode.errors import (
    ConfigError,
    DamagedObject,
    InvalidUID,
    NetworkError,
    OutOfResources,
    PacsNodeError,
    PermanentError,
)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), 78),
        (InvalidUID("x"), 2),
        (NetworkError("x"), 75),
        (OutOfResources("x"), 75),
        (PermanentError("x"), 1),
        (DamagedObject("x"), 1),
        (PacsNodeError("x"), 1),
    ],
)
def test_the_type_of_an_error_decides(error: PacsNodeError, code: int) -> None:
    assert exit_code(error) == code


def test_the_codes_that_have_shipped_stay() -> None:
    assert {code.name: int(code) for code in ExitCode} == {
        "DONE": 0,
        "UNEXPECTED": 1,
        "USAGE": 2,
        "SOME_FAILED": 3,
        "PROBLEMS_FOUND": 4,
        "TRY_LATER": 75,
        "CONFIGURATION": 78,
        "INTERRUPTED": 130,
    }
