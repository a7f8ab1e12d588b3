"""DICOM that one meets once: read as its maker meant it, or refused by name, with the file at fault."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from helpers.scan_files import UID, VALUES, dataset_of, dicom_slice, enhanced, save, write_series
from maescan.errors import ScanError
from maescan.scans import find_scans, read_scan

pytest.importorskip("pydicom")
STORAGE = VALUES.transpose(2, 1, 0)
PREAMBLE = 132


def test_ges_private_syntax_has_big_endian_pixels_behind_a_little_endian_header(tmp_path):
    from pydicom.uid import ImplicitVRLittleEndian

    for file in write_series(tmp_path, TransferSyntaxUID=ImplicitVRLittleEndian):
        data, size = file.read_bytes(), VALUES[0].nbytes
        swapped = np.frombuffer(data[-size:], "<i2").astype(">i2").tobytes()
        file.write_bytes(data[:-size].replace(b"1.2.840.10008.1.2\0", b"1.2.840.113619.5.2") + swapped)
    assert np.array_equal(read_scan(tmp_path).voxels, STORAGE)


@pytest.mark.parametrize("syntax", ["ExplicitVRLittleEndian", "RLELossless", "JPEG2000Lossless"])
def test_gzipped_slices(tmp_path, syntax):
    from pydicom import uid

    big = VALUES.repeat(8, 1).repeat(8, 2)
    for k, image in enumerate(big):
        dataset = dicom_slice(image, (0, 0, 2 * k))
        if syntax != "ExplicitVRLittleEndian":
            dataset.compress(getattr(uid, syntax), generate_instance_uid=False)
        plain = save(dataset, tmp_path / f"{k}.dcm")
        (tmp_path / f"{k}.dcm.gz").write_bytes(gzip.compress(plain.read_bytes()))
        plain.unlink()
    (source,) = find_scans(tmp_path)
    assert np.array_equal(read_scan(source).voxels, big.transpose(2, 1, 0))


def test_a_gzipped_bomb_is_refused(tmp_path):
    bomb = dicom_slice(VALUES[0], (0, 0, 0))
    plain = save(bomb, tmp_path / "a.dcm").read_bytes()
    (tmp_path / "a.dcm").unlink()
    (tmp_path / "a.dcm.gz").write_bytes(gzip.compress(plain) + gzip.compress(bytes(2**20)) * 128)
    with pytest.raises(ScanError, match="a bomb, not a scan"):
        read_scan(tmp_path / "a.dcm.gz")


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"BitsStored": 12, "HighBit": 15}, "stores its 12 bits up to bit 15 and not to 11"),
        ({"ImageOrientationPatient": [0] * 6}, "has the ImageOrientationPatient 0, 0, 0, 0, 0, 0: no two directions"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "no two directions at right angles"),
        ({"ImageOrientationPatient": [2, 0, 0, 0, 2, 0]}, "no two directions at right angles"),
    ],
)
def test_refused_by_name_with_the_file(tmp_path, tags, reason):
    write_series(tmp_path, VALUES[:5])
    save(dicom_slice(VALUES[5], (10, 20, 42.5), **tags), tmp_path / "last.dcm")
    faults = set()
    for source in find_scans(tmp_path):
        try:
            read_scan(source)
        except ScanError as error:
            assert reason in error.reason
            faults.add(error.file)
    assert faults == {tmp_path / "last.dcm"}


@pytest.mark.parametrize("keep", [400, 900])
def test_a_slice_that_is_cut_is_named(tmp_path, keep):
    files = write_series(tmp_path)
    files[2].write_bytes(files[2].read_bytes()[:-keep] if keep < 500 else files[2].read_bytes()[:-50])
    errors = []
    for source in find_scans(tmp_path):
        try:
            read_scan(source)
        except ScanError as error:
            errors.append(error)
    # cut within the header it is no image, and its series lacks one
    assert any(error.file == files[2] or "lacks 1 of 6 slices" in error.reason for error in errors)


def test_a_duplicate_is_named(tmp_path):
    write_series(tmp_path, depths=(0, 1, 1, 2, 3, 4))
    with pytest.raises(ScanError, match="has 1 duplicate slice") as error:
        read_scan(tmp_path)
    assert error.value.path == tmp_path and error.value.file in (tmp_path / "001.dcm", tmp_path / "002.dcm")


@pytest.mark.parametrize(
    ("tags", "note"),
    [
        ({"RescaleSlope": None, "RescaleIntercept": None}, "does not say how its values are rescaled"),
        ({"RescaleSlope": 0, "RescaleIntercept": 0}, "has a RescaleSlope of 0: taken as 1"),
        ({"RescaleSlope": None, "RescaleIntercept": None, "Modality": "MR"}, None),
        ({}, None),
    ],
)
def test_guesses_of_values_are_noted(tmp_path, tags, note):
    write_series(tmp_path, **tags)
    warnings = read_scan(tmp_path).warnings
    assert warnings == () if note is None else warnings[0].startswith(note)


def empty(path):
    path.write_bytes(b"")


def zeros(path):
    path.write_bytes(bytes(path.stat().st_size))


def short(path):
    path.write_bytes(path.read_bytes()[:100])


def cut(path):
    path.write_bytes(path.read_bytes()[:400])


def link(path):
    path.unlink()
    path.symlink_to("../.git/annex/objects/xx/MD5E-s9999--a")


def gone(path):
    path.unlink()
    path.symlink_to("nowhere")


@pytest.mark.parametrize("end", ["", ".dcm", ".IMA"])
@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (empty, "is empty"),
        (zeros, "holds only zeros"),
        (short, "is cut short"),
        (cut, "has a damaged header"),
        (link, "is a git-annex link without its content"),
        (gone, "is a link to nowhere"),
    ],
)
def test_slices_that_lost_their_content_are_rows_and_named_by_their_series(tmp_path, spoil, reason, end):
    for k, file in enumerate(write_series(tmp_path)):
        renamed = file.rename(tmp_path / f"IM{k}{end}")
        if k > 3:
            spoil(renamed)
    sources = find_scans(tmp_path)
    (series,) = [source for source in sources if len(source.files) > 1]
    lost = [source for source in sources if source is not series]
    assert [source.files[0].name for source in lost] == [f"IM4{end}", f"IM5{end}"]
    assert series.incomplete and read_scan(series).warnings == (
        f"incomplete: 2 files beside it cannot be read: 'IM4{end}' {reason}, 'IM5{end}' {reason}",
    )
    for source in lost:
        with pytest.raises(ScanError):
            read_scan(source)


def test_a_patient_of_empty_files_has_rows(tmp_path):
    for k in range(4):
        (tmp_path / f"IM{k}").touch()
    for source in find_scans(tmp_path):
        with pytest.raises(ScanError, match=r"IM\d: is empty"):
            read_scan(source)
    assert len(find_scans(tmp_path)) == 4


def test_a_hollow_file_is_that_series_whose_names_it_has(tmp_path):
    for k, file in enumerate(write_series(tmp_path)):
        file.rename(tmp_path / f"A{k}")
    for k, file in enumerate(write_series(tmp_path, SeriesInstanceUID=UID + "2", SeriesNumber=4)):
        file.rename(tmp_path / f"B{k}")
    (tmp_path / "A9").touch()
    assert {source.name.split("/")[-1]: source.incomplete for source in find_scans(tmp_path)} == {
        "3": True,
        "4": False,
        "A9": False,
    }


def test_junk_that_begins_like_dicom_is_passed_over(tmp_path):
    write_series(tmp_path)
    (tmp_path / "VERSION").write_bytes(b"\x08\x00junk" * 40)
    (tmp_path / "LICENSE").write_bytes(b"\x08\x00\x05\x00ZZ" * 40)
    (source,) = find_scans(tmp_path)
    assert not source.incomplete


def test_files_without_preamble_are_found(tmp_path):
    for file in write_series(tmp_path):
        file.with_suffix("").write_bytes(file.read_bytes()[PREAMBLE:])
        file.unlink()
    assert np.array_equal(read_scan(tmp_path).voxels, STORAGE)


def test_echoes_that_jitter_within_an_enhanced_volume(tmp_path):
    path = enhanced(tmp_path / "a.dcm")
    change(path, lambda k, frame: setattr(frame.MREchoSequence[0], "EffectiveEchoTime", 4.6 + 1e-5 * (k % 2)))
    assert read_scan(path).shape == (4, 5, 6)


def test_two_inversion_times_are_two_volumes(tmp_path):
    path = enhanced(tmp_path / "a.dcm", echoes=(0, 1))

    def inversion(k, frame):
        frame.MREchoSequence[0].EffectiveEchoTime = 5.0
        frame.MRModifierSequence = [dataset_of(InversionTimes=[100.0 + 400 * (k % 2)])]

    change(path, inversion)
    with pytest.raises(ScanError, match="holds 2 volumes"):
        read_scan(path)
    assert np.array_equal(read_scan(path, volume=1).voxels, STORAGE + 1)


def test_frames_that_nothing_tells_apart(tmp_path):
    path = enhanced(tmp_path / "a.dcm", echoes=(0, 1))
    change(path, lambda k, frame: setattr(frame.MREchoSequence[0], "EffectiveEchoTime", 5.0))
    with pytest.raises(ScanError, match=r"has 6 frames at the positions of others, .* apart: 2, 4"):
        read_scan(path)


def test_stacks_of_an_enhanced_image_are_volumes(tmp_path):
    path = enhanced(tmp_path / "a.dcm")
    change(path, lambda k, frame: setattr(frame, "FrameContentSequence", [dataset_of(StackID=str(k // 3))]))
    with pytest.raises(ScanError, match="holds 2 volumes"):
        read_scan(path)
    assert read_scan(path, volume=0).shape == (4, 5, 3)


def numbered(folder, numbers, total=None, **tags):
    from pydicom import dcmread

    for number, file in zip(numbers, write_series(folder, **tags), strict=False):
        dataset = dcmread(file)
        dataset.InstanceNumber, dataset.ImagesInAcquisition = number, total
        save(dataset, file)


@pytest.mark.parametrize(
    ("numbers", "total", "note"),
    [
        (range(1, 7), 6, ()),
        (range(1, 7), 24, ("incomplete: 6 of 24 images are there",)),
        (range(7, 13), None, ("incomplete: 6 of the images before number 12 are not there",)),
    ],
)
def test_slices_that_never_came(tmp_path, numbers, total, note):
    """Whether a folder is scored or an inbox watched."""
    numbered(tmp_path / "a", numbers, total)
    numbered(tmp_path / "whole", range(1, 7), 6)  # a copy that is whole, and another patient's, make nothing of it
    numbered(tmp_path / "other", range(1, 7), 6, PatientID="other")
    found = {source.path.name: source for source in find_scans(tmp_path)}
    assert found["a"].notes == note and found["a"].incomplete is bool(note) and len(found["a"].files) == 6
    assert found["whole"].notes == found["other"].notes == ()


def test_images_made_of_a_series_take_its_numbers_too(tmp_path):
    numbered(tmp_path, range(2, 8))
    assert find_scans(tmp_path)[0].incomplete
    write_series(tmp_path, first=20, SOPClassUID="1.2.840.10008.5.1.4.1.1.7", Modality="OT")
    assert not find_scans(tmp_path)[0].incomplete


def test_groups_that_frames_share_are_read_once(tmp_path, monkeypatch):
    from pydicom import values

    path = enhanced(tmp_path / "a.dcm", echoes=range(20))
    read, count = values.convert_SQ, []
    monkeypatch.setitem(values.converters, "SQ", lambda *given: count.append(1) or read(*given))
    assert np.array_equal(read_scan(path, volume=7).voxels, STORAGE + 7)
    assert len(count) < 2 * (20 + 6) < 6 * 20


def change(path, of):
    from pydicom import dcmread

    dataset = dcmread(path)
    for k, frame in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        of(k, frame)
    save(dataset, path)


def test_a_series_of_enhanced_images_of_one_frame_is_one_scan(tmp_path):
    """Their positions are in functional groups alone."""
    wanted = read_scan(enhanced(tmp_path / "whole" / "a.dcm"))
    for number in (3, 0, 5, 1, 4, 2):
        enhanced(tmp_path / "parts" / f"{5 - number}.dcm", order=(number,))
    (source,) = find_scans([tmp_path / "parts"])
    found = read_scan(source)
    assert np.array_equal(found.voxels, wanted.voxels) and np.allclose(found.affine, wanted.affine)
    assert not any("single slice" in text for text in found.warnings)
