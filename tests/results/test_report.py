from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import sys
from urllib.parse import unquote

import numpy as np
import pytest

from helpers.scoring_stub import BUNDLE, Engine, files_of, write_scan
from helpers.stubs import stub_bundle
from maescan.engines.bundle import COIN
from maescan.errors import ConfigError, DataError
from maescan.method.healthy import CELLS, HealthyMaps
from maescan.results import report
from maescan.results.paths import picture_path
from maescan.results.tables import write_parquet
from maescan.scoring.options import Format, ScoreOptions
from maescan.scoring.pipeline import score_folder

CELLS_OF_ONE = np.zeros((1, *CELLS), np.uint8)
NASTY = "<script>alert(1)<&'.nii.gz"


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """Scans of a calibrated bundle, one with a nasty name and one that is no scan; all alert."""
    folder = tmp_path_factory.mktemp("report")
    for index, name in enumerate(["a.nii.gz", "b.nii.gz", "sub/c.nii.gz", NASTY]):
        write_scan(folder / "scans" / name, index)
    (folder / "scans" / "broken.nii.gz").write_bytes(b"no gzip")
    (folder / "scans" / "notes.txt").write_text("no scan")
    bundle = stub_bundle(calibration={"scans": [0.0] * 30, "slices": [0.0]})
    score_folder([folder / "scans"], bundle, Engine(), folder / "out", ScoreOptions(pictures=3))
    return folder, bundle


def page(folder, name="out"):
    return (folder / name / "report.html").read_text(encoding="utf-8")


def test_everything_is_in_one_file_and_what_is_linked_is_there(scored):
    folder, _ = scored
    text = page(folder)
    assert text.count("<article") == 4 and text.count("data:image/png;base64,") == 4
    assert "broken.nii.gz" in text and "<b>4</b> scans scored" in text and "<b>1</b> failed" in text
    assert '<a href="passed_over.csv"><b>1</b> passed over by the last run</a>' in text
    assert (folder / "out" / "passed_over.csv").is_file()
    links = set(re.findall(r'(?:src|href)="(?!data:|#|passed_over.csv)([^"]*)', text))
    assert all(link.startswith("file:///") for link in links) and len(links) == 4
    assert {unquote(link.removeprefix("file://")) for link in links} == {
        str(path)
        for path in (folder / "scans").rglob("*")
        if path.is_file() and path.name not in ("broken.nii.gz", "notes.txt")
    }
    assert len(list((folder / "out" / "pictures").rglob("*.png"))) == 4


def test_what_the_bundle_is_for_and_what_it_does_not_find_stand_above_the_scans(tmp_path):
    write_scan(tmp_path / "scans" / "a.nii.gz", 0)
    said = {
        "card": {"intended_use": "heads of <our> scanner"},
        "provenance": {"warnings": [f"{COIN} on flat", "else"]},
    }
    score_folder([tmp_path / "scans"], stub_bundle(**said), Engine(), tmp_path / "out", ScoreOptions())
    found = re.findall(r'<p class="caution">(.*)</p>', page(tmp_path).partition("<main>")[0])
    assert found == ["Intended use: heads of &lt;our&gt; scanner.", f"This model is {COIN} on flat."]
    assert ">1 scan</p>" in page(tmp_path)


def test_maps_are_linked_whatever_they_are_called(scored, tmp_path):
    folder, bundle = scored
    score_folder([folder / "scans"], bundle, Engine(), tmp_path / "out", ScoreOptions(pictures=0, maps=True))
    links = re.findall(r'<a href="(maps/[^"]*)">heat map', page(tmp_path))
    assert len(links) == 4 and all((tmp_path / "out" / unquote(link)).is_file() for link in links)


def test_an_output_folder_whose_name_is_no_utf_8_has_a_report(tmp_path):
    write_scan(tmp_path / "a.nii.gz", 1)
    out = tmp_path / os.fsdecode(b"\xfc")
    score_folder([tmp_path / "a.nii.gz"], stub_bundle(), Engine(), out, ScoreOptions())
    assert "<title>maescan: " in page(tmp_path, out.name)


def test_names_are_text_and_break_at_slashes_and_underscores(scored):
    text = page(scored[0])
    assert text.count("<script") == 1 and text.count("&lt;script&gt;alert(1)&lt;&amp;&#39;.nii.gz") >= 2
    assert "sub/<wbr>c.nii.gz" in text
    ours = hashlib.sha256(re.search("<script>(.*)</script>", text, re.DOTALL)[1].encode()).digest()
    assert f"script-src 'sha256-{base64.b64encode(ours).decode()}'" in text


def test_it_says_when_where_with_what_and_what_it_cannot_tell(scored):
    text = page(scored[0])
    run = json.loads((scored[0] / "out" / "run.json").read_text())
    assert "Not a medical device" in text
    assert re.search(f'<time datetime="{re.escape(run["written"])}">[-0-9]+ [:0-9]+ UTC([-+:0-9]+)?</time>', text)
    assert 'data-values="|scan - reconstruction|, of intensities 0 to 2"' in text
    about = re.search('<dl id="run">.*?</dl>', text, re.DOTALL)[0].replace("<wbr>", "")
    assert str(scored[0] / "out") in about and "0" * 12 in about and "fake-fp32" in about


