"""The units, as systemd reads them, and that what they forbid is nothing that a node needs."""

import os
import re
import shutil
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from pydicom import Dataset

from pacsnode.dicom.uid import IMPLICIT_VR_LITTLE_ENDIAN
from pacsnode.dimse import scu
from pacsnode.dimse.scu import Caller
from tests.factories import Sample
from tests.faults import bounded, require_strace
from tests.served import PROGRAM, ServedNode, is_filed

UNITS = Path(__file__).resolve().parent.parent.parent / "systemd"
SERVICE = (UNITS / "pacsnode.service").read_text(encoding="utf-8")
MOST_EXPOSURE = 1.5
SECONDS = 60.0

# Calls that are made, refused, and done without.
DISPENSABLE = {
    "fchown",  # SQLite gives its files to the owner of the database if it runs as root, which the service does not
    "mbind",  # numpy's OpenBLAS has a preference where its memory lies
}


def tool(name: str) -> str:
    """Return the path of one of systemd's programs; skips the test without it, but fails in CI."""
    path = shutil.which(name)
    if path is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is missing: in CI it is not optional")
        pytest.skip(f"needs {name}")
    return path


def run(name: str, *arguments: str | Path) -> str:
    """Run one of systemd's programs and return what it says on both streams."""
    done = subprocess.run(
        [tool(name), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": "", "LC_ALL": "C"},
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def version() -> int:
    found = re.match(r"systemd (\d+)", run("systemd-analyze", "--version"))
    assert found is not None
    return int(found[1])


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units in a folder of their own, with a program that is there and no drop-ins."""
    for name in ("pacsnode.service", "pacsnode.socket"):
        text = (UNITS / name).read_text(encoding="utf-8").replace("/opt/pacsnode/bin/pacsnode", "/bin/true")
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def with_drop_in(units: Path, name: str) -> None:
    folder = units / "pacsnode.service.d"
    folder.mkdir()
    shutil.copy(UNITS / "pacsnode.service.d" / name, folder)


def test_the_units_are_read_without_a_complaint(units: Path) -> None:
    assert (
        run("systemd-analyze", "verify", "--man=no", units / "pacsnode.service", units / "pacsnode.socket")
        == ""
    )


@pytest.mark.parametrize("name", [path.name for path in sorted((UNITS / "pacsnode.service.d").iterdir())])
def test_each_drop_in_is_read_without_a_complaint(units: Path, name: str) -> None:
    with_drop_in(units, name)
    said = run("systemd-analyze", "verify", "--man=no", units / "pacsnode.service")
    if name == "notify-reload.conf" and version() < 253:
        assert "Failed to parse service type, ignoring: notify-reload" in said
    else:
        assert said == ""


def test_the_service_is_hardly_exposed(units: Path) -> None:
    said = run("systemd-analyze", "security", "--offline=true", "--no-pager", units / "pacsnode.service")
    found = re.search(r"Overall exposure level for pacsnode.service: ([0-9.]+)", said)
    assert found is not None, said
    assert float(found[1]) <= MOST_EXPOSURE, said


def test_the_user_is_made_and_the_configuration_is_for_root_and_the_service(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to give files to another user")
    folder = tmp_path / "etc" / "pacsnode"
    folder.mkdir(mode=0o755, parents=True)
    (folder / "config.toml").touch(mode=0o644)
    run("systemd-sysusers", f"--root={tmp_path}", UNITS / "sysusers.d" / "pacsnode.conf")
    run("systemd-tmpfiles", f"--root={tmp_path}", "--create", UNITS / "tmpfiles.d" / "pacsnode.conf")
    (user,) = re.findall(r"(?m)^pacsnode:.*$", (tmp_path / "etc" / "passwd").read_text())
    _, _, uid, gid, _, home, shell = user.split(":")
    assert (home, shell) == ("/var/lib/pacsnode", "/usr/sbin/nologin")
    assert int(uid) > 0
    for path, mode in ((folder, 0o750), (folder / "config.toml", 0o640)):
        found = path.stat()
        assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (mode, 0, int(gid))


@pytest.mark.parametrize("name", ["pacsnode.service", "pacsnode.socket"])
def test_each_group_of_options_says_why_it_is_there(name: str) -> None:
    for group in (UNITS / name).read_text(encoding="utf-8").strip().split("\n\n"):
        set_options = re.findall(r"(?m)^([A-Za-z]+)=", group)
        if not {"Description", "Documentation", "WantedBy"}.issuperset(set_options):
            assert re.search(r"(?m)^# ", group), group


# What the service may call


def options(name: str) -> list[str]:
    """Return the values of an option, in order."""
    return re.findall(rf"(?m)^{name}=(.*)$", SERVICE)


def calls_of(groups: Sequence[str]) -> set[str]:
    """Return the system calls in groups, with those of the groups in them."""
    calls: set[str] = set()
    for group in groups:
        said = run("systemd-analyze", "syscall-filter", "--no-pager", group)
        names = [line.strip() for line in said.splitlines()[1:] if not line.strip().startswith("#")]
        calls |= {name for name in names if not name.startswith("@")}
        calls |= calls_of([name for name in names if name.startswith("@")])
    return calls


def allowed_calls() -> set[str]:
    allowed, forbidden, allowed_again = options("SystemCallFilter")
    assert forbidden.startswith("~")
    return calls_of(allowed.split()) - calls_of(forbidden[1:].split()) | set(allowed_again.split())


def made_calls(summary: str) -> set[str]:
    """Return the system calls in a table of `strace -c`."""
    return {line.split()[-1] for line in summary.splitlines() if re.match(r"\s*\d+\.\d+ ", line)} - {"total"}


def test_a_node_makes_no_system_call_that_its_unit_forbids(tmp_path: Path) -> None:
    """Start, store, find, get, a conversion, filing and stop, with all threads and children."""
    require_strace()
    allowed = allowed_calls()
    # Of children, C-MOVE, reports and notifications too, whether this session needs them or not.
    assert {
        "clone3",
        "wait4",
        "memfd_create",
        "fchmod",
        "bind",
        "connect",
        "sendto",
        "prctl",
        "kill",
    } <= allowed
    assert not {"chown", "setuid", "mount", "ptrace", "sched_setscheduler"} & allowed
    summary = tmp_path / "calls"
    # -D: the node is our own child, and strace is nobody's, so that signals go to the node.
    program = ["strace", "-D", "-f", "-c", "-qq", "-o", str(summary), *PROGRAM]
    with ServedNode(tmp_path / "data", program=program, spool__min_free="0") as node:
        session(node, tmp_path)
        assert node.terminate()[0] == 0, node.log()
    text = next((text for _ in bounded(SECONDS) if "total" in (text := summary.read_text())), "")
    made = made_calls(text)
    assert {"openat", "linkat", "fsync", "flock", "eventfd2", "accept4", "setpriority"} <= made, text
    assert made - allowed <= DISPENSABLE


def session(node: ServedNode, folder: Path) -> None:
    """Do what peers do."""
    caller, samples, study = Caller("CT1"), [Sample(number) for number in range(3)], Dataset()
    study.QueryRetrieveLevel, study.StudyInstanceUID = "STUDY", samples[0].study
    (folder / "got").mkdir()
    paths = [folder / f"{sample.number}.dcm" for sample in samples]
    for path, sample in zip(paths, samples, strict=True):
        path.write_bytes(sample.file)
    scu.echo(caller, node.remote)
    assert [sent.status for sent in scu.send(caller, node.remote, paths)] == [0, 0, 0]
    assert len(list(scu.find(caller, node.remote, study, patient_root=False))) == 1
    got = list(scu.get(caller, node.remote, study, patient_root=False, folder=folder / "got"))
    assert got[-1].completed == 3
    implicit = {"transfer_syntax": IMPLICIT_VR_LITTLE_ENDIAN}
    got = list(scu.get(caller, node.remote, study, patient_root=False, folder=folder / "got", **implicit))
    assert got[-1].completed == 3
    assert is_filed(node.data_dir)
