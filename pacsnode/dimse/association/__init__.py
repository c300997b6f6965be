"""One DICOM association"""