def test_of_many_pictures_the_highest_are_inside_the_others_beside(scored, monkeypatch):
    folder, bundle = scored
    sizes = [path.stat().st_size for path in (folder / "out" / "pictures").rglob("*.png")]
    monkeypatch.setattr("maescan.results.cards.EMBEDDED", 2 * max(sizes))
    score_folder([folder / "scans"], bundle, Engine(), folder / "out", ScoreOptions(pictures=3))
    sources = re.findall(r'class="sheet" loading="lazy" src="([^"]*)', page(folder))
    inside = [source.startswith("data:") for source in sources]
    assert len(inside) == 4 and inside == sorted(inside, reverse=True) and 0 < sum(inside) < 4
    beside = [folder / "out" / unquote(source) for source in sources if not source.startswith("data:")]
    assert all(path.is_file() for path in beside)


@pytest.mark.slow
def test_a_picture_that_is_gone_or_cannot_be_read(scored, tmp_path):
    """Of a scan of an earlier run, which cannot be drawn anew."""
    folder, bundle = scored
    out = tmp_path / "out"
    write_scan(tmp_path / "other" / "d.nii.gz", 9)
    for scans in (folder / "scans", tmp_path / "other"):
        score_folder([scans], bundle, Engine(), out, ScoreOptions(pictures=9))
    gone = picture_path(out, "a.nii.gz")
    gone.unlink()
    score_folder([tmp_path / "other"], bundle, Engine(), out, ScoreOptions(pictures=9))
    assert (out / "report.html").read_text().count("data:image/png;base64,") == 4
    gone.mkdir()
    with pytest.raises(DataError, match=r"a\.nii\.gz\.png: cannot be read: Is a directory"):
        score_folder([tmp_path / "other"], bundle, Engine(), out, ScoreOptions(pictures=9))


def test_a_second_run_writes_the_same_bytes_and_draws_nothing(scored, monkeypatch):
    folder, bundle = scored
    score_folder([folder / "scans"], bundle, Engine(), folder / "out", ScoreOptions(pictures=3))
    before, out = files_of(folder / "out"), folder / "out"
    monkeypatch.setattr("maescan.results.pictures.save", lambda *_: 1 / 0)
    score_folder([folder / "scans"], bundle, Engine(), out, ScoreOptions(pictures=3))
    assert files_of(out) == before


def test_the_middle_of_the_colours_is_the_healthy_99th_percentile(tmp_path):
    write_scan(tmp_path / "scans" / "a.nii.gz", 0)
    healthy = {"maps": HealthyMaps(1.0, 0.25, CELLS_OF_ONE).to_json()}
    for name, maps, middle in (("plain", {}, 0.5), ("healthy", healthy, 0.25)):
        bundle = stub_bundle(calibration={"scans": [0.0] * 30, "slices": [0.0], **maps})
        score_folder([tmp_path / "scans"], bundle, Engine(), tmp_path / name, ScoreOptions(maps=True))
        text = page(tmp_path, name)
        assert f"0 to {2 * middle:.3g}, |scan - reconstruction|, of intensities" in text
        assert ("of healthy tissue is lower" in text) == bool(maps)
        assert ("exceedance map" in text) == bool(maps)


def test_parquet_holds_what_the_csv_does(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    write_scan(tmp_path / "scans" / "a.nii.gz", 0)
    score_folder([tmp_path / "scans"], BUNDLE, Engine(), tmp_path / "out", ScoreOptions(format=Format.parquet))
    table = parquet.read_table(tmp_path / "out" / "scores.parquet")
    assert [str(kind) for kind in table.schema.types] == ["string", "int64", *["double"] * 4]  # without p-values too
    table = table.to_pydict()
    lines = (tmp_path / "out" / "scores.csv").read_text().splitlines()
    assert ",".join(table) == lines[0] and table["p_value"] == [None] * (len(lines) - 1)
    assert [f"{score:.6f}" for score in table["score"]] == [line.split(",")[2] for line in lines[1:]]


def test_parquet_tells_scores_close_to_1_apart_as_the_csv_does(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    write_parquet(tmp_path / "a.parquet", ("score",), [(0.99999970,), (0.99999981,)])
    assert parquet.read_table(tmp_path / "a.parquet").to_pydict()["score"] == [0.9999997, 0.99999981]


def test_the_rate_of_alerts_is_told_as_an_average_and_how_high_it_may_be():
    told = report._calibration({"scans": 19, "alert_rate": 0.05, "can_alert": True})
    assert "at most 5 % alert, on average" in told and "(over 14.6 % in 1 of 20)" in told
    told = report._calibration({"scans": 40, "alert_rate": 0.05, "can_alert": True, "patients": 10})
    assert told.endswith("of 10 patients, whose own scans are alike: more than 5 % may alert.")


def test_parquet_without_pyarrow_is_refused(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"needs pyarrow \(.*pip install 'maescan\[parquet\]'\)"):
        write_parquet(tmp_path / "scores.parquet", ("scan",), [])


def test_scores_under_0_are_drawn_where_they_lie():
    """SSIM scores -1 where a slice is as it should be."""
    scores, reference = [-0.9, -0.8, -0.3], [-0.95, -0.7]
    found = report._histogram(scores, reference, -0.5)
    assert sum(len(group["bars"]) for group in found["groups"]) == 5
    assert (found["low"], found["top"]) == ("-0.95", "-0.3") and 0 < float(found["threshold"]) < 480
