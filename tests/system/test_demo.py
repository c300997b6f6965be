import signal
import subprocess
import sys
from pathlib import Path

from tests.system.program import ENVIRONMENT, SECONDS, first_line, pacsnode


def test_demo(tmp_path: Path) -> None:
    ran = pacsnode("demo", "--exit", folder=tmp_path, TMPDIR=str(tmp_path))
    assert (ran.exit_code, ran.err) == (0, "")
    assert "56 of 56 data sets came back byte for byte" in ran.out
    assert list(tmp_path.iterdir()) == []


def test_demo_serves_until_ctrl_c_and_then_cleans_up(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "pacsnode", "demo"],
        cwd=tmp_path,
        env=ENVIRONMENT | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = first_line(process.stdout, process)
        while "until Ctrl-C" not in line:
            line = process.stdout.readline()
            assert line
        address = line.split(" serves ")[1].split(",")[0]
        assert pacsnode("find", address, folder=tmp_path).out.endswith("2 studies found at PACSNODE\n")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=SECONDS)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert (process.returncode, err) == (0, "")
    assert list(tmp_path.iterdir()) == []
