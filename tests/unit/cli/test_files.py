from pathlib import Path

import pytest

from pacsnode.cli.files import find_files, looks_like_dicom


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (bytes(128) + b"DICM", True),
        (b"anything".ljust(128) + b"DICM...", True),
        (b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100", True),
        (b"\x08\x00\x16\x00\x1a\x00\x00\x00" + b"1.2", True),
        (b"\x00\x08\x00\x16\x00\x00\x00\x1a1.2", True),
        (b"", False),
        (b"\x08\x00", False),
        (b"plain text that is no image", False),
        (bytes(200), False),
    ],
)
def test_what_looks_like_dicom(content: bytes, expected: bool, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    assert looks_like_dicom(tmp_path / "file") == expected


def test_folders_are_searched_and_named_files_taken(tmp_path: Path) -> None:
    part10 = bytes(128) + b"DICM"
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "2.dcm").write_bytes(part10)
    (tmp_path / "a" / "b" / "1").write_bytes(part10)
    (tmp_path / "a" / "DICOMDIR").write_bytes(part10)
    (tmp_path / "a" / "README").write_text("hello")
    (tmp_path / "named.txt").write_text("sent as it is")
    found = find_files([tmp_path / "a", tmp_path / "named.txt"])
    assert found.paths == [tmp_path / "a" / "2.dcm", tmp_path / "a" / "b" / "1", tmp_path / "named.txt"]
    assert found.skipped == [tmp_path / "a" / "DICOMDIR", tmp_path / "a" / "README"]


def test_what_cannot_be_read_is_kept_to_be_reported(tmp_path: Path) -> None:
    assert looks_like_dicom(tmp_path / "gone")
