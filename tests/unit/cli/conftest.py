"""A network that answers from a table, so that the commands can be tested alone."""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner, Result
from pydicom import Dataset

from pacsnode.cli.main import pacsnode
from pacsnode.dicom.query import BASELINE, Options
from pacsnode.errors import PacsNodeError
from pacsnode.tls import ClientTLS


@dataclass(frozen=True)
class Remote:
    ae_title: str
    host: str
    port: int
    tls: ClientTLS | None = None


@dataclass(frozen=True)
class Caller:
    ae_title: str = "PACSNODE"
    max_pdu_bytes: int = 262144
    acse_timeout_seconds: float = 10.0
    dimse_timeout_seconds: float = 120.0


@dataclass(frozen=True)
class SendResult:
    path: Path
    sop_instance_uid: str
    status: int | None
    comment: str = ""
    data_set_bytes: int = 1000


@dataclass(frozen=True)
class RetrieveProgress:
    status: int
    remaining: int | None = None
    completed: int = 0
    failed: int = 0
    warned: int = 0
    failed_uids: tuple[str, ...] = ()
    comment: str = ""


class RemoteFailure(PacsNodeError):
    def __init__(self, status: int, comment: str) -> None:
        super().__init__(f"status {status:#06x}: {comment}")
        self.status = status


@dataclass
class FakeNetwork:
    """Stands for `pacsnode.dimse.scu`: remembers the calls, gives the answers that a test has set."""

    calls: list[tuple[str, Caller, Remote, dict[str, Any]]] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)
    agreed: Options = BASELINE
    error: Exception | None = None

    def _call(self, name: str, caller: Caller, remote: Remote, **rest: Any) -> None:
        self.calls.append((name, caller, remote, rest))
        if self.error:
            raise self.error

    def echo(self, caller: Caller, remote: Remote) -> float:
        self._call("echo", caller, remote)
        return 0.0123

    def find(
        self,
        caller: Caller,
        remote: Remote,
        identifier: Dataset,
        *,
        patient_root: bool,
        options: Options,
        on_agreed: Callable[[Options], None],
    ) -> Iterator[Dataset]:
        self._call("find", caller, remote, identifier=identifier, patient_root=patient_root, options=options)
        on_agreed(self.agreed)
        yield from self.answers

    def get(
        self,
        caller: Caller,
        remote: Remote,
        identifier: Dataset,
        *,
        patient_root: bool,
        folder: Path,
        transfer_syntax: str,
    ) -> Iterator[RetrieveProgress]:
        options = {"identifier": identifier, "patient_root": patient_root, "folder": folder}
        self._call("get", caller, remote, **options, transfer_syntax=transfer_syntax)
        yield from self.answers

    def move(
        self, caller: Caller, remote: Remote, identifier: Dataset, *, patient_root: bool, destination: str
    ) -> Iterator[RetrieveProgress]:
        self._call(
            "move", caller, remote, identifier=identifier, patient_root=patient_root, destination=destination
        )
        yield from self.answers

    def send(
        self, caller: Caller, remote: Remote, paths: Sequence[Path], *, transfer_syntax: str, convert: object
    ) -> Iterator[SendResult]:
        self._call("send", caller, remote, paths=list(paths), transfer_syntax=transfer_syntax)
        yield from self.answers


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> FakeNetwork:
    fake = FakeNetwork()
    module = ModuleType("pacsnode.dimse.scu")
    for name in ("echo", "find", "get", "move", "send"):
        setattr(module, name, getattr(fake, name))
    for kind in (Remote, Caller, RemoteFailure):
        setattr(module, kind.__name__, kind)
    import pacsnode.dimse

    monkeypatch.setitem(sys.modules, "pacsnode.dimse.scu", module)
    monkeypatch.setattr(pacsnode.dimse, "scu", module, raising=False)
    return fake


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run a command in an empty folder, with no configuration but that of the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PACSNODE_CONFIG", raising=False)
    monkeypatch.setattr("pacsnode.config.reading._SYSTEM_FILE", tmp_path / "no-system-file")

    def run(*arguments: str | Path) -> Result:
        return CliRunner().invoke(pacsnode, [str(argument) for argument in arguments])

    return run
