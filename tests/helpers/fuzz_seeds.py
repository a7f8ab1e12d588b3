"""Small valid scans of every kind, and small damages to them."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import random
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from helpers.scan_files import VALUES, dicom_slice, enhanced, write_nifti

Files = dict[str, bytes]
NUMBERS = ("0", "-1", "1", "7", "65536", "2147483648", "99999999999999999999", "nan", "inf", "1e400", "-0.0", "x", "")
WORDS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x7F800000, 0x7FC00000)


def mutate(data: bytes, random: random.Random, text: bool = False) -> bytes:
    """One to four small damages; in text mostly to its numbers."""
    result = bytearray(data)
    for _ in range(random.randint(1, 4)):
        if text and random.random() < 0.6:
            _number(result, random)
        else:
            random.choice((_byte, _byte, _word, _word, _cut, _remove, _repeat, _insert))(result, random)
    return bytes(result)


def _place(data: bytearray, random: random.Random) -> int:
    """More often near the start, where the header is."""
    return random.randrange(min(len(data), random.choice((64, 400, 2000, len(data) + 1))) or 1) if data else 0


def _byte(data: bytearray, random: random.Random) -> None:
    if data:
        data[_place(data, random)] = random.randrange(256)


def _word(data: bytearray, random: random.Random) -> None:
    """A value at the edge of its type, 1 to 8 bytes in either order."""
    place, size = _place(data, random), random.choice((1, 2, 4, 8))
    value = random.choice(WORDS) % 256**size
    data[place : place + size] = value.to_bytes(size, random.choice(("little", "big")))


def _cut(data: bytearray, random: random.Random) -> None:
    del data[_place(data, random) :]


def _remove(data: bytearray, random: random.Random) -> None:
    place = _place(data, random)
    del data[place : place + random.randint(1, 40)]


def _repeat(data: bytearray, random: random.Random) -> None:
    place = _place(data, random)
    data[place:place] = data[place : place + random.randint(1, 40)]


def _insert(data: bytearray, random: random.Random) -> None:
    place = _place(data, random)
    data[place:place] = random.randbytes(random.randint(1, 20))


def _number(data: bytearray, random: random.Random) -> None:
    """A word of the text header becomes an unlikely number, or another word of it."""
    words = bytes(data[:600]).split()
    if words:
        other = random.choice((random.choice(NUMBERS).encode(), random.choice(words)))
        data[:] = bytes(data).replace(random.choice(words), other, 1)


class Seed:
    """A valid scan. target: the file to damage; text: whether it starts with a text header; unpack, pack: of a
    compressed target, to damage what is inside every other time."""

    def __init__(
        self,
        files: Files,
        target: str = "",
        text: bool = False,
        pack: Callable[[bytes], bytes] | None = None,
        unpack: Callable[[bytes], bytes] = gzip.decompress,
    ):
        self.files, self.target, self.text = files, target or next(iter(files)), text
        self.pack, self.unpack = pack, unpack

    def damaged(self, number: int) -> Files:
        chance = random.Random(number)
        data = self.files[self.target]
        if self.pack and chance.random() < 0.5:
            data = self.pack(mutate(self.unpack(data), chance, self.text))
        else:
            data = mutate(data, chance, self.text)
        return {**self.files, self.target: data}


def seeds(kind: str) -> list[Seed]:
    """Small valid scans of a format."""
    with tempfile.TemporaryDirectory() as folder:
        return list(KINDS[kind](Path(folder)))


def _files(folder: Path) -> Files:
    files = {file.name: file.read_bytes() for file in sorted(folder.iterdir())}
    for file in folder.iterdir():
        file.unlink()
    return files


def _nifti(folder: Path) -> Iterator[Seed]:
    import nibabel

    for dtype in (np.int16, np.uint8, np.float64):
        for name in ("a.nii", "a.nii.gz", "a.hdr"):
            write_nifti(folder / name, VALUES.astype(dtype))
            yield Seed(_files(folder), name, pack=gzip.compress if name.endswith(".gz") else None)
    image = nibabel.Nifti1Image(VALUES, np.diag([1.0, 2, 3, 1]))
    nibabel.save(nibabel.Nifti1Image(VALUES, image.affine, image.header.as_byteswapped(">")), folder / "a.nii")
    yield Seed(_files(folder))
    image.set_sform(None, 0)
    image.set_qform(image.affine, 1)
    nibabel.save(image, folder / "a.nii")
    yield Seed(_files(folder))
    nibabel.save(nibabel.Nifti2Image(np.stack([VALUES] * 2, -1), image.affine), folder / "a.nii")
    yield Seed(_files(folder))


def _dicom(folder: Path) -> Iterator[Seed]:
    from pydicom import uid

    big = VALUES[0].repeat(16, 0).repeat(16, 1)
    plain = dicom_slice(VALUES[1], (0, 0, 2))
    for syntax in ("ExplicitVRLittleEndian", "ImplicitVRLittleEndian", "DeflatedExplicitVRLittleEndian"):
        dicom_slice(VALUES[0], (0, 0, 0), TransferSyntaxUID=getattr(uid, syntax)).save_as(folder / "a.dcm")
        plain.save_as(folder / "b.dcm")
        yield Seed(_files(folder))
    for syntax in ("RLELossless", "JPEG2000Lossless", "JPEGLSLossless"):
        packed = dicom_slice(big, (0, 0, 0), BitsStored=12, HighBit=11, PixelPaddingValue=0)
        packed.compress(getattr(uid, syntax))
        packed.save_as(folder / "a.dcm")
        yield Seed(_files(folder))
    enhanced(folder / "a.dcm")
    yield Seed(_files(folder))
    for name in ("jpeg_lossless_sel1", "jpeg_baseline_8bit"):  # no plug-in encodes these
        for real in Path(os.environ.get("MAESCAN_DATA", folder)).rglob(f"{name}.dcm"):
            yield Seed({"a.dcm": _one_frame(real)})


def _one_frame(path: Path) -> bytes:
    """The first compressed frame of a real file, in a header that is read."""
    from pydicom import dcmread, encaps

    real = dcmread(path)
    shape, bits = np.zeros((real.Rows, real.Columns), f"u{real.BitsAllocated // 8}"), real.BitsStored
    made = dicom_slice(shape, (0, 0, 0), PixelRepresentation=real.PixelRepresentation, BitsStored=bits)
    made.file_meta.TransferSyntaxUID = real.file_meta.TransferSyntaxUID
    frame = encaps.get_frame(real.PixelData, 0, number_of_frames=int(real.get("NumberOfFrames") or 1))
    made.PixelData = encaps.encapsulate([frame])
    buffer = io.BytesIO()
    made.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _itk(folder: Path) -> Iterator[Seed]:
    import SimpleITK as sitk

    for dtype in (np.int16, np.float64):
        for name in ("a.mhd", "a.mha", "a.nrrd", "a.nhdr"):
            for compress in (False, True):
                sitk.WriteImage(sitk.GetImageFromArray(VALUES.astype(dtype)), str(folder / name), compress)
                yield Seed(_files(folder), name, text=True)
    sitk.WriteImage(sitk.GetImageFromArray(np.stack([VALUES] * 2), isVector=False), str(folder / "a.mha"))
    yield Seed(_files(folder), text=True)
    for name, header in TEXT_HEADERS.items():
        packed = name.partition("_")[2].partition(".")[0]
        data = PACKED.get(packed, bytes)(VALUES.tobytes())
        yield Seed({name: header.encode() + data}, text=True)
        yield Seed({name: header.replace("\n", "\n" + "key:=value\n" * 99, 1).encode() + data}, text=True)


META = "ObjectType = Image\nNDims = 3\nDimSize = 4 5 6\nElementType = MET_SHORT\nElementSpacing = 1 1 1\n"
NRRD = "NRRD0005\ntype: short\ndimension: 3\nsizes: 4 5 6\nendian: little\nspacings: 1 2 3\nencoding: "
TEXT_HEADERS = {
    "a_zlib.mha": META + "CompressedData = True\nElementDataFile = LOCAL\n",
    "a_bzip2.nrrd": NRRD + "bzip2\n\n",
    "a_text.nrrd": NRRD + "ascii\n\n",
    "a_raw.nrrd": NRRD + "raw\nline skip: 0\nbyte skip: -1\n\n",
}


def _as_text(data: bytes) -> bytes:
    return " ".join(map(str, np.frombuffer(data, "<i2"))).encode()


PACKED: dict[str, Callable[[bytes], bytes]] = {"zlib": zlib.compress, "bzip2": bz2.compress, "text": _as_text}


def _kept(folder: Path) -> Iterator[Seed]:
    """What nibabel keeps, and other compressors."""
    import nibabel

    for name in ("a.mgh", "a.mgz"):
        nibabel.save(nibabel.MGHImage(VALUES, np.diag([1.0, 2, 3, 1])), folder / name)
        yield Seed(_files(folder), pack=gzip.compress if name == "a.mgz" else None)
    plain = nibabel.Nifti1Image(VALUES, np.diag([1.0, 2, 3, 1])).to_bytes()
    yield Seed({"a.nii.bz2": bz2.compress(plain)}, pack=bz2.compress, unpack=bz2.decompress)
    yield Seed({"a.nii.xz": lzma.compress(plain)}, pack=lzma.compress, unpack=lzma.decompress)
    for sample in (Path(nibabel.__file__).parent / "tests" / "data").glob("tiny.mnc"):
        yield Seed({"a.mnc": sample.read_bytes()})


def _trees(folder: Path) -> Iterator[Seed]:
    """A series with one damaged slice, gzipped slices, scans in a .zip."""
    for k, values in enumerate(VALUES):
        dicom_slice(values, (0, 0, 2 * k)).save_as(folder / f"IM{k}", enforce_file_format=True)
    series = _files(folder)
    yield Seed(series, "IM3")
    packed = {f"{name}.dcm.gz": gzip.compress(data) for name, data in series.items()}
    yield Seed(packed, "IM3.dcm.gz", pack=gzip.compress)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in series.items():
            archive.writestr(f"p1/{name}", data)
    yield Seed({"a.zip": buffer.getvalue()})


KINDS: dict[str, Callable[[Path], Iterator[Seed]]] = {
    **{"nifti": _nifti, "dicom": _dicom, "itk": _itk, "kept": _kept, "trees": _trees}
}
