"""One input costs one row: what a worker does with files that change, sizes that are absurd, and limits."""

from __future__ import annotations

import hashlib
import os
import resource
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

from helpers.inputs import given
from helpers.scoring_stub import BUNDLE, write_scan
from maescan.errors import ScanError
from maescan.options import CandidateTable, ReadOptions
from maescan.scans import ScanSource, find_scans
from maescan.scans.budget import Limits
from maescan.scans.streams import content_hash
from maescan.scans.worker import Worker
from maescan.scoring import readers
from maescan.scoring.readers import Reader, ScanReader, told_apart


def reader_of(**options):
    return ScanReader(BUNDLE.preset, ReadOptions(**options), None)


def test_what_was_read_is_what_was_hashed_though_the_file_was_swapped_between(tmp_path):
    first, second = write_scan(tmp_path / "a.nii.gz", 0), write_scan(tmp_path / "other" / "b.nii.gz", 1)
    (source,) = find_scans(first)
    reader = reader_of()
    before, other = reader.content(source), content_hash([second])
    expected = reader.read(find_scans(second)[0]).images
    assert reader.content(source) == before != other
    os.replace(second, first)
    given(first), given(second)
    reading = reader.read(source)
    assert reading.content == other and np.array_equal(reading.images, expected)


@pytest.mark.parametrize("how", ["replaced", "written", "removed"])
def test_a_file_that_changes_each_time_it_is_read_is_refused(tmp_path, monkeypatch, how):
    path, number = write_scan(tmp_path / "a.nii.gz", 0), iter(range(1, 10))
    (source,) = find_scans(path)
    real = readers.read_and_prepare

    def meddle(*arguments):
        answer = real(*arguments)
        other = write_scan(tmp_path / "new" / "b.nii.gz", next(number))
        if how == "removed":
            path.unlink()
        elif how == "written":
            path.write_bytes(other.read_bytes())
        else:
            os.replace(other, path)
        given(other), given(path)
        return answer

    monkeypatch.setattr(readers, "read_and_prepare", meddle)
    expected = "No such file" if how == "removed" else "changed while it was read"
    with pytest.raises(ScanError, match=rf"a\.nii\.gz: .*{expected}"):
        reader_of().read(source)


def test_a_file_that_comes_to_rest_is_read_on_the_second_try(tmp_path, monkeypatch):
    path = write_scan(tmp_path / "a.nii.gz", 0)
    (source,) = find_scans(path)
    real, tries = readers.read_and_prepare, []

    def meddle(*arguments):
        tries.append(real(*arguments))
        if len(tries) == 1:
            write_scan(path, 1)
        return tries[-1]

    monkeypatch.setattr(readers, "read_and_prepare", meddle)
    reading = reader_of().read(source)
    assert len(tries) == 2 and reading.content == content_hash([path])


@pytest.mark.parametrize("slices", [100_000, 20_000])
def test_many_tiny_slices_are_refused_before_memory_is_taken(tmp_path, slices):
    values = np.arange(64 * slices, dtype=np.uint8).reshape(8, 8, slices)
    nibabel.Nifti2Image(values, np.eye(4)).to_filename(tmp_path / "many.nii.gz")
    (source,) = find_scans(tmp_path)
    reader = Reader(BUNDLE.preset, ReadOptions(limit_memory_gb=0.5, accept=frozenset({"labels"})))
    with pytest.raises(ScanError, match=r"many\.nii\.gz: .* (slices|voxels) .*GB of memory.*--limit-memory"):
        reader.read(source)
    reader.close()


@pytest.mark.slow
def test_a_header_that_declares_too_much_is_refused_at_once(tmp_path):
    nibabel.Nifti1Image(np.zeros((512, 512, 600), np.uint8), np.eye(4)).to_filename(tmp_path / "large.nii.gz")
    (source,) = find_scans(tmp_path)
    reader = Reader(BUNDLE.preset, ReadOptions(limit_memory_gb=0.1))
    with pytest.raises(ScanError, match=r"157286400 voxels of uint8|512 x 512 x 600 voxels"):
        reader.read(source)
    reader.close()


