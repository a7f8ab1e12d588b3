"""`make demo`: phantom -> train -> export -> score unseen scans -> one table."""

from __future__ import annotations

import csv
import time
from pathlib import Path

import typer

from maescan.cli.options import Out, Seed

commands = typer.Typer()

HEALTHY, UNSEEN, PRESET = 48, 8, "tiny-fg"


def run_demo(out: Path, seed: int) -> None:
    """Trains `PRESET` on `HEALTHY` phantom scans and scores 2 * `UNSEEN` others, half with lesions."""
    from rich.console import Console

    from maescan import datasets, export, train
    from maescan.cli.progress import training_bar
    from maescan.config import preset
    from maescan.datasets.phantom import write_phantom
    from maescan.options import TrainOptions
    from maescan.scoring.options import ScoreOptions
    from maescan.scoring.run import score_paths

    console, start = Console(), time.perf_counter()
    tiny = preset(PRESET)

    def say(text: str) -> None:
        console.print(f"[dim]{time.perf_counter() - start:5.0f} s[/dim]  {text}")

    say(f"making {HEALTHY} healthy phantom scans to learn from, {UNSEEN} healthy and {UNSEEN} with lesions to score")
    write_phantom(out / "train", healthy=HEALTHY, lesions=0, seed=seed)
    write_phantom(out / "unseen", healthy=UNSEEN, lesions=UNSEEN, seed=seed + 1)
    say("training the masked autoencoder, then the classifier")
    slices, training = datasets.load(out / "train", tiny), TrainOptions(seed=seed)
    train.train(slices, tiny, out / "run", training, progress=training_bar())
    say("exporting to OpenVINO")
    export.export(out / "run", out / "bundle", to=("openvino",), precision=("fp32",))
    say("scoring")
    scans = [out / "unseen" / "healthy", out / "unseen" / "lesions"]
    options = ScoreOptions(maps=True, pictures=16, force=True)
    summary = score_paths(scans, out / "bundle", out / "scores", options=options, show="progress")
    console.print(_table(out, tiny, summary))
    console.print(f"look at: {out / 'scores' / 'report.html'}   heat maps: {out / 'scores' / 'maps'}", soft_wrap=True)


def _table(out: Path, tiny, summary):  # type: ignore[no-untyped-def]
    import numpy as np
    from rich.table import Table

    from maescan import datasets
    from maescan.evaluate.baselines import trivial_baselines
    from maescan.evaluate.ranking import auroc

    slices = datasets.load(out / "unseen", tiny)
    scores = _scores(out / "scores" / "scores.csv")
    score = np.array(
        [scores[Path(name).name, int(index)] for name, index in zip(slices.patient, slices.slice, strict=True)]
    )
    table = Table(title="slices of scans that training never saw, lesion or not")
    table.add_column("what tells them apart")
    table.add_column("AUROC", justify="right")
    table.add_row("maescan (MAE and classifier)", f"{auroc(slices.label, score):.3f}", style="bold")
    for name, (value, _) in trivial_baselines(slices).items():
        table.add_row(f"{name} alone", f"{value:.3f}")
    table.add_section()
    table.add_row("time a scan", f"{1000 * summary.seconds / max(1, len(summary.scored)):.0f} ms")
    return table


def _scores(path: Path) -> dict[tuple[str, int], float]:
    with open(path, newline="") as stream:
        return {(Path(row["scan"]).name, int(row["slice"])): float(row["score"]) for row in csv.DictReader(stream)}


@commands.command()
def demo(out: Out = Path("demo"), seed: Seed = 0) -> None:
    """Train on a phantom, export, score scans with and without lesions, and say how well it went."""
    run_demo(out, seed)
