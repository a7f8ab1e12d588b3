"""`maescan pseudonym` names the scan that was scored, or none: never another one that is called so today."""

from __future__ import annotations

import shutil
import zipfile

import pytest
from typer.testing import CliRunner

from helpers.dicom_results import write_oriented
from helpers.inputs import given
from helpers.scoring_stub import BUNDLE, Engine, rows, write_scan
from maescan.cli import app
from maescan.errors import ConfigError, DataError
from maescan.scoring.names import Pseudonyms
from maescan.scoring.options import ScoreOptions
from maescan.scoring.pipeline import score_folder
from maescan.scoring.whose import TODAY, whose


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


class Place:
    """A folder `in` of scans, `out` and `key`."""

    def __init__(self, base):
        self.folder, self.out, self.key, self.known = base / "in", base / "out", base / "key", set()

    def score(self, **options):
        """The pseudonyms that are new."""
        options = ScoreOptions(workers=1, pictures=0, pseudonyms=Pseudonyms.read(self.key), **options)
        score_folder([self.folder], BUNDLE, Engine(), self.out, options)
        tables = [rows(self.out / name) for name in ("scans.csv", "failures.csv")]
        labels = {row["scan"] for table in tables for row in table}
        new, self.known = sorted(labels - self.known), labels
        return new

    def paths(self, *wanted, out=True):
        """Path of each of `wanted` that is told, and the lines of doubt."""
        found, doubts = whose(self.key, [self.folder], wanted, self.out if out else None)
        return {pseudonym: path for pseudonym, _, path in found}, doubts

    def move(self, old, new):
        (self.folder / new).parent.mkdir(exist_ok=True)
        (self.folder / old).rename(self.folder / new)
        given(self.folder / old)
        return str(given(self.folder / new))


def series(folder, number):
    """Of another patient each, in one folder, called alike."""
    tags = {"PatientID": f"{number}", "SeriesInstanceUID": f"1.2.9.{number}", "SeriesDescription": "T1"}
    names = range(100 * number, 100 * number + 20)
    return write_oriented(folder, names=names, SeriesNumber=3, **tags)


def test_a_series_that_is_gone_is_not_the_one_that_is_called_so_now(place):
    first = series(place.folder / "pat", 1)
    (a,) = place.score()
    series(place.folder / "pat", 2)
    (b,) = place.score()
    pat = str(place.folder / "pat")
    assert place.paths(a, b) == ({a: pat, b: pat}, [])
    called = {pseudonym: label for pseudonym, label, _ in whose(place.key, [place.folder], [a, b], place.out).found}
    assert called[a] == "pat/3-T1" != called[b]
    told, (_, doubt) = place.paths(a, out=False)  # nobody can know which one came first
    assert told == {} and doubt.startswith(f"{a}: ambiguous, may be any of 2: {pat} (")
    for file in first:
        file.unlink()
        given(file)
    told, (doubt,) = place.paths(a, b)
    assert told == {b: pat} and doubt.startswith(f"{a}: gone")
    assert place.paths(a, out=False) == ({a: pat}, [TODAY])


@pytest.mark.parametrize("again", [False, True])
def test_a_file_that_was_moved_is_found_and_the_one_in_its_place_is_another(place, again):
    write_scan(place.folder / "T1.nii.gz", 1)
    (x,) = place.score()
    moved = place.move("T1.nii.gz", "done/doe.nii.gz")
    if again:
        assert place.score() == []
    other = write_scan(place.folder / "T1.nii.gz", 2)
    if again:
        (y,) = place.score()
        assert place.paths(x, y) == ({x: moved, y: str(other)}, [])
    assert place.paths(x) == ({x: moved}, [])
    (place.folder / "done" / "doe.nii.gz").unlink()
    given(place.folder / "done" / "doe.nii.gz")
    told, (doubt,) = place.paths(x)
    assert told == {} and doubt.startswith(f"{x}: gone")


