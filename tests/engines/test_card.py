from __future__ import annotations

import dataclasses
import json
import shutil
import stat

import numpy as np
import pytest

from helpers.bundles import SMALL, a_run
from helpers.labelled import labelled_slices
from maescan import cli
from maescan.engines.bundle import Bundle, update
from maescan.engines.card import personal_data, render
from maescan.engines.describe import fill_card
from maescan.engines.manifest import Card
from maescan.errors import DataError, escaped
from maescan.export import _said, export
from maescan.files import write_json
from maescan.options import EvaluateOptions


@pytest.fixture
def bundle(exported_bundle, tmp_path):
    return shutil.copytree(exported_bundle, tmp_path / "bundle")


def evaluated(bundle: Bundle) -> dict[str, object]:
    names = {"name": bundle.preset.name, "engine": "openvino-fp32"}
    return {**names, "bundle": bundle.hash, "weights": bundle.model}


def report(folder, model):
    folder.mkdir()
    (folder / "metrics.json").write_text(json.dumps({"slice": {"auroc": 0.9}, "model": model}))
    return folder


def test_a_card_says_where_a_reference_has_several_scans_of_a_patient(bundle):
    reference = {"scans": [0.1] * 20, "slices": [0.1], "scores_sha256": "0" * 64}
    assert "rates from 0.048\n" in update(bundle, calibration=reference).path.joinpath("README.md").read_text()
    update(bundle, calibration={**reference, "patients": 1, "unlike": 2})
    assert "0.048; they are of 1 patient, whose own scans are alike: more than" in (bundle / "README.md").read_text()
    assert "may alert; unlike training's scans: 2\n" in (bundle / "README.md").read_text()


def test_a_card_says_what_was_said_and_no_more(bundle, tmp_path, monkeypatch, capsys):
    assert "not stated" in (bundle / "README.md").read_text()
    (tmp_path / "report").mkdir()
    ranked = {"auroc": 0.999961, "interval": [0.9, 0.9996]}
    metrics = {"slice": ranked, "baselines": {"area": {"auroc": 0.6}}, "model": evaluated(Bundle.load(bundle))}
    (tmp_path / "report" / "metrics.json").write_text(json.dumps(metrics))
    given = ["--training-data", "48 volunteers\nof one site", "--licence", "CC-BY-4.0", "--evaluation", "report"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["maescan", "card", str(bundle), *given])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code in (0, None)
    text = (bundle / "README.md").read_text()
    assert text == capsys.readouterr().out[:-1] and text == render(Bundle.load(bundle).known)
    for part in (
        "48 volunteers of one site",
        'license_name: "CC-BY-4.0"',
        "| 0.99996 |",
        "0.900 to 0.9996 |",
        "(area) | 0.6",
    ):
        assert part in text
    fill_card(bundle, None, intended_use="research")
    assert "48 volunteers" in (bundle / "README.md").read_text()


@pytest.mark.parametrize("text", ["M\udcfcnchen", "\x1b[31mred", "a\x00b"])
def test_what_no_terminal_shows_is_said_by_its_number_and_leaves_the_bundle_sound(bundle, text):
    """As where the terminal's letters are Latin-1."""
    fill_card(bundle, None, licence=text)
    assert Bundle.load(bundle).known.card.licence == escaped(text)
    assert _said(Card(training_data=text, evaluation={"AUROC": 0.5})) == {
        "training_data": escaped(text),
        "licence": "",
        "intended_use": "",
        "evaluation": {"AUROC": 0.5},
    }


def test_figures_say_of_how_many_slices_they_are_and_are_rounded_as_in_reports(bundle, tmp_path):
    folder = report(tmp_path / "report", evaluated(Bundle.load(bundle)))
    data = {"slices": 3, "abnormal": 1, "scans": 2, "abnormal_scans": 1}
    metrics = {**json.loads((folder / "metrics.json").read_text()), "data": data}
    metrics["slice"] = {"auroc": 1.0, "interval": [0.962, 0.99960]}
    metrics["model"]["engine"] = "open|vino\nfp32"  # one cell
    (folder / "metrics.json").write_text(json.dumps(metrics))
    fill_card(bundle, folder)
    assert (bundle / "README.md").read_text().partition("|---|---|\n")[2].split("\n")[:5] == [
        "| AUROC of slices | 1.000 |",
        "| AUROC of slices, 95 % interval | 0.962 to 0.9996 |",
        "| engine | open\\|vino fp32 |",
        "| scans judged (abnormal) | 2 (1) |",
        "| slices judged (abnormal) | 3 (1) |",
    ]


