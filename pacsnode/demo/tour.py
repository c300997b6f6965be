"""Store, find, get, move and compare, step by step, each with its figure and what to type."""

import shlex
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset

from pacsnode.config import Config
from pacsnode.config.quantities import abbreviated_size
from pacsnode.demo.phantom import STUDIES, write_studies
from pacsnode.dicom.part10 import parse_meta
from pacsnode.dimse import scu
from pacsnode.dimse.receiver import receiver
from pacsnode.node import Node

PORT = 11112
RECEIVER = "DEMO-STATION"

# Step, text for people, figures for programs.
Say = Callable[[str, str, dict[str, object]], None]


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the demonstration keeps what: all below one temporary folder."""

    root: Path

    @property
    def synthetic(self) -> Path:
        return self.root / "synthetic"

    @property
    def fetched(self) -> Path:
        return self.root / "fetched"

    @property
    def moved(self) -> Path:
        return self.root / "moved"


def run_demo(say: Say, *, exits: bool, keeps: bool) -> bool:
    """Run the demonstration; return whether every byte came back. Serves until a signal unless `exits`."""
    with _terminable(), ExitStack() as stack:
        places = _Places(stack.enter_context(_temporary_folder(say, keeps=keeps)))
        for folder in (places.fetched, places.moved):
            folder.mkdir()
        station = stack.enter_context(receiver(places.moved, RECEIVER))
        node = stack.enter_context(Node(demo_config(places.root, station.port)))
        tour = Tour(node.ae_title, node.port, places.root, say)
        succeeded = tour.run()
        if succeeded and not exits:
            say("serving", tour.what_next(), {"port": node.port})
            _wait_for_signal()
    return succeeded


def demo_config(folder: Path, receiver_port: int) -> Config:
    """Return the node's configuration: loopback only, open to everyone there, all data below the folder."""
    return Config.model_validate(
        {
            "node": {"name": "demo", "data_dir": folder / "node"},
            "dicom": {"port": PORT if _is_free(PORT) else 0},
            "access": {"unknown_peers": "all"},
            "spool": {"min_free": "64 MiB"},
            "logging": {"level": "warning"},
            "peers": [{"name": "station", "ae_title": RECEIVER, "host": "127.0.0.1", "port": receiver_port}],
        }
    )


