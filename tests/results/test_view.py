"""The page of one scan, in a headless browser: scan and map at their places, clicks, no errors."""

from __future__ import annotations

import hashlib
import re
from importlib.resources import files

import numpy as np
import pytest

from helpers import browser
from helpers.browser import BROWSER, Browser
from maescan.results.view import grey_volume, heat_volume, write_view
from maescan.scans.scan import Scan, axial_view

NIIVUE = "47b896b77ec4a5be3ef1949c33ad393b6f45629921f326c279000bcf51bdb4af"
"""Of dist/niivue.umd.js, version 0.69.0."""
NASTY = "a/<script>alert(1)</script>'.nii"
SHAPE = (40, 30, 12)
SOFTWARE = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist")


def scan_of(affine):
    """Brighter to the patient's front; a map that is hot at the patient's right, in the lower third."""
    index = np.indices(SHAPE).reshape(3, -1)
    places = (affine[:3, :3] @ index + affine[:3, 3:]).reshape(3, *SHAPE)
    middle = [(part.min() + part.max()) / 2 for part in places]
    voxels = np.clip(200 + 3 * (places[1] - middle[1]), 0, 400).astype(np.int16)
    hot = (places[0] > middle[0] + 15) & (places[2] < middle[2] - 5)
    heat = np.where(hot, 1.0, np.where(places[0] > middle[0], 0.0, 0.01)).astype(np.float32)
    return Scan(voxels, 1.0, 0.0, affine, "a", None, "nifti"), heat


AFFINES = {
    "RAS": np.diag([2.0, 2.0, 3.0, 1.0]),
    "LPS": np.diag([-2.0, -2.0, 3.0, 1.0]),
    "turned": np.array([[0, 0, 2.0, 0], [-2, 0, 0, 0], [0, -3, 0, 0], [0, 0, 0, 1.0]]),
}


def write(path, affine=AFFINES["LPS"]):
    scan, heat = scan_of(affine)
    view, axes = axial_view(scan)
    scores = axes.to_axial(heat).mean(axis=(1, 2)) + np.linspace(0, 0.01, len(view))
    words = {"verdict": "score 0.7, ALERT", "notes": "<b>", "made": "maescan", "scale": "0 to 1", "full": "1.0"}
    words |= {"key": "0", "axis": "Score", "unscored": "missing, not scored"}
    write_view(path, NASTY, grey_volume(scan), heat_volume(heat, affine, 1.0), [None, *scores[1:].tolist()], words)
    return scan, heat, scores


def test_the_library_is_the_one_that_was_published():
    content = files("maescan.results").joinpath("viewer", "niivue.umd.js").read_bytes()
    assert hashlib.sha256(content).hexdigest() == NIIVUE
    assert "Copyright (c) 2021, Niivue" in files("maescan.results").joinpath("viewer", "LICENSE.niivue").read_text()


@pytest.mark.parametrize("which", AFFINES)
def test_volumes_are_in_the_order_nearest_to_right_anterior_superior_at_their_places(which):
    import nibabel

    scan, heat = scan_of(AFFINES[which])
    shown = heat_volume(heat, scan.affine, 1.0)
    expected = nibabel.as_closest_canonical(nibabel.Nifti1Image(heat, scan.affine))
    assert np.array_equal(shown.voxels, np.rint(np.asarray(expected.dataobj) * 255)) and np.allclose(
        shown.affine, expected.affine
    )
    assert grey_volume(scan).voxels.shape == expected.shape


