"""Commands that score scans."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from maescan.cli import events
from maescan.cli.events import Show
from maescan.cli.options import BundleOption, Json, Out, Quiet, say_caution, signature_kept_or_told, with_options
from maescan.cli.progress import shown
from maescan.decimals import counted
from maescan.errors import ConfigError, require, typed
from maescan.scoring.options import (
    AlertOptions,
    CalibrateOptions,
    EngineOptions,
    Format,
    RayOptions,
    ReadOptions,
    ScoreOptions,
    Shard,
    WatchOptions,
)

if TYPE_CHECKING:
    from maescan.scoring.summary import Summary

commands = typer.Typer()
NO_SCANS = {
    "labels": ("label map", "label maps"),
    "picture": ("localizer or other picture", "localizers and other pictures"),
}
"""What is passed over once it was looked into: one, and several."""


@commands.command()
@with_options(engine=EngineOptions, read=ReadOptions, options=ScoreOptions, alerts=AlertOptions, ray=RayOptions)
def score(
    paths: Annotated[list[Path], typer.Argument(help="Scans, or folders of them.")],
    bundle: BundleOption,
    out: Out,
    *,
    engine: EngineOptions,
    read: ReadOptions,
    options: ScoreOptions,
    alerts: AlertOptions,
    ray: RayOptions,
    json_events: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score every scan: report.html, scores.csv, scans.csv, failures.csv, run.json. Exit codes, when done: 3, some
    scans failed; 4, a scan alerts (--fail-on-alert); 5, the scans are no longer like the calibration's."""
    from maescan.scoring.run import score_paths

    options = replace(options, read=read)
    check_format(options)
    if ray.address:
        from maescan.scoring.on_ray import score_on_ray

        if options.shard != Shard(1, 1) or json_events or alerts.on_alert or alerts.log:
            remedy = "leave out --shard, --json, --on-alert and --log"
            raise ConfigError("--ray makes shards of its own, without events", remedy=remedy)
        summary = score_on_ray(paths, bundle, out, ray, engine, options)
    else:
        take_folder_of_log(out, options, alerts)
        with events.of_score(Show.of(json_events, quiet), alerts) as listen:
            summary = score_paths(paths, bundle, out, engine, options, listen)
    if not (quiet or json_events):
        passed = ", ".join(f"{n} {NO_SCANS[why][n != 1]}" for why, n in sorted(summary.passed_over.items()))
        print(
            f"{counted(len(summary.scored) - summary.skipped, 'scan')} scored, {summary.skipped} reused,"
            f" {len(summary.failures)} failed,{f' {passed} passed over,' if passed else ''}"
            f" {counted(summary.slices, 'slice')} in {summary.seconds:.1f} s: {out / 'report.html'}"
        )
        if summary.passed_over and not (summary.scored or summary.failures):
            print(f"maescan: nothing was scored: {typed(out / 'passed_over.csv')} has the reasons", file=sys.stderr)
        _say_archive(summary)
        _say_calibration(summary.calibration, bundle)
        say_caution(bundle)
    for row in (*summary.failures, *summary.refused):
        print(f"{row['scan']}: {row['reason']}" + (f" ({row['remedy']})" if row["remedy"] else ""), file=sys.stderr)
    leave(summary, alerts)


def leave(summary: Summary, alerts: AlertOptions) -> None:
    """Warns of what makes alerts mean less; the exit code."""
    population = summary.population
    for text in [*summary.notes, *(population.warnings().values() if population else ())]:
        print(f"warning: {text}", file=sys.stderr)
    if alerts.fail_on_alert and any(row["alert"] == "yes" for row in summary.scored):
        raise typer.Exit(4)
    if population and population.changed_at:
        raise typer.Exit(5)
    if summary.failures or summary.refused:
        raise typer.Exit(3)