def test_copies_are_told_apart_by_their_place_and_where_that_is_lost_none_is_named(place):
    for name in "ab":
        write_scan(place.folder / name / "x.nii", 1)
    a, b = sorted(place.score(), key=lambda label: label != Pseudonyms.read(place.key).label("a/x.nii"))
    assert place.paths(a, b)[0] == {name: str(place.folder / at / "x.nii") for name, at in ((a, "a"), (b, "b"))}
    moved = place.move("a/x.nii", "c/x.nii")
    assert place.paths(a, b) == ({a: moved, b: str(place.folder / "b" / "x.nii")}, [])
    place.move("b/x.nii", "d/x.nii")
    told, doubts = place.paths(a, b)
    assert told == {} and {doubt.split(",")[0] for doubt in doubts} == {f"{a}: ambiguous", f"{b}: ambiguous"}


def test_scans_of_a_zip_that_was_moved_are_still_their_own(place):
    with zipfile.ZipFile(given(place.folder.parent / "a.zip"), "w") as archive:
        for number in range(2):
            archive.write(write_scan(place.folder.parent / "z" / f"{number}.nii", number), f"{number}.nii")
    place.folder.mkdir()
    shutil.move(place.folder.parent / "a.zip", given(place.folder / "a.zip"))
    labels = [Pseudonyms.read(place.key).label(f"a.zip/{number}.nii") for number in range(2)]
    assert place.score() == sorted(labels)
    moved = place.move("a.zip", "b.zip")
    found = whose(place.key, [place.folder], labels, place.out).found
    assert sorted(found) == sorted((label, f"b.zip/{n}.nii", moved) for n, label in enumerate(labels))


def test_what_could_not_be_read_is_told_by_its_place_which_is_said(place):
    write_scan(place.folder / "a.nii", 1)
    (place.folder / "b.nii").symlink_to("/nowhere/b")
    assert len(place.score()) == 2
    (b,) = [row["scan"] for row in rows(place.out / "failures.csv")]
    told, (doubt,) = place.paths(b)
    assert told == {b: str(place.folder / "b.nii")} and "by its place alone" in doubt


def test_all_are_told_and_how_many_are_gone(place):
    files = [write_scan(place.folder / f"{number}.nii", number) for number in range(3)]
    labels = place.score()
    files[0].unlink()
    given(files[0])
    told, doubts = place.paths()
    assert set(told.values()) == {str(file) for file in files[1:]} and set(told) < set(labels)
    assert doubts == ["1 more are gone: not under these paths, or changed since they were scored"]


def test_other_keys_and_folders_are_refused(place):
    write_scan(place.folder / "a.nii", 1)
    place.score()
    other = place.key.with_name("other")
    Pseudonyms.read(other)
    with pytest.raises(DataError, match="no scans under pseudonyms of this key"):
        whose(other, [place.folder], [], place.out)
    with pytest.raises(DataError, match="holds no scores"):
        whose(place.key, [place.folder], [], place.folder)
    with pytest.raises(ConfigError, match="no such key"):
        whose(place.key.with_name("none"), [place.folder])


def test_the_command_tells_scans_on_stdout_and_doubts_on_stderr(place):
    write_scan(place.folder / "T1.nii.gz", 1)
    (x,) = place.score()

    def typed(*more):
        words = ["pseudonym", place.key, place.folder, "--label", x, *more]
        done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
        return done.exit_code, done.stdout, done.stderr

    line = f"{x}\tT1.nii.gz\t{place.folder / 'T1.nii.gz'}\n"
    assert typed("--out", place.out) == (0, line, "")
    assert typed() == (0, line, f"{TODAY}\n")
    assert typed("-o", place.out, "--label", "p0") == (3, line, "p0: no scan of this --out is called so\n")
    assert typed("--label", "p0") == (
        *(3, line),
        f"{TODAY}\np0: none of these scans, by this key and the names they have now\n",
    )
