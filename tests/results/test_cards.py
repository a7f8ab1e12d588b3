from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote

import numpy as np

from maescan.config import preset
from maescan.results.cards import Seen, cards_of, columns_of
from maescan.results.geometry import Geometry
from maescan.results.maps import Scale
from maescan.results.profile import Axis
from maescan.results.rows import ScanRow
from maescan.results.tables import Tables


class Judge:
    def slice_p(self, scores, positions):
        return [0.25] * len(scores)

    def scan(self, score):
        return 0.04, "yes" if score > 0.5 else "no"

    def unlike(self, figures, slices):
        return [f"{slices} slices of {figures['voxel size']} mm"] if figures else []


def row(label, *scores, **fields):
    return ScanRow(label, np.array(scores, "<f4"), np.ones(len(scores), "<f4"), **fields)


def seen(out, **fields):
    return Seen(out, Scale.of(preset("tiny")), **fields)


def test_alerts_first_then_by_score(tmp_path):
    rows = [row("a", 0.1), row("b", 0.9), row("c", 0.7), row("d", 0.95, fit="other", why="its modality is CT")]
    cards = cards_of(Tables(rows, (), {"method": "max"}, Judge()), seen(tmp_path), Axis(0, 1))
    assert [(card.scan, card.alert, card.p_value) for card in cards] == [
        ("b", "yes", "0.0400"), ("c", "yes", "0.0400"), ("d", "", ""), ("a", "no", "0.0400")]  # fmt: skip
    assert cards[2].notes == ["its modality is CT"] and [card.number for card in cards] == [0, 1, 2, 3]
    assert [column.title for column in columns_of(cards)] == ["scan", "score", "p", "alert", "fit", "slices"]
    assert [cell.text for cell in cards[0].cells] == ["0.9000", "0.0400", "yes", "ok", "1"]
    large = [row("a", 0.1, warnings=["one"], figures={"voxel size": 3})]
    (card,) = cards_of(Tables(large, (), {"method": "max"}, Judge()), seen(tmp_path), Axis(0, 1))
    assert card.notes == ["one", "1 slices of 3 mm"]
    plain = cards_of(Tables(rows, (), {"method": "max"}, None), seen(tmp_path), Axis(0, 1))
    assert [column.title for column in columns_of(plain)] == ["scan", "score", "fit", "slices"]


def test_no_score_or_p_value_is_shown_as_0_or_1_that_is_not(tmp_path):
    class Rare(Judge):
        def slice_p(self, scores, positions):
            return [1 / 31001] * len(scores)

        def scan(self, score):
            return 1 / 40001, "yes"

    picture = tmp_path / "a.png"
    picture.write_bytes(b"png")
    one = seen(tmp_path, outputs={"picture": {"a": picture}})
    (card,) = cards_of(Tables([row("a", 0.99998, 2e-5)], (), {"method": "max"}, Rare()), one, Axis(0, 1))
    assert (card.score, card.p_value) == ("0.999980", "0.000025")
    assert [place[3:] for place in card.places] == [("0.999980", "0.000032"), ("0.000020", "0.000032")]
    assert card.profile.scores == "0.999980 0.000020"


def test_a_drawn_slice_says_where_it_lies(tmp_path):
    picture = tmp_path / "pictures" / "a b.png"
    picture.parent.mkdir()
    picture.write_bytes(b"png")
    geometry = Geometry(3, (-4.0, 2.5), (2, -1), "j", instances=(11, 12, None)).to_json()
    label = os.fsdecode(b"a\xff")
    one = seen(tmp_path, outputs={"picture": {label: picture}}, places={label: "/in/" + label + "\0member"})
    (card,) = cards_of(Tables([row(label, 0.1, 0.9, 0.2, geometry=geometry)], (), None, Judge()), one, Axis(0, 1))
    assert [place.where for place in card.places] == [
        "-1.5 mm, voxel j 1, image 12", "+1.0 mm, voxel j 0", "-4.0 mm, voxel j 2, image 11"]  # fmt: skip
    assert card.places[0][3:] == ("0.9000", "0.2500") and [mark.at for mark in card.profile.marks] == [1, 2, 0]
    (link,) = card.links
    assert unquote(link.href, errors="surrogateescape") == "file:///in/" + label and link.text == "scan"


def test_patches_are_placed_in_mm(tmp_path):
    picture = tmp_path / "a.png"
    picture.write_bytes(b"png")
    one = seen(tmp_path, outputs={"picture": {"a": picture}}, patches=True)
    (card,) = cards_of(Tables([row("a", 0.5, places=[[1.4, -2, 30]])], (), None, None), one, Axis(0, 1))
    assert card.places[0][:4] == (0, "patch", "at 1, -2, 30 mm (RAS)", "0.5000") and card.unit == "slice, 1 patch"


def test_a_picture_that_is_gone_is_left_out(tmp_path):
    one = seen(tmp_path, outputs={"picture": {"a": Path(tmp_path / "none.png")}})
    (card,) = cards_of(Tables([row("a", 0.5)], (), None, None), one, Axis(0, 1))
    assert card.picture == "" and list(card.places) == []
