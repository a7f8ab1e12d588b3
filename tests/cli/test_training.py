"""Commands that train, export and evaluate hand on what is typed and say what is next."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from helpers.labelled import labelled_slices
from maescan.cli import app, training
from maescan.cli.options import preset_with
from maescan.config import preset as named
from maescan.datasets import LeftOut
from maescan.datasets.phantom import Look, write_phantom
from maescan.engines.manifest import Card
from maescan.errors import ConfigError, DataError
from maescan.folders import taken

pytest.importorskip("torch")
import maescan.export
import maescan.train.ablations
from maescan import datasets, evaluate
from maescan.evaluate import acceptance, compare


def typed(*words):
    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done


@pytest.fixture
def asked(monkeypatch):
    """Takes a function's place, and keeps what it is asked for."""

    def take(module, name, answer=None):
        calls = []
        monkeypatch.setattr(module, name, lambda *given, **named: calls.append((given, named)) or answer)
        return calls

    return take


def test_train_takes_a_preset_with_other_epochs(asked):
    data = labelled_slices(1)
    loaded, calls = asked(datasets, "load", data), asked(maescan.train, "train", Path("run"))
    done = typed("train", "data", "--out", "o", "--preset", "tiny", "--epochs", 3, "--batch-size", 5, "--modality",
                 "t1", "--seed", 4, "--quiet")  # fmt: skip
    (slices, preset, out, options), named = calls[0]
    assert (slices, out, options.seed, named) == (data, Path("o"), 4, {"progress": None})
    assert (preset.mae.epochs, preset.mae.batch_size, preset.classifier.batch_size) == (3, 5, 5)
    assert preset.judge.batch_size == 5
    assert loaded[0][1] == {"modality": "t1", "listen": training._say}
    assert done.stdout == "trained; next: maescan export run --out BUNDLE\n"


def test_another_preset_or_seed_than_the_folders_is_refused_before_hours_of_reading(asked, tmp_path):
    """But for what training chose: token counts of the slices, and the measure of a preset whose name ends in +."""
    loaded, _ = asked(datasets, "load", labelled_slices(1)), asked(maescan.train, "train", Path("run"))
    chosen = named("tiny+").replace(tokens__buckets=(16, 64), measure="ssim")
    (tmp_path / ".maescan").mkdir()
    (tmp_path / ".maescan" / "kind").write_text("a training run\n")
    (tmp_path / "checkpoint.pt").write_bytes(b"")
    (tmp_path / "preset.json").write_text(json.dumps(chosen.to_dict()))
    (tmp_path / "run.json").write_text(json.dumps({"seed": 3}))
    words = ("train", "data", "--out", tmp_path, "--preset")
    typed(*words, "tiny+", "--seed", 3), typed(*words, "tiny", "--no-resume")
    with pytest.raises(ConfigError, match=r"another preset.name \(tiny\+ -> tiny-fg\), preset"):
        typed(*words, "tiny-fg", "--seed", 3)
    with pytest.raises(ConfigError, match=r"another seed \(3 -> 0\) \(use another --out, or add --no-resume"):
        typed(*words, "tiny+")
    assert len(loaded) == 2


def test_weights_to_start_from_that_do_not_fit_are_refused_before_hours_of_reading(asked, tmp_path):
    loaded = asked(datasets, "load", "slices")
    (tmp_path / "cut.pth").write_bytes(b"PK")
    for name, why in (("none.pth", "cannot be read: No such file"), ("cut.pth", "cannot be read as a checkpoint")):
        with pytest.raises(DataError, match=f"{name}: {why}"):
            typed("train", "data", "--out", tmp_path / "o", "--preset", "tiny", "--init", tmp_path / name)
    assert not loaded


def test_a_folder_that_another_training_writes_into_is_refused_before_hours_of_reading(asked, tmp_path):
    loaded = asked(datasets, "load", "slices")
    with taken(tmp_path / "o", "a training run"), pytest.raises(DataError, match="another run is writing here"):
        typed("train", "data", "--out", tmp_path / "o", "--preset", "tiny")
    assert not loaded


@pytest.mark.parametrize(
    ("words", "to", "precision"),
    [((), ("openvino",), ()), (("--to", "onnx,openvino", "--precision", "fp16"), ("onnx", "openvino"), ("fp16",))],
)
def test_export_takes_lists_by_commas(asked, words, to, precision):
    calls, cautions = asked(maescan.export, "export", Path("b")), asked(training, "say_caution")
    done = typed("export", "run", "--licence", "CC0", "--golden", "real", "--quiet", *words)
    assert calls[0][0] == (Path("run"), Path("run")), "without --out it is added to"
    assert calls[0][1] == {"to": to, "precision": precision, "golden": "real", "card": Card(licence="CC0")}
    assert done.stdout == "bundle: b\n" and cautions == [((Path("b"),), {})]


