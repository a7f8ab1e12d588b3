"""The highest-scoring slices as colour pictures (Secondary Capture), which every viewer shows: the slice, and the
same slice with the heat map in red."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from maescan.decimals import decimal, short
from maescan.method.heat import colour_shares
from maescan.results.dicom.codes import map_values
from maescan.results.dicom.finding import Finding, Maker
from maescan.results.dicom.finish import finished, identity
from maescan.results.dicom.source import Series
from maescan.scans.scan import Scan, axial_view

SIDE = 640
"""Height or width of a panel in pixels, whichever is more."""
STRIP, NARROW = 24, 400
"""Height of a line of text, and the least width of a panel, for its lines' sake."""
CT_WINDOW = {"chest": (-1350.0, 150.0), "": (-160.0, 240.0)}
CHEST = ("CHEST", "LUNG", "LUNGS", "THORAX")
CAPTURED = ("FrameOfReferenceUID", "PositionReferenceIndicator")
"""What a plain picture has not."""
LOSSY = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")


def pictures(series: Series, finding: Finding, maker: Maker, scan: Scan) -> list[bytes]:
    """An object per slice, highest first. scan: what was scored."""
    return [_picture(series, finding, maker, scan, number) for number in range(1, len(finding.highest()) + 1)]


def _picture(series: Series, finding: Finding, maker: Maker, scan: Scan, number: int) -> bytes:
    import highdicom as hd

    index, first = finding.highest()[number - 1], series.first
    made = hd.sc.SCImage(
        drawn(scan, finding, index, maker.organ),
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        study_instance_uid=first.StudyInstanceUID,
        patient_id=first.PatientID,
        patient_name=first.PatientName,
        patient_birth_date=first.PatientBirthDate or None,
        patient_sex=first.PatientSex or None,
        accession_number=first.AccessionNumber,
        study_id=first.StudyID,
        study_date=first.StudyDate or None,
        study_time=first.StudyTime or None,
        referring_physician_name="",
        patient_orientation=("L", "P"),
        **identity(series, maker, "sc", number),
    )
    for tag in CAPTURED:
        if tag in made:
            delattr(made, tag)
    made.ImageType = ["DERIVED", "SECONDARY"]
    made.BurnedInAnnotation = "NO"
    lossy = [image for image in series.images if image.get(LOSSY[0]) == "01"][:1]
    for tag, image in ((tag, image) for image in lossy for tag in LOSSY if tag in image):
        setattr(made, tag, image[tag].value)
    score = decimal(float(finding.scores[index]))
    made.ImageComments = f"maescan: {finding.where(index)}, score {score}. RESEARCH"
    return finished(made, series, maker, "sc")


def drawn(scan: Scan, finding: Finding, index: int, organ: str = "") -> NDArray[np.uint8]:
    """[rows, columns, 3]: the slice of a score, twice: as it is, and with the map in red, over and under lines of
    text. The patient's right is on the left."""
    from PIL import Image

    view, axes = axial_view(scan)
    level, ends = int(finding.levels[index]), finding.colours()
    grey = _grey(view, level, scan, organ)
    heat = colour_shares(axes.to_axial(finding.volume)[level], *ends)
    height, width = _size(view.shape[1:], [scan.spacing[axis] for axis in axes.order[1:]])
    panels = []
    for red in (np.zeros_like(heat), heat):
        colours = np.stack([np.maximum(grey, red), grey * (1 - red), grey * (1 - red)], axis=-1)
        picture = Image.fromarray((255 * colours + 0.5).astype(np.uint8))
        panel = Image.new("RGB", (max(width, NARROW), height))
        resized = picture.resize((width, height), Image.Resampling.BILINEAR)
        panel.paste(resized, ((panel.width - width) // 2, 0))
        panels.append(np.asarray(panel))
    return _labelled(np.concatenate(panels, axis=1), _lines(finding, index, *ends))


def _grey(view: NDArray[np.generic], level: int, scan: Scan, organ: str) -> NDArray[np.float64]:
    """A slice [H, W] in 0..1: of a CT in the usual window, of a chest in that of lungs; else from the scan's first to
    its last percentile."""
    values = view[level].astype(np.float64) * scan.slope + scan.intercept
    if scan.meta.get("Modality") == "CT":
        part = str(scan.meta.get("BodyPartExamined", "")).upper()
        low, high = CT_WINDOW["chest" if organ == "chest" or part in CHEST else ""]
    else:
        step = max(1, view.size // 500_000)
        some = view.reshape(-1)[::step] if view.flags.c_contiguous else view[:, ::3, ::3].reshape(-1)
        low, high = (
            float(v) for v in np.percentile(some.astype(np.float64) * scan.slope + scan.intercept, [1, 99.5])
        )
    grey: NDArray[np.float64] = np.clip((values - low) / max(high - low, 1e-6), 0, 1)
    return grey


def _size(shape: tuple[int, ...], spacing: list[float]) -> tuple[int, int]:
    """Height and width in pixels of slices [H, W] with spacing in mm, in true proportion."""
    millimetres = [n * s for n, s in zip(shape, spacing, strict=True)]
    height, width = (max(1, round(SIDE * mm / max(millimetres))) for mm in millimetres)
    return height, width


def _lines(finding: Finding, index: int, middle: float, top: float) -> tuple[str, str]:
    text = f"{finding.where(index)}, score {short(float(finding.scores[index]))}"
    text += f"; scan score {short(finding.score)}"
    text += f", p {short(finding.p_value)}" if finding.p_value is not None else ""
    text += {True: ", ALERT", False: ", no alert", None: ""}[finding.alert]
    anchor = f"half at {middle:.3g}, the healthy threshold" if finding.threshold else "highest of this scan"
    below = f"right: {map_values(finding.units)}; full red at {top:.3g}"
    if finding.threshold or finding.units != "probability":
        below += f" ({anchor})"
    return f"maescan  RESEARCH ONLY  {text}", below


def _labelled(pixels: NDArray[np.uint8], lines: tuple[str, str]) -> NDArray[np.uint8]:
    """With a line of text above and one below, and the patient's sides on each panel."""
    from PIL import Image, ImageDraw, ImageFont

    height, width = pixels.shape[:2]
    picture = Image.new("RGB", (width, height + 2 * STRIP))
    picture.paste(Image.fromarray(pixels), (0, STRIP))
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(14)
    draw.text((6, 4), lines[0], "white", font)
    draw.text((6, height + STRIP + 4), lines[1], "white", font)
    for left in (0, width // 2):
        for side, place in (("R", left + 6), ("L", left + width // 2 - 16)):
            draw.text((place, STRIP + height // 2), side, "yellow", font)
    return np.asarray(picture)
