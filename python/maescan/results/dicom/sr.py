"""Score, p-value, alert and the highest-scoring slices as a Comprehensive 3D SR by the template of measurement
reports (TID 1500)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypedDict

from maescan.decimals import decimal
from maescan.results.dicom.codes import own, region
from maescan.results.dicom.finding import Finding, Maker
from maescan.results.dicom.finish import MANUFACTURER, body_part, finished, identity
from maescan.results.dicom.source import Series
from maescan.results.dicom.uids import make_uid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from highdicom.sr import (
        AlgorithmIdentification,
        FindingSite,
        Measurement,
        MeasurementsAndQualitativeEvaluations,
        ObservationContext,
        TrackingIdentifier,
    )
    from pydicom.dataset import Dataset
    from pydicom.sr.coding import Code

FITS = {
    "ok": ("fit-ok", "Like the scans that the bundle was trained with"),
    "unlike": ("fit-unlike", "Values unlike those that the bundle was trained with"),
    "other": ("fit-other", "Of another kind than the bundle judges"),
}
NAMING = re.compile(r"(cannot be read|may be slices of it|positions of others): .*", re.DOTALL)
LONGEST = 1000
"""Characters of a note."""


class About(TypedDict):
    """The keywords that highdicom takes for every group of measurements."""

    tracking_identifier: TrackingIdentifier
    finding_type: Code
    finding_sites: Sequence[FindingSite]
    algorithm_id: AlgorithmIdentification


def report(series: Series, finding: Finding, maker: Maker) -> bytes:
    """The object."""
    import highdicom as hd
    from pydicom.sr.codedict import codes

    groups = [_of_scan(series, finding, maker)]
    groups += [_of_slice(series, finding, maker, index) for index in finding.highest()]
    content = hd.sr.MeasurementReport(
        observation_context=_observer(maker),
        procedure_reported=own("anomaly-search", "Search for anomalies in a scan"),
        title=codes.DCM.ImagingMeasurementReport,
        imaging_measurements=groups,
    )
    made = hd.sr.Comprehensive3DSR(
        evidence=series.images,
        content=content[0],
        is_complete=True,
        is_verified=False,
        previous_versions=[_reference(series, maker.supersedes)] if maker.supersedes else None,
        **identity(series, maker, "sr"),
    )
    return finished(made, series, maker, "sr")


def without_names(note: str) -> str:
    """A note without the files that it names: names of files may name people."""
    return NAMING.sub(r"\1", note)


def _reference(series: Series, uids: tuple[str, str]) -> Dataset:
    """The report that this one takes the place of: (series UID, instance UID)."""
    from pydicom.dataset import Dataset
    from pydicom.uid import Comprehensive3DSRStorage

    earlier = Dataset()
    earlier.SOPClassUID, earlier.StudyInstanceUID = Comprehensive3DSRStorage, series.first.StudyInstanceUID
    earlier.SeriesInstanceUID, earlier.SOPInstanceUID = uids
    return earlier


def _observer(maker: Maker) -> ObservationContext:
    """The device that says all this; no person has looked at it."""
    import highdicom as hd
    from pydicom.sr.codedict import codes

    device = hd.sr.DeviceObserverIdentifyingAttributes(
        uid=make_uid("device", maker.bundle),
        name=maker.name,
        manufacturer_name=MANUFACTURER,
        model_name=f"bundle {maker.bundle[:16]}",
        serial_number=maker.bundle[:16],
    )
    return hd.sr.ObservationContext(
        observer_device_context=hd.sr.ObserverContext(
            observer_type=codes.DCM.Device, observer_identifying_attributes=device
        )
    )


def _of_scan(series: Series, finding: Finding, maker: Maker) -> MeasurementsAndQualitativeEvaluations:
    """Score, p-value, alert, fit, and what a reader of the score should know."""
    import highdicom as hd
    from pydicom.sr.codedict import codes

    measured = [_number("scan-score", "Anomaly score of the scan", finding.score)]
    said = [(own("fit", "Kind of the scan"), own(*FITS[finding.fit]))]
    if finding.p_value is not None:
        measured.append(_number("p-value", "p-value among healthy scans", finding.p_value))
    if finding.alert is not None:
        said.insert(0, (own("alert", "Alert"), codes.SCT.Yes if finding.alert else codes.SCT.No))
    group = hd.sr.MeasurementsAndQualitativeEvaluations(
        measurements=measured,
        qualitative_evaluations=[hd.sr.QualitativeEvaluation(name, value) for name, value in said],
        **_about(series, maker, "scan"),
    )
    research = "For research. Not a diagnosis: no person has looked at it."
    for text in (research, *map(without_names, finding.notes)):
        comment = hd.sr.TextContentItem(codes.DCM.Comment, text[:LONGEST], hd.sr.RelationshipTypeValues.CONTAINS)
        group[0].ContentSequence.append(comment)
    return group


def _of_slice(series: Series, finding: Finding, maker: Maker, index: int) -> MeasurementsAndQualitativeEvaluations:
    """One of the highest-scoring slices, with the image that it is, where it is one."""
    import highdicom as hd

    level = int(finding.levels[index])
    measured = [_number("slice-score", "Anomaly score of the slice", float(finding.scores[index]))]
    if finding.slice_p:
        measured.append(_number("slice-p", "p-value among healthy slices", finding.slice_p[index]))
    found = series.image_at(level)
    images = None
    if found:
        images = [hd.sr.SourceImageForMeasurementGroup.from_source_image(found[0], [found[1]] if found[1] else None)]
    return hd.sr.MeasurementsAndQualitativeEvaluations(
        measurements=measured, source_images=images, **_about(series, maker, finding.where(index))
    )


def _about(series: Series, maker: Maker, what: str) -> About:
    """What all groups have: their name, where the finding is, the algorithm."""
    import highdicom as hd

    uid = make_uid(maker.key, str(series.first.SeriesInstanceUID), "tracking", what)
    return {
        "tracking_identifier": hd.sr.TrackingIdentifier(uid=uid, identifier=what),
        "finding_type": own("search-result", "Result of a search for anomalies"),  # be there any or not
        "finding_sites": [hd.sr.FindingSite(region(body_part(series, maker), maker.organ))],
        "algorithm_id": hd.sr.AlgorithmIdentification(maker.name, maker.version, maker.parameters),
    }


def _number(code: str, meaning: str, value: float) -> Measurement:
    import highdicom as hd
    from pydicom.sr.codedict import codes

    return hd.sr.Measurement(own(code, meaning), float(decimal(value)), codes.UCUM.NoUnits)
