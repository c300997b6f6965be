import json
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from pacsnode.archive.verification import Finding, Verified


@pytest.fixture
def findings(monkeypatch: pytest.MonkeyPatch) -> list[Verified]:
    found: list[Verified] = [Verified(Finding.CORRECT, "a", 1 << 20), Verified(Finding.CORRECT, "b", 1 << 20)]

    @contextmanager
    def open_archive(config: object) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(index=SimpleNamespace(everything=lambda: ()), spool=None, storage=None)

    monkeypatch.setattr("pacsnode.node.open_archive", open_archive)
    monkeypatch.setattr("pacsnode.archive.verification.verify", lambda *_: iter(found))
    return found


def test_all_correct(run, findings: list[Verified]) -> None:
    result = run("storage", "verify")
    assert (result.exit_code, result.output) == (0, "2 instances correct (2.0 MiB), 0 problems\n")


def test_each_problem_is_named_and_the_exit_code_is_4(run, findings: list[Verified]) -> None:
    findings.append(Verified(Finding.DAMAGED, "1/2/3.dcm", 7, "CRC32C 1, not 2"))
    findings.append(Verified(Finding.NOT_INDEXED, "odd\x1bname", 0, "an object"))
    result = run("storage", "verify")
    assert result.exit_code == 4
    assert result.output.splitlines() == [
        "damaged: 1/2/3.dcm: CRC32C 1, not 2",
        "not indexed: odd\ufffdname: an object",
        "2 instances correct (2.0 MiB), 2 problems",
    ]


def test_json(run, findings: list[Verified]) -> None:
    findings.append(Verified(Finding.MISSING, "1/2/3.dcm", 0, "gone"))
    lines = [json.loads(line) for line in run("storage", "verify", "--json").output.splitlines()]
    assert lines == [
        {"problem": {"finding": "missing", "name": "1/2/3.dcm", "detail": "gone"}},
        {"result": {"correct": 2, "problems": 1, "file_bytes": 2 << 20}},
    ]
