"""Files converted by `pacsnode.transcode`, for tests that compare them."""

from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import read_preamble
from pydicom.filewriter import write_file_meta_info

from pacsnode.dicom import uid
from pacsnode.transcode.transcoding import Limits, transcode
from tests.corpus import CorpusFile, corpus_files

NATIVE = uid.EXPLICIT_VR_LITTLE_ENDIAN


def compressed_files() -> list[CorpusFile]:
    """Return the files of the corpus that are compressed."""
    return [
        file for file in corpus_files() if "JPEG" in file.transfer_syntax or "RLE" in file.transfer_syntax
    ]


def opened(path: Path) -> tuple[BinaryIO, FileMetaDataset]:
    """Return the file at its data set, and its File Meta Information."""
    file = path.open("rb")
    read_preamble(file, force=True)
    return file, pydicom.filereader._read_file_meta_info(file)


def convert(path: Path, into: Path, wanted: str, limits: Limits | None = None) -> str:
    """Write a converted Part 10 file, and return the syntax that it was stored in."""
    source, meta = opened(path)
    stored = str(meta.TransferSyntaxUID)
    meta.TransferSyntaxUID = wanted
    with source, into.open("wb") as sink:
        sink.write(bytes(128) + b"DICM")
        write_file_meta_info(sink, meta, enforce_standard=False)
        transcode(source, sink, stored=stored, wanted=wanted, limits=limits or Limits())
    return stored


def converted(data: bytes, stored: str, wanted: str = NATIVE, limits: Limits | None = None) -> bytes:
    """Return a data set in another syntax."""
    sink = BytesIO()
    transcode(BytesIO(data), sink, stored=stored, wanted=wanted, limits=limits or Limits())
    return sink.getvalue()


def read(data: bytes, transfer_syntax: str = NATIVE) -> Dataset:
    """Return a data set as pydicom reads it."""
    is_implicit, is_little = transfer_syntax == uid.IMPLICIT_VR_LITTLE_ENDIAN, True
    return pydicom.filereader.read_dataset(BytesIO(data), is_implicit, is_little)
