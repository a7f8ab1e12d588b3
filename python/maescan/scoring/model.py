"""The Python face: a bundle that scores scans in this process, or folders of them with reader processes."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from maescan.config.types import Json
from maescan.engines.bundle import Bundle
from maescan.errors import ConfigError, DataError, ScanError, given, given_path, given_paths
from maescan.method.raw import RawSlices, Slices
from maescan.options import EngineOptions, ReadOptions
from maescan.results.maps import Scale, write_values
from maescan.scans import Scan, read_scan
from maescan.scans.blank import without_blanks
from maescan.scans.memory import as_scan
from maescan.scans.nifti import is_map
from maescan.scans.scan import missing_slices
from maescan.scoring.conformal import Reference
from maescan.scoring.options import ScoreOptions

if TYPE_CHECKING:
    from PIL.Image import Image

    from maescan.scoring.summary import Summary


@dataclass(frozen=True, eq=False)
class ScanScores:
    """One scan's result. slice_scores [S]: higher is more abnormal, slice 0 the most inferior, NaN for one
    that is missing; map [X, Y, Z] on the scan's own grid: |scan - reconstruction|, of a judge the probability of an
    anomaly, as `scale.values` says, coloured up to `scale.top`; affine [4, 4]: voxel index to RAS+
    mm; p_value, alert: None for a bundle that is not calibrated, and for a scan of another kind than the bundle's;
    fit: `method.gate.Fit`; placed: as `Scan` has it."""

    scan: str
    score: float
    slice_scores: NDArray[np.float32] = field(repr=False)
    map: NDArray[np.float32] = field(repr=False)
    affine: NDArray[np.float64] = field(repr=False)
    p_value: float | None = None
    alert: bool | None = None
    fit: str = "ok"
    warnings: tuple[str, ...] = ()
    picture: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((1, 4, 3), np.uint8), repr=False)
    placed: Json | None = field(default=None, repr=False)
    scale: Scale = field(repr=False, kw_only=True)

    @property
    def highest_slice(self) -> int:
        """The slice that scores highest."""
        return int(np.nanargmax(self.slice_scores))

    def show(self) -> Image:
        """The highest-scoring slice: image, reconstruction, map, overlay. A notebook draws it."""
        from PIL import Image

        return Image.fromarray(self.picture)

    def save_map(self, path: str | Path) -> None:
        """Writes the map as NIfTI, whole or not at all. Raises DataError where `path` cannot be written or holds what
        is no map of maescan, as the scan, and ConfigError where it does not end with .nii.gz."""
        place = given_path(path)
        if not place.name.endswith(".nii.gz"):
            raise ConfigError("a map's file ends with .nii.gz", path=place, remedy="name it so")
        if place.is_file() and not is_map(place):
            raise DataError("is no map of maescan, and would be lost", path=place, remedy="give another name")
        write_values(place, self.map, (self.affine, self.placed), self.scale)


class Model:
    """A bundle with its proven engine. Close it, or use it in a `with` block. Threads that share one take turns."""

    def __init__(self, bundle: str | Path, options: EngineOptions = EngineOptions()) -> None:
        """Raises BundleError (damaged, drifts) and EngineError (cannot run here)."""
        from maescan import engines, kernels

        kernels.set_threads(given(EngineOptions, options, "options").threads)
        self.bundle = Bundle.load(given_path(bundle, "bundle"))
        self.preset = self.bundle.preset
        self.scale = Scale.of(self.preset, self.bundle.manifest.get("calibration"))
        self.engine = engines.load(
            self.bundle,
            device=options.device,
            target=options.target,
            precision=options.precision,
            threads=options.threads,
            trust=options.trust,
        )
        self._turn, self._closed, self._process = threading.Lock(), False, os.getpid()

    def score_scan(self, scan: object, *, read: ReadOptions = ReadOptions(), alert_rate: float = 0.05) -> ScanScores:
        """Scores one scan in this process.

        scan: a path, a `Scan`, a nibabel or SimpleITK image, or (voxels [X, Y, Z], affine [4, 4]). read: its `volume`
        and `accept`, as of `maescan score`. alert_rate: the share of healthy scans that may alert, 0 to 1.
        Raises ScanError for what cannot be read or scored and for label maps, ConfigError for a bundle of CT patches,
        an option out of range and a model that is closed.
        """
        from maescan.method import aggregate, gate, regions
        from maescan.method.intensity import scan_figures
        from maescan.method.preprocess import prepare_raw, to_source, upright
        from maescan.results.pictures import panels

        rate = ScoreOptions(alert_rate=alert_rate).alert_rate
        if self.preset.patches:
            reason = f"score_scan scores whole slices, preset '{self.preset.name}' patches of a CT"
            remedy = "use score, with ReadOptions(regions=LungTiles()) or (regions=CandidateTable.read(TABLE))"
            raise ConfigError(reason, remedy=remedy)
        regions.check(self.preset, given(ReadOptions, read, "read").regions)
        found = self._read(scan, read)
        other = gate.admit(found, self.preset, read.accept)
        prepared, raw = prepare_raw(found, self.preset, expected=self.bundle.manifest.get("intensity"))
        other = other or gate.windowed(found, prepared.warnings)
        scores, difference, made = self._scored(prepared.images, raw)
        seen = _seen(found, scores, difference)
        highest = int(np.nanargmax(scores))
        image, expected, heat = (upright(part[highest], self.preset) for part in (prepared.images, made, difference))
        score = aggregate.scan_score(seen, self.bundle.manifest.get("aggregation"))
        reference = Reference.of(self.bundle.manifest, rate)
        judged = reference is not None and (not other or "modality" in read.accept)
        p_value, alert = reference.scan(score) if reference and judged else (None, None)
        beside = reference.unlike(scan_figures(found, prepared.fit), len(seen)) if reference and judged else []
        notes = [*([other] if other else []), *found.warnings, *prepared.warnings, *prepared.notes, *beside]
        return ScanScores(
            found.name,
            score,
            scores,
            to_source(difference, prepared),
            found.affine,
            p_value,
            None if alert is None else alert == "yes",
            str(gate.fit_of(other, prepared.warnings)),
            tuple(dict.fromkeys(notes)),
            panels(image, expected, self.scale.shares(heat)),
            found.placed,
            scale=self.scale,
        )

    def score(
        self, paths: str | Path | Sequence[str | Path], out: str | Path, options: ScoreOptions = ScoreOptions()
    ) -> Summary:
        """Scores files and folders as `maescan score` does, with reader processes, into `out`.
        Raises DataError and ConfigError."""
        from maescan.scoring.pipeline import score_folder

        roots = given_paths(paths, "a scan's path")
        if not roots:
            raise ConfigError("no path was given", remedy="name a file or a folder")
        given(ScoreOptions, options, "options")
        with self._in_turn():
            return score_folder(roots, self.bundle, self.engine, given_path(out, "out"), options)

    def close(self) -> None:
        """Frees the engine, once what is being scored is done; in a process that forked from its own, nothing."""
        if os.getpid() != self._process:
            return
        with self._turn:
            self._closed = True
            self.engine.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextlib.contextmanager
    def _in_turn(self) -> Iterator[None]:
        self._check_process()
        with self._turn:
            if self._closed:
                raise ConfigError("this model is closed", path=self.bundle.path, remedy="load it again")
            yield

    def _check_process(self) -> None:
        """An engine's threads are not forked: a child would wait for them for ever."""
        if os.getpid() != self._process:
            remedy = "load it in the process that uses it"
            raise ConfigError("this model was loaded in another process", path=self.bundle.path, remedy=remedy)

    def _read(self, scan: object, read: ReadOptions) -> Scan:
        given(ReadOptions, read, "read")
        found = as_scan(scan, volume=read.volume, accept=read.accept)
        return without_blanks(found) if found else read_scan(_path(scan), volume=read.volume, accept=read.accept)

    def _scored(
        self, images: NDArray[np.float32], raw: RawSlices | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Scores [S], |slice - reconstruction| and reconstructions [S, h, w] of slices [S, h, w], or of their voxels
        where the engine takes these."""
        from maescan.method.heat import mapped_slices
        from maescan.method.score import takes_raw
        from maescan.method.tokens import token_sets

        as_raw = raw is not None and raw.for_devices and takes_raw(self.engine, self.preset)
        sent: Slices = raw.packed() if raw is not None and as_raw else images
        parts, size = [], self.engine.batch
        with self._in_turn():
            for start in range(0, len(images), size):
                part = slice(start, start + size)
                ids, sets = np.arange(len(images), dtype=np.uint64)[part], token_sets(images[part], self.preset)
                parts.append(mapped_slices(sent[part], ids, self.engine, self.preset, sets=sets))
        heat = [part.difference for part in parts if part.difference is not None]
        made = [part.reconstruction for part in parts if part.reconstruction is not None]
        return np.concatenate([part.score for part in parts]), np.concatenate(heat), np.concatenate(made)


def load(
    bundle: str | Path, *, device: str = "cpu", precision: str | None = None, threads: int | None = None
) -> Model:
    """A bundle with its engine for `device` (auto, cpu, gpu, cuda:N), after its golden slices agreed with the fp32
    reference. auto: a GPU where the bundle has an engine for one that is here, else the CPU.

    Raises BundleError (damaged, drifts) and EngineError (cannot run here)."""
    return Model(bundle, EngineOptions(device=device, precision=precision, threads=threads))


def _seen(scan: Scan, scores: NDArray[np.float32], heat: NDArray[np.float32]) -> NDArray[np.float32]:
    """The scores of slices that an image was there of; of the others score and heat [S, h, w] are none. Raises
    ScanError for one that is not finite."""
    if not np.isfinite(scores).all():
        remedy = "run `maescan verify` on the bundle"
        raise ScanError("has slices without a finite score", path=scan.path, remedy=remedy)
    missing = list(missing_slices(scan))
    scores[missing], heat[missing] = np.nan, 0
    return np.delete(scores, missing)


def _path(scan: object) -> Path:
    if isinstance(scan, str | os.PathLike):
        return given_path(scan)
    remedy = "give a path, a nibabel or SimpleITK image, or (voxels, affine)"
    raise ScanError(f"a {type(scan).__name__} is no scan", remedy=remedy)
