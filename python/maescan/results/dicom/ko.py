"""The highest-scoring slices as a Key Object Selection: a viewer's list of what to look at first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maescan.decimals import decimal
from maescan.errors import ScanError
from maescan.results.dicom.finding import Finding, Maker
from maescan.results.dicom.finish import finished, identity
from maescan.results.dicom.source import Series

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydicom.dataset import Dataset


def key_objects(series: Series, finding: Finding, maker: Maker, drawn: Sequence[Dataset] = ()) -> bytes:
    """The object. drawn: pictures of the slices, which are selected too. Raises ScanError where there is nothing to
    select."""
    import highdicom as hd
    from pydicom.sr.codedict import codes

    found = [series.image_at(int(finding.levels[index])) for index in finding.highest()]
    chosen = [*{str(image[0].SOPInstanceUID): image[0] for image in found if image}.values(), *drawn]
    if not chosen:
        reason = "axial slices are cut across its images: there is none to select as a key image"
        raise ScanError(reason, remedy="ask for --dicom-out sc,ko: the pictures of slices are selected then")
    verdict = {True: "alert", False: "no alert", None: "not judged"}[finding.alert]
    text = f"Highest-scoring slices by maescan, for research: scan score {decimal(finding.score)}, {verdict}"
    device = hd.sr.ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=hd.sr.DeviceObserverIdentifyingAttributes(
            uid=identity(series, maker, "ko")["series_instance_uid"], name=maker.name
        ),
    )
    selection = hd.ko.KeyObjectSelection(
        document_title=codes.DCM.OfInterest,
        referenced_objects=chosen,
        observer_device_context=device,
        description=text,
    )
    made = hd.ko.KeyObjectSelectionDocument(evidence=chosen, content=selection, **identity(series, maker, "ko"))
    return finished(made, series, maker, "ko")
