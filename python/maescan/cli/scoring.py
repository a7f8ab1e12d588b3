"""Commands that score scans."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from maescan.cli.options import (
    AlertRate,
    BundleOption,
    Device,
    Format,
    Out,
    Precision,
    Quiet,
    Threads,
    parse_shard,
    regions_of,
)
from maescan.errors import ConfigError

commands = typer.Typer()


@commands.command()
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
    from maescan.files import need_parquet
    from maescan.scoring.run import Show, score_paths

    if format is Format.parquet:
        need_parquet()
    read: dict[str, Any] = {"volume": volume} if volume is not None else {}
    if accept:
        read["accept"] = frozenset(accept.split(","))
    if candidates or tile:
        read["regions"] = regions_of(candidates, tile)
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
        summary = score_paths(paths, bundle, out, shard=parse_shard(shard), show=show, **options)
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


@commands.command()
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


@commands.command()
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


@commands.command()
def merge(
    shards: Annotated[list[Path], typer.Argument(help="The --out folders of shards 1/N to N/N.")],
    bundle: BundleOption,
    out: Out,
) -> None:
    """Put the outputs of all shards together, as if one run had written them. Exit code 3: some scans failed."""
    from maescan.engines.bundle import Bundle
    from maescan.scoring.merge import merge as put_together

    summary = put_together(shards, Bundle.load(bundle), out)
    print(f"{len(summary.scored)} scans, {len(summary.failures)} failed: {out / 'scans.csv'}")
    if summary.failures:
        raise typer.Exit(3)
