"""The command line: parse, call one function, print. Heavy imports stay inside the commands."""

from __future__ import annotations

import enum
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from maescan.errors import ConfigError, MaescanError, lacking

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

Out = Annotated[Path, typer.Option(help="Folder to write into.")]
Seed = Annotated[int, typer.Option(help="Seed of all that is drawn at random.")]
BundleOption = Annotated[Path, typer.Option(help="A bundle made by `maescan export`.")]
Device = Annotated[str, typer.Option(help="cpu, cuda or cuda:N. The device asked for, or an error.")]
PresetOption = Annotated[str, typer.Option(help="brats, luna16, tiny, or a preset's .json file.")]
Precision = Annotated[str | None, typer.Option(help="fp32, bf16, int8, fp16; default: the bundle's own choice.")]
Threads = Annotated[int | None, typer.Option(help="CPU threads; default: all that this process may use.")]
AlertRate = Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of healthy scans that may alert.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress, only errors.")]


class Format(enum.StrEnum):
    csv = "csv"
    parquet = "parquet"


class Kind(enum.StrEnum):
    brain = "brain"
    lung = "lung"
    both = "both"


@app.command()
def phantom(
    out: Annotated[Path, typer.Argument(help="Folder to write into.")],
    healthy: Annotated[int, typer.Option(min=0, help="Healthy scans.")] = 10,
    lesions: Annotated[int, typer.Option(min=0, help="Scans with lesions.")] = 10,
    seed: Seed = 0,
    kind: Annotated[Kind, typer.Option(help="What to make.")] = Kind.brain,
    mhd: Annotated[bool, typer.Option("--mhd", help="Lung scans as MetaImage, as LUNA16's are.")] = False,
) -> None:
    """Make artificial scans (healthy/, lesions/, masks/, labels.csv), the same for the same seed."""
    from maescan.datasets.phantom import write_phantom

    write_phantom(out, healthy=healthy, lesions=lesions, seed=seed, kind=kind.value, mhd=mhd)
    print(f"{healthy} healthy scans and {lesions} with lesions are in {out}")


@app.command()
def train(
    data: Annotated[Path, typer.Argument(help="A folder of healthy scans, a data set, or a prepared cache.")],
    out: Out,
    preset: PresetOption = "brats",
    seed: Seed = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    devices: Annotated[int, typer.Option(min=1, help="Processes, one a GPU.")] = 1,
    nodes: Annotated[int, typer.Option(min=1, help="Machines.")] = 1,
    accumulate: Annotated[int, typer.Option(min=1, help="Batches a step: gradient accumulation.")] = 1,
    epochs: Annotated[int | None, typer.Option(min=1, help="MAE epochs, instead of the preset's.")] = None,
    classifier_epochs: Annotated[int | None, typer.Option(min=1, help="Classifier epochs, likewise.")] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Batch of both phases, instead of the preset's.")
    ] = None,
    modality: Annotated[str | None, typer.Option(help="BraTS: t1, t1ce, t2 or flair.")] = None,
    fresh_negatives: Annotated[bool, typer.Option(help="New masks and boxes each epoch.")] = False,
    compile: Annotated[bool, typer.Option(help="torch.compile (GPU).")] = False,
    quiet: Quiet = False,
) -> None:
    """Train the masked autoencoder on healthy slices, then the classifier. Run again to resume."""
    from maescan import datasets
    from maescan import train as training

    chosen = _preset(preset, epochs, classifier_epochs, batch_size, fresh_negatives)
    slices = datasets.load(data, chosen, modality=modality)
    run = training.train(
        slices,
        chosen,
        out,
        seed=seed,
        device=device,
        devices=devices,
        nodes=nodes,
        accumulate=accumulate,
        compile=compile,
        quiet=quiet,
    )
    print(f"trained; next: maescan export {run} --out BUNDLE")


