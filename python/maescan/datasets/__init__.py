"""Labelled slices: BraTS2020, LUNA16 and any folder of scans, in memory or from a prepared cache."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from maescan.config import Preset
from maescan.datasets.items import LabelledScan
from maescan.datasets.readers import Workers, read_usable
from maescan.datasets.sliceset import LeftOut, SliceSet, copies_told, left_out_told, scans_told
from maescan.errors import ConfigError, DataError, typed
from maescan.files import written_into
from maescan.records import read

__all__ = ["LeftOut", "Selection", "SliceSet", "Workers", "find", "load", "prepare"]


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What is taken of a data set: BraTS's modality; the patients' split, by the authors' files or by a seed."""

    modality: str | None = None
    split_dir: Path | None = None
    seed: int = 0


def find(
    path: Path, *, modality: str | None = None, split_dir: Path | None = None, seed: int = 0
) -> tuple[str, list[LabelledScan]]:
    """(kind, its scans) of a data set that is not read yet: brats, brats-hdf5, luna16 or folder.

    Raises DataError for what cannot be used, ConfigError for an option that this kind does not have.
    """
    try:
        return _find(Path(path), modality, split_dir, seed)
    except OSError as error:
        reason = f"cannot be read: {error.strerror or error}"
        raise DataError(reason, path=error.filename or path, remedy="check the path and its permissions") from error


def _find(path: Path, modality: str | None, split_dir: Path | None, seed: int) -> tuple[str, list[LabelledScan]]:
    from maescan.datasets.brats import find_brats
    from maescan.datasets.brats_hdf5 import find_hdf5
    from maescan.datasets.folder import find_folder
    from maescan.datasets.luna16 import find_luna16

    if not path.exists():
        raise DataError("does not exist", path=path, remedy="give a folder of scans")
    if items := find_brats(path, modality, split_dir, seed):
        return "brats", _named_once(items)
    if items := find_hdf5(path, modality, split_dir, seed):
        return "brats-hdf5", items
    if items := find_luna16(path, split_dir, seed):
        return "luna16", items
    if modality or split_dir:
        option = "--modality" if modality else "--split-dir"
        raise ConfigError(
            f"{option} is for BraTS2020 and LUNA16", path=path, remedy="leave it out, or check the path"
        )
    return "folder", find_folder(path)


def _check_kind(kind: str, preset: Preset, path: Path) -> None:
    """Raises ConfigError for whole slices where `score` would cut patches of CTs, and the other way round: a model
    would be trained and judged on what it never scores."""
    if kind == "luna16" and not preset.patches:
        reason = f"preset '{preset.name}' is of whole slices, these are patches of CTs"
        raise ConfigError(reason, path=path, remedy="use --preset luna16")
    if kind != "luna16" and preset.patches:
        reason = f"preset '{preset.name}' is of patches of CTs, and no table says around which places to cut them"
        remedy = "give .mhd files with a candidates.csv, as docs/datasets.md says of LUNA16"
        raise ConfigError(reason, path=path, remedy=remedy)


def _named_once(items: list[LabelledScan]) -> list[LabelledScan]:
    """The items. Raises DataError where two are called alike: they would be taken for one patient."""
    first: dict[str, LabelledScan] = {}
    for item in items:
        if (other := first.setdefault(item.name, item)) is not item:
            reason = f"is called {item.name}, as {typed(other.files[0].parent)} is: one name is one patient's"
            raise DataError(reason, path=item.files[0].parent, remedy="rename one, with its files, or move it out")
    return items


def load(
    path: Path,
    preset: Preset,
    *,
    modality: str | None = None,
    split_dir: Path | None = None,
    seed: int = 0,
    listen: Callable[[str], None] | None = None,
) -> SliceSet:
    """The slices of a data set, read into memory, or of a prepared cache, mapped. A set that is split has `split`;
    BraTS2020 and LUNA16 are, by `seed` or by the authors' files in `split_dir`. Scans that cannot be used are in
    `left_out`; `taken` says in one line how many are left, which modality was taken and what they have their labels
    of; `listen` is told both.

    Raises DataError, ScanError or ConfigError in one line; for a cache made with other preprocessing too."""
    from maescan.datasets.cache import Facts, cache_told, check_new, failed_told, is_cache, load_cache

    if is_cache(path):
        check_new(split_dir, path)
        slices, taken = load_cache(path, preset, modality=modality), cache_told(path) + failed_told(path)
        _check_kind(read(Facts, Path(path) / "cache.json", remedy="prepare it again").kind, preset, path)
    else:
        kind, items = find(path, modality=modality, split_dir=split_dir, seed=seed)
        _check_kind(kind, preset, path)
        slices = read_usable(items, preset, path)
        taken = f"{scans_told(slices.patient, slices.label, slices.whose)}: {items[0].note}"
    taken += copies_told(slices)
    if listen:
        for line in (taken, *left_out_told(slices.left_out)):
            listen(line)
    return replace(slices, taken=taken)


def prepare(
    data: Path,
    preset: Preset,
    out: Path,
    *,
    of: Selection = Selection(),
    readers: Workers = Workers(),
    listen: Callable[[str], None] | None = None,
) -> dict[str, int]:
    """Reads a data set once into a cache at `out` that `load` maps; returns {scans, slices, kept, failed}. of: what
    is taken of it. Scans that cannot be read are left out and stand in failures.csv. Killed, it goes on when called
    again. `listen` is told as by `load`. Raises as `load`."""
    from maescan.datasets.brats import checked_modality
    from maescan.datasets.cache import cache_told, prepare_cache

    modality = of.modality
    kind, items = find(data, modality=modality, split_dir=of.split_dir, seed=of.seed)
    _check_kind(kind, preset, data)
    if kind == "brats":
        modality = checked_modality(modality)
    elif kind == "brats-hdf5":
        modality = modality or "channel:0"
    with written_into(out):
        made = prepare_cache(kind, items, preset, out, workers=readers, modality=modality)
    if listen:
        listen(cache_told(out))
    return made
