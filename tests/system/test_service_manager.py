"""`serve` under a stand-in for the service manager, asked by `status`, as all of it runs."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pacsnode.dimse import scu
from pacsnode.dimse.scu import Caller
from tests.factories import Sample
from tests.faults import bounded
from tests.served import PROGRAM, ServedNode
from tests.service_manager import ServiceManager
from tests.system.program import pacsnode

SECONDS = 60.0


def test_the_life_of_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "image.dcm").write_bytes(Sample(1).file)
    with ServiceManager() as manager:
        monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
        monkeypatch.setenv("WATCHDOG_USEC", "4000000")
        with ServedNode(tmp_path / "data", spool__min_free="0") as node:
            for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC"):
                monkeypatch.delenv(name)
            started = manager.wait_for("READY=1")
            assert started["STATUS"] == f"listens on port {node.remote.port}"
            for _ in range(2):
                manager.wait_for("WATCHDOG=1")
            os.kill(node.pid, signal.SIGHUP)
            assert "MONOTONIC_USEC" in manager.wait_for("RELOADING=1")
            listens = f"listens on port {node.remote.port}"
            assert manager.wait_for("READY=1")["STATUS"] == f"{listens}; snapshot 2"
            assert [
                sent.status for sent in scu.send(Caller("CT1"), node.remote, [tmp_path / "image.dcm"])
            ] == [0]
            found = None
            for _ in bounded(SECONDS):
                asked = pacsnode("status", "--json", "--data-dir", node.data_dir, folder=tmp_path)
                found = asked.result
                if found["stores"].get("instances") == 1 and "index" in found and not found["problems"]:
                    break
            assert found is not None
            assert (asked.exit_code, found["snapshot"], found["stores"]["instances"]) == (0, 2, 1), asked.out
            assert found["associations"]["by_ae_title"][0]["ae_title"] == "CT1"
            assert {"spool", "index", "filing", "storage"} <= set(found)
            shown = pacsnode("status", "--data-dir", node.data_dir, folder=tmp_path)
            assert shown.exit_code == 0
            assert node.terminate()[0] == 0
            manager.wait_for("STOPPING=1")
            assert pacsnode("status", "--data-dir", node.data_dir, folder=tmp_path).exit_code == 75


def test_the_socket_that_is_handed_over_is_listened_on(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as opened:
        os.set_inheritable(opened.fileno(), True)
        # The manager knows the process that it starts; here it is a shell that becomes the program.
        start = f'exec 3>&{opened.fileno()}; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"'
        node = ServedNode(
            tmp_path / "data", program=["bash", "-c", start, "-", *PROGRAM], spool__min_free="0"
        )
        node.inherits = (opened.fileno(),)
        with node:
            assert node.remote.port == opened.getsockname()[1]
            scu.echo(Caller("CT1"), node.remote)
            assert node.terminate()[0] == 0


def test_a_socket_of_another_kind_ends_the_start_with_78(tmp_path: Path) -> None:
    program = (
        "import os, runpy, socket, sys; one = socket.socket(socket.AF_UNIX); os.dup2(one.fileno(), 3); "
        "os.environ |= {'LISTEN_FDS': '1', 'LISTEN_PID': str(os.getpid())}; "
        "sys.argv[1:] = ['serve', '--data-dir', 'data', '--json']; runpy.run_module('pacsnode', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 78, done.stderr
    assert (
        "LISTEN_FDS: descriptor 3 is not an Internet socket"
        in json.loads(done.stdout.splitlines()[-1])["result"]["error"]
    )