@pytest.mark.parametrize("data", [(), ("--data", "scans")])
def test_an_import_without_scans_says_what_it_cannot_do(asked, data):
    calls = asked(maescan.export, "import_checkpoint", Path("b"))
    done = typed("import-checkpoint", "--mae", "m.pth", "--out", "o", "--quiet", *data)
    assert calls[0][0] == (Path("m.pth"), None, "brats-official", Path("o"))
    assert calls[0][1]["data"] == (Path("scans") if data else None)
    assert ("flagged as unlike" in done.stdout) is (not data)


def test_an_import_says_which_scans_it_took(asked, capsys, tmp_path):
    write_phantom(tmp_path, healthy=1, lesions=0, seed=0, look=Look(shape=(32, 32, 8)))
    calls = asked(maescan.export, "import_checkpoint", Path("b"))
    typed("import-checkpoint", "--mae", "m.pth", "--out", "o", "--quiet", "--data", tmp_path)
    slices = calls[0][1]["load"](tmp_path, named("tiny"))
    assert slices.taken == "1 scan of 1 patient (1 healthy): labels of labels.csv"
    assert capsys.readouterr().err == slices.taken + "\n"


@pytest.mark.parametrize(("command", "module", "name"), [("evaluate", evaluate, "evaluate"),
                                                         ("stress", acceptance, "stress")])  # fmt: skip
def test_a_report_is_shown(asked, tmp_path, command, module, name):
    calls = asked(module, name, {"model": {"left_out": []}})
    report = "report" if command == "evaluate" else command
    (tmp_path / f"{report}.md").write_text("# What was found\n")
    done = typed(command, "data", "--bundle", "b", "--out", tmp_path, "--quiet", "--threads", 2)
    assert "What was found" in done.stdout and calls[0][0][:3] == (Path("data"), Path("b"), tmp_path)
    assert calls[0][0][3].threads == 2


@pytest.mark.parametrize("command", ["evaluate", "stress", "ablate", "train"])
def test_a_command_that_left_scans_out_ends_with_3(asked, tmp_path, command):
    """As score and prepare do: the figures are not of all that was given."""
    left_out = (LeftOut("a.nii", "there is nothing but air in it", "check the file"),)
    asked(evaluate, "evaluate", {"model": {"left_out": left_out}})
    asked(acceptance, "stress", {"model": {"left_out": left_out}})
    asked(maescan.train.ablations, "ablate", {"left_out": left_out})
    asked(datasets, "load", replace(labelled_slices(1), left_out=left_out))
    asked(maescan.train, "train", Path("run"))
    for name in ("report.md", "stress.md", "beta.md"):
        (tmp_path / name).write_text("# What was found\n")
    own = {"ablate": ("--experiment", "beta"), "train": ("--preset", "tiny")}.get(command, ("--bundle", "b"))
    out = tmp_path / "new" if command == "train" else tmp_path
    done = CliRunner().invoke(app, [command, "data", "--out", str(out), "--quiet", *own], catch_exceptions=False)
    assert done.exit_code == 3 and done.stdout, "what was found is shown all the same"


def test_compare_and_card(asked, monkeypatch, tmp_path):
    calls = asked(compare, "compare", "figures")
    monkeypatch.setattr(compare, "text_of", lambda found: f"{found}\n")
    assert typed("compare", "a", "b", "--seed", 3).stdout == "figures\n"
    assert calls == [((Path("a"), Path("b")), {"seed": 3})]
    filled = asked(__import__("maescan.engines.describe", fromlist=["x"]), "fill_card")
    (tmp_path / "README.md").write_text("# Card\n")
    assert typed("card", tmp_path, "--licence", "CC0").stdout == "# Card\n\n"
    assert filled == [((tmp_path, None), {"training_data": "", "licence": "CC0", "intended_use": ""})]


def test_ablate_trains_as_many_seeds_as_are_asked_for(asked, tmp_path):
    calls = asked(maescan.train.ablations, "ablate", {"left_out": []})
    (tmp_path / "beta.md").write_text("# Beta\n")
    typed("ablate", "data", "--experiment", "beta", "--out", tmp_path, "--preset", "tiny", "--seeds", 3, "--folds", 2,
          "--quiet")  # fmt: skip
    (given, named) = calls[0]
    assert given[1] == "beta" and given[2].name == "tiny" and named == {}
    assert given[4] == maescan.train.ablations.Design(seeds=range(3), folds=2)
    assert given[5] == maescan.train.ablations.Told(say=training._say), (
        "what goes is said to those who want quiet, too"
    )


@pytest.mark.parametrize(("epochs", "warmup"), [(20, 10), (100, 40), (1, 0)])
def test_a_warm_up_ends_halfway_through_what_is_trained(epochs, warmup):
    """Else the rate would rise to the end, and never be the preset's."""
    chosen = preset_with("brats", epochs, None, None, False)
    assert (chosen.mae.epochs, chosen.mae.warmup_epochs) == (epochs, warmup)
    chosen = preset_with("tiny+", None, 3, None, False)
    assert (chosen.judge.epochs, chosen.judge.warmup_epochs, chosen.classifier.warmup_epochs) == (3, 1, 1)
    assert chosen.mae == preset_with("tiny+", None, None, None, False).mae
