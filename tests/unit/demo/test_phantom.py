from pathlib import Path

from pydicom import dcmread

from pacsnode.demo.phantom import STUDIES, sphere_slice, uid, write_studies
from pacsnode.dicom.uid import validated


def test_the_studies_are_valid_small_and_marked(tmp_path: Path) -> None:
    files = write_studies(tmp_path)
    assert len(files) == sum(slices for study in STUDIES for _, slices in study.series)
    assert 4 << 20 < sum(file.stat().st_size for file in files) < 16 << 20
    seen = set()
    for file in files:
        instance = dcmread(file)
        assert "SYNTHETIC" in instance.PatientComments
        assert "synthetic" in instance.Manufacturer
        assert file.name == f"{instance.SOPInstanceUID}.dcm"
        assert len(instance.PixelData) == instance.Rows * instance.Columns * 2
        seen.add(validated(str(instance.SOPInstanceUID)))
    assert len(seen) == len(files)


def test_they_are_the_same_each_time(tmp_path: Path) -> None:
    first = {file.name: file.read_bytes() for file in write_studies(tmp_path / "a")}
    second = {file.name: file.read_bytes() for file in write_studies(tmp_path / "b")}
    assert first == second


def test_uids_are_derived_from_uuids() -> None:
    assert uid("a") == uid("a") != uid("b")
    assert validated(uid("a")).startswith("2.25.")


def test_a_slice_is_a_symmetric_disc_in_a_disc() -> None:
    pixels = memoryview(sphere_slice(0.0)).cast("H")
    assert (pixels[0], pixels[128 * 256 + 128], pixels[128 * 256 + 60]) == (0, 1100, 1024)
    assert list(pixels) == list(reversed(pixels))
    assert not any(sphere_slice(200.0))
