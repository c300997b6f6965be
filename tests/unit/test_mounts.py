"""The file system of a path, by the text of /proc/self/mountinfo."""

from pathlib import Path

import pytest

from pacsnode import mounts
from pacsnode.mounts import file_system_of, file_system_type

MOUNTS = r"""
21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
22 21 0:20 / /srv rw,relatime shared:2 master:1 - xfs /dev/sdb1 rw
23 22 0:21 / /srv/images rw - nfs4 server:/images rw,vers=4.2
24 21 0:22 / /mnt/with\040space rw - cifs //server/share rw
25 21 0:23 / /home rw - ext4 /dev/sdc1 rw
26 21 0:24 / /home rw - fuse.sshfs user@host: rw
27 21 0:25 / /srvother rw - tmpfs tmpfs rw
a line that is none
"""


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/var/lib/pacsnode/index.db", "ext4"),
        ("/srv/index.db", "xfs"),
        ("/srv", "xfs"),
        ("/srv/images/a/index.db", "nfs4"),
        ("/srv/images2/index.db", "xfs"),
        ("/srvother/index.db", "tmpfs"),
        ("/mnt/with space/index.db", "cifs"),
        ("/home/index.db", "fuse.sshfs"),
    ],
)
def test_the_longest_mount_point_and_the_last_of_equals_decide(path: str, found: str) -> None:
    assert file_system_type(MOUNTS, path) == found


def test_no_mount_point_fits() -> None:
    assert file_system_type("", "/srv") == ""


def test_a_link_is_followed_to_its_file_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    asked: list[str] = []
    monkeypatch.setattr(mounts, "file_system_type", lambda mountinfo, path: asked.append(path) or "ext4")
    assert file_system_of(tmp_path / "link") == "ext4"
    assert asked == [str(tmp_path.resolve() / "real")]


def test_the_file_system_of_this_place_is_known(tmp_path: Path) -> None:
    assert file_system_of(tmp_path)
