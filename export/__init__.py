"""Checkpoint -> bundle: weights, engines, and golden answers that prove them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from msgspec import field
from msgspec.structs import asdict

from maescan import progress
from maescan.config import Preset
from maescan.config.types import Json
from maescan.datasets.sliceset import SliceSet
from maescan.engines import FROM_RUN
from maescan.engines.bundle import Bundle, put_engine, share, write_manifest
from maescan.engines.manifest import Card
from maescan.engines.targets import TARGETS
from maescan.errors import ConfigError, DataError, escaped
from maescan.export.engine import build, check_buildable
from maescan.export.golden import Golden, write_golden
from maescan.files import check_outside, sync
from maescan.folders import check_changeable
from maescan.records import Record, check, read
from maescan.scans.scratch import folder_beside, on_the_way

AGAIN = "give a finished run folder of `maescan train`"


def export(
    run: Path,
    out: Path,
    *,
    to: Sequence[str] = ("openvino",),
    precision: Sequence[str] = (),
    golden: Golden = "phantom",
    card: Card = Card(),
) -> Path:
    """A bundle at `out` from a run folder of `maescan train`; it appears whole or not at all. Where `run` is a bundle
    itself, its own engines are added to; where `out` is the bundle that was made of this run, engines are added to
    it, with the run's slices for int8's ranges, which no bundle holds.

    Every target is built in each precision that it knows of those asked for; with none asked for, in the closest to
    the reference that it has. `golden`: the slices that it proves itself with. `card`: what its model card says.

    Raises ConfigError for a target or a precision that none knows, DataError for an unfinished run or an existing
    `out`, BundleError for an engine that drifts, EngineError for one that cannot be built here.
    """
    wanted = _wanted(to, precision)
    run, out = Path(run), Path(out)
    if (run / "manifest.json").exists():
        return _add(Bundle.load(run), out, wanted)
    preset = _preset(run)
    if _made_of(run, out):
        _engines(out, wanted, run)
        return out
    with _new(out) as made:
        (made / "golden").mkdir(parents=True)
        for name in _weights(run, preset):
            shutil.copyfile(run / name, made / name)
        write_golden(run, made, preset, golden)
        report = _report(run)
        write_manifest(
            made, preset, _provenance(report), golden=golden, card=_said(card), intensity=report.get("intensity")
        )
        _engines(made, wanted, run)
    return out


@contextlib.contextmanager
def _new(out: Path) -> Iterator[Path]:
    """A folder beside `out` that becomes it. Raises DataError where there is an `out`, before or meanwhile,
    ConfigError where it would lie in a bundle."""
    check_outside(out)
    taken = DataError("exists already", path=out, remedy="name a new folder")
    if out.exists():
        raise taken
    with folder_beside(out) as temporary:
        made = temporary / "bundle"
        yield made
        share(made)
        for path in made.rglob("*"):
            sync(path)
        try:
            made.rename(out)
        except OSError as error:
            raise (taken if out.exists() else error) from error
        sync(out.parent)


def add_engine(bundle: Path, to: Sequence[str], precision: Sequence[str]) -> Path:
    """Adds engines to a bundle, or makes them anew; raises as `export`."""
    return export(bundle, bundle, to=to, precision=precision)


def import_checkpoint(
    mae: Path,
    classifier: Path | None,
    preset: str,
    out: Path,
    *,
    data: Path | None = None,
    load: Callable[[Path, Preset], SliceSet] | None = None,
    **options: Any,
) -> Path:
    """A bundle at `out` from public checkpoints of the two networks. `data`: scans like those that they were trained
    on, a data set or a prepared cache; see `checkpoint.import_checkpoint`. load: reads them in place of
    `datasets.load`. `options` are those of `export`. Raises DataError where they do not fit."""
    from maescan import datasets
    from maescan.config import preset as named
    from maescan.export import checkpoint as checkpoints

    if out.exists():
        raise DataError("exists already", path=out, remedy="name a new folder")
    wanted = {precision for _, precision in _wanted(options.get("to", ("openvino",)), options.get("precision", ()))}
    if data is None and (ranged := ", ".join(sorted(wanted & set(FROM_RUN)))):
        raise ConfigError(
            f"{ranged} takes its ranges from slices, and weights hold none", remedy="give --data SCANS too"
        )
    chosen = named(preset)
    slices = None if data is None else (load or datasets.load)(data, chosen)
    with on_the_way() as folder:
        run = checkpoints.import_checkpoint(mae, classifier, chosen, folder, slices)
        return export(run, out, **options)


def _wanted(to: Sequence[str], precision: Sequence[str]) -> list[tuple[str, str]]:
    if unknown := [target for target in to if target not in TARGETS]:
        raise ConfigError(f"cannot export to {', '.join(unknown)}", remedy=f"known are {', '.join(TARGETS)}")
    if not precision:
        return [(target, TARGETS[target].precisions[0]) for target in to]
    known = "; ".join(f"{target}: {', '.join(found.precisions)}" for target, found in TARGETS.items())
    pairs = [(target, name) for target in to for name in precision if name in TARGETS[target].precisions]
    for target in to:
        if not any(target == found for found, _ in pairs):
            raise ConfigError(f"cannot export to {target} in {', '.join(precision)}", remedy=f"known are {known}")
    for name in precision:
        if not any(name == found for _, found in pairs):
            raise ConfigError(f"cannot export to {', '.join(to)} in {name}", remedy=f"known are {known}")
    return pairs


def _add(bundle: Bundle, out: Path, wanted: list[tuple[str, str]]) -> Path:
    """A copy at `out` with the engines added, or the bundle itself where `out` is the same folder."""
    if os.path.realpath(out) == os.path.realpath(bundle.path):
        _engines(bundle.path, wanted)
        return bundle.path
    with _new(out) as made:
        for name in ("manifest.json", *bundle.manifest["files"]):  # whatever else lies there is not the bundle's
            (made / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(bundle.path / name, made / name)
        _engines(made, wanted)
    return out


def _engines(path: Path, wanted: list[tuple[str, str]], run: Path | None = None) -> None:
    """Builds engines beside a sealed bundle and puts each in, once all can be built as far as is known before."""
    check_changeable(path)
    whole = replace(Bundle.load(path, signed=False), run=run)
    for target, precision in wanted:
        check_buildable(whole, target, precision)
    for done, (target, precision) in enumerate(wanted):
        progress.tell(done, len(wanted), f"building {target}-{precision}")
        bundle = replace(Bundle.load(path, signed=False), run=run)
        with folder_beside(path) as temporary:
            made = temporary / "engine"
            build(bundle, made, target, precision)
            put_engine(path, f"{target}-{precision}", made)


def _weights(run: Path, preset: Preset) -> list[str]:
    names = ("mae.safetensors", f"{preset.network or 'classifier'}.safetensors")
    return [name for name in names if (run / name).exists()]


def _made_of(run: Path, out: Path) -> bool:
    """Whether `out` is a bundle of this run's weights."""
    if not (out / "manifest.json").is_file():
        return False
    files = Bundle.load(out, signed=False).known.files
    ours = {name: hashlib.sha256((run / name).read_bytes()).hexdigest() for name in _weights(run, _preset(run))}
    return ours.items() <= files.items()