def check_format(options: ScoreOptions) -> None:
    """Raises ConfigError for results that a package is missing for."""
    if options.format is Format.parquet:
        require("pyarrow", "--format parquet")
    if options.dicom:
        require("highdicom", "--dicom-out")


def take_folder_of_log(out: Path, options: ScoreOptions, alerts: AlertOptions) -> None:
    """Takes an output folder that --log lies in before there is a log, which would be a file that is not maescan's.
    Raises DataError for a folder of anything else."""
    from maescan.files import claim
    from maescan.scoring.names import names_of

    if alerts.log and Path(os.path.realpath(alerts.log)).is_relative_to(os.path.realpath(out)):
        claim(out, names_of(options.pseudonyms).kind)


def _say_archive(summary: Summary) -> None:
    """What of the output folder is not of this run."""
    if summary.archive > len(summary.scored):
        print(f"the tables hold {counted(summary.archive, 'scan')}, with those of earlier runs")
    if summary.gone:
        more = f" and {counted(len(summary.gone) - 3, 'other')}" if len(summary.gone) > 3 else ""
        print(f"no longer where they were: {', '.join(summary.gone[:3])}{more}")
    if summary.other_jobs:
        print(f"{counted(summary.other_jobs, 'scan')} scored with another bundle, engine or options: in no table")


def _say_calibration(state: dict[str, Any] | None, bundle: Path) -> None:
    from maescan.scoring.conformal import needed

    if state is None:
        print(f"no p-values or alerts: calibrate the bundle with `maescan calibrate {typed(bundle)} HEALTHY_SCANS`")
    elif needed(state["alert_rate"]) is None:
        print("no scan can alert at a rate of 0")
    elif not state["can_alert"]:
        print(
            f"no scan can alert at a rate of {state['alert_rate']}: that takes {needed(state['alert_rate'])} healthy"
            f" scans, the bundle was calibrated with {state['scans']}"
        )


@commands.command()
@with_options(
    engine=EngineOptions,
    read=ReadOptions,
    options=ScoreOptions,
    how=CalibrateOptions,
    leave_out=("maps", "force", "shard", "alert_rate", "pictures", "format", "dicom", "max_map"),
)
def calibrate(
    bundle: Annotated[Path, typer.Argument(help="A bundle made by `maescan export`.")],
    healthy: Annotated[list[Path], typer.Argument(help="Healthy scans that training has not seen.")],
    *,
    engine: EngineOptions,
    read: ReadOptions,
    options: ScoreOptions,
    how: CalibrateOptions,
    quiet: Quiet = False,
) -> None:
    """Score held-back healthy scans and keep the reference in the bundle: then scans get p-values and alerts."""
    from maescan.method.aggregate import least_rate, likely_rate, several_of
    from maescan.scoring.calibrate import calibrate as make
    from maescan.scoring.calibrate import folder_of, reference_told
    from maescan.scoring.conformal import needed

    options, before = replace(options, read=read, pictures=0), reference_told(bundle)
    with signature_kept_or_told(bundle), shown("calibrate", quiet) as update:
        reference, failures = make(bundle, healthy, engine, options, how, events.counted(update))
    for row in failures:
        print(f"left out: {row['scan']}: {row['reason']}", file=sys.stderr)
    count = len(reference["scans"])
    rate, default, patients = least_rate(count), ScoreOptions().alert_rate, reference.get("patients")
    of = f"{counted(count, 'healthy scan')}, {counted(len(reference['slices']), 'slice')}"
    print(f"{of}; alerts are possible at rates from {rate:.3f}")
    if patients:
        print(f"they are {several_of(patients)}: more than {default} of healthy scans may alert at the default rate")
        print("give one scan of each patient, and the rate holds", file=sys.stderr)
    elif rate <= default:
        worst = f"over {likely_rate(count, default):.3g} with 1 of 20 references of {count} scans"
        print(f"at the default rate of {default} so many healthy scans alert on average, at most; {worst}")
    if unlike := reference.get("unlike"):
        table = (how.out or folder_of(bundle)) / "scans.csv"
        print(f"unlike training's scans, yet among those that others are judged by: {unlike} ({table}, column fit)")
    if before:
        print(f"they replace a reference of {before}")
    print(f"what it rests on: {(how.out or folder_of(bundle)) / 'report.html'}")
    if rate > default:
        print(f"the default rate of {default} takes {counted(needed(default) or 0, 'healthy scan')}", file=sys.stderr)


