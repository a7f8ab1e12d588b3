"""The report as a person uses it: in a browser, with clicks and keys, on a desk and on a phone."""

from __future__ import annotations

import os

import numpy as np
import pytest

from helpers.browser import BROWSER, Browser
from helpers.scoring_stub import Engine, write_scan
from helpers.stubs import stub_bundle
from maescan.config import preset
from maescan.results.cards import Seen
from maescan.results.maps import Scale
from maescan.results.report import write_report
from maescan.results.rows import Failure, ScanRow
from maescan.results.tables import Tables
from maescan.scoring.options import ScoreOptions
from maescan.scoring.pipeline import score_folder

if BROWSER is None and os.environ.get("FAIL_ON_MISSING_TOOLS"):
    pytest.fail("no Chromium on the path", pytrace=False)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on the path")
SHOWN = "[...document.querySelectorAll('#scans tbody tr')].filter(r => !r.hidden).map(r => r.cells[0].textContent)"
CARD = "document.querySelector('article.on h2').textContent"
LARGE = "document.querySelector('article.on .view .tile')"
NASTY = "x<img src=q onerror=alert(1)>\"'--><script>alert(2)<_script>{{7*7}}_${1}`.nii.gz"
LONG = "a_very_long_name_" * 9


@pytest.fixture(scope="module")
def browser():
    with Browser() as one:
        yield one


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """Five scans, one with a hostile name, of which all alert; one that is no scan."""
    folder = tmp_path_factory.mktemp("browser")
    for index, name in enumerate(["a.nii.gz", "sub/b.nii.gz", "sub/c.nii.gz", NASTY, f"{LONG}.nii.gz"]):
        write_scan(folder / "in" / name, index, slices=12)
    (folder / "in" / "broken.nii.gz").write_bytes(b"no gzip")
    bundle = stub_bundle(calibration={"scans": [0.0] * 30, "slices": [0.0]})
    score_folder([folder / "in"], bundle, Engine(), folder / "out", ScoreOptions(pictures=2, maps=True))
    return folder / "out" / "report.html"


@pytest.fixture
def page(browser, scored):
    browser.resize(1400, 900)
    browser.messages.clear()
    browser.requests.clear()
    browser.open(scored)
    yield browser
    assert browser.messages == [] and not browser.run("document.querySelectorAll('[onerror]').length")
    assert all(url.startswith(("file:", "data:")) for url in browser.requests)


def test_nothing_of_a_name_runs_or_asks_a_network(page):
    assert NASTY in page.run(SHOWN) and page.run("document.scripts.length") == 1 and "{{7*7}}" in NASTY
    page.click("#scans tbody tr", page.run(SHOWN).index(NASTY))
    assert page.run(CARD) == NASTY and page.run("document.title").startswith("maescan: ")


def test_keys(page):
    names = page.run(SHOWN)
    assert page.run(CARD) == names[0]
    page.press("j", "j")
    assert page.run(CARD) == names[2] and page.run("location.hash") == "#s2"
    page.press("k")
    assert page.run(CARD) == names[1]
    page.press(*"kkkk")
    assert page.run(CARD) == names[0]
    page.press(*"/sub")
    assert sorted(page.run(SHOWN)) == ["sub/b.nii.gz", "sub/c.nii.gz"]
    assert page.run("document.querySelector('#shown').textContent") == "2 of 5 scans"
    page.press("Escape", "j")
    assert page.run(CARD) in page.run(SHOWN)
    heat = "document.documentElement.style.getPropertyValue('--heat')"
    assert page.run(heat) == "0.8"
    page.press("o")
    assert page.run(heat) == "0"
    page.press("o")
    assert page.run(heat) == "0.8"


def test_filters_and_sorting(page):
    select = "document.querySelector('[data-filter=alert]')"
    assert page.run(f"[...{select}.options].map(o => o.text)") == ["all", "yes"]
    scores = "[...document.querySelectorAll('#scans tbody tr')].map(r => +r.cells[1].textContent)"
    assert page.run(scores) == sorted(page.run(scores), reverse=True)
    page.click("#scans thead button", 1)
    page.click("#scans thead button", 1)
    assert page.run(scores) == sorted(page.run(scores))
    names = page.run(SHOWN)
    page.click("#scans thead button", 0)
    assert page.run(SHOWN) != names and page.run(SHOWN)[2:] == ["sub/b.nii.gz", "sub/c.nii.gz", NASTY]
    page.run("document.querySelectorAll('#scans tbody tr')[0].cells[2].textContent = ''")
    for _ in range(2):  # a scan without a p-value is not that of the least
        page.click("#scans thead button", 2)
        assert page.run("[...document.querySelectorAll('#scans tbody tr')].pop().cells[2].textContent") == ""


