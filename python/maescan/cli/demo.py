"""`maescan demo`: score phantom scans with the bundle that comes with the package, or train one first; one table."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from maescan.cli.options import Out, Quiet, Seed

if TYPE_CHECKING:
    from rich.table import Table

    from maescan.config import Preset
    from maescan.scoring.summary import Summary

commands = typer.Typer()

HEALTHY, UNSEEN, PRESET = 48, 12, "tiny-fast"
SHIPPED = Path(__file__).parent / "demo-bundle.zip"
"""A small model trained on phantoms of other seeds (bench/demo_bundle.py)."""

Say = Callable[[str], None]


def run_demo(out: Path, seed: int, *, train: bool = False, quiet: bool = False) -> None:
    """Scores 2 * `UNSEEN` phantom scans, half with lesions, with the bundle that comes with the package, or with one
    trained now on `HEALTHY` others. Raises DataError for an `out` that holds anything else."""
    from rich.console import Console

    from maescan.cli.events import Show, of_score
    from maescan.engines.bundle import Bundle
    from maescan.errors import typed
    from maescan.files import claim
    from maescan.scoring.options import ScoreOptions
    from maescan.scoring.run import score_paths

    claim(out, "demo", mark=".maescan-demo")
    console, start = Console(), time.perf_counter()

    def say(text: str) -> None:
        if not quiet:
            console.print(f"[dim]{time.perf_counter() - start:5.0f} s[/dim]  {text}")

    bundle = _trained(out, seed, say, quiet) if train else unpack(out / "bundle")
    say(f"making {UNSEEN} healthy phantom scans and {UNSEEN} with lesions")
    _phantom(out / "unseen", UNSEEN, UNSEEN, seed + 1, quiet)
    say("scoring them")
    scans = [out / "unseen" / "healthy", out / "unseen" / "lesions"]
    options = ScoreOptions(maps=True, pictures=2 * UNSEEN, force=True)
    with of_score(Show.of(False, quiet)) as listen:
        summary = score_paths(scans, bundle, out / "scores", options=options, listen=listen)
    console.print(_table(out, Bundle.load(bundle).preset, summary))
    _say_alerts(out, summary)
    console.print(f"look at: {out / 'scores' / 'report.html'}   heat maps: {out / 'scores' / 'maps'}", soft_wrap=True)
    console.print(f"next, scans of your own: maescan score SCANS --bundle {typed(bundle)} --out OUT", soft_wrap=True)
    console.print("(this model has seen phantoms alone: of real scans its scores say nothing)")


def unpack(bundle: Path) -> Path:
    """The bundle that comes with the package, at `bundle`: whole or not at all. One that is there is kept.

    Raises BundleError where what is there is not whole, DataError where it cannot be written."""
    from maescan.engines.bundle import Bundle
    from maescan.engines.signing import SIGNATURE
    from maescan.errors import BundleError, typed
    from maescan.scans.scratch import folder_beside

    if not bundle.exists():
        with folder_beside(bundle) as folder:
            shutil.unpack_archive(SHIPPED, folder / "bundle")
            (folder / "bundle").rename(bundle)
    try:
        Bundle.load(bundle)
    except BundleError as error:
        if Path(error.path or "").name == SIGNATURE:
            raise
        remedy = f"remove it, and the demo unpacks its own again: rm -r {typed(bundle)}"
        raise BundleError(error.reason, path=error.path, remedy=remedy) from error
    return bundle


def _trained(out: Path, seed: int, say: Say, quiet: bool) -> Path:
    """A bundle of `PRESET`, trained now; one that an earlier demo made of the same scans is taken."""
    from maescan import datasets, export, train
    from maescan.cli.progress import training_bar
    from maescan.config import preset
    from maescan.options import TrainOptions

    tiny, bundle = preset(PRESET), out / "trained"
    say(f"making {HEALTHY} healthy phantom scans to learn from")
    _phantom(out / "train", HEALTHY, 0, seed, quiet)
    say("training the masked autoencoder, then its judge: a quarter of an hour")
    slices, training = datasets.load(out / "train", tiny), TrainOptions(seed=seed)
    run = train.train(slices, tiny, out / "run", training, progress=training_bar(quiet))
    say("exporting to OpenVINO")
    if not _comes_from(bundle, run):
        export.export(run, bundle, to=("openvino",), precision=("fp32",))
    return bundle


def _comes_from(bundle: Path, run: Path) -> bool:
    """Whether a bundle was made of this very run."""
    from maescan.engines.bundle import Bundle
    from maescan.errors import BundleError, DataError
    from maescan.records import read

    try:
        made = Bundle.load(bundle).manifest["provenance"]
        report = read(dict[str, object], run / "run.json", remedy="")
        return all(made[name] == report[name] for name in ("data", "seed", "seconds"))
    except (BundleError, DataError, KeyError):
        return False


def _phantom(out: Path, healthy: int, lesions: int, seed: int, quiet: bool) -> None:
    from maescan.cli.progress import shown
    from maescan.datasets.phantom import write_phantom

    with shown("phantom", quiet) as progress:
        write_phantom(out, healthy=healthy, lesions=lesions, seed=seed, progress=progress)


def _say_alerts(out: Path, summary: Summary) -> None:
    """How many scans of each kind alert, where the bundle is calibrated."""
    if summary.calibration is None:
        return
    alerting = [Path(row["scan"]).name for row in summary.scored if row["alert"] == "yes"]
    ill = sum((out / "unseen" / "lesions" / name).exists() for name in alerting)
    well = len(alerting) - ill
    print(f"alerts: {ill} of {UNSEEN} scans with lesions, {well} of {UNSEEN} healthy ones")


def _table(out: Path, used: Preset, summary: Summary) -> Table:
    import numpy as np
    from rich.table import Table

    from maescan import datasets
    from maescan.decimals import rounded
    from maescan.evaluate.baselines import trivial_baselines
    from maescan.evaluate.ranking import auroc

    slices = datasets.load(out / "unseen", used)
    scores = _scores(out / "scores" / "scores.csv")
    score = np.array(
        [scores[Path(name).name, int(index)] for name, index in zip(slices.patient, slices.slice, strict=True)]
    )
    table = Table(title="slices of scans that training never saw, lesion or not")
    table.add_column("what tells them apart")
    table.add_column("AUROC", justify="right")
    table.add_row("maescan (MAE and judge)", rounded(auroc(slices.label, score)), style="bold")
    for name, (value, _) in trivial_baselines(slices).items():
        table.add_row(f"{name} alone", rounded(value))
    table.add_section()
    table.add_row("time per scan", f"{1000 * summary.seconds / max(1, len(summary.scored)):.0f} ms")
    return table


def _scores(path: Path) -> dict[tuple[str, int], float]:
    from maescan.records import Record, read_rows

    class Scored(Record, frozen=True):
        scan: str
        slice: int
        score: float

    return {(Path(row.scan).name, row.slice): row.score for row in read_rows(Scored, path, remedy="score again")}


@commands.command()
def demo(
    out: Out = Path("demo"),
    seed: Seed = 0,
    train: Annotated[
        bool,
        typer.Option("--train/--fast", help="Train one first, in a quarter of an hour, instead of the packed one."),
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Score phantom scans with and without lesions, and say how well it went: the first thing to try."""
    run_demo(out, seed, train=train, quiet=quiet)