class Report(Record, frozen=True):
    """What of a run's run.json an export reads."""

    warnings: list[str] = field(default_factory=list)
    intensity: dict[str, list[float]] | None = None
    patients: dict[str, list[str]] = field(default_factory=dict)


def _report(run: Path) -> Json:
    """run.json. Raises DataError for one that `maescan train` did not write."""
    values = read(dict[str, object], run / "run.json", remedy=AGAIN)
    check(Report, values, path=run / "run.json", remedy=AGAIN)
    if values.get("phase", "done") != "done":
        remedy = "type the same `maescan train` again: it goes on where it was"
        raise DataError(f"is not trained to its end: it is at '{values['phase']}'", path=run, remedy=remedy)
    return values


def _provenance(report: Json) -> Json:
    """What of a run's report goes into a bundle: patients are counted, not named."""
    counts = {name: len(patients) for name, patients in report.get("patients", {}).items()}
    kept = {name: value for name, value in report.items() if name != "taken"}  # it may name a table of the site
    return {**kept, **({"patients": counts} if counts else {})}


def _said(card: Card) -> Json | None:
    values = {name: escaped(value) if isinstance(value, str) else value for name, value in asdict(card).items()}
    return None if card == Card() else values


def _preset(run: Path) -> Preset:
    for name in ("preset.json", "run.json", "golden.safetensors"):
        if not (run / name).is_file():
            raise DataError(f"lacks {name}", path=run, remedy=AGAIN)
    try:
        preset = Preset.from_dict(read(dict[str, object], run / "preset.json", remedy=AGAIN))
    except ConfigError as error:
        raise DataError(error.reason, path=run / "preset.json", remedy=error.remedy or AGAIN) from error
    needed = ["mae"] if preset.input != "image" else []
    for name in [*needed, *([preset.network] if preset.network else [])]:
        if not (run / f"{name}.safetensors").is_file():
            reason = f"its {name} is not trained yet"
            raise DataError(reason, path=run, remedy="run `maescan train` again to finish it")
    return preset
