"""Where the heat map lies above the healthy threshold, as a binary Segmentation on the scan's own grid."""

from __future__ import annotations

import numpy as np

from maescan.errors import ScanError
from maescan.results.dicom.codes import own, region
from maescan.results.dicom.finding import Finding, Maker
from maescan.results.dicom.finish import ascending, body_part, finished, frames_of, geometry, identity
from maescan.results.dicom.source import Series


def segmentation(series: Series, finding: Finding, maker: Maker) -> bytes:
    """The object. Raises ScanError for a scan that is not judged, and where the bundle knows no threshold."""
    import highdicom as hd
    from pydicom.sr.codedict import codes

    if finding.units == "score":
        remedy = "leave seg out of --dicom-out: sr, sc and pm say where patches score high"
        raise ScanError("scores of CT patches have no healthy threshold: no segmentation", remedy=remedy)
    if finding.fit == "other" and finding.alert is None:
        remedy = "--accept modality judges it all the same"
        raise ScanError("is of another kind than the bundle judges: no segmentation", remedy=remedy)
    if finding.threshold is None:
        remedy = "calibrate the bundle anew with `maescan calibrate`"
        raise ScanError("the bundle does not say how high healthy maps go: no segmentation", remedy=remedy)
    mask = frames_of(finding.volume > finding.threshold)
    algorithm = hd.AlgorithmIdentificationSequence(
        name=maker.name, family=codes.cid7162.ArtificialIntelligence, version=maker.version
    )
    segment = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label="above the healthy threshold",
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=own("above-healthy", "Above the threshold of healthy scans"),
        algorithm_type="AUTOMATIC",
        algorithm_identification=algorithm,
        tracking_uid=None,
        anatomic_regions=[region(body_part(series, maker), maker.organ)],
    )
    made = hd.seg.Segmentation(
        series.images,
        mask.astype(np.uint8),
        segmentation_type="BINARY",
        segment_descriptions=[segment],
        omit_empty_frames=False,
        content_label="ANOMALY",
        content_description=f"maescan: map above {finding.threshold:.6g}",
        **geometry(series),
        **identity(series, maker, "seg"),
    )
    ascending(made, np.packbits(mask.ravel(), bitorder="little"), "PixelData", series)
    return finished(made, series, maker, "seg")
