"""Nobody but the node's user may look into what it keeps (RELIABILITY S5)."""

import os
import stat
from pathlib import Path

from pacsnode.dimse import scu
from pacsnode.dimse.scu import Caller
from tests.factories import Sample
from tests.served import ServedNode, is_filed


def open_to_others(data_dir: Path) -> list[str]:
    """Return what is neither a folder with 0700 nor a file or socket with 0600."""
    found = []
    for path in (data_dir, *data_dir.rglob("*")):
        mode = path.lstat().st_mode
        if stat.S_IMODE(mode) != (0o700 if stat.S_ISDIR(mode) else 0o600):
            found.append(f"{stat.filemode(mode)} {path}")
    return found


def test_folders_are_0700_and_files_0600_whatever_the_umask(tmp_path: Path) -> None:
    samples = [Sample(number) for number in range(3)]
    paths = [tmp_path / f"{sample.number}.dcm" for sample in samples]
    for path, sample in zip(paths, samples, strict=True):
        path.write_bytes(sample.file)
    before = os.umask(0)
    try:
        node = ServedNode(tmp_path / "data", spool__min_free="0")
        with node:
            os.umask(before)
            assert [sent.status for sent in scu.send(Caller("CT1"), node.remote, paths)] == [0, 0, 0]
            while_spooled = open_to_others(node.data_dir)
            assert is_filed(node.data_dir)
            assert sorted(path.name for path in (node.data_dir / "archive").rglob("*.dcm")) == sorted(
                f"{sample.uid}.dcm" for sample in samples
            )
            assert [while_spooled, open_to_others(node.data_dir)] == [[], []]
            assert node.terminate()[0] == 0
    finally:
        os.umask(before)
    assert open_to_others(tmp_path / "data") == []
