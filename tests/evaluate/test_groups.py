from __future__ import annotations

import numpy as np
import pytest

from maescan.errors import DataError
from maescan.evaluate.groups import by_group, read_groups, rows_not_used

SCANS = [f"sub-{i:02}/anat/sub-{i:02}_T1w.nii.gz" for i in range(9)]


def test_a_table_of_participants(tmp_path):
    lines = ["participant_id\tsex\tage\tscanner", *(f"sub-{i:02}\t{'MF'[i % 2]}\t{20 + 5 * i}\t" for i in range(8))]
    (tmp_path / "participants.tsv").write_text("\n".join(lines))
    groups = read_groups(tmp_path / "participants.tsv")
    patient, label = np.repeat(SCANS, 4), np.tile([0, 0, 1, 1], 9)
    score = label + (patient > SCANS[4]) * 0.5
    found = by_group(groups, label, score, patient, 0.75)
    assert set(found) == {"sex", "age"}  # no scanner is told
    assert [(row["value"], row["scans"]) for row in found["sex"]] == [("F", 4), ("M", 4), ("unknown", 1)]
    assert [row["value"].split()[0] for row in found["age"]] == ["under", "31.6667", "43.3333", "unknown"]
    assert sum(row["slices"] for row in found["age"]) == 36
    assert found["sex"][0] | {"scans": 0} == {
        "value": "F", "scans": 0, "slices": 16, "auroc": 1.0, "specificity": 1.0, "sensitivity": 1.0
    }  # fmt: skip
    assert by_group(groups, label, score, patient, None)["sex"][0]["specificity"] is None


def test_a_group_of_one_class_has_no_auroc(tmp_path):
    (tmp_path / "t.csv").write_text("scan,site\na.nii.gz,x\nb.nii.gz,y\n")
    found = by_group(read_groups(tmp_path / "t.csv"), [0, 1], [0.1, 0.9], ["a.nii.gz", "b.nii.gz"], 0.5)["site"]
    assert [(row["auroc"], row["specificity"], row["sensitivity"]) for row in found] == [
        (None, 1.0, None), (None, None, 1.0)
    ]  # fmt: skip


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_cells_are_parted_as_the_header_says(tmp_path, mark):
    (tmp_path / "t.csv").write_text(f'scan{mark}site\na.nii.gz{mark}"x, y"\n')
    assert read_groups(tmp_path / "t.csv") == {"site": {"a.nii.gz": "x, y"}}
    (tmp_path / "t.csv").write_text("scan\na\n")
    with pytest.raises(DataError, match="its columns are 'scan'"):
        read_groups(tmp_path / "t.csv")


@pytest.mark.parametrize("text", ["", "scan\na\n", "\xff\xfe"])
def test_what_is_no_table_is_refused(tmp_path, text):
    (tmp_path / "t.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError):
        read_groups(tmp_path / "t.csv")
    with pytest.raises(DataError, match="cannot be read"):
        read_groups(tmp_path / "none.csv")


def test_rows_of_no_scan_are_told():
    groups = {"sex": {f"sub-{i:02}": "M" for i in range(12)}}
    told = "3 of 12 rows are of no scan that is judged: sub-09, sub-10, sub-11"
    assert rows_not_used(groups, SCANS) == told
    assert rows_not_used(groups, SCANS[:1]).endswith("sub-01, sub-02, sub-03, sub-04, sub-05, ...")
    assert not rows_not_used({"sex": {"sub-00": "M", "sub-01_T1w": "F"}}, SCANS)
    assert not rows_not_used({}, SCANS)


@pytest.mark.parametrize("value, found", [("M", "M"), ("n/a", "M"), ("", "M"), ("F", "several values")])
def test_a_scan_whose_rows_differ_has_several_values(tmp_path, value, found):
    (tmp_path / "t.csv").write_text(f"scan,sex,age\na,M,\na,{value},\nb,F,\n")
    groups = read_groups(tmp_path / "t.csv")
    assert groups["sex"] == {"a": found, "b": "F"}
    rows = by_group(groups, [0, 1], [0.0, 1.0], ["a", "b"], None)
    assert [row["value"] for row in rows["sex"]] == ["F", found] and list(rows) == ["sex"]
    told = "1 of 2 rows differ from others of their name, so some columns have several values: a"
    assert rows_not_used(groups, ["a", "b"]) == (told if found != "M" else "")


def test_ages_of_a_patient_of_two_sessions_leave_the_others_in_parts():
    ages = {"age": {f"{i}.nii": str(40 + i) for i in range(9)} | {"0.nii": "several values"}}
    found = by_group(ages, [0] * 9, [0.0] * 9, [f"{i}.nii" for i in range(9)], None)["age"]
    assert [row["value"].split()[0] for row in found] == ["under", "43.3333", "45.6667", "several"]


def test_what_two_sites_have_in_common_names_no_subject(tmp_path):
    scans = [f"{site}/{name}/{name}_T1w.nii.gz" for site in "AB" for name in ("sub-1", "sub-2")]
    groups = {"sex": {"sub-1": "M", "A/sub-2": "F", "B": "M", "A/sub-2/sub-2_T1w.nii.gz": "F"}}
    rows = by_group(groups, [0, 1, 0, 1], [0.0] * 4, scans, None)["sex"]
    assert [(row["value"], row["scans"]) for row in rows] == [("F", 1), ("M", 2), ("unknown", 1)]
    assert rows_not_used(groups, scans) == (
        "1 of 4 rows name several patients (write the folder's path, as siteA/sub-01): sub-1"
    )


def test_numbers_may_have_decimal_commas(tmp_path):
    (tmp_path / "t.csv").write_text("scan;age\n" + "".join(f"{i}.nii;4{i},5\n" for i in range(9)))
    scans = [f"{i}.nii" for i in range(9)]
    rows = by_group(read_groups(tmp_path / "t.csv"), [0] * 9, [0.0] * 9, scans, None)["age"]
    assert [row["scans"] for row in rows] == [3, 3, 3] and rows[0]["value"].startswith("under 43")
