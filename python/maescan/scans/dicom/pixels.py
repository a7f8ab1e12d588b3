"""Stored values of a stack: decoded frame by frame into one array; padding, inversion and rescaling undone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import compress
from pathlib import Path

import numpy as np

from maescan.decimals import counted
from maescan.errors import ScanError
from maescan.scans.dicom.codestream import check_codestreams
from maescan.scans.dicom.file import as_dicom
from maescan.scans.dicom.image import DicomImage, Frame
from maescan.scans.dicom.stack import Stack
from maescan.scans.quiet import one_line
from maescan.scans.scan import Array
from maescan.scans.voxels import KEPT

AIR = -1024.0
"""Hounsfield units given to what a CT did not measure."""
LOSSY_SYNTAXES = frozenset(f"1.2.840.10008.1.2.4.{end}" for end in (50, 51, 81, 91, 203))
"""JPEG of 8 and 12 bits, JPEG-LS near-lossless, JPEG 2000, HTJ2K."""
LOSSY = "was compressed with loss"
OVERLAYS = 0x60
"""How the groups of overlays begin."""
CUT = "has bits above its stored ones that no overlay declares: they were left out"
BEYOND = "has values beyond its stored bits: header and compressed pixels disagree"
ROUNDED = "32-bit voxels were rounded to float32"


def decode(ordered: Stack, path: Path) -> tuple[Array, float, float, tuple[str, ...]]:
    """Voxels [slices, rows, columns], slope, intercept and warnings. Slices that differ in slope or intercept
    become values (float32, slope 1); a missing slice is filled like padding. Raises ScanError."""
    first = ordered.frames[0]
    same_scale = len({(frame.slope, frame.intercept) for frame in ordered.frames}) == 1
    kept = same_scale and len({f.image.dtype for f in ordered.frames}) == 1 and first.image.dtype.name in KEPT
    shape = (ordered.slices, first.image.rows, first.image.columns)
    voxels = np.empty(shape, first.image.dtype if kept else np.float32)
    filler = _Filler()
    warnings: dict[str, bool] = {}
    for slot, frame, raw in _frames(ordered):
        pixels = raw if is_lossy(frame.image) else _stored(frame.image, raw)
        warnings[CUT] = warnings.get(CUT) or (pixels is not raw and _loses(frame.image, raw))
        real = filler.note(slot, frame, pixels)
        values = _inverted(frame.image, pixels) if frame.image.inverted else pixels
        with np.errstate(over="ignore"):
            voxels[slot] = values if same_scale else values * np.float64(frame.slope) + frame.intercept
        if real.any():
            filler.lowest = min(filler.lowest, voxels[slot][real].min())
            filler.highest = max(filler.highest, voxels[slot][real].max())
        warnings[LOSSY] = warnings.get(LOSSY) or frame.image.header.get("LossyImageCompression") == "01"
        warnings[BEYOND] = warnings.get(BEYOND) or (is_lossy(frame.image) and _goes_beyond(frame.image, pixels))
        warnings[ROUNDED] = warnings.get(ROUNDED) or _rounds(pixels, voxels.dtype)
    told = filler.fill(voxels, set(range(ordered.slices)) - set(ordered.slots), first, same_scale, path)
    scale = (first.slope, first.intercept) if same_scale else (1.0, 0.0)
    return voxels, *scale, tuple(text for text, true in warnings.items() if true) + told


def _frames(ordered: Stack) -> Iterator[tuple[int, Frame, Array]]:
    """Slot, frame and decoded pixels [rows, columns] with all their bits, each file opened once."""
    by_image: dict[DicomImage, list[tuple[int, Frame]]] = defaultdict(list)
    for slot, frame in zip(ordered.slots, ordered.frames, strict=True):
        by_image[frame.image].append((slot, frame))
    for image, wanted in by_image.items():
        wanted.sort(key=lambda pair: pair[1].index)
        with _told(image):
            pixels = _pixels(image, [frame.index for _, frame in wanted])
        for slot, frame in wanted:
            yield slot, frame, _decoded(image, pixels)


def _pixels(image: DicomImage, indices: list[int]) -> Iterator[Array]:
    """The frames at `indices`, which ascend, decoded as they are asked for; pydicom does so only from a file with
    meta data. Without an offset table it looks through all frames for each one that it is asked for by its index."""
    from pydicom import dcmread, uid
    from pydicom.pixels import utils

    iter_pixels = partial(utils.iter_pixels, raw=True, correct_unused_bits=is_lossy(image))
    syntax = image.header.file_meta.get("TransferSyntaxUID")
    content = as_dicom(image.file)
    if syntax and syntax.is_encapsulated:
        table = check_codestreams(image.file, image.rows, image.columns, image.frames)
        if len(indices) == image.frames:
            return iter_pixels(content)
        if not table:
            return compress(iter_pixels(content), np.isin(range(image.frames), indices))
    if syntax and not syntax.is_deflated and not image.swapped:
        return iter_pixels(content, indices=indices)
    dataset = dcmread(content, force=True)
    if image.swapped and image.dtype.itemsize > 1:
        dataset.PixelData = np.frombuffer(dataset.PixelData, image.dtype).byteswap().tobytes()
    if not syntax:
        implicit, little = dataset.original_encoding
        explicit = uid.ExplicitVRLittleEndian if little else uid.ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = uid.ImplicitVRLittleEndian if implicit else explicit
    return iter_pixels(dataset, indices=indices)


@contextmanager
def _told(image: DicomImage) -> Iterator[None]:
    """Whatever a decoder says of damage becomes a ScanError; a panic in the Rust of a plug-in is no Exception."""
    try:
        yield
    except (ScanError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        reason = f"its pixels cannot be decoded: {one_line(error)}"
        raise ScanError(reason, path=image.file, remedy="copy it again from its source") from error


def _decoded(image: DicomImage, pixels: Iterator[Array]) -> Array:
    with _told(image):
        frame = next(pixels)
    if frame.shape != (image.rows, image.columns):
        raise ScanError(f"its pixels are {frame.shape}", path=image.file, remedy="header and pixels disagree")
    return frame


def is_lossy(image: DicomImage) -> bool:
    """Whether its transfer syntax gives values that are nearly the stored ones."""
    return str(image.header.file_meta.get("TransferSyntaxUID")) in LOSSY_SYNTAXES


def _stored(image: DicomImage, pixels: Array) -> Array:
    """Without what lies above the stored bits, and with their sign: decoders of JPEG 2000 and JPEG-LS go by what the
    compressed frame declares, which may be more bits."""
    bits = 8 * image.dtype.itemsize
    unused = bits - int(image.header.get("BitsStored") or bits)
    return (pixels.astype(image.dtype) << unused) >> unused if unused > 0 else pixels


def _loses(image: DicomImage, pixels: Array) -> bool:
    """Whether bits above the stored ones are neither all 0 nor the sign's, nor may be an overlay of the header's."""
    stored = int(image.header.BitsStored)
    bits = 8 * image.dtype.itemsize
    whole = pixels.astype(image.dtype)
    above = whole.view(f"u{image.dtype.itemsize}") >> stored
    signed = (whole << (bits - stored) < 0) if image.dtype.kind == "i" else np.zeros(whole.shape, bool)
    lost = (above != 0) & ~(signed & (above == 2 ** (bits - stored) - 1))
    return bool(lost.any()) and OVERLAYS not in {tag >> 24 for tag in map(int, image.header.keys())}


def _inverted(image: DicomImage, pixels: Array) -> Array:
    """MONOCHROME1: the least stored value is the brightest."""
    return np.subtract(sum(image.stored_range), pixels, dtype=np.int64)


def _goes_beyond(image: DicomImage, pixels: Array) -> bool:
    low, high = image.stored_range
    return bool(pixels.min() < low or pixels.max() > high)


def _rounds(pixels: Array, dtype: np.dtype) -> bool:
    return pixels.dtype.itemsize > 2 and dtype == np.float32 and bool((pixels.astype(np.float32) != pixels).any())


def is_ct(frame: Frame) -> bool:
    """Whether the values are Hounsfield units."""
    return frame.image.header.get("Modality") == "CT"


class _Filler:
    """Remembers where the padding is (one bit per voxel) until the ends of the scan's real values are
    known."""

    def __init__(self) -> None:
        self.masks: dict[int, Array] = {}
        self.count = 0
        self.lowest, self.highest = np.inf, -np.inf

    def note(self, slot: int, frame: Frame, pixels: Array) -> Array:
        """Which pixels [rows, columns] are real: not declared as padding, and in a CT not below all air."""
        low, high = frame.image.padding or (1, 0)
        padding = (pixels >= low) & (pixels <= high)
        if is_ct(frame):
            padding |= pixels * np.float64(frame.slope) + frame.intercept < AIR
        if found := int(padding.sum()):
            self.count += found
            self.masks[slot] = np.packbits(padding)
        return ~padding

    def fill(self, voxels: Array, missing: set[int], first: Frame, same_scale: bool, path: Path) -> tuple[str, ...]:
        if not np.isfinite(self.lowest):
            raise ScanError("holds nothing but padding", path=path, remedy="export the series again")
        turned = same_scale and first.slope < 0  # the highest stored is the lowest measured
        value, name = self.highest if turned else self.lowest, "the lowest value"
        if is_ct(first):
            air = round((AIR - first.intercept) / first.slope) if same_scale else AIR
            info = np.iinfo(voxels.dtype) if voxels.dtype.kind in "iu" else np.finfo(voxels.dtype)
            if info.min <= air <= info.max:
                value, name = air, f"{AIR:.0f} HU"
        for slot, mask in self.masks.items():
            padding = np.unpackbits(mask, count=voxels[slot].size).astype(bool)
            voxels[slot][padding.reshape(voxels[slot].shape)] = value
        for slot in missing:
            voxels[slot] = value
        return (
            (f"{counted(self.count, 'padding voxel was', 'padding voxels were')} set to {name}",)
            if self.count
            else ()
        )