def test_of_a_large_scan_every_second_pixel_is_shown(monkeypatch):
    monkeypatch.setattr("maescan.results.view.MOST_VOXELS", 40 * 30 * 12 // 4)
    scan, heat = scan_of(AFFINES["RAS"])
    shown = heat_volume(heat, scan.affine, 1.0)
    assert (shown.step, shown.voxels.shape, shown.spacing) == (2, (20, 15, 12), [4.0, 4.0, 3.0])


def test_the_page_is_one_file_that_may_do_nothing_else(tmp_path):
    write(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "alert(1)</script>" not in text and not re.search(r'(?:src|href)=["\']', text.replace('src=""', ""))
    policy = re.search(r'Security-Policy" content="([^"]*)"', text)[1]
    assert policy.startswith("default-src 'none'; script-src 'sha256-") and "unsafe" not in policy
    write(tmp_path / "again.html")
    assert (tmp_path / "again.html").read_bytes() == (tmp_path / "page.html").read_bytes()


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium")
@pytest.mark.parametrize("way", ["webgl", "canvas"])
def test_a_browser_shows_it_without_a_word_and_a_click_goes_to_a_slice(way, tmp_path, monkeypatch):
    from PIL import Image

    options = tuple(option for option in browser.OPTIONS if option != "--disable-gpu")
    off = ("--host-resolver-rules=MAP * ~NOTFOUND",)
    monkeypatch.setattr(
        browser, "OPTIONS", (*options, *SOFTWARE, *off) if way == "webgl" else (*browser.OPTIONS, *off)
    )
    _, _, scores = write(tmp_path / "page.html")
    with Browser(1280, 900) as page:
        page.open(tmp_path / "page.html", "#plain" if way == "canvas" else "")
        ready = (
            "new Promise(done => { const look = () => document.body.dataset.slice ? done(document.body.dataset.ready)"
        )
        assert page.run(f"{ready} : setTimeout(look, 50); look() }})") == way
        assert page.run("Number(document.body.dataset.slice)") == int(np.argmax(scores))
        page.picture(tmp_path / "highest.png")
        page.run("document.getElementById('profile').scrollIntoView()")
        page.click("#profile rect", 8)
        assert page.run("document.getElementById('where').textContent").startswith("slice 9: score")
        page.press("ArrowUp")
        assert page.run("document.body.dataset.slice") == "10"
        page.picture(tmp_path / "high.png")
        page.run("opacity.value = 0; opacity.dispatchEvent(new Event('input'))")
        page.picture(tmp_path / "bare.png")
        page.run("go(0)")
        assert page.run("document.getElementById('where').textContent") == "slice 0: missing, not scored"
        assert page.run("document.querySelectorAll('#profile rect').length") == len(scores)  # one less, and the mark
        assert page.messages == []
        assert [url for url in page.requests if not url.startswith(("file:", "data:", "blob:"))] == []
    hot, cold, bare = (
        np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB")).astype(int)
        for name in ("highest", "high", "bare")
    )
    stage = slice(70, 620)
    red = [(picture[stage, :, 0] - picture[stage, :, 1] > 60) for picture in (hot, cold)]
    assert red[0].sum() > 500
    # where the map is low but not 0 the scan is not darkened
    assert np.quantile(np.abs(bare - cold)[stage][~red[1]], 0.99) < 12
    if way == "canvas":  # one plane alone: the patient's right is on the left, the upper slices are cold
        assert np.argwhere(red[0])[:, 1].mean() < 640 and red[1].sum() == 0


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium")
def test_on_paper_the_picture_is_there_and_not_stretched(tmp_path):
    from PIL import Image

    write(tmp_path / "page.html")
    with Browser(1280, 900) as page:
        page.open(tmp_path / "page.html", "#plain")
        page.run("new Promise(done => setInterval(() => document.body.dataset.slice && done(), 50))")
        page.resize(700, 900)
        page.on_paper()
        page.run("document.getElementById('paper').decode()")
        canvas, paper = (f"document.getElementById('{name}')" for name in ("view", "paper"))
        assert page.run(f"getComputedStyle({canvas}).visibility") == "hidden"
        width, height, wide, tall = page.run(
            f"(b => [b.width, b.height, {paper}.naturalWidth, {paper}.naturalHeight])({paper}.getClientRects()[0])"
        )
        assert width / height == pytest.approx(wide / tall, rel=0.01)
        assert page.run("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
        page.picture(tmp_path / "paper.png")
        assert page.messages == []
    with Image.open(tmp_path / "paper.png") as picture:
        seen = np.asarray(picture.convert("RGB")).astype(int)
    assert (seen[70:400, :, 0] - seen[70:400, :, 1] > 60).sum() > 200 and seen[-1, -1].min() > 240
