"""Commands that train, export and evaluate."""

from __future__ import annotations

import enum
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from maescan.cli.options import (
    BundleOption,
    Out,
    PresetOption,
    Quiet,
    preset_with,
    say_caution,
    show_markdown,
    signature_kept_or_told,
    with_options,
)
from maescan.cli.progress import shown, training_bar
from maescan.options import LARGEST_SEED, EngineOptions, EvaluateOptions, StressOptions, TrainOptions

commands = typer.Typer()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _end(left_out: Sequence[object]) -> None:
    """Exit code 3 where scans were left out; which, was said when they were read."""
    if left_out:
        raise typer.Exit(3)


@commands.command()
@with_options(options=TrainOptions)
def train(
    data: Annotated[Path, typer.Argument(help="A folder of healthy scans, a data set, or a prepared cache.")],
    out: Out,
    *,
    options: TrainOptions,
    preset: PresetOption = "brats",
    epochs: Annotated[int | None, typer.Option(min=1, help="MAE epochs, instead of the preset's.")] = None,
    classifier_epochs: Annotated[int | None, typer.Option(min=1, help="Classifier epochs, likewise.")] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Batch of both phases, instead of the preset's.")
    ] = None,
    modality: Annotated[str | None, typer.Option(help="BraTS: t1, t1ce, t2, flair, or channel:N of HDF5.")] = None,
    fresh_negatives: Annotated[bool, typer.Option(help="New masks and boxes each epoch.")] = False,
    quiet: Quiet = False,
) -> None:
    """Train the masked autoencoder on healthy slices, then the classifier. Run again to resume.

    Exit code 3: done, without scans that cannot be used."""
    from maescan import datasets
    from maescan import train as training
    from maescan.errors import typed
    from maescan.files import check_claim
    from maescan.folders import check_free
    from maescan.train.run import try_weights
    from maescan.train.setup import check_batches, check_started, device_of, first_process
    from maescan.train.state import check_asked, kept_precision

    check_claim(out, "a training run")  # before hours of reading
    check_free(out)
    if options.resume:
        kept_precision(out, options.precision)
    device_of(options.device, options.devices)
    check_started(options.devices, options.nodes)
    chosen = preset_with(preset, epochs, classifier_epochs, batch_size, fresh_negatives)
    check_batches(chosen, options)
    if options.resume:
        check_asked(out, chosen, options.seed)
    try_weights(chosen, options)
    with shown("train", quiet):
        slices = datasets.load(data, chosen, modality=modality, listen=_say if first_process() else None)
        run = training.train(slices, chosen, out, options, progress=training_bar(quiet))
    if first_process():
        print(f"trained; next: maescan export {typed(run)} --out BUNDLE")
        _end(slices.left_out)


To = Annotated[
    str, typer.Option(help="Of openvino, torchscript, onnx, tensorrt-rtx, tensorrt, torch-tensorrt, by commas.")
]
Precisions = Annotated[
    str, typer.Option(help="fp32, bf16, fp16, int8, fp8 or nvfp4, by commas. Default: the most exact of each target.")
]
TrainingData = Annotated[str, typer.Option(help="For the model card: what it was trained on, in your words.")]
Licence = Annotated[str, typer.Option(help="For the model card: under which licence the weights are.")]
Use = Annotated[str, typer.Option("--intended-use", help="For the model card: what it is for, and what not.")]


class Golden(enum.StrEnum):
    """Where a bundle's golden slices are from."""

    phantom = "phantom"
    real = "real"


@commands.command()
def export(
    run: Annotated[Path, typer.Argument(help="A run folder of `maescan train`, or a bundle to add engines to.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The bundle to write; not to add to one.")] = None,
    to: To = "openvino",
    precision: Precisions = "",
    golden: Annotated[
        Golden,
        typer.Option(help="What it proves itself with: a phantom's slices, or real ones held back from training."),
    ] = Golden.phantom,
    training_data: TrainingData = "",
    licence: Licence = "",
    intended_use: Use = "",
    quiet: Quiet = False,
) -> None:
    """Compile a trained run into a bundle: weights, engines and golden answers that prove them. With a run and the
    bundle that was made of it, engines are added."""
    import maescan.export as exporting
    from maescan.engines.manifest import Card

    with signature_kept_or_told(out or run), shown("export", quiet, unit="engines"):
        bundle = exporting.export(
            run,
            out or run,
            **_listed(to, precision),
            golden=golden.value,
            card=Card(training_data=training_data, licence=licence, intended_use=intended_use),
        )
    print(f"bundle: {bundle}")
    say_caution(bundle)


def _listed(to: str, precision: str) -> dict[str, tuple[str, ...]]:
    return {"to": tuple(to.split(",")), "precision": tuple(precision.split(",")) if precision else ()}


@commands.command()
def card(
    bundle: Annotated[Path, typer.Argument(help="The bundle.")],
    training_data: TrainingData = "",
    licence: Licence = "",
    intended_use: Use = "",
    evaluation: Annotated[
        Path | None, typer.Option(help="The --out of `maescan evaluate`: its figures go into the card.")
    ] = None,
) -> None:
    """Fill in a bundle's model card, its README.md; what is not given stays as it is."""
    from maescan.engines.describe import fill_card

    with signature_kept_or_told(bundle):
        fill_card(bundle, evaluation, training_data=training_data, licence=licence, intended_use=intended_use)
    print((bundle / "README.md").read_text(encoding="utf-8"))