@commands.command()
@with_options(
    engine=EngineOptions,
    read=ReadOptions,
    options=ScoreOptions,
    alerts=AlertOptions,
    timing=WatchOptions,
    leave_out=("shard", "force"),
)
def watch(
    inbox: Annotated[Path, typer.Argument(help="The folder that scans arrive in.")],
    bundle: BundleOption,
    out: Out,
    *,
    engine: EngineOptions,
    read: ReadOptions,
    options: ScoreOptions,
    alerts: AlertOptions,
    timing: WatchOptions,
    json_events: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score scans as they finish arriving, until SIGTERM or Ctrl-C: those being scored are finished, then it ends
    with exit code 0; 4, a scan alerted (--fail-on-alert); 5, the scans are no longer like the calibration's. Started
    again it goes on."""
    from maescan.scoring.run import watch_inbox
    from maescan.scoring.watch import Inbox

    options = replace(options, read=read)
    check_format(options)
    take_folder_of_log(out, options, alerts)
    with events.of_watch(Show.of(json_events, quiet), alerts) as listen:
        summary = watch_inbox(Inbox(inbox, timing), bundle, out, engine, options, listen)
    leave(replace(summary, failures=[], refused=[]), alerts)


@commands.command()
def view(
    folder: Annotated[Path, typer.Argument(help="The --out of `maescan score`.", metavar="OUT")],
    scan: Annotated[str, typer.Argument(help="A scan's name, as scans.csv has it.")],
    out: Annotated[Path | None, typer.Option(help="The page to write; default: OUT/views/SCAN.html.")] = None,
) -> None:
    """One scan with its heat map and slice scores as one HTML file that needs no network."""
    from maescan.scoring.viewing import view as write

    print(write(folder, scan, out))


@commands.command()
def pseudonym(
    key: Annotated[Path, typer.Argument(help="The KEYFILE of --pseudonyms.", metavar="KEYFILE")],
    paths: Annotated[list[Path], typer.Argument(help="Scans, or folders of them, as they were given to `score`.")],
    label: Annotated[list[str] | None, typer.Option(help="Only this pseudonym; may be given again.")] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The --out of their run: then scans are known whatever came or went since."),
    ] = None,
) -> None:
    """Which scan is which: pseudonym, name and path of those under PATHS. Exit code 3: a --label is none of them, is
    gone, or may be several."""
    from maescan.scoring.whose import whose

    found, doubts = whose(key, paths, label or (), out)
    for row in found:
        print("\t".join(row))
    for doubt in doubts:
        print(doubt, file=sys.stderr)
    if {*(label or ())} - {name for name, _, _ in found}:
        raise typer.Exit(3)


@commands.command()
@with_options(alerts=AlertOptions, leave_out=("on_alert", "log"))
def merge(
    shards: Annotated[list[Path], typer.Argument(help="The --out folders of shards 1/N to N/N.")],
    bundle: BundleOption,
    out: Out,
    *,
    alerts: AlertOptions,
) -> None:
    """Put the outputs of all shards together, as if one run had written them, with the exit codes of `score`. OUT is
    new, empty, or of an earlier merge."""
    from maescan.engines.bundle import Bundle
    from maescan.scoring.merge import merge as put_together

    summary = put_together(shards, Bundle.load(bundle), out)
    print(f"{counted(len(summary.scored), 'scan')}, {len(summary.failures)} failed: {out / 'scans.csv'}")
    _say_archive(summary)
    leave(summary, alerts)
