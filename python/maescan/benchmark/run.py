"""The whole benchmark, in the order of its report."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from maescan.benchmark import engines, folder, limits, machine, report, scaling, weights
from maescan.config import PRESETS, Preset
from maescan.config import preset as named
from maescan.config.types import Json
from maescan.engines import device_for
from maescan.engines.bundle import Bundle
from maescan.engines.targets import best_for, kind_of
from maescan.errors import ConfigError, EngineError, installing
from maescan.folders import taken
from maescan.machine import available_cores, gpus, require_gpu
from maescan.options import EngineOptions
from maescan.scans.scratch import on_the_way

SCHEMA = 1
FILES = "bench.json", "bench.md", "batches.png", "folders.png"
PRECISIONS = "fp32", "bf16", "int8"


@dataclass(frozen=True)
class Size:
    """How much is measured. seconds: a batch size, and about how long a folder takes; depth: most slices per scan."""

    batches: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    seconds: float = 5.0
    folder_seconds: float = 60.0
    scans: int = 4
    depth: int = 155
    folders: tuple[int, ...] = scaling.FOLDERS


QUICK = Size((1, 8), 0.3, 4.0, 2, 32, (2, 8))


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is measured: a bundle, or a preset with random weights; on which device, with how many threads and
    readers; trust: TorchScript of a bundle too, which can run any code; quick: in a minute. size: how much, where
    neither is."""

    bundle: Path | None = None
    preset: str = "brats"
    random_weights: bool = False
    device: str = "cpu"
    threads: int | None = None
    workers: int = 2
    trust: bool = False
    quick: bool = False
    size: Size | None = None


def bench(
    out: Path,
    subject: Subject,
    *,
    command: str = "",
    say: Callable[[str], None] = lambda text: None,
    listen: Callable[[str], None] | None = None,
) -> Json:
    """Measures a bundle's engines, or those of random weights, and writes OUT/bench.json, bench.md and pictures. say:
    told what is measured; listen: what is replaced.

    Raises ConfigError for neither or both of bundle and random_weights, and for random weights without torch;
    EngineError where the bundle has no engine for `device`; DataError where `out` holds what maescan did not write.
    """
    if (subject.bundle is None) != subject.random_weights:
        raise ConfigError("give one of the two", remedy="--bundle B, or --preset P --random-weights")
    with taken(out, "a benchmark", before=FILES, listen=listen) as run:
        with on_the_way() as at:
            if subject.bundle is None:
                say("nothing yet: building engines of random weights")
                bundle = _random(named(subject.preset), at, subject.device, subject.quick)
            values = _measure(subject.bundle or bundle, at, subject, say)
        head = {"command": command, "random_weights": subject.random_weights, "quick": subject.quick}
        values = {"schema": SCHEMA, **head, **values}
        of = f"bundle {subject.bundle}" if subject.bundle else f"random weights of preset {subject.preset}"
        run.replace(FILES, of)
        report.write(out, values)
    return values


def _random(preset: Preset, at: Path, device: str, quick: bool) -> Path:
    on_cpu = not gpus() if device == "auto" else kind_of(device) == "cpu"
    best = None if on_cpu else best_for(require_gpu("cuda" if device == "auto" else device))
    images = weights.slices_of_a_phantom(preset, at / "phantom", 48)
    settings = weights.with_buckets(preset, images)
    if best is None:
        return weights.random_bundle(settings, at / "random", PRECISIONS[:2] if quick else PRECISIONS, images)
    fast = importlib.util.find_spec(best.package) is not None
    to, precisions = ("torchscript", *([best.name] if fast else [])), ("fp32", "fp16", "bf16")
    return weights.random_bundle(settings, at / "random", precisions, images, to=to)


