"""Studies without a patient: spheres drawn by a formula, the same bytes each time.

Every instance says that it is synthetic: in the patient's comments, in Manufacturer and in Image Comments.
"""

import sys
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from uuid import UUID, uuid5

from pydicom import Dataset
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, MRImageStorage

_SIZE = 256
_SPACING_MM = 1.0
_SLICE_MM = 5.0
_NAMESPACE = UUID("8f2ff4b6-5d0c-4f0e-9a35-0f6f5f9b1c11")
_SOP_CLASSES = {"CT": CTImageStorage, "MR": MRImageStorage}
_MARK = "SYNTHETIC IMAGE, NO PATIENT"


@dataclass(frozen=True, slots=True)
class Study:
    """One study to draw."""

    number: int
    modality: str
    patient_id: str
    patient_name: str
    date: str
    description: str
    series: tuple[tuple[str, int], ...]  # description and slices of each

    @property
    def study_instance_uid(self) -> str:
        """The same in each demonstration."""
        return uid(f"study {self.number}")


STUDIES = (
    Study(
        1,
        "CT",
        "DEMO-1",
        "SYNTHETIC^SPHERE",
        "20240229",
        "Sphere in water",
        (("Axial", 24), ("Axial, thin", 16)),
    ),
    Study(2, "MR", "DEMO-2", "SYNTHÉTIQUE^Sphère", "20240301", "Sphere in gel", (("T1 axial", 16),)),
)


def uid(name: str) -> str:
    """Return the UID of something of the demonstration (PS3.5 B.2: derived from a UUID)."""
    return f"2.25.{uuid5(_NAMESPACE, name).int}"


def write_studies(folder: Path) -> list[Path]:
    """Write all studies below a folder, one file for each instance, and return the files."""
    written = []
    for study in STUDIES:
        for instance in instances(study):
            path = folder / study.modality / f"{instance.SOPInstanceUID}.dcm"
            path.parent.mkdir(parents=True, exist_ok=True)
            instance.save_as(path, enforce_file_format=True)
            written.append(path)
    return written


def instances(study: Study) -> Iterator[FileDataset]:
    """Yield the instances of a study, series by series."""
    for number, (description, slices) in enumerate(study.series, start=1):
        for at in range(slices):
            instance = _instance(study, uid(f"study {study.number}, series {number}, instance {at + 1}"))
            instance.SeriesInstanceUID = uid(f"study {study.number}, series {number}")
            instance.SeriesNumber = number
            instance.SeriesDescription = description
            _place(instance, at, slices)
            yield instance


def _instance(study: Study, sop_instance_uid: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = _SOP_CLASSES[study.modality]
    meta.MediaStorageSOPInstanceUID = UID(sop_instance_uid)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    instance = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    instance.SpecificCharacterSet = "ISO_IR 192"
    instance.SOPClassUID = meta.MediaStorageSOPClassUID
    instance.SOPInstanceUID = sop_instance_uid
    instance.PatientName = study.patient_name
    instance.PatientID = study.patient_id
    instance.PatientBirthDate = ""
    instance.PatientSex = "O"
    instance.PatientComments = _MARK
    instance.StudyInstanceUID = study.study_instance_uid
    instance.StudyDate = instance.SeriesDate = instance.ContentDate = study.date
    instance.StudyTime = instance.SeriesTime = instance.ContentTime = "101500"
    instance.StudyID = str(study.number)
    instance.StudyDescription = study.description
    instance.AccessionNumber = f"DEMO{study.number:04}"
    instance.ReferringPhysicianName = ""
    instance.Modality = study.modality
    instance.Manufacturer = "pacsnode demo (synthetic)"
    instance.ImageComments = _MARK
    instance.ImageType = ["DERIVED", "SECONDARY", "OTHER" if study.modality == "MR" else "AXIAL"]
    _add_modality(instance)
    return instance


def _add_modality(instance: Dataset) -> None:
    if instance.Modality == "CT":
        instance.KVP = "120"
        instance.RescaleIntercept = "-1024"
        instance.RescaleSlope = "1"
        instance.RescaleType = "HU"
        instance.WindowCenter, instance.WindowWidth = "40", "400"
    else:
        instance.ScanningSequence, instance.SequenceVariant = "SE", "NONE"
        instance.ScanOptions, instance.MRAcquisitionType = "", "2D"
        instance.RepetitionTime, instance.EchoTime, instance.EchoTrainLength = "500", "15", "1"
        instance.WindowCenter, instance.WindowWidth = "600", "1200"


def _place(instance: Dataset, at: int, slices: int) -> None:
    """Add position and pixels of one slice."""
    z = (at - (slices - 1) / 2) * _SLICE_MM
    edge = -_SPACING_MM * (_SIZE - 1) / 2
    instance.InstanceNumber = at + 1
    instance.AcquisitionNumber = 1
    instance.FrameOfReferenceUID = uid(f"frame of reference of {instance.StudyInstanceUID}")
    instance.PositionReferenceIndicator = ""
    instance.ImagePositionPatient = [edge, edge, z]
    instance.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    instance.SliceThickness = _SLICE_MM
    instance.PixelSpacing = [_SPACING_MM, _SPACING_MM]
    instance.SamplesPerPixel = 1
    instance.PhotometricInterpretation = "MONOCHROME2"
    instance.Rows = instance.Columns = _SIZE
    instance.BitsAllocated, instance.BitsStored, instance.HighBit = 16, 12, 11
    instance.PixelRepresentation = 0
    instance.PixelData = sphere_slice(z)


def sphere_slice(z: float) -> bytes:
    """Return a slice `z` mm from the middle of a sphere with a denser one inside: 16 bits, little endian."""
    pixels = array("H")
    for row in range(_SIZE):
        y = (row - (_SIZE - 1) / 2) * _SPACING_MM
        outer, inner = _half_width(110.0, y, z), _half_width(45.0, y, z)
        side = [0] * (_SIZE // 2 - outer) + [1024] * (outer - inner) + [1100] * inner
        pixels.extend(side)
        pixels.extend(reversed(side))
    if sys.byteorder == "big":
        pixels.byteswap()
    return pixels.tobytes()


def _half_width(radius: float, y: float, z: float) -> int:
    """Return how many pixels of a row lie within a sphere, on each side of its middle."""
    squared = radius * radius - y * y - z * z
    return round(sqrt(squared) / _SPACING_MM) if squared > 0 else 0