def _preset(name: str, epochs: int | None, classifier_epochs: int | None, batch_size: int | None, fresh: bool) -> Any:
    from maescan.config import preset

    changes: dict[str, Any] = {
        "mae__epochs": epochs,
        "classifier__epochs": classifier_epochs,
        "mae__batch_size": batch_size,
        "classifier__batch_size": batch_size,
        "classifier__fresh_negatives": fresh or None,
    }
    return preset(name).replace(**{key: value for key, value in changes.items() if value is not None})


@app.command()
def prepare(
    data: Annotated[Path, typer.Argument(help="A data set or a folder of scans.")],
    out: Annotated[Path, typer.Option(help="Folder for the memory-mapped slices: the cache.")],
    preset: PresetOption = "brats",
    workers: Annotated[int, typer.Option(min=1, help="Reader processes.")] = 2,
    modality: Annotated[str | None, typer.Option(help="BraTS: t1, t1ce, t2 or flair.")] = None,
    split_dir: Annotated[Path | None, typer.Option(help="The authors' split files.")] = None,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Read a data set once into a cache that training and evaluation map into memory. Run again to resume.

    Exit code 3: done, some scans could not be read; they are left out and stand in failures.csv."""
    from maescan import datasets
    from maescan.config import preset as named
    from maescan.datasets.progress import shown

    options: dict[str, Any] = {"modality": modality, "split_dir": split_dir, "seed": seed}
    with shown("prepare", quiet) as progress:
        made = datasets.prepare(data, named(preset), out, workers=workers, progress=progress, **options)
    print(f"{made['slices']} slices of {made['scans']} scans ({made['kept']} of them before) are in {out}")
    if made["failed"]:
        print(f"{made['failed']} scans cannot be used and are left out: {out / 'failures.csv'}", file=sys.stderr)
        raise typer.Exit(3)


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="A run folder of `maescan train`, or a bundle to add engines to.")],
    out: Annotated[Path | None, typer.Option(help="The bundle to write; not needed to add to one.")] = None,
    to: Annotated[
        str, typer.Option(help="openvino, torchscript, onnx, tensorrt-rtx, tensorrt; comma-separated.")
    ] = "openvino",
    precision: Annotated[
        str, typer.Option(help="fp32, bf16, fp16, int8; comma-separated. Default: the most exact of each target.")
    ] = "",
) -> None:
    """Compile a trained run into a bundle: weights, engines and golden answers that prove them."""
    import maescan.export as exporting

    bundle = exporting.export(
        run, out or run, to=tuple(to.split(",")), precision=tuple(precision.split(",")) if precision else ()
    )
    print(f"bundle: {bundle}")


@app.command()
def score(
    paths: Annotated[list[Path], typer.Argument(help="Scans, or folders of them.")],
    bundle: BundleOption,
    out: Out,
    device: Device = "cpu",
    precision: Precision = None,
    maps: Annotated[bool, typer.Option("--maps", help="Also write heat maps as NIfTI on each scan's grid.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Score again what is already scored.")] = False,
    workers: Annotated[int, typer.Option(min=1, help="Reader processes.")] = 2,
    threads: Threads = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Slices a batch; scores do not depend on it.")] = None,
    shard: Annotated[str, typer.Option(help="I/N: the I-th of N parts of the folder.")] = "1/1",
    ray: Annotated[str | None, typer.Option(help="Score on this Ray cluster: its address, auto, or local.")] = None,
    ray_actors: Annotated[
        int | None, typer.Option(min=1, help="Shards of the folder; default: one a GPU, or one a node.")
    ] = None,
    alert_rate: AlertRate = 0.05,
    volume: Annotated[int | None, typer.Option(min=0, help="Which volume of a 4-D scan.")] = None,
    accept: Annotated[str, typer.Option(help="Faults to accept, comma-separated; `inspect` names them.")] = "",
    candidates: Annotated[
        Path | None, typer.Option(help="CT: score the patches around the rows of a candidates.csv.")
    ] = None,
    tile: Annotated[bool, typer.Option("--tile", help="CT: score overlapping tiles of the lungs.")] = False,
    pictures: Annotated[int, typer.Option(min=0, help="Draw the worst slice of this many scans.")] = 12,
    format: Annotated[Format, typer.Option(help="parquet: scores.parquet beside scores.csv.")] = Format.csv,
    json_events: Annotated[bool, typer.Option("--json", help="Events as JSON lines on standard output.")] = False,
    quiet: Quiet = False,
) -> None:
    """Score every scan: report.html, scores.csv, scans.csv, failures.csv, run.json. Exit code 3: done, some scans
    failed."""
    from maescan.scoring.outputs import need_parquet
    from maescan.scoring.run import Show, score_paths

    if format is Format.parquet:
        need_parquet()
    read: dict[str, Any] = {"volume": volume} if volume is not None else {}
    if accept:
        read["accept"] = frozenset(accept.split(","))
    if candidates or tile:
        read["regions"] = _regions(candidates, tile)
    options: dict[str, Any] = {
        "device": device,
        "precision": precision,
        "threads": threads,
        "maps": maps or tile,
        "force": force,
        "workers": workers,
        "batch": batch,
        "alert_rate": alert_rate,
        "pictures": pictures,
        "parquet": format is Format.parquet,
        "read": read,
    }
    if ray:
        from maescan.scoring.on_ray import score_on_ray

        if shard != "1/1" or json_events:
            raise ConfigError("--ray makes shards of its own, without events", remedy="leave out --shard and --json")
        summary = score_on_ray(paths, bundle, out, address=ray, actors=ray_actors, **options)
    else:
        show: Show = "json" if json_events else "quiet" if quiet else "progress"
        summary = score_paths(paths, bundle, out, shard=_shard(shard), show=show, **options)
    if not (quiet or json_events):
        print(
            f"{len(summary.scored)} scans scored ({summary.skipped} of them before), {len(summary.failures)} failed,"
            f" {summary.slices} slices in {summary.seconds:.1f} s: {out / 'report.html'}"
        )
        _say_calibration(summary.calibration, bundle)
    if summary.failures:
        for row in summary.failures:
            print(
                f"{row['scan']}: {row['reason']}" + (f" ({row['remedy']})" if row["remedy"] else ""), file=sys.stderr
            )
        raise typer.Exit(3)


def _say_calibration(state: dict[str, Any] | None, bundle: Path) -> None:
    from maescan.scoring.calibrate import needed

    if state is None:
        print(f"no p-values or alerts: calibrate the bundle with `maescan calibrate {bundle} HEALTHY_SCANS`")
    elif not state["can_alert"]:
        print(
            f"no scan can alert at a rate of {state['alert_rate']}: that takes {needed(state['alert_rate'])} healthy"
            f" scans, the bundle was calibrated with {state['scans']}"
        )


@app.command()
def calibrate(
    bundle: Annotated[Path, typer.Argument(help="A bundle made by `maescan export`.")],
    healthy: Annotated[list[Path], typer.Argument(help="Healthy scans that training has not seen.")],
    aggregation: Annotated[
        str | None, typer.Option(help="A scan's score: max, top (mean of the 3 highest slices) or area.")
    ] = None,
    device: Device = "cpu",
    precision: Precision = None,
    threads: Threads = None,
) -> None:
    """Score held-back healthy scans and keep the reference in the bundle: then scans get p-values and alerts."""
    from maescan.scoring.calibrate import RULES, needed
    from maescan.scoring.calibrate import calibrate as make

    if aggregation not in (None, *RULES):
        raise ConfigError(f"unknown aggregation '{aggregation}'", remedy=f"use one of {', '.join(RULES)}")
    found = make(bundle, healthy, rule=aggregation, device=device, precision=precision, threads=threads)
    count = len(found["scans"])
    rate = 1 / (count + 1)
    print(f"{count} healthy scans, {len(found['slices'])} slices; alerts are possible at rates from {rate:.3f}")
    if count < needed(0.05):
        print(f"the default rate of 0.05 takes {needed(0.05)} healthy scans", file=sys.stderr)


def _regions(candidates: Path | None, tile: bool) -> dict[str, Any]:
    from maescan.scoring.regions import by_candidates, by_tiles

    if candidates and tile:
        raise ConfigError("--candidates and --tile are two ways", remedy="choose one")
    return by_candidates(candidates) if candidates else by_tiles()


@app.command()
def watch(
    inbox: Annotated[Path, typer.Argument(help="The folder that scans arrive in.")],
    bundle: BundleOption,
    out: Out,
    device: Device = "cpu",
    precision: Precision = None,
    settle: Annotated[float, typer.Option(min=0.0, help="Seconds without change after which a scan is whole.")] = 5.0,
    maps: Annotated[bool, typer.Option("--maps", help="Also write heat maps as NIfTI on each scan's grid.")] = False,
    workers: Annotated[int, typer.Option(min=1, help="Reader processes.")] = 2,
    threads: Threads = None,
    json_events: Annotated[bool, typer.Option("--json", help="Events as JSON lines on standard output.")] = False,
    quiet: Quiet = False,
) -> None:
    """Score scans as they finish arriving, until SIGTERM or Ctrl-C: those being scored are finished, then it ends
    with exit code 0. Started again it goes on."""
    from maescan.scoring.run import watch_inbox

    show: Any = "json" if json_events else "quiet" if quiet else "progress"
    watch_inbox(
        inbox,
        bundle,
        out,
        device=device,
        precision=precision,
        threads=threads,
        settle=settle,
        maps=maps,
        workers=workers,
        show=show,
    )


@app.command()
def merge(
    shards: Annotated[list[Path], typer.Argument(help="The --out folders of shards 1/N to N/N.")],
    bundle: BundleOption,
    out: Out,
) -> None:
    """Put the outputs of all shards together, as if one run had written them. Exit code 3: some scans failed."""
    from maescan.bundle import Bundle
    from maescan.scoring.merge import merge as put_together

    summary = put_together(shards, Bundle.load(bundle), out)
    print(f"{len(summary.scored)} scans, {len(summary.failures)} failed: {out / 'scans.csv'}")
    if summary.failures:
        raise typer.Exit(3)


def _shard(text: str) -> tuple[int, int]:
    number, _, count = text.partition("/")
    if not (number.isdigit() and count.isdigit() and 1 <= int(number) <= int(count)):
        raise ConfigError(f"--shard {text} is not I/N with I from 1 to N", remedy="for example --shard 2/3")
    return int(number), int(count)


@app.command()
def evaluate(
    data: Annotated[Path, typer.Argument(help="Scans with labels.csv or masks, a data set, or a prepared cache.")],
    bundle: BundleOption,
    out: Out,
    device: Device = "cpu",
    precision: Precision = None,
    modality: Annotated[str | None, typer.Option(help="BraTS: t1, t1ce, t2 or flair.")] = None,
) -> None:
    """AUROC beside the trivial baselines: metrics.json, roc.png, report.md."""
    from maescan import evaluate as evaluation

    evaluation.evaluate(data, bundle, out, device=device, precision=precision, modality=modality)
    print((out / "report.md").read_text())


@app.command()
def ablate(
    data: Annotated[Path, typer.Argument(help="A labelled data set: it is split by patient if it is not yet.")],
    experiment: Annotated[
        str,
        typer.Option(help="table1, table2a, table2b, table2c, beta, loss, mask-ratio, epochs or no-mae."),
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
    modality: Annotated[str | None, typer.Option(help="BraTS: t1, t1ce, t2 or flair.")] = None,
    quiet: Quiet = False,
) -> None:
    """The paper's tables beside ours: trains what a table needs, keeps and reuses it. Run again to resume."""
    from maescan import evaluate as evaluation

    chosen = _preset(preset, epochs, classifier_epochs, batch_size, False)
    evaluation.ablate(
        data,
        experiment,
        chosen,
        out,
        seeds=range(seeds),
        folds=folds,
        device=device,
        modality=modality,
        quiet=quiet,
    )
    print((out / f"{experiment}.md").read_text())


@app.command()
def inspect(
    paths: Annotated[list[Path], typer.Argument(help="Files or folders.")],
    picture: Annotated[Path | None, typer.Option(help="Also write a montage PNG.")] = None,
) -> None:
    """What each file or series is, how it would be read, and why it would be refused."""
    from maescan import inspect as inspection

    inspection.show(paths, picture=picture)


@app.command()
def verify(
    bundle: Annotated[Path, typer.Argument(help="The bundle.")],
    device: Annotated[str | None, typer.Option(help="Only engines of this device.")] = None,
) -> None:
    """Check every hash of a bundle, then run its golden slices through every engine that can run here."""
    from maescan import verify as verification

    if not verification.show(bundle, device=device):
        raise typer.Exit(2)


@app.command()
def doctor() -> None:
    """What this machine can run, and the command to get what is missing."""
    from maescan import doctor as check

    check.show()


@app.command()
def import_checkpoint(
    mae: Annotated[Path, typer.Option(help="The public MAE checkpoint (.pth).")],
    classifier: Annotated[Path, typer.Option(help="The public classifier checkpoint (.pth).")],
    out: Out,
    preset: PresetOption = "brats",
) -> None:
    """Turn the authors' released weights into a bundle."""
    import maescan.export as exporting

    print(f"bundle: {exporting.import_checkpoint(mae, classifier, preset, out)}")


@app.command()
def bench(
    bundle: Annotated[Path | None, typer.Option(help="The bundle to measure.")] = None,
    preset: PresetOption = "brats",
    random_weights: Annotated[
        bool, typer.Option("--random-weights", help="Measure the preset with untrained weights (needs torch).")
    ] = False,
    device: Device = "cpu",
    threads: Threads = None,
    workers: Annotated[int, typer.Option(min=1, help="Reader processes.")] = 2,
    out: Out = Path("bench-out"),
    quick: Annotated[bool, typer.Option("--quick", help="About a minute: two batch sizes, small folders.")] = False,
) -> None:
    """How many scans an hour this machine scores, where the time goes, how far that is from its limit."""
    from maescan.throughput import report, run

    values = run.bench(
        out,
        bundle=bundle,
        preset=preset,
        random_weights=random_weights,
        device=device,
        threads=threads,
        workers=workers,
        quick=quick,
        command=" ".join(["maescan", *sys.argv[1:]]),
        say=lambda text: print(f"measuring {text}", file=sys.stderr),
    )
    report.show(values)
    print(f"report: {out / 'bench.md'}")


@app.command()
def demo(out: Out = Path("demo"), seed: Seed = 0) -> None:
    """Train on a phantom, export, score scans with and without lesions, and say how well it went."""
    from maescan.demo import run_demo

    run_demo(out, seed)


@app.command()
def version() -> None:
    """The version of maescan."""
    from maescan import __version__

    print(json.dumps({"maescan": __version__}))


def main() -> None:
    """Entry point. Exit codes: 0 done, 1 a fault of maescan, 2 wrong input, 3 done but some scans failed."""
    try:
        app(prog_name="maescan")
    except MaescanError as error:
        print(f"maescan: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("maescan: stopped; run the same command again to go on", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if os.environ.get("MAESCAN_DEBUG"):
            raise
        if isinstance(error, ImportError) and (known := lacking(error)):
            print(f"maescan: {known}", file=sys.stderr)
            sys.exit(2)
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        print(f"maescan: {reason} (a fault of maescan; MAESCAN_DEBUG=1 shows where)", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
