"""Scan files to `Scan`: NIfTI, DICOM, MetaImage, NRRD, MGH, MINC."""

from maescan.scans.find import ScanSource, find_scans
from maescan.scans.read import read_scan
from maescan.scans.scan import Axes, Scan, axial_view

__all__ = ["Axes", "Scan", "ScanSource", "axial_view", "find_scans", "read_scan"]