def test_every_alert_is_drawn_and_slices_are_chosen(page):
    tiles = "document.querySelectorAll('article.on .places .tile').length"
    for number in range(5):
        page.click("#scans tbody tr", number)
        assert page.run(tiles) == 5 and page.run("document.querySelectorAll('article.on .view .tile').length") == 3
        assert page.run(f"[...{LARGE}.querySelectorAll('b')].map(b => b.className)") == [*"rlap"]
    chosen = "document.querySelector('article.on .places li.on').dataset.at"
    at = page.run("[...document.querySelectorAll('article.on .places li')].map(li => li.dataset.at)")
    page.click("article.on .places li", 3)
    assert page.run(chosen) == at[3] == page.run("document.querySelector('article.on .mark.on').dataset.at")
    page.run("document.querySelectorAll('article.on .mark')[1].dispatchEvent(new MouseEvent('click'))")
    assert page.run(chosen) == at[1]
    page.click("article.on .profile svg")
    assert " mm, voxel k " in page.run("document.querySelector('article.on .said').textContent")


def test_pictures_are_seen_and_the_slider_dims_their_colours(page, tmp_path):
    """Pixels of the large slice, with its colours and without."""
    from PIL import Image

    seen = []
    for value in (100, 0):
        page.run(f"opacity.value = {value}, opacity.oninput()")
        page.picture(tmp_path / "page.png")
        x, y, side = page.run(f"(b => [b.x, b.y, b.width])({LARGE}.getBoundingClientRect())")
        with Image.open(tmp_path / "page.png") as picture:
            box = tuple(map(int, (x + side / 4, y + side / 4, x + 3 * side / 4, y + 3 * side / 4)))
            seen.append(np.asarray(picture.convert("RGB").crop(box)).astype(int))
    coloured, plain = (np.abs(pixels[..., 0] - pixels[..., 2]).mean() for pixels in seen)
    assert coloured > 20 and plain < 2 and seen[1].std() > 20


@pytest.mark.parametrize("width", [390, 320])
def test_on_a_phone(page, scored, width):
    page.resize(width, 844)
    page.open(scored)
    wide = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    assert page.run(wide) == [width, width]
    page.click("#scans tbody tr", page.run(SHOWN).index(f"{LONG}.nii.gz"))
    assert page.run(CARD) == f"{LONG}.nii.gz" and page.run(wide) == [width, width]
    visible = "[...document.querySelectorAll('.list, .cards')].map(e => e.getClientRects().length > 0)"
    assert page.run(visible) == [False, True]
    page.click("article.on .back")
    assert page.run(visible) == [True, False]


def test_on_paper(page):
    """Every scan's row, and pictures that need no background, which browsers leave out on paper."""
    page.on_paper()
    seen = "[...document.querySelectorAll('{}')].filter(e => e.getClientRects().length).length"
    assert page.run(seen.format(".tile, .thumb")) == 0
    assert page.run(seen.format("#scans tbody tr")) == page.run(seen.format("article")) == 5
    assert page.run(seen.format("article .sheet")) == 5
    assert "right is on the left" in page.run("getComputedStyle(document.querySelector('.strip'), '::after').content")
    assert page.run("getComputedStyle(document.body).color") == "rgb(28, 32, 36)"


def test_a_link_to_a_scan_opens_it(page, scored):
    page.open(scored, "#s3")
    assert page.run(CARD) == page.run(SHOWN)[3]


def test_a_thousand_scans(browser, tmp_path):
    """Every row is there, and keys find their way. How long it takes is for people to look at: `seconds`."""
    rng = np.random.default_rng(0)
    rows = [
        ScanRow(f"site_{i % 7}/patient_{i:04}/T1w.nii.gz", rng.random(155).astype("<f4"), np.ones(155, "<f4"))
        for i in range(1000)
    ]
    bundle, scans = {"path": "bundle", "hash": "0" * 64}, {"passed_over": 0}
    run = {"maescan": "0", "engine": "stub", "bundle": bundle, "scans": scans, "calibration": None, "written": ""}
    failed = [Failure("broken.nii", "read", "is truncated", "copy it anew", "/in/broken.nii")]
    write_report(tmp_path / "r.html", Tables(rows, failed, None, None), run, Seen(tmp_path, Scale.of(preset("tiny"))))
    browser.resize(1400, 900)
    browser.open(tmp_path / "r.html")
    browser.press(*"/patient_0999")
    browser.press("Escape", "j")
    assert browser.run(SHOWN) == ["site_5/patient_0999/T1w.nii.gz"] == [browser.run(CARD)]
    seconds = browser.run("performance.getEntriesByType('navigation')[0].loadEventEnd / 1000")
    assert seconds > 0
    print(f"1,000 scans, {(tmp_path / 'r.html').stat().st_size / 1e6:.1f} MB: loaded in {seconds:.2f} s")
