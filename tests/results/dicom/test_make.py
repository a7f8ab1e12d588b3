"""Other people's programs read the results: no error in a header, the ball at its place, score and p-value shown."""

from __future__ import annotations

import json
import os
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.dicom_results import BALL, MAKER, finding_of, made_of, read, source_of, tool, write_oriented, written
from helpers.marks import slow
from helpers.scoring_stub import write_scan
from maescan.results.dicom import OBJECTS
from maescan.results.dicom.make import DicomMaker, Request
from maescan.scans import read_scan
from maescan.scans.find import survey

SLANT = np.linalg.qr(np.array([[0.9, 0.2, 0.3], [-0.3, 0.9, 0.1], [-0.2, -0.2, 0.95]]))[0]
SERIES = {
    "axial": {},
    "sagittal": {"plane": (0, 1, 0, 0, 0, -1)},
    "coronal": {"plane": (1, 0, 0, 0, 0, -1)},
    "oblique": {"plane": (1, 0, 0, 0, np.cos(0.4), np.sin(0.4))},
    "doubly oblique": {"plane": (*SLANT[:, 0], *SLANT[:, 1])},
    "stacked backwards": {"plane": (1, 0, 0, 0, -1, 0)},
    "shuffled names": {"names": [7, 3, 11, 0, 19, 5, 14, 9, 1, 17, 12, 4, 16, 8, 2, 18, 6, 13, 10, 15]},
    "false spacing tag": {"SpacingBetweenSlices": 1.1},
}


def real_scan(place):
    """A folder of real scans."""
    if "MAESCAN_DATA" not in os.environ:
        pytest.skip("no MAESCAN_DATA")
    return Path(os.environ["MAESCAN_DATA"]) / place


def errors_of(path):
    told = subprocess.run([tool("dciodvfy"), str(path)], capture_output=True, text=True, errors="replace")
    return [line for line in (told.stderr + told.stdout).splitlines() if line.startswith("Error")]


def centre(path):
    """RAS+ mm of what is over 0 in an image, as ITK reads it."""
    import SimpleITK

    image = SimpleITK.ReadImage(str(path))
    index = np.argwhere(SimpleITK.GetArrayFromImage(image) > 0).mean(axis=0)[::-1]
    place = image.TransformContinuousIndexToPhysicalPoint(index.tolist())
    return np.array([-place[0], -place[1], place[2]])


@pytest.mark.slow
@pytest.mark.parametrize("which", ["axial", *slow(*(name for name in SERIES if name != "axial"))])
def test_the_ball_is_at_its_place_for_dcmqi_and_for_highdicom(which, tmp_path):
    write_oriented(tmp_path / "in", **SERIES[which])
    import highdicom

    made = made_of(tmp_path / "in", ["seg", "pm"])
    assert made.refused == {}
    paths = written(made, tmp_path / "out")
    for program, name, file in (("paramap2itkimage", "pm", "pmap.nrrd"), ("segimage2itkimage", "seg", "1.nrrd")):
        command = [tool(program), "--inputDICOM", paths[name], "--outputDirectory", tmp_path / "out", "-t", "nrrd"]
        subprocess.run(list(map(str, command)), check=True, capture_output=True)
        assert np.abs(centre(tmp_path / "out" / file) - BALL).max() < 0.2, program
    for kind, name in ((highdicom.pm.ParametricMap, "pm"), (highdicom.seg.Segmentation, "seg")):
        volume = kind.from_dataset(read(made, name)).get_volume()
        place = volume.affine @ [*np.argwhere(volume.array.squeeze() > 0).mean(axis=0), 1]
        assert np.abs(place[:3] * [-1, -1, 1] - BALL).max() < 0.2, name


@pytest.mark.slow
@pytest.mark.parametrize("which", ["axial", "sagittal"])
def test_no_header_is_wrong(which, tmp_path):
    write_oriented(tmp_path / "in", **SERIES[which])
    made = made_of(tmp_path / "in")
    assert made.refused == {} and list(made.files) == ["sc1", "sc2", "sc3", "sr", "seg", "pm", "ko"]
    paths = written(made, tmp_path / "out")
    assert {name: errors_of(path) for name, path in paths.items()} == {name: [] for name in paths}


@pytest.mark.slow
@pytest.mark.parametrize("which", ["dicom/mr_mprage_40", "lung/LIDC-IDRI-0001", "dicom/mr_oblique_pd"])
def test_no_header_of_results_on_real_scans_is_wrong_that_is_right_in_its_source(which, tmp_path):
    folder = real_scan(which)
    made = made_of(folder)
    assert made.refused == {} and len(made.files) == 7
    known = {_class(line) for line in errors_of(next(path for path in folder.iterdir() if path.is_file()))}
    for name, path in written(made, tmp_path).items():
        assert {_class(line) for line in errors_of(path)} <= known, name


def _class(error):
    """An error without the value and the element that it is about."""
    return error.split(' - "')[0]


