"""A child's command line."""

import os
import signal
import subprocess
import sys

import pytest

from pacsnode.processes.program import Arguments

WHOLE = Arguments(
    "pacsnode-worker-1",
    number=1,
    parent=2,
    control=3,
    listening=4,
    turns=5,
    admission=6,
    with_jobs=True,
    take_over=True,
)


@pytest.mark.parametrize("arguments", [WHOLE, Arguments("pacsnode-jobs", number=0, parent=2, control=3)])
def test_a_command_line_says_all(arguments: Arguments) -> None:
    assert Arguments.parsed(arguments.words()) == arguments
    assert arguments.words()[0] == arguments.title


def test_descriptors_are_those_that_there_are() -> None:
    assert WHOLE.descriptors == (3, 4, 5, 6)
    assert Arguments("t", number=0, parent=1, control=3).descriptors == (3,)


def test_it_is_started_by_serve_only(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        Arguments.parsed(["-h"])
    assert ended.value.code == 0
    assert "started by pacsnode serve" in capsys.readouterr().out


DIES_WITH = """
import os, sys, time
from pacsnode.processes.program import _die_with
_die_with(int(sys.argv[1]), "pacsnode-test0")
print(open("/proc/self/comm").read().strip(), flush=True)
os.read(0, 1)
"""


def test_a_child_dies_with_its_parent() -> None:
    """A parent in between is killed; the grandchild, which holds no socket of it, goes at once."""
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            (
                "import subprocess, sys, os\n"
                f"child = subprocess.Popen([sys.executable, '-c', {DIES_WITH!r}, str(os.getpid())])\n"
                "os.read(0, 1)"
            ),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert parent.stdout is not None
    assert parent.stdin is not None
    assert parent.stdout.readline().strip() == b"pacsnode-test0"
    os.kill(parent.pid, signal.SIGKILL)
    assert parent.wait(20) == -signal.SIGKILL
    assert parent.stdout.read() == b""  # the grandchild had the other end
    parent.stdout.close()
    parent.stdin.close()


def test_a_child_whose_parent_is_gone_does_not_begin() -> None:
    ran = subprocess.run([sys.executable, "-c", DIES_WITH, "1"], capture_output=True, timeout=20, check=False)
    if os.getpid() != 1:
        assert (ran.returncode, ran.stdout) == (1, b"")
