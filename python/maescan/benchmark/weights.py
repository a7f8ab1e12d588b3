"""Random weights as a bundle, so that a machine can be measured before anyone trained anything. Needs torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from maescan.config import Preset
from maescan.errors import ConfigError
from maescan.method.engine import Floats


def random_bundle(
    preset: Preset, folder: Path, precisions: tuple[str, ...], images: Floats, *, to: tuple[str, ...] = ("openvino",)
) -> Path:
    """FOLDER/bundle with engines of untrained models. images [N, H, W] float32: slices for int8's ranges.

    Raises ConfigError without torch and timm.
    """
    try:
        from safetensors.numpy import save_file

        from maescan.models.untrained import save_untrained, save_untrained_judge
    except ImportError as error:
        raise ConfigError(
            f"--random-weights builds a model, which needs a package: {error}",
            remedy="pip install 'maescan[train]', or measure a bundle with --bundle",
        ) from error
    import maescan.export as exporting
    from maescan.export.checkpoint import import_checkpoint
    from maescan.files import write_json

    mae, classifier = save_untrained(preset, folder)
    public = preset.replace(measure="classifier") if preset.network == "judge" else preset
    run = import_checkpoint(mae, classifier, public, folder / "run")
    if preset.network == "judge":
        save_untrained_judge(preset, run / "judge.safetensors")
        write_json(run / "preset.json", preset.to_dict())
    full = images[np.argsort([-np.count_nonzero(image) for image in images], kind="stable")[:8]]
    save_file(
        {"images": np.ascontiguousarray(full, np.float32), "slice_ids": np.arange(len(full))},
        run / "quantisation.safetensors",
    )
    return Path(exporting.export(run, folder / "bundle", to=to, precision=precisions))


def slices_of_a_phantom(preset: Preset, folder: Path, count: int) -> Floats:
    """`count` slices [N, H, W] float32 on the preset's grid, of artificial scans written into `folder`."""
    from maescan.datasets.phantom import Look, write_phantom
    from maescan.method.preprocess import prepare
    from maescan.scans import find_scans, read_scan

    write_phantom(
        folder, healthy=-(-count // 24), lesions=0, seed=0, look=Look(kind=_kind(preset), shape=(96, 96, 24))
    )
    made = [prepare(read_scan(source), preset).images for source in find_scans([folder])]
    return np.concatenate(made)[:count].astype(np.float32)


def with_buckets(preset: Preset, images: Floats) -> Preset:
    """The preset, with sizes of token sets for `images` where it has foreground tokens and no sizes yet."""
    if preset.tokens.method == "all" or preset.tokens.buckets:
        return preset
    from maescan.method.tokens import choose_buckets, token_sets

    sets = token_sets(images, preset)
    return preset.replace(tokens__buckets=choose_buckets(sets.count, preset)) if sets else preset


def _kind(preset: Preset) -> str:
    return "lung" if preset.modality == "ct" else "brain"
