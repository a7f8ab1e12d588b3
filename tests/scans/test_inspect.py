"""`maescan inspect`: a line for every scan, and a picture of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from typer.testing import CliRunner

from helpers.scan_files import write_nifti, write_series
from maescan.cli import app
from maescan.errors import DataError, ScanError
from maescan.options import ReadOptions
from maescan.scans.inspect import inspect, show
from maescan.scans.montage import TILE, TILES


@pytest.fixture
def folder(tmp_path):
    write_nifti(tmp_path / "a.nii.gz")
    (tmp_path / "b.nii").write_text("text")
    write_series(tmp_path / "c", depths=(0, 1, 2, 4, 5, 6))
    return tmp_path


@pytest.mark.slow
def test_rows_say_how_a_scan_is_read_or_why_not(folder):
    a, b, c = inspect([folder])
    assert (a.name, a.format, a.slices, a.spacing) == ("a.nii.gz", "nifti", "6 x 5 x 4", "2.5 x 1.5 x 0.5")
    assert (a.dtype, a.orientation, a.values, a.verdict) == ("int16", "RAS", "0 to 119", "read")
    assert (b.verdict, b.notes) == ("refused", "is not a NIfTI file (check its name and where it comes from)")
    assert (c.files, c.verdict) == (6, "refused") and "--accept missing-slices" in c.notes


@pytest.mark.slow
def test_what_is_accepted_is_read_with_a_note(folder):
    (row,) = inspect([folder / "c"], ReadOptions(accept=frozenset({"missing-slices"})))
    assert (row.slices, row.verdict, row.notes) == ("7 x 5 x 4", "read, see notes", "lacks 1 of 7 slices")


@pytest.mark.slow
def test_the_table_holds_every_name_in_full(folder, capsys):
    write_nifti(folder / "[red]bracketed.nii")
    assert len(show([folder])) == 4
    text = capsys.readouterr().out
    assert all(word in text for word in ("a.nii.gz", "[red]bracketed.nii", "missing-slices"))


def test_a_folder_without_scans_is_an_error(tmp_path):
    with pytest.raises(ScanError, match="holds no scan"):
        show([tmp_path])


@pytest.mark.slow
def test_the_picture_has_a_line_of_slices_a_scan(folder):
    image = pytest.importorskip("skimage.io")
    show([folder], picture=folder / "m.png")
    picture = image.imread(folder / "m.png")
    assert picture.shape == (3 * TILE, TILES * TILE) and picture[:TILE].max() == 255
    assert picture[TILE + 16 : 2 * TILE].max() == 0  # refused: its number alone


def test_nothing_to_see_is_no_picture(tmp_path):
    picture, scans = tmp_path / "m.png", tmp_path / "scans"
    scans.mkdir()
    with pytest.raises(ScanError, match="holds no scan"):
        show([scans], picture=picture)
    (scans / "b.nii").write_text("text")
    done = CliRunner().invoke(app, ["inspect", str(scans), "--picture", str(picture)])
    assert done.exit_code == 3 and done.stderr == f"no scan can be read: {picture} is not written\n"
    assert "is not a NIfTI file" in done.stdout and not picture.exists()


@pytest.mark.slow
def test_the_picture_never_takes_the_place_of_a_file_that_is_not_ours(folder):
    scan = next(path for path in sorted(folder.rglob("*")) if path.is_file())
    mine, before = folder / "mine.png", scan.read_bytes()
    mine.write_bytes(b"\x89PNG\r\n\x1a\n of a holiday")
    for path in (scan, mine, folder):
        with pytest.raises(DataError, match=r"maescan did not write it|cannot write: Is a directory"):
            show([folder], picture=path)
    assert scan.read_bytes() == before and mine.read_bytes().endswith(b"holiday")
    for _ in range(2):  # our own may be written over
        show([folder], picture=folder / "m.png")


@pytest.mark.slow
def test_what_is_passed_over_is_told(folder):
    pytest.importorskip("pydicom")
    write_series(folder / "c", first=20, SOPClassUID="1.2.840.10008.5.1.4.1.1.66.4", Modality="SEG")
    (folder / "d.mif").write_text("mrtrix image")
    for name in ("x.txt", "y.json", ".hidden"):
        (folder / name).write_text("text")
    rows = [row for row in inspect([folder]) if row.verdict == "passed over"]
    assert [(row.name, row.files) for row in rows[-3:]] == [("d.mif", 1), ("(other files)", 1), ("(other files)", 2)]
    assert {row.notes for row in rows[:-3]} == {"is no scan but a DICOM Segmentation"} and len(rows) == 6 + 3
    assert [row.notes for row in rows[-2:]] == ["each is hidden", "each is no scan"]


@pytest.mark.slow
def test_what_the_others_make_doubtful_is_refused(folder):
    def doubt(sources):
        return [replace(sources[0], fault=ScanError("is called as another", path=sources[0].path)), *sources[1:]]

    a, _, _ = inspect([folder], doubt=doubt)
    assert (a.name, a.verdict, a.notes) == ("a.nii.gz", "refused", "is called as another")
