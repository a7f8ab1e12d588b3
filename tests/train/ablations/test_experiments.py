"""Experiments: the paper's settings and numbers, and what their rows share."""

import json

import pytest

from helpers.tiny_ablation import SMALL
from maescan.config import preset
from maescan.errors import ConfigError
from maescan.train.ablations import mae_part
from maescan.train.ablations.experiments import NAMES, experiment

BRATS, LUNA = preset("brats"), preset("luna16")


def papers(name, of=BRATS):
    return {row.name: row.paper for row in experiment(name, of).rows}


def test_the_papers_numbers():
    assert papers("table1") == {"MAE and classifier": 0.899}
    assert papers("table1", LUNA) == {"MAE and classifier": 0.634}
    assert set(papers("table2b", LUNA).values()) == {None}  # the paper has LUNA16 in table 1 alone
    assert list(papers("table2a").values()) == [0.614, 0.834, 0.877]
    assert list(papers("table2b").values()) == [0.899, 0.875, 0.821]
    assert papers("table2c") == {"(1, 10)": 0.899, "(5, 10)": 0.889, "(1, 5)": 0.901}
    assert list(papers("beta").values()) == [0.899, 0.835]
    assert list(papers("loss").values()) == [0.899, 0.864]
    assert papers("mask-ratio") == {"0 (autoencoder)": 0.735, "0.25": None, "0.5": None, "0.75": 0.899, "0.9": None}
    assert papers("epochs") == {"400": None, "800": None, "1600": 0.899, "2000": None}
    assert list(papers("no-mae").values()) == [0.899, 0.874]


def test_ratios_of_a_preset_with_complementary_masks_are_tried_with_random_ones():
    rows = experiment("mask-ratio", preset("tiny-fast")).rows
    assert [(row.preset.masks.ratio, row.preset.masks.strategy) for row in rows[1:3]] == [
        (0.25, "random"),
        (0.5, "random"),
    ]


def test_another_experiment_is_refused():
    with pytest.raises(ConfigError, match="unknown experiment 'table3'"):
        experiment("table3", BRATS)


@pytest.mark.parametrize("name", NAMES)
def test_every_experiment_holds_the_papers_own_setting_or_needs_no_classifier(name):
    rows = experiment(name, BRATS).rows
    assert BRATS in [row.preset for row in rows] or name == "table2a"
    assert len({json.dumps([row.preset.to_dict(), row.rival]) for row in rows}) == len(rows)


def test_rows_that_differ_after_the_mae_share_it():
    for name in ("table1", "table2a", "table2b", "table2c", "beta"):
        assert {str(mae_part(row.preset)) for row in experiment(name, BRATS).rows} == {str(mae_part(BRATS))}
    for name in ("loss", "mask-ratio", "epochs"):
        rows = experiment(name, BRATS).rows
        assert len({str(mae_part(row.preset)) for row in rows}) == len(rows)


def test_the_autoencoder_is_judged_on_its_own_predictions(tmp_path):
    autoencoder = experiment("mask-ratio", SMALL).rows[0].preset
    assert autoencoder.masks.visible(16) == 16 and autoencoder.masks.pasted(16) == 0
    assert SMALL.masks.pasted(4) == 4
