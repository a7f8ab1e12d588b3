"""The report as an object."""

from __future__ import annotations

from dataclasses import replace

from helpers.dicom_results import MAKER, made_of, read, write_oriented
from maescan.results.dicom.finding import Earlier


def texts(dataset):
    found = []
    for item in dataset.get("ContentSequence", ()):
        name = item.ConceptNameCodeSequence[0].CodeMeaning if "ConceptNameCodeSequence" in item else ""
        if item.ValueType == "NUM":
            found.append((name, float(item.MeasuredValueSequence[0].NumericValue)))
        if item.ValueType == "TEXT":
            found.append((name, item.TextValue))
        if item.ValueType == "CODE":
            found.append((name, item.ConceptCodeSequence[0].CodeMeaning))
        if item.ValueType == "IMAGE":
            found.append(("image", item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID))
        found += texts(item)
    return found


def test_it_says_score_slices_algorithm_and_notes(tmp_path):
    write_oriented(tmp_path)
    said = texts(read(made_of(tmp_path, ["sr"], notes=("its slices are uneven",)), "sr"))
    assert ("Anomaly score of the scan", 0.654321) in said and ("Alert", "Yes") in said
    assert ("Comment", "its slices are uneven") in said
    assert ("Algorithm Parameters", f"bundle {'b' * 64}") in said
    assert [uid for name, uid in said if name == "image"] == ["1.2.9.3.20", "1.2.9.3.19", "1.2.9.3.18"]


def test_a_scan_that_is_not_judged_has_neither_p_value_nor_alert(tmp_path):
    write_oriented(tmp_path, shape=(3, 36, 40))
    said = dict(texts(read(made_of(tmp_path, ["sr"], p_value=None, alert=None, slice_p=(), fit="other"), "sr")))
    assert "Alert" not in said and "p-value among healthy scans" not in said
    assert said["Kind of the scan"] == "Of another kind than the bundle judges"
    assert said["Finding"] == "Result of a search for anomalies"  # it is no finding of one


def test_it_names_the_report_that_it_takes_the_place_of(tmp_path):
    write_oriented(tmp_path, shape=(3, 36, 40))
    found = read(
        made_of(tmp_path, ["sr"], maker=replace(MAKER, earlier=Earlier("another", ("1.2", "1.2.3"), None))), "sr"
    )
    (series,) = found.PredecessorDocumentsSequence[0].ReferencedSeriesSequence
    assert (series.SeriesInstanceUID, series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID) == ("1.2", "1.2.3")
