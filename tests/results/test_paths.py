"""Where outputs lie: below the output folder always, one place a scan."""

from __future__ import annotations

import os
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maescan.errors import ConfigError
from maescan.results.paths import map_path, picture_path

ANY = st.text(st.characters(), min_size=1, max_size=300)
NASTY = [
    *(
        "/abs/x.nii",
        "../../x",
        "a/../../b",
        "/../../../../x",
        ".",
        "..",
        "/",
        "a//b",
        ".maescan/ledger.sqlite",
        "a/.",
    ),
    *("n" * 255, "ü" * 300, "a\nb", "\x1b[31m", "\udcff.nii", "p1.nii", "p1.nii_anomaly.nii.gz/x", "x.png/y", "a~b"),
    *(
        "con. ",
        "a\\b",
        "/".join("d" * 40),
        "/".join(["f" * 200] * 8),
        "\udc80" * 999,
        "a\u2028b",
        "=cmd|' /C calc'!A0",
    ),
]


def check(out, label, place):
    path = place(out, label)
    relative = path.relative_to(out).as_posix()
    assert os.path.realpath(path).startswith(f"{os.path.realpath(out)}/") and ".." not in relative.split("/")
    assert relative.isprintable() and all(len(part.encode()) <= 255 for part in relative.split("/"))
    assert not any(part.startswith(".") for part in relative.split("/"))
    return relative


@pytest.mark.parametrize("label", NASTY)
def test_below_out_whatever_the_label(tmp_path, label):
    for place in (map_path, picture_path):
        path = tmp_path / check(tmp_path, label, place)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")


def test_labels_that_differ_lie_in_different_files(tmp_path):
    for place in (map_path, picture_path):
        for label in NASTY:
            path = place(tmp_path, label)
            assert not path.exists()
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("")


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(labels=st.lists(ANY, min_size=2, max_size=6, unique=True))
def test_any_labels(labels, tmp_path_factory):
    out = tmp_path_factory.getbasetemp()
    found = {check(out, label, lambda o, name: map_path(o, name, clash=True)) for label in labels}
    assert len({unicodedata.normalize("NFC", name).casefold() for name in found}) == len(labels)


def test_case_and_normal_form_are_told_apart_where_they_clash(tmp_path):
    assert map_path(tmp_path, "T1w.nii.gz") == tmp_path / "maps" / "T1w.nii.gz_anomaly.nii.gz"
    clash = [map_path(tmp_path, label, clash=True).name.casefold() for label in ("T1w.nii", "t1W.nii", "T1W.nii")]
    assert len(set(clash)) == 3


def test_a_link_out_of_the_output_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "maps").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="a link leads out of the output folder"):
        map_path(tmp_path / "out", "a.nii")
    (tmp_path / "link").symlink_to(tmp_path / "out")
    assert picture_path(tmp_path / "link", "a.nii") == tmp_path / "link" / "pictures" / "a.nii.png"
