"""The paper's tables as lists of presets, with the numbers that it prints (AUROC over slices; of LUNA16 in table 1
alone, else of BRATS2020)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from maescan.config import Preset
from maescan.errors import ConfigError
from maescan.train.ablations.rivals import STRESSED
from maescan.train.rivals import installed


@dataclass(frozen=True)
class Row:
    """One line of a table: a preset, and the paper's AUROC where it states one; `rival`: whose detector it is that
    learns and is judged in the preset's place."""

    name: str
    preset: Preset
    paper: float | None
    rival: str | None = None


@dataclass(frozen=True)
class Experiment:
    """A table: where it stands in the paper, what its first column is, its rows; the data of the paper's numbers.
    stressed: healthy slices that get a lesion of every kind."""

    place: str
    what: str
    rows: tuple[Row, ...]
    data: str = "BRATS2020"
    stressed: int = 0


NAMES = ("table1", "table2a", "table2b", "table2c", "beta", "loss", "mask-ratio", "epochs", "no-mae", "rivals")
OURS = 0.899


def experiment(name: str, preset: Preset) -> Experiment:
    """The experiment `name` of the paper for a preset. Raises ConfigError for another name."""
    known = {
        "table1": _table1,
        "table2a": _table2a,
        "table2b": _table2b,
        "table2c": _table2c,
        "beta": _beta,
        "loss": _loss,
        "mask-ratio": _mask_ratio,
        "epochs": _epochs,
        "no-mae": _no_mae,
        "rivals": _rivals,
    }
    if name not in known:
        raise ConfigError(f"unknown experiment '{name}'", remedy=f"use one of {', '.join(NAMES)}")
    made = known[name](preset if name == "rivals" else preset.replace(measure="classifier"))
    if not preset.name.startswith("luna16"):
        return made
    rows = made.rows if name == "table1" else tuple(replace(row, paper=None) for row in made.rows)
    return replace(made, rows=rows, data="LUNA16")


def _table1(p: Preset) -> Experiment:
    paper = 0.634 if p.name.startswith("luna16") else OURS
    return Experiment("table 1", "method", (Row("MAE and classifier", p, paper),))


def _table2a(p: Preset) -> Experiment:
    values = {"mse": ("mean squared error", 0.614), "mae": ("mean absolute error", 0.834), "ssim": ("SSIM", 0.877)}
    rows = (Row(name, p.replace(measure=measure), paper) for measure, (name, paper) in values.items())
    return Experiment("table 2a", "anomaly measure", tuple(rows))


def _table2b(p: Preset) -> Experiment:
    values = {"l1": ("L1 difference", OURS), "l2": ("L2 difference", 0.875)}
    values["reconstruction"] = ("reconstructed image", 0.821)
    rows = (Row(name, p.replace(input=kind), paper) for kind, (name, paper) in values.items())
    return Experiment("table 2b", "input", tuple(rows))


def _table2c(p: Preset) -> Experiment:
    values = {(1, 10): OURS, (5, 10): 0.889, (1, 5): 0.901}
    rows = (Row(f"({low}, {high})", p.replace(pseudo__boxes=(low, high)), v) for (low, high), v in values.items())
    return Experiment("table 2c", "[k1, k2]", tuple(rows))


def _beta(p: Preset) -> Experiment:
    box, pixel = (p.replace(pseudo__beta=kind) for kind in ("box", "pixel"))
    return Experiment("section 4.5", "beta", (Row("one per box", box, OURS), Row("one per pixel", pixel, 0.835)))


def _loss(p: Preset) -> Experiment:
    """The loss on all tokens goes with using the predictions of all tokens, as in the paper."""
    every = p.replace(mae__loss_tokens="all", masks__paste=False)
    return Experiment("section 4.5", "loss on", (Row("masked tokens", p, OURS), Row("all tokens", every, 0.864)))


def _mask_ratio(p: Preset) -> Experiment:
    """Ratio 0 is the autoencoder: it sees every token, and is judged on its predictions of them. Masks are random, as
    the paper's: complementary ones are of one ratio."""
    p = p.replace(masks__strategy="random")
    whole = p.replace(masks__ratio=0.0, masks__paste=False, masks__passes=1, mae__loss_tokens="all")
    paper = {0.75: OURS}
    rows = (Row(f"{ratio:g}", p.replace(masks__ratio=ratio), paper.get(ratio)) for ratio in (0.25, 0.5, 0.75, 0.9))
    return Experiment("figure 5, left", "mask ratio", (Row("0 (autoencoder)", whole, 0.735), *rows))


def _epochs(p: Preset) -> Experiment:
    """Runs of their own, each with its whole schedule: a quarter, a half, all and five quarters of the preset's."""
    counts = [max(1, round(p.mae.epochs * share)) for share in (0.25, 0.5, 1.0, 1.25)]
    presets = [p.replace(mae__epochs=n, mae__warmup_epochs=min(p.mae.warmup_epochs, n // 4)) for n in counts]
    rows = (Row(f"{n}", q, OURS if n == 1600 else None) for n, q in zip(counts, presets, strict=True))
    return Experiment("figure 5, right", "MAE epochs", tuple(rows))


def _no_mae(p: Preset) -> Experiment:
    """The classifier on images, trained from scratch on slices and altered slices."""
    image = p.replace(input="image")
    return Experiment("section 4.5", "framework", (Row("with MAE", p, OURS), Row("without MAE", image, 0.874)))


def _rivals(p: Preset) -> Experiment:
    """The preset with its own measure, and other people's detectors; the paper's numbers are of theirs in table 1."""
    ours = Row("MAE and classifier" if p.measure == "classifier" else f"MAE, {p.measure}", p, None)
    return Experiment(
        "table 1", "method", (ours, *(Row(name, p, None, name) for name in installed())), stressed=STRESSED
    )