def _measure(bundle: Path, at: Path, subject: Subject, say: Callable[[str], None]) -> Json:
    loaded, size = Bundle.load(bundle), subject.size or (QUICK if subject.quick else Size())
    threads, trust = subject.threads, subject.trust or subject.random_weights
    device = device_for(loaded, subject.device, trust=trust)
    preset, found = loaded.preset, engines.runnable(loaded, device)
    if not found:
        raise EngineError(f"has no engine for '{device}'", path=bundle, remedy="see `maescan export --help`")
    cores = threads or available_cores()
    say("the limits: matrix products and copies")
    bounds = limits.measure([p for _, p in found] if device == "cpu" else [], cores, quick=size.seconds < 1)
    images, rows = weights.slices_of_a_phantom(preset, at / "slices", 48)[8:40], []
    for target, precision in found:
        say(f"engine {target}-{precision}")
        engine = EngineOptions(device=device, target=target, precision=precision, threads=threads, trust=trust)
        rows.append(engines.apart(engines.measure, bundle, engine, images, size.batches, size.seconds))
    working = [row for row in rows if "batches" in row]
    _beside(working, bounds, preset)
    values = {**machine.describe(), "device": device, "threads": cores, "preset": preset.to_dict(), "limits": bounds}
    values["engines"] = rows
    if not working:
        return values
    best = max(working, key=lambda row: max(each["slices_per_second"] for each in row["batches"]))
    chosen = {name: best[name] for name in ("target", "precision")}
    engine = EngineOptions(device=device, **chosen, threads=threads, trust=trust)
    say(f"folders, with {best['engine']}")
    rate = max(each["slices_per_second"] for each in best["batches"])
    values["folders"] = _folders(bundle, at, size, rate, engine, subject.workers)
    say("scaling")
    counts = _powers(cores) if device == "cpu" else []
    values["scaling"] = {
        "threads": engines.apart(scaling.threads, bundle, images, counts, size.seconds, engine),
        "sizes": engines.apart(scaling.sizes, bundle, images, size.seconds, engine),
        "folders": _many(at, size, threads, subject.workers),
    }
    return values


def _beside(rows: list[Json], bounds: Json, preset: Preset) -> None:
    """The limit beside every figure. A peak measured just before a figure stands for the machine of that moment, and
    the best of all peaks for the machine when idle."""
    for row in rows:
        for each in row["batches"]:
            moment = each.pop("gemm_peak")
            if moment:
                bounds["gemm"][row["precision"]] = max(moment, bounds["gemm"][row["precision"]])
    for row in rows:
        for each in row["batches"]:
            bound = limits.limit(preset, row["precision"], each["batch"], bounds)
            each["limit"] = bound
            each["share"] = each["slices_per_second"] / bound["slices_per_second"] if bound else None


def _folders(bundle: Path, at: Path, size: Size, rate: float, engine: EngineOptions, workers: int) -> list[Json]:
    """Folders of gzip NIfTI and of DICOM, of about as many slices as take `size.folder_seconds`."""
    preset = Bundle.load(bundle).preset
    depth = int(min(size.depth, max(8, rate * size.folder_seconds / size.scans)))
    side = preset.model.image_size * 240 // 224
    rows: list[Json] = []
    for form, name in folder.FORMATS.items():
        if not folder.can_write(form):
            rows.append({"format": name, "skipped": installing("needs pydicom: pip install 'maescan[dicom]'")})
            continue
        scans = folder.write_scans(at / form, size.scans, (side, side, depth), preset, form)
        row = engines.apart(folder.measure, scans, bundle, at / f"out-{form}", engine, workers)
        rows.append({"format": name, "shape": [side, side, depth], **row})
    return rows


def _many(at: Path, size: Size, threads: int | None, workers: int) -> list[Json]:
    """Folder sizes on a tiny model, so that 200 scans take seconds; needs torch for its weights."""
    tiny = PRESETS["tiny"]
    images = weights.slices_of_a_phantom(tiny, at / "tiny-phantom", 16)
    try:
        bundle = weights.random_bundle(tiny, at / "tiny", ("fp32",), images)
    except ConfigError:
        return []
    engine = EngineOptions(device="cpu", target="openvino", precision="fp32", threads=threads)
    return scaling.folders(bundle, at / "many", size.folders, engine, workers)


def _powers(cores: int) -> list[int]:
    """1, 2, 4, ... and all cores."""
    return sorted({cores, *(2**power for power in range(12) if 2**power < cores)})
