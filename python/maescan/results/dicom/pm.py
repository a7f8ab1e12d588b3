"""The heat map as a float32 Parametric Map on the scan's own grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from maescan.errors import ScanError
from maescan.results.dicom.codes import map_quantity, map_unit, map_values, region
from maescan.results.dicom.finding import Finding, Maker
from maescan.results.dicom.finish import ascending, body_part, finished, frames_of, geometry, identity
from maescan.results.dicom.source import Series, decimal

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


def parametric_map(series: Series, finding: Finding, maker: Maker, limit: int) -> bytes:
    """The object. limit: bytes of its pixels. Raises ScanError for a larger map."""
    import highdicom as hd

    frames = frames_of(finding.volume).astype(np.float32)
    if frames.nbytes > limit:
        reason = f"its map has {frames.nbytes / 1e6:.0f} MB"
        raise ScanError(f"{reason}, over the {limit / 1e6:.0f} MB allowed", remedy="raise --max-map")
    low, high = float(frames.min()), float(frames.max())
    _, top = finding.colours()
    mapping = hd.pm.RealWorldValueMapping(
        lut_label="ANOMALY",
        lut_explanation=map_quantity(finding.units).meaning,
        unit=map_unit(finding.units),
        value_range=(low, max(high, low + 1e-6)),
        slope=1.0,
        intercept=0.0,
        quantity_definition=map_quantity(finding.units),
    )
    window = hd.VOILUTTransformation(
        window_center=decimal(top / 2), window_width=decimal(top), voi_lut_function="LINEAR_EXACT"
    )
    made = hd.pm.ParametricMap(
        series.images,
        frames,
        real_world_value_mappings=[mapping],
        voi_lut_transformations=[window],
        contains_recognizable_visual_features=False,
        content_label="ANOMALY",
        content_description=map_values(finding.units),
        content_qualification="RESEARCH",
        **geometry(series),
        **identity(series, maker, "pm"),
    )
    shared = made.SharedFunctionalGroupsSequence[0]
    shared.FrameAnatomySequence = [_anatomy(series, maker)]
    ascending(made, frames.astype("<f4"), "FloatPixelData", series)
    return finished(made, series, maker, "pm")


def _anatomy(series: Series, maker: Maker) -> Dataset:
    """The functional group that the library leaves out, and without which some readers crash."""
    from highdicom.sr import CodedConcept
    from pydicom.dataset import Dataset

    anatomy = Dataset()
    anatomy.FrameLaterality = "U"
    anatomy.AnatomicRegionSequence = [CodedConcept.from_code(region(body_part(series, maker), maker.organ))]
    return anatomy
