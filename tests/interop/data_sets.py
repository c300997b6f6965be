"""Data sets to send, and the data sets within files, told apart by pydicom and not by the code under test."""

import warnings
from pathlib import Path
from typing import Any

from pydicom import DataElement, Dataset, config, dcmread
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import FileMetaDataset
from pydicom.filereader import _read_file_meta_info, read_preamble
from pydicom.uid import UID
from pynetdicom.dsutils import encode

from tests.interop.wire import CT_IMAGE, EXPLICIT

PATIENT_NAME = "MUSTERMANN^ERIKA"


def ct_image(number: int = 1, *, study: int = 1, series: int = 1, **changes: Any) -> Dataset:
    """Return a small CT image of a study and series; an attribute that is changed to None is left out."""
    data_set = Dataset()
    data_set.SOPClassUID = CT_IMAGE
    data_set.SOPInstanceUID = f"1.2.826.0.1.3680043.10.1.{study}.{series}.{number}"
    data_set.StudyDate = f"202001{study:02}"
    data_set.StudyTime = "101500"
    data_set.AccessionNumber = f"A{study}"
    data_set.Modality = "CT"
    data_set.PatientName = PATIENT_NAME
    data_set.PatientID = f"CANARY{study}"
    data_set.PatientBirthDate = "19700101"
    data_set.StudyInstanceUID = f"1.2.826.0.1.3680043.10.1.{study}"
    data_set.SeriesInstanceUID = f"1.2.826.0.1.3680043.10.1.{study}.{series}"
    data_set.StudyID = str(study)
    data_set.SeriesNumber = str(series)
    data_set.InstanceNumber = str(number)
    data_set.Rows, data_set.Columns, data_set.BitsAllocated = 4, 4, 16
    data_set.PixelData = bytes(32)
    data_set["PixelData"].VR = "OW"
    for keyword, value in changes.items():
        if value is None:
            del data_set[keyword]
        else:
            setattr(data_set, keyword, value)
    return data_set


def encoded(data_set: Dataset, transfer_syntax: str = EXPLICIT) -> bytes:
    """Return the bytes of a data set, in explicit or implicit VR little endian."""
    data = encode(data_set, is_implicit_vr=transfer_syntax != EXPLICIT, is_little_endian=True)
    assert data is not None
    return bytes(data)


def data_set_bytes(path: Path) -> bytes:
    """Return what follows the file meta information of a file, with or without preamble and file meta."""
    with path.open("rb") as file:
        read_preamble(file, force=True)
        _read_file_meta_info(file)
        return file.read()


_UIDS = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "MediaStorageSOPClassUID",
    "MediaStorageSOPInstanceUID",
    "TransferSyntaxUID",
)


def uids_of(path: Path) -> dict[str, str]:
    """Return a file's UIDs by keyword, those of its file meta included; "" for those that are missing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data_set = dcmread(path, force=True, stop_before_pixels=True)
        return {uid: str(data_set.get(uid) or data_set.file_meta.get(uid) or "") for uid in _UIDS}


def written(data_set: Dataset, path: Path) -> Path:
    """Write a data set as a Part 10 file in Explicit VR Little Endian."""
    data_set.file_meta = FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = UID(EXPLICIT)
    data_set.save_as(path, enforce_file_format=True)
    return path


def identifier(level: str, **keys: str) -> Dataset:
    """Return an Identifier whose values are sent as they are, whatever pydicom thinks of them."""
    data_set = Dataset()
    for keyword, value in {"QueryRetrieveLevel": level, **keys}.items():
        tag = tag_for_keyword(keyword)
        assert tag is not None
        values = value.split("\\") if "\\" in value else value
        data_set.add(DataElement(tag, dictionary_VR(tag), values, validation_mode=config.IGNORE))
    return data_set
