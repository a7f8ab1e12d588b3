from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from helpers.scoring_stub import BUNDLE, Engine, write_scan
from helpers.stubs import stub_bundle
from maescan import files as outputs
from maescan.errors import ConfigError, DataError
from maescan.results.paths import picture_path
from maescan.results.pictures import panels
from maescan.scoring.options import Format, ScoreOptions
from maescan.scoring.pipeline import score_folder

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NASTY = "<script>alert(1)<&'.nii.gz"


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """Scans of a calibrated bundle, one with a nasty name and one that is no scan; pictures of three."""
    folder = tmp_path_factory.mktemp("report")
    for index, name in enumerate(["a.nii.gz", "b.nii.gz", "sub/c.nii.gz", NASTY]):
        write_scan(folder / "scans" / name, index)
    (folder / "scans" / "broken.nii.gz").write_bytes(b"no gzip")
    bundle = stub_bundle(calibration={"scans": [0.0] * 30, "slices": [0.0]})
    score_folder([folder / "scans"], bundle, Engine(), folder / "out", ScoreOptions(pictures=3))
    return folder, bundle


def page(folder, name="out"):
    return (folder / name / "report.html").read_text(encoding="utf-8")


def test_everything_is_in_one_file_and_nothing_outside_is_named(scored):
    folder, _ = scored
    text = page(folder)
    assert text.count("<tr") == 2 + 4 + 1 and text.count("data:image/png;base64,") == 3
    assert "broken.nii.gz" in text and "<b>4</b> scans scored" in text and "<b>1</b> failed" in text
    assert not re.search(r'(?:src|href)="(?!data:|#)', text) and "url(" not in text
    assert len(list((folder / "out" / "pictures").rglob("*.png"))) == 3


def test_names_are_text(scored):
    assert page(scored[0]).count("<script>") == 1
    assert "&lt;script&gt;alert(1)&lt;&amp;&#x27;.nii.gz" in page(scored[0])


def test_a_second_run_writes_the_same_bytes_and_draws_nothing(scored, monkeypatch):
    folder, bundle = scored
    before, out = page(folder), folder / "out"
    pictures = {path: path.read_bytes() for path in (out / "pictures").rglob("*.png")}
    monkeypatch.setattr("maescan.results.pictures._save", lambda *_: 1 / 0)
    score_folder([folder / "scans"], bundle, Engine(), out, ScoreOptions(pictures=3))
    assert page(folder) == before
    assert {path: path.read_bytes() for path in (out / "pictures").rglob("*.png")} == pictures


def test_pictures_follow_the_scores_and_the_number_asked_for(scored, tmp_path):
    folder, bundle = scored
    out = tmp_path / "out"
    for count, left in ((3, 3), (1, 1), (0, 0)):
        summary = score_folder([folder / "scans"], bundle, Engine(), out, ScoreOptions(pictures=count))
        best = sorted(summary.scored, key=lambda row: (-row["score"], row["scan"]))[:left]
        assert set((out / "pictures").rglob("*.png")) == {picture_path(out, row["scan"]) for row in best}
    assert "<figure id" not in (out / "report.html").read_text()


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


def test_panels():
    image = np.zeros((64, 64), np.float32)
    image[:32] = 2
    made, difference = np.full_like(image, 1), np.zeros_like(image)
    difference[0, 0] = 1
    found = panels(image, made, difference)
    assert found.shape == (4 * 64, 4 * 4 * 64, 3)
    assert found[0, 0].tolist() == [255] * 3 and found[-1, 0].tolist() == [0] * 3  # slice
    assert found[0, 256].tolist() == [128] * 3  # reconstruction
    assert found[0, 512].tolist() == [255] * 3 and found[0, 516].tolist() == [0] * 3  # difference
    assert found[0, 768].tolist() == [255, 0, 0] and found[0, 772].tolist() == [255] * 3  # overlay


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on the path")
def test_in_a_browser(scored, tmp_path):
    """Sorts by a click, is no wider than a phone, asks nothing of a network."""
    check = """<script>
      const rows = () => [...document.querySelectorAll("#scans tbody tr")].map(row => row.cells[1].textContent);
      const before = rows(); document.querySelectorAll("#scans thead button")[1].click();
      const once = rows(); document.querySelectorAll("#scans thead button")[1].click();
      document.title = JSON.stringify({before, once, twice: rows(), wide: document.documentElement.scrollWidth,
        window: innerWidth, asked: performance.getEntriesByType("resource").filter(e => e.name[0] != "d").length});
    </script></html>"""
    file = tmp_path / "page.html"
    file.write_text(page(scored[0]).replace("</html>", check), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--window-size=375,800", "--virtual-time-budget=2000"]
    done = subprocess.run(
        [BROWSER, *options, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", file.as_uri()],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    found = json.loads(re.search("<title>(.*)</title>", done.stdout)[1])
    scores = sorted(map(float, found["before"]))
    assert [float(x) for x in found["once"]] in (scores, scores[::-1]) and found["twice"] == found["once"][::-1]
    assert found["wide"] <= found["window"] and found["asked"] == 0


def test_parquet_holds_what_the_csv_does(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    write_scan(tmp_path / "scans" / "a.nii.gz", 0)
    score_folder([tmp_path / "scans"], BUNDLE, Engine(), tmp_path / "out", ScoreOptions(format=Format.parquet))
    table = parquet.read_table(tmp_path / "out" / "scores.parquet").to_pydict()
    lines = (tmp_path / "out" / "scores.csv").read_text().splitlines()
    assert ",".join(table) == lines[0] and table["p_value"] == [None] * (len(lines) - 1)
    assert [f"{score:.6f}" for score in table["score"]] == [line.split(",")[2] for line in lines[1:]]


def test_parquet_without_pyarrow_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"needs pyarrow \(pip install 'maescan\[parquet\]'\)"):
        outputs.need_parquet()
