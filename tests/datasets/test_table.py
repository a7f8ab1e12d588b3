from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from helpers.series import write_slices
from maescan import datasets
from maescan.config import preset
from maescan.datasets.phantom import Look, write_phantom
from maescan.datasets.table import Said, whose_of
from maescan.errors import DataError
from maescan.scans import ScanSource
from maescan.train.setup import split

TINY = preset("tiny")
NAMES = [f"healthy/brain_000{number}.nii.gz" for number in range(4)]
COLUMNS = "scan,label,patient,split"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    root = tmp_path_factory.mktemp("table")
    write_phantom(root, healthy=4, lesions=0, seed=1, look=Look(shape=(48, 40, 4)))
    return root


@pytest.fixture
def tree(whole, tmp_path):
    (tmp_path / "healthy").symlink_to(whole / "healthy")
    return tmp_path


def write(tree, *lines, columns=COLUMNS):
    (tree / "labels.csv").write_text("\n".join([columns, *lines]) + "\n")


def test_patients_and_parts_are_those_of_the_table(tree):
    said = [("a", "train"), ("a", "training"), ("b", "Val"), ("", "")]
    write(tree, *(f"{name},0,{who},{part}" for name, (who, part) in zip(NAMES, said, strict=True)))
    slices = datasets.load(tree, TINY)
    at = [int(np.flatnonzero(slices.patient == name)[0]) for name in NAMES]
    assert slices.subject[at].tolist() == ["a", "a", "b", "healthy/brain_0003"]
    assert slices.split[at].tolist() == ["train", "train", "val", ""]
    assert slices.taken == "4 scans of 3 patients (4 healthy): labels of labels.csv"
    training, validation = split(slices, TINY, 0.5, 0)
    assert set(training.patient) == set(NAMES[:2]) and set(validation.patient) == {NAMES[2]}


def test_a_cache_keeps_them_and_takes_other_ones_without_reading_anew(tree, tmp_path):
    write(tree, *(f"{name},0,a,train" for name in NAMES))
    datasets.prepare(tree, TINY, tmp_path / "cache")
    cached = datasets.load(tmp_path / "cache", TINY)
    assert set(cached.subject) == {"a"} and set(cached.split) == {"train"} and "of 1 patient (" in cached.taken
    del cached  # a cache that is read is not prepared
    write(tree, *(f"{name},0,{number // 2},{'train' if number < 2 else 'test'}" for number, name in enumerate(NAMES)))
    assert datasets.prepare(tree, TINY, tmp_path / "cache")["kept"] == 4
    cached = datasets.load(tmp_path / "cache", TINY)
    assert set(cached.subject) == {"0", "1"} and set(cached.split) == {"train", "test"}


@pytest.mark.parametrize(
    "lines, message",
    [
        (
            [f"{NAMES[0]},0,a,train", f"{NAMES[1]},0,a,test"],
            f"{NAMES[0]} is in train and {NAMES[1]} in test, ",
        ),
        (
            [f"{NAMES[0]},0,a,first"],
            f"line 2 puts {NAMES[0]} into the part 'first' (the column split has train",
        ),
        ([f"{NAMES[0]},0,a,", f"{NAMES[0]},0,b,"], f"line 3 says 'b' of {NAMES[0]}, a line before it 'a' (a scan is"),
        ([f"{NAMES[0]},0,,val", f"{NAMES[0]},0,,test"], f"line 3 says 'test' of {NAMES[0]}, a line before it 'val'"),
        ([f"{NAMES[0]},0,,val", "", f"{NAMES[0]},0,,test"], f"line 4 says 'test' of {NAMES[0]}, a line before it"),
    ],
)
def test_what_contradicts_itself_is_refused(tree, lines, message):
    write(tree, *lines)
    with pytest.raises(DataError) as error:
        datasets.load(tree, TINY)
    assert message in str(error.value) and error.value.path.name == "labels.csv"


def test_series_of_one_patient_id_are_one_patients_whatever_their_folders(tmp_path):
    for place, uid, patient in (
        ("a", "1.2.1", "7"),
        ("b", "1.2.2", "7"),
        ("c", "1.2.3", "8"),
        ("d", "1.2.4", "ANON"),
    ):
        write_slices(tmp_path / place, range(4), uid=uid, patient=patient)
    write_slices(tmp_path / "e", range(4), uid="1.2.5", patient="ANON")
    _, items = datasets.find(tmp_path)
    first, second, *others = [item.whose for item in sorted(items, key=lambda item: item.name)]
    assert first == second != "" and "7" not in first.split("/") and others[0] not in ("", first)
    assert others[1:] == ["", ""]  # who is called Anonymous may be anybody
    write(tmp_path, *(f"{item.name},0,{item.name[0]}," for item in items))
    assert sorted(item.whose for item in datasets.find(tmp_path)[1]) == ["a", "b", "c", "d", "e"]


def test_a_patient_id_is_called_as_a_table_or_a_study_calls_one_of_its_scans():
    """Else the series and the NIfTI of sub-01, or the scans that a table leaves out, would be another patient's."""

    def found(*scans, **said):
        sources = [ScanSource(name, Path(name), "dicom", (), patient=number) for name, number in scans]
        return list(whose_of(sources, {name: Said(patient=who) for name, who in said.items()}).values())

    assert found(("sourcedata/sub-01/ses-1/2-T1", "h"), ("sourcedata/sub-01/ses-2/2-T1", "i")) == ["sub-01"] * 2
    assert found(("a", "h"), ("b", "h"), ("c", "i"), ("d", ""), b="7") == ["7", "7", "c", ""]
    assert found(("2-FLAIR", "h"), ("2-T1", "i")) == ["2-FLAIR", "2-T1"]  # numbers of series in one folder
