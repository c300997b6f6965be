"""Orthanc as a real process that receives: found by path, ended by process id."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pacsnode.dimse import scu
from pacsnode.dimse.association.requestor import Caller
from pacsnode.dimse.scu import Remote
from pacsnode.errors import NetworkError
from tests.faults import bounded
from tests.interop.dcmtk import end, tool, wait_until_listening

_FOLDERS = "/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"
_START_SECONDS = 20.0


def _answers(remote: Remote) -> bool:
    """Return whether it serves: before that it listens for a moment only to see whether the port is free."""
    try:
        scu.echo(Caller("TESTSCU"), remote)
    except NetworkError:
        return False
    return True


@contextmanager
def orthanc(folder: Path, port: int, ae_title: str = "ORTHANC", **further: object) -> Iterator[Remote]:
    """Run Orthanc on a reserved port, with further settings, ready to be called, while the context lasts."""
    folder.mkdir()
    settings = {
        "StorageDirectory": str(folder),
        "IndexDirectory": str(folder),
        "HttpServerEnabled": False,
        "DicomPort": port,
        "DicomAet": ae_title,
        "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowFind": True,
        "Plugins": [],
        **further,
    }
    config = folder / "orthanc.json"
    config.write_text(json.dumps(settings), encoding="utf-8")
    with (folder / "log").open("wb") as output:
        process = subprocess.Popen([tool("Orthanc", _FOLDERS), str(config)], stdout=output, stderr=output)
    try:
        remote = Remote(ae_title, "127.0.0.1", port)
        wait_until_listening(process, port)
        assert any(_answers(remote) for _ in bounded(_START_SECONDS)), "Orthanc does not answer"
        yield remote
    finally:
        end(process)
