"""Whose scans are whose, by the names that public data sets and tools give them."""

from __future__ import annotations

import pytest

from maescan.datasets.subjects import subjects_of


def test_names_of_bids():
    names = ["sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz", "sub-01/ses-2/anat/sub-01_ses-2_T1w.nii.gz"]
    names += ["b/sub-01_T1w.nii.gz", "b/sub-01_FLAIR.nii.gz", "b/sub-012_T1w.nii.gz", "sub-1.nii.gz", "mysub-1/a.nii"]
    subjects = ["sub-01", "sub-01", "b/sub-01", "b/sub-01", "b/sub-012", "sub-1", "mysub-1/a"]
    assert subjects_of(names).tolist() == subjects
    beside = ["derivatives/prep/sub-01_T1w.nii", "rawdata/sub-01/a.nii", "b/derivatives/x/sub-01_desc-y_T1w.nii"]
    assert subjects_of(beside).tolist() == ["sub-01", "sub-01", "b/sub-01"]
    beside = ["derivatives/sub-01/a.nii", "derivatives/fmriprep/24.1/sub-01/a.nii", "sourcedata/raw/sub-01/a.nii"]
    assert set(subjects_of([*beside, "ses-1/sub-01/a.nii", "ses-2/sub-01_T1w.nii"]).tolist()) == {"sub-01"}
    assert subjects_of(["derivatives/x/a.nii", "myrawdata/sub-01/a.nii"]).tolist() == [
        "derivatives/x/a", "myrawdata/sub-01"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["IXI002-Guys-0828-T1.nii.gz", "T2/IXI002-Guys-0828-T2.nii.gz"], ["IXI012-HH-1211-T1.nii.gz"]),
        (["OAS1_0001_MR1/a.hdr", "OAS1_0001_MR2/a.hdr"], ["OAS1_0002_MR1/a.hdr"]),
        (["OAS30001_MR_d0129/anat2/sub-OAS30001_ses-d0129_T1w.nii.gz", "OAS30001_MR_d0757/a.nii.gz"],
         ["OAS30002_MR_d0129/a.nii.gz"]),
        (["002_S_0413/MPR/2006-05-02/S1/a.nii", "x/ADNI_002_S_0413_MR_I45107.nii"], ["002_S_0414/a.nii"]),
        (["BraTS-GLI-00005-100/a-t1n.nii.gz", "BraTS-GLI-00005-101/a-t1n.nii.gz"], ["BraTS-MEN-00005-000/a-t1n.nii"]),
        (["UPENN-GBM-00001_11_T1.nii.gz", "UPENN-GBM-00001_21_FLAIR.nii.gz"], ["UPENN-GBM-00002_11_T1.nii.gz"]),
        (["100307/T1w/T1w_acpc_dc.nii.gz", "100307_3T_T1w_MPR1.nii.gz"], ["100408/T1w/T1w_acpc_dc.nii.gz"]),
        (["HCA6002236_V1_MR/T1w.nii.gz", "HCA6002236_V1_MR/T2w.nii.gz"], ["HCA6010538_V1_MR/T1w.nii.gz"]),
        (["training01_01_flair_pp.nii", "p/training01_02_t2_pp.nii"], ["training02_01_flair_pp.nii"]),
        (["bert/mri/T1.mgz", "bert/mri/orig/001.mgz", "bert/mri/norm.mgz"], ["ernie/mri/T1.mgz"]),
        (["imagesTr/case_001_0000.nii.gz", "imagesTr/case_001_0001.nii.gz"], ["imagesTr/case_002_0000.nii.gz"]),
        (["train/P1/T1/P1_T1_FLAIR.nii.gz", "train/P1/T2/P1_T2_T1.nii.gz"], ["train/P10/T1/P10_T1_FLAIR.nii.gz"]),
        (["case_1.nii.gz", "case_1_followup.nii.gz", "case_1_visit2_T1w.mha"], ["case_10.nii.gz"]),
        (["session_001/T1.nii", "session_001/T2.nii"], ["session_002/T1.nii"]),
        (["visit1/smith.nii", "visit2/smith.nii"], ["visit1/jones.nii"]),
        (["T1/007.nii.gz", "FLAIR/007.nii.gz"], ["T1/008.nii.gz"]),
        (["a/T1.nii.gz", "a/baseline/T2.nii.gz"], ["b/T1.nii.gz"]),
    ],
)  # fmt: skip
def test_scans_of_one_patient_are_known_by_their_names(one, other):
    assert len(set(subjects_of(one).tolist())) == 1
    assert len(set(subjects_of([one[0], *other]).tolist())) == 2


def test_of_other_names_nothing_is_known():
    names = ["healthy/brain_0000.nii.gz", "healthy/brain_0001.nii.gz", "1.3.6.1.4.1.14519.5.2.1", "volume_1",
             "BraTS20_Training_001", "BraTS20_Training_002", "scan_visit1.nii", "scan_visit2.nii", "t1.nii", "t2.nii",
             "a/mri/001.nii.gz", "a/mri/002.nii.gz", "202301/a.nii", "202301/b.nii", "x_0000.nii",
             "x_0001.nii", "imagesTr/amos_0001.nii.gz", "imagesTr/amos_0002.nii.gz", "session_001/brain.nii.gz",
             "session_002/brain.nii.gz", "P01_210312_V1_T1.nii", "P02_210312_V1_T1.nii"]  # fmt: skip
    assert len(set(subjects_of(names).tolist())) == len(names)
