import json
import subprocess
import sys
from pathlib import Path

import click
import pytest

from pacsnode.cli import main
from pacsnode.cli.main import pacsnode, run
from pacsnode.errors import ConfigError, NetworkError, PacsNodeError

HEAVY = ("pynetdicom", "pydicom", "google", "pydantic", "sqlite3", "sqlite_utils", "numpy")


def commands(group: click.Group = pacsnode, *path: str) -> list[list[str]]:
    context = click.Context(group)
    found: list[list[str]] = [list(path)]
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        found += commands(command, *path, name) if isinstance(command, click.Group) else [[*path, name]]
    return found


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_help_imports_nothing_heavy(command: list[str]) -> None:
    code = (
        f"import sys; sys.argv = ['pacsnode', *{command!r}, '--help']\n"
        "from pacsnode.cli.main import run\n"
        "try: run()\n"
        f"finally: print('imported', *[m for m in {HEAVY!r} if m in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines()[-1] == "imported"
    assert done.stdout.startswith("Usage: pacsnode")


def test_each_command_explains_itself_and_speaks_json() -> None:
    for path in commands():
        command: click.Command = pacsnode
        for name in path:
            assert isinstance(command, click.Group)
            found = command.get_command(click.Context(command), name)
            assert found is not None
            command = found
        assert command.help, f"{path} has no help"
        options = {option for parameter in command.params for option in parameter.opts}
        assert isinstance(command, click.Group) or "--json" in options, f"{path} has no --json"


def test_the_commands_that_have_shipped_stay() -> None:
    assert {" ".join(path) for path in commands()} >= {
        "serve", "demo", "config init", "config check", "config show", "config schema", "echo", "send",
        "find", "get", "move", "studies", "show", "storage verify", "manual", "completion",
    }  # fmt: skip


def test_a_command_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    assert exit_of(monkeypatch, "nonsense") == 2


def exit_of(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> object:
    monkeypatch.setattr(sys, "argv", ["pacsnode", *arguments])
    with pytest.raises(SystemExit) as raised:
        run()
    return raised.value.code


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (ConfigError("config.toml:2: wrong"), 78, "pacsnode: config.toml:2: wrong\n"),
        (NetworkError("PACS is away"), 75, "pacsnode: PACS is away\n"),
        (PacsNodeError("odd"), 1, "pacsnode: odd\n"),
        (click.UsageError("how?"), 2, "Error: how?\n"),
        (click.Abort(), 130, ""),
        (KeyboardInterrupt(), 130, ""),
        (SystemExit(3), 3, ""),
        (BrokenPipeError(), 1, ""),
    ],
)
def test_what_ends_a_command_becomes_an_exit_code(
    error: BaseException,
    code: int,
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    @click.command()
    def failing() -> None:
        raise error

    monkeypatch.setattr(main, "pacsnode", failing)
    monkeypatch.setattr("os.dup2", lambda *_: None)
    assert exit_of(monkeypatch) == code
    assert capfd.readouterr().err.endswith(text)


def test_errors_as_json_are_the_last_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_of(monkeypatch, "--config", "/does/not/exist.toml", "config", "check", "--json") == 78
    out, err = capsys.readouterr()
    assert json.loads(out.splitlines()[-1]) == {
        "result": {
            "error": "/does/not/exist.toml: cannot be read: No such file or directory",
            "exit_code": 78,
        }
    }
    assert "cannot be read" in err


def test_success_is_zero(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert exit_of(monkeypatch, "--version") == 0
    assert exit_of(monkeypatch, "config", "schema") == 0


def test_an_unexpected_error_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def failing() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(main, "pacsnode", failing)
    monkeypatch.setattr(sys, "argv", ["pacsnode"])
    with pytest.raises(ZeroDivisionError):
        run()