def test_readers_of_reports_show_score_p_value_and_alert(tmp_path):
    write_oriented(tmp_path / "in")
    paths = written(made_of(tmp_path / "in", ["sr"]), tmp_path / "out")
    shown = subprocess.run([tool("dsrdump"), str(paths["sr"])], check=True, capture_output=True, text=True).stdout
    assert '"Anomaly score of the scan")="0.654321"' in shown and '"p-value among healthy scans")="0.012345"' in shown
    assert '"Alert")=(373066001,SCT,"Yes")' in shown and "RESEARCH" in shown
    command = [tool("tid1500reader"), "--inputDICOM", paths["sr"], "--outputMetadata", tmp_path / "sr.json"]
    assert subprocess.run(list(map(str, command)), capture_output=True).returncode == 0
    groups = json.loads((tmp_path / "sr.json").read_text())["Measurements"]
    slices = [f"axial slice {n} at +{mm} mm" for n, mm in ((19, 44.0), (18, 41.0), (17, 38.0))]
    assert [group["TrackingIdentifier"] for group in groups] == ["scan", *slices]


@pytest.mark.slow
def test_the_same_result_is_the_same_bytes_and_another_one_has_other_uids(tmp_path):
    write_oriented(tmp_path / "in")
    first, again = made_of(tmp_path / "in"), made_of(tmp_path / "in")  # the library's clock counts microseconds
    assert [name for name in first.files if again.files[name] != first.files[name]] == []
    other = made_of(tmp_path / "in", maker=replace(MAKER, key="other"))
    for name in first.files:
        assert read(other, name).SOPInstanceUID != read(first, name).SOPInstanceUID
        assert read(other, name).StudyInstanceUID == read(first, name).StudyInstanceUID == "1.2.9.1"
        assert str(read(first, name).SOPInstanceUID).startswith("2.25.")
    assert len({read(first, name).SeriesInstanceUID for name in first.files}) == len(OBJECTS)


@pytest.mark.slow
def test_uids_are_of_the_images_whatever_their_files_are_called_and_packed_in(tmp_path):
    write_oriented(tmp_path / "in", shape=(4, 36, 40))
    named = write_oriented(tmp_path / "named", shape=(4, 36, 40), names=[2, 0, 3, 1])
    (tmp_path / "zip").mkdir()
    with zipfile.ZipFile(tmp_path / "zip" / "scan.zip", "w") as archive:
        for path in named:
            archive.write(path, f"s/{path.name}")
    first, second, third = (made_of(tmp_path / place, ["sr", "sc"]) for place in ("in", "named", "zip"))
    assert first.files == second.files == third.files
    write_oriented(tmp_path / "other", shape=(4, 36, 40), AcquisitionTime="111213")
    assert read(made_of(tmp_path / "other", ["sr"]), "sr").SOPInstanceUID != read(first, "sr").SOPInstanceUID


@pytest.mark.slow
def test_maescan_passes_its_own_results_over(tmp_path):
    write_oriented(tmp_path / "in")
    written(made_of(tmp_path / "in"), tmp_path / "out")
    found = survey(tmp_path / "out")
    assert found.sources == [] and {item.why for item in found.passed_over} == {"result"}
    assert len(found.passed_over) == 7


def test_a_source_that_is_not_dicom_or_has_changed_is_refused(tmp_path):
    write_oriented(tmp_path / "in")
    source = source_of(tmp_path / "in")
    finding = finding_of(read_scan(source))
    changed = DicomMaker().make(source, finding, MAKER, Request(("sr", "ko"), None, frozenset(), "old", 1))
    assert set(changed.refused) == {"sr", "ko"} and "has changed" in str(changed.refused["sr"])
    write_scan(tmp_path / "nifti" / "a.nii.gz", 0)
    other = DicomMaker().make(
        source_of(tmp_path / "nifti"), finding, MAKER, Request(("sr",), None, frozenset(), "", 1)
    )
    assert "is not DICOM" in str(other.refused["sr"])


def test_a_map_over_the_limit_costs_the_map_alone(tmp_path):
    write_oriented(tmp_path / "in")
    made = made_of(tmp_path / "in", ["sr", "pm"], limit=1000)
    assert list(made.files) == ["sr"] and "over the 0 MB allowed" in made.refused["pm"].reason


def test_without_a_healthy_threshold_there_is_no_segmentation(tmp_path):
    write_oriented(tmp_path / "in")
    made = made_of(tmp_path / "in", ["seg", "sc"], threshold=None)
    assert list(made.files) == ["sc1", "sc2", "sc3"] and "maescan calibrate" in str(made.refused["seg"])


@pytest.mark.slow
def test_series_in_a_zip_get_results_too(tmp_path):
    paths = write_oriented(tmp_path / "in")
    (tmp_path / "zip").mkdir()
    with zipfile.ZipFile(tmp_path / "zip" / "scan.zip", "w") as archive:
        for path in paths:
            archive.write(path, f"s/{path.name}")
    made = made_of(tmp_path / "zip")
    assert made.refused == {} and len(made.files) == 7