class Tour:
    """The steps, against a node that runs."""

    def __init__(self, ae_title: str, port: int, folder: Path, say: Say) -> None:
        self._places = _Places(folder)
        self._remote = scu.Remote(ae_title, "127.0.0.1", port)
        self._caller = scu.Caller(ae_title="DEMO")
        self._address = f"{ae_title}@127.0.0.1:{port}"
        self._say = say

    def run(self) -> bool:
        """Take all steps; return whether they succeeded."""
        files = self._make()
        return self._echo() and self._send(files) and self._find() and self._get(files) and self._move(files)

    def what_next(self) -> str:
        """Return what can be tried by hand while the node serves."""
        return "\n".join(
            (
                f"\nThe node serves {self._address}, open to everybody on this machine, until Ctrl-C.",
                "Type in another terminal, for instance:",
                f"    pacsnode find {self._address} -k PatientName='SYNTH*' -k StudyDate=2024",
                f"    pacsnode send {self._address} FOLDER-WITH-YOUR-IMAGES",
                f"    pacsnode studies --data-dir {shlex.quote(str(self._places.root / 'node'))}",
                f"    echoscu -aec {self._remote.ae_title} 127.0.0.1 {self._remote.port}",
                "For a node of your own: pacsnode config init, then pacsnode serve; see pacsnode manual.",
            )
        )

    def _make(self) -> list[Path]:
        files = write_studies(self._places.synthetic)
        size = sum(file.stat().st_size for file in files)
        self._say(
            "make",
            f"Made {len(STUDIES)} synthetic studies: {len(files)} files, {abbreviated_size(size)}.",
            {"studies": len(STUDIES), "instances": len(files), "bytes": size},
        )
        return files

    def _echo(self) -> bool:
        seconds = scu.echo(self._caller, self._remote)
        self._step(
            "echo", f"The node answers a C-ECHO in {seconds * 1000:.1f} ms.", "echo", "", {"seconds": seconds}
        )
        return True

    def _send(self, files: Sequence[Path]) -> bool:
        started = time.monotonic()
        refused = [result for result in scu.send(self._caller, self._remote, files) if result.status != 0]
        seconds = time.monotonic() - started
        for result in refused:
            self._say("send", f"{result.path}: not stored: {result.comment}", {"path": str(result.path)})
        sent = len(files) - len(refused)
        self._step(
            "send",
            f"Sent {sent} of {len(files)} (C-STORE) in {seconds:.2f} s, {sent / seconds:.0f} a second: "
            "each one durable and indexed before its Success.",
            "send",
            shlex.quote(str(self._places.synthetic)),
            {"sent": sent, "failed": len(refused), "seconds": seconds},
        )
        return not refused

    def _find(self) -> bool:
        identifier = Dataset()
        identifier.QueryRetrieveLevel = "STUDY"
        identifier.PatientName = "synth*"
        identifier.StudyInstanceUID = ""
        started = time.monotonic()
        found = list(scu.find(self._caller, self._remote, identifier, patient_root=False))
        seconds = time.monotonic() - started
        uids = {str(answer.StudyInstanceUID) for answer in found}
        expected = {study.study_instance_uid for study in STUDIES if study.patient_name.startswith("SYNTH")}
        self._step(
            "find",
            f"Found {len(found)} studies of patients like 'synth*' (C-FIND) in {seconds * 1000:.1f} ms.",
            "find",
            "-k PatientName='synth*' -k StudyDate",
            {"matches": len(found), "seconds": seconds},
        )
        return self._is_as_expected(
            "find", f"{len(expected)} studies were to be found", expected=uids == expected
        )

    def _get(self, files: Sequence[Path]) -> bool:
        def retrieve(study: Dataset) -> Iterable[scu.RetrieveProgress]:
            return scu.get(self._caller, self._remote, study, patient_root=False, folder=self._places.fetched)

        return self._retrieve("get", files, retrieve, self._places.fetched, "Got", "-o FOLDER")

    def _move(self, files: Sequence[Path]) -> bool:
        def retrieve(study: Dataset) -> Iterable[scu.RetrieveProgress]:
            return scu.move(self._caller, self._remote, study, patient_root=False, destination=RECEIVER)

        return self._retrieve("move", files, retrieve, self._places.moved, "Had it send", f"--to {RECEIVER}")

    def _retrieve(
        self,
        step: str,
        files: Sequence[Path],
        retrieve: Callable[[Dataset], Iterable[scu.RetrieveProgress]],
        folder: Path,
        did: str,
        options: str,
    ) -> bool:
        started = time.monotonic()
        completed = sum(_completed(retrieve(_study(study.study_instance_uid))) for study in STUDIES)
        seconds = time.monotonic() - started
        different = [file.name for file in files if not same_data_set(file, folder / file.name)]
        where = f" to {RECEIVER}" if step == "move" else ""
        self._step(
            step,
            f"{did} {completed}{where} (C-{step.upper()}) in {seconds:.2f} s, {completed / seconds:.0f}/s: "
            f"{len(files) - len(different)} of {len(files)} data sets came back byte for byte.",
            step,
            f"--study {STUDIES[0].study_instance_uid} {options}",
            {"completed": completed, "different": len(different), "seconds": seconds},
        )
        return self._is_as_expected(
            step, f"different or missing: {', '.join(different[:3])}", expected=not different
        )

    def _step(self, step: str, text: str, command: str, options: str, figures: dict[str, object]) -> None:
        typed = f"pacsnode {command} {self._address} {options}".rstrip()
        self._say(step, f"{text}\n    {typed}", {**figures, "type": typed})

    def _is_as_expected(self, step: str, otherwise: str, *, expected: bool) -> bool:
        if not expected:
            self._say(step, f"FAILED: {otherwise}", {"failed": otherwise})
        return expected


def same_data_set(first: Path, second: Path) -> bool:
    """Return whether two Part 10 files have the same data set, byte for byte; their file meta may differ."""
    return second.exists() and _data_set(first) == _data_set(second)


def _data_set(path: Path) -> bytes:
    content = path.read_bytes()
    return content[parse_meta(content).data_set_offset :]


def _study(study_instance_uid: str) -> Dataset:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "STUDY"
    identifier.StudyInstanceUID = study_instance_uid
    return identifier


def _completed(answers: Iterable[scu.RetrieveProgress]) -> int:
    completed = 0
    for answer in answers:
        completed = answer.completed
    return completed


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@contextmanager
def _temporary_folder(say: Say, *, keeps: bool) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="pacsnode-demo-"))
    try:
        yield folder
    finally:
        if keeps:
            say("kept", f"Kept {folder}.", {"folder": str(folder)})
        else:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM and SIGINT end the demonstration, so that the folder goes away.

    SIGINT too: a shell that starts a command in the background has it ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, signal.default_int_handler) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _wait_for_signal() -> None:
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        return