@commands.command()
@with_options(engine=EngineOptions, options=EvaluateOptions)
def evaluate(
    data: Annotated[Path, typer.Argument(help="Scans with labels.csv or masks, a data set, or a prepared cache.")],
    bundle: BundleOption,
    out: Out,
    *,
    engine: EngineOptions,
    options: EvaluateOptions,
    quiet: Quiet = False,
) -> None:
    """AUROC beside the trivial baselines: metrics.json, roc.png, report.md.

    Exit code 3: done, without scans that cannot be used."""
    from maescan import evaluate as evaluation

    with shown("evaluate", quiet, unit="slices"):
        metrics = evaluation.evaluate(data, bundle, out, engine, options, _say)
    show_markdown((out / "report.md").read_text())
    _end(metrics["model"]["left_out"])


@commands.command()
def compare(
    first: Annotated[Path, typer.Argument(help="A folder that `maescan evaluate` wrote.")],
    second: Annotated[Path, typer.Argument(help="Another, of the same data.")],
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of the patients that are drawn.")] = 0,
) -> None:
    """Two evaluations of the same slices: AUROC pooled, within patients and area-matched, and their differences."""
    from maescan.evaluate.compare import compare as compare_two
    from maescan.evaluate.compare import text_of

    print(text_of(compare_two(first, second, seed=seed)), end="")


@commands.command()
@with_options(engine=EngineOptions, options=StressOptions)
def stress(
    data: Annotated[
        Path, typer.Argument(help="Healthy scans, a data set, or a prepared cache; no lesion is needed.")
    ],
    bundle: BundleOption,
    out: Out,
    *,
    engine: EngineOptions,
    options: StressOptions,
    quiet: Quiet = False,
) -> None:
    """Put lesions into healthy slices: does the score rise, does it pass the threshold? stress.md, stress.png.

    Exit code 3: done, without scans that cannot be used."""
    from maescan.evaluate import acceptance

    with shown("stress", quiet, unit="slices"):
        summary = acceptance.stress(data, bundle, out, engine, options, _say)
    show_markdown((out / "stress.md").read_text())
    _end(summary["model"]["left_out"])


@commands.command()
def ablate(
    data: Annotated[Path, typer.Argument(help="A labelled data set: it is split by patient if it is not yet.")],
    experiment: Annotated[
        str,
        typer.Option(help="table1, table2a, table2b, table2c, beta, loss, mask-ratio, epochs, no-mae or rivals."),
    ],
    out: Out,
    preset: PresetOption = "brats",
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of every row, seeds 0 to N - 1.")] = 1,
    folds: Annotated[int | None, typer.Option(min=2, help="Patient folds; up to 10 patients each is one.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    epochs: Annotated[int | None, typer.Option(min=1, help="MAE epochs, instead of the preset's.")] = None,
    classifier_epochs: Annotated[int | None, typer.Option(min=1, help="Classifier epochs, likewise.")] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Batch of both phases, instead of the preset's.")
    ] = None,
    modality: Annotated[str | None, typer.Option(help="BraTS: t1, t1ce, t2, flair, or channel:N of HDF5.")] = None,
    quiet: Quiet = False,
) -> None:
    """The paper's tables beside ours: trains what a table needs, keeps and reuses it. Run again to resume.

    Exit code 3: done, without scans that cannot be used."""
    from maescan.train import ablations

    chosen = preset_with(preset, epochs, classifier_epochs, batch_size, False)
    design = ablations.Design(seeds=range(seeds), folds=folds, device=device, modality=modality)
    with shown("ablate", quiet):
        told = ablations.Told(progress=training_bar(quiet), say=_say, result=None if quiet else _say)
        table = ablations.ablate(data, experiment, chosen, out, design, told)
    show_markdown((out / f"{experiment}.md").read_text())
    _end(table["left_out"])


@commands.command()
def import_checkpoint(
    mae: Annotated[Path, typer.Option(help="The public MAE checkpoint (.pth).")],
    out: Out,
    classifier: Annotated[
        Path | None, typer.Option(help="The public classifier checkpoint (.pth), where the preset's measure is it.")
    ] = None,
    preset: PresetOption = "brats-official",
    data: Annotated[
        Path | None, typer.Option(help="Scans like those of training, to know others by: a data set or a cache.")
    ] = None,
    modality: Annotated[str | None, typer.Option(help="BraTS: t1, t1ce, t2, flair, or channel:N of HDF5.")] = None,
    to: To = "openvino",
    precision: Precisions = "",
    quiet: Quiet = False,
) -> None:
    """Turn the authors' released weights into a bundle: --preset brats-official, luna16-official or a .json file."""
    import maescan.export as exporting
    from maescan import datasets

    load = partial(datasets.load, modality=modality, listen=_say)
    with shown("import-checkpoint", quiet, unit="engines"):
        bundle = exporting.import_checkpoint(
            mae, classifier, preset, out, data=data, load=load, **_listed(to, precision)
        )
    print(f"bundle: {bundle}")
    if data is None:
        print("without --data no scan will be flagged as unlike those of training")
