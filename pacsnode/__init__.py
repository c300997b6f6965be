"""A DICOM archive node: receives, keeps, finds and gives back images over DIMSE."""

__version__ = "0.1.0"