@pytest.mark.slow
def test_a_dicom_file_with_millions_of_frames_is_refused_at_once(tmp_path):
    from helpers.scan_files import dicom_slice, save

    tags = {"NumberOfFrames": 67_000_000, "TransferSyntaxUID": "1.2.840.10008.1.2.5", "Rows": 1, "Columns": 1}
    dataset = dicom_slice(np.zeros((1, 1), np.uint8), (0, 0, 0), **tags)
    from pydicom.encaps import encapsulate

    dataset.PixelData = encapsulate([b"\0" * 64])
    save(dataset, tmp_path / "frames.dcm")
    reader = Reader(BUNDLE.preset, ReadOptions(limit_s=20))
    with pytest.raises(ScanError, match=r"declares 67000000 frames in a file of \d+ bytes"):
        reader.read(find_scans(tmp_path)[0])
    reader.close()


def test_files_without_an_end_are_not_read_to_it(tmp_path):
    """Some of /proc are regular files of no size that can be read for ever."""
    (tmp_path / "k.nii").symlink_to("/proc/self/maps")
    (tmp_path / "empty.nii").write_bytes(b"")
    assert content_hash([tmp_path / "k.nii"]) == content_hash([tmp_path / "empty.nii"])
    large = tmp_path / "large.bin"
    large.write_bytes(os.urandom(3 * 2**20 + 7))
    single = hashlib.sha256(hashlib.sha256(large.read_bytes()).digest()).hexdigest()
    assert content_hash([large]) == single


def test_what_is_known_to_be_wrong_is_said_and_not_touched(tmp_path):
    """A link to nowhere is called what it is; what hung the search is not waited for again."""
    fault = ScanError("looking into it took over 5 s", path=tmp_path / "a.nii.gz", remedy="check the disk")
    source = replace(find_scans(write_scan(tmp_path / "a.nii.gz", 0))[0], fault=fault)
    os.unlink(source.path)
    given(source.path)
    with pytest.raises(ScanError, match="looking into it took over 5 s"):
        reader_of().content(source)


class Starved(readers.ScanReader):
    """Reads while no more than `room` bytes may be allocated."""

    def read_with(self, source, room):
        soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
        used = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmData:"))
        resource.setrlimit(resource.RLIMIT_DATA, ((int(used.split()[1]) << 10) + room, hard))
        try:
            return hashlib.sha256(super().read(source).images.tobytes()).hexdigest()
        finally:
            resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


@pytest.mark.slow
def test_wherever_memory_ends_it_costs_the_scan_and_the_next_is_read(tmp_path):
    (source,) = find_scans(write_scan(tmp_path / "a.nii.gz", 0, slices=400))
    outcomes = []
    for room in [1 << 30, *(part << 20 for part in range(0, 60, 4))]:
        worker = Worker(Starved, BUNDLE.preset, ReadOptions(), None, None, limits=Limits())  # anew: memory is kept
        try:
            try:
                outcomes.append(worker.call("read_with", source, room, path=source.path))
            except ScanError as error:
                assert "\n" not in str(error) and "a.nii.gz" in str(error) and error.remedy
                outcomes.append(None)
            assert worker.call("read_with", source, 1 << 30, path=source.path) == outcomes[0]
        finally:
            worker.close()
    assert outcomes.count(None) > 3 and outcomes.count(outcomes[0]) > 3 and len(set(outcomes)) == 2


def test_a_mask_takes_no_row_from_its_scan(tmp_path):
    (tmp_path / "c.csv").write_text("seriesuid,coordX,coordY,coordZ\n1.2,0,0,0\n")
    asked = ReadOptions(regions=CandidateTable.read(tmp_path / "c.csv"))
    names = "masks/1.2.mhd", "seg-lungs-LUNA16/1.2.mhd", "subset0/1.2.mhd", "subset1/1.2.mhd"
    found = [ScanSource(name, Path(name), "metaimage", ()) for name in names]
    assert [source.name for source in told_apart(found[:3], asked)] == list(names[:3])
    assert not any(source.fault for source in told_apart(found[:3], asked))
    assert [bool(source.fault) for source in told_apart(found, asked)] == [False, False, True, True]
