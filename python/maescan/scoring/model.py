"""The Python face: a bundle that scores scans in this process, or folders of them with reader processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from maescan.engines.bundle import Bundle
from maescan.errors import ScanError
from maescan.options import EngineOptions
from maescan.results.maps import Scale
from maescan.scans import Scan, read_scan
from maescan.scans.memory import as_scan
from maescan.scoring.conformal import Reference
from maescan.scoring.options import ScoreOptions

if TYPE_CHECKING:
    from PIL.Image import Image

    from maescan.scoring.summary import Summary


@dataclass(frozen=True, eq=False)
class ScanScores:
    """One scan's result. slice_scores [S]: higher is more abnormal, slice 0 the most inferior; map [X, Y, Z]:
    |scan - reconstruction| on the scan's own grid; affine [4, 4]: voxel index to RAS+ mm; p_value, alert: None for a
    bundle that is not calibrated, and for a scan of another kind than the bundle's; fit: `method.gate.Fit`."""

    scan: str
    score: float
    slice_scores: NDArray[np.float32]
    map: NDArray[np.float32]
    affine: NDArray[np.float64]
    p_value: float | None = None
    alert: bool | None = None
    fit: str = "ok"
    warnings: tuple[str, ...] = ()
    picture: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((1, 4, 3), np.uint8), repr=False)

    @property
    def highest_slice(self) -> int:
        """The slice that scores highest."""
        return int(np.argmax(self.slice_scores))

    def show(self) -> Image:
        """The highest-scoring slice: image, reconstruction, difference, overlay. A notebook draws it."""
        from PIL import Image

        return Image.fromarray(self.picture)

    def save_map(self, path: str | Path) -> None:
        """Writes the map as NIfTI, whole or not at all. Raises DataError where `path` cannot be written."""
        from maescan.files import write_nifti

        write_nifti(Path(path), self.map, self.affine)


class Model:
    """A bundle with its proven engine. Close it, or use it in a `with` block."""

    def __init__(self, bundle: str | Path, options: EngineOptions = EngineOptions()) -> None:
        """Raises BundleError (damaged, drifts) and EngineError (cannot run here)."""
        from maescan import engines, kernels

        kernels.set_threads(options.threads)
        self.bundle = Bundle.load(Path(bundle))
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

    def score_scan(self, scan: object, *, alert_rate: float = 0.05) -> ScanScores:
        """Scores one scan in this process.

        scan: a path, a `Scan`, a nibabel or SimpleITK image, or (voxels [X, Y, Z], affine [4, 4]).
        Raises ScanError for what cannot be read or scored and for label maps, ConfigError for a bundle of CT patches.
        """
        from maescan.method import aggregate, gate, regions
        from maescan.method.heat import mapped_slices
        from maescan.method.preprocess import prepare, to_source, upright
        from maescan.results.pictures import panels

        regions.check(self.preset, None)
        read = scan if isinstance(scan, Scan) else as_scan(scan) or read_scan(_path(scan))
        other = gate.admit(read, self.preset)
        prepared = prepare(read, self.preset, expected=self.bundle.manifest.get("intensity"))
        other = other or gate.windowed(read, prepared.warnings)
        parts = [
            mapped_slices(prepared.images[start : start + self.engine.batch], ids, self.engine, self.preset)
            for start, ids in self._batches(len(prepared.images))
        ]
        scores = np.concatenate([part.score for part in parts])
        if not np.isfinite(scores).all():
            raise ScanError(
                "has slices without a finite score", path=read.path, remedy="run `maescan verify` on the bundle"
            )
        difference = np.concatenate([part.difference for part in parts if part.difference is not None])
        made = np.concatenate([part.reconstruction for part in parts if part.reconstruction is not None])
        highest = int(np.argmax(scores))
        image, expected, heat = (upright(part[highest], self.preset) for part in (prepared.images, made, difference))
        score = aggregate.scan_score(scores, self.bundle.manifest.get("aggregation"))
        reference = Reference.of(self.bundle.manifest, alert_rate)
        p_value, alert = reference.scan(score) if reference and not other else (None, None)
        return ScanScores(
            read.name,
            score,
            scores,
            to_source(difference, prepared),
            read.affine,
            p_value,
            None if alert is None else alert == "yes",
            str(gate.fit_of(other, prepared.warnings)),
            tuple(dict.fromkeys([*([other] if other else []), *read.warnings, *prepared.warnings])),
            panels(image, expected, heat, self.scale.top),
        )

    def score(
        self, paths: str | Path | Sequence[str | Path], out: str | Path, options: ScoreOptions = ScoreOptions()
    ) -> Summary:
        """Scores files and folders as `maescan score` does, with reader processes, into `out`. A script that calls
        this does so under `if __name__ == "__main__":`. Raises DataError and ConfigError."""
        from maescan.scoring.pipeline import score_folder

        given = [paths] if isinstance(paths, str | Path) else paths
        return score_folder([Path(path) for path in given], self.bundle, self.engine, Path(out), options)

    def close(self) -> None:
        """Frees the engine."""
        self.engine.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _batches(self, slices: int) -> list[tuple[int, NDArray[np.uint64]]]:
        size = self.engine.batch
        return [
            (start, np.arange(start, min(start + size, slices), dtype=np.uint64)) for start in range(0, slices, size)
        ]


def load(
    bundle: str | Path, *, device: str = "cpu", precision: str | None = None, threads: int | None = None
) -> Model:
    """A bundle with its engine for `device` (auto, cpu, gpu, cuda:N), after its golden slices agreed with the fp32
    reference. auto: a GPU where the bundle has an engine for one that is here, else the CPU.

    Raises BundleError (damaged, drifts) and EngineError (cannot run here)."""
    return Model(bundle, EngineOptions(device=device, precision=precision, threads=threads))


def _path(scan: object) -> Path:
    if isinstance(scan, str | Path):
        return Path(scan)
    remedy = "give a path, a nibabel or SimpleITK image, or (voxels, affine)"
    raise ScanError(f"a {type(scan).__name__} is no scan", remedy=remedy)