def test_a_folder_without_an_evaluation_is_refused(bundle, tmp_path):
    (tmp_path / "metrics.json").write_text('{"slice": 3}')
    with pytest.raises(DataError, match=r"metrics\.json.*in `slice`"):
        fill_card(bundle, tmp_path)


def test_figures_of_another_model_are_refused_and_both_are_named(bundle, tmp_path):
    model = evaluated(Bundle.load(bundle)) | {"name": "other", "weights": "ab" * 32}
    reason = r"metrics\.json: is an evaluation of 'other' \(weights abababababab\), and .*bundle is 'tiny' \(weights"
    with pytest.raises(DataError, match=reason) as error:
        fill_card(bundle, report(tmp_path / "report", model))
    assert error.value.remedy == f"evaluate this bundle: maescan evaluate DATA --bundle {bundle} --out OUT"


def test_figures_stay_a_bundles_own_when_something_is_put_into_it(bundle, tmp_path):
    figures = report(tmp_path / "report", evaluated(Bundle.load(bundle)))
    fill_card(bundle, None, licence="MIT")
    update(bundle, aggregation={"method": "max"})
    assert fill_card(bundle, figures).known.card.evaluation["AUROC of slices"] == 0.9


def test_scans_that_trained_the_bundle_stand_beside_its_figures(bundle, tmp_path):
    model = evaluated(Bundle.load(bundle)) | {"trained_scans": 10}
    fill_card(bundle, report(tmp_path / "report", model))
    assert (
        "| scans judged that trained the bundle: on others it does worse | 10 |" in (bundle / "README.md").read_text()
    )


def test_an_evaluation_says_its_weights(bundle, tmp_path):
    from maescan.evaluate import evaluate

    data = labelled_slices(2, masks=False)
    middle = dataclasses.replace(data, images=np.ascontiguousarray(data.images[:, 16:48, 16:48]))
    few = EvaluateOptions(resamples=10, stressed=0, draw=False)
    metrics = evaluate(middle, bundle, tmp_path / "report", options=few)
    fill_card(bundle, None, licence="MIT")
    card = fill_card(bundle, tmp_path / "report").known.card
    assert card.evaluation["AUROC of slices"] == metrics["slice"]["auroc"]


def test_an_evaluation_that_does_not_say_its_weights_is_of_the_very_same_bundle(bundle, tmp_path):
    model = evaluated(Bundle.load(bundle))
    del model["weights"]
    assert fill_card(bundle, report(tmp_path / "report", model)).known.card.evaluation["AUROC of slices"] == 0.9
    with pytest.raises(DataError, match=r"'tiny' \(manifest \w{12}\), and .* is 'tiny' \(manifest"):
        fill_card(bundle, tmp_path / "report")
    with pytest.raises(DataError, match="not said"):
        fill_card(bundle, report(tmp_path / "unsaid", {"seed": 0}))


@pytest.mark.slow
def test_a_bundle_names_nobody(tmp_path, monkeypatch):
    """Patients' names, their slices and their pictures stay in the run folder."""
    run = a_run(tmp_path, SMALL)
    report = json.loads((run / "run.json").read_text())
    report |= {"patients": {"train": ["DOE^JANE", "ROE^RICHARD"], "val": ["MOE"]}, "odd": float("nan")}
    write_json(run / "run.json", report)
    path = export(run, tmp_path / "bundle")
    held = b"".join(file.read_bytes() for file in path.rglob("*") if file.is_file())
    assert not any(name in held for name in (b"DOE", b"ROE", b"MOE", str(tmp_path).encode()))
    assert not list(path.rglob("quantisation*"))
    loaded = Bundle.load(path)
    assert loaded.manifest["provenance"]["patients"] == {"train": 2, "val": 1}
    assert "2 patients for train, 1 patient for val" in render(loaded.known)
    assert "no person's" in personal_data(loaded.known)[0]
    modes = {stat.S_IMODE(file.stat().st_mode) for file in path.rglob("*") if file.is_file()}
    assert modes == {0o644}


@pytest.mark.slow
def test_real_golden_slices_are_said_to_be(tmp_path):
    path = export(a_run(tmp_path, SMALL), tmp_path / "bundle", golden="real")
    assert "pictures of people" in personal_data(Bundle.load(path).known)[0]
