"""A bundle: what travels to the workstation, and proves itself there. A folder of JSON, safetensors and engines.

A bundle never changes in place. An engine is a folder of its own, engines/NAME/VERSION, whose VERSION is a hash of
what it holds; what of them is in force is what manifest.json lists, and one rename of it changes that. Who reads sees
the bundle as it was before or after, wherever whoever writes is stopped.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from maescan.config import Preset
from maescan.content import read_content, sha256
from maescan.engines.manifest import ANEW, SCHEMA_VERSION, Manifest, body_hash, check_manifest, parse, read_engine
from maescan.engines.signing import SIGNATURE, check_trusted
from maescan.errors import BundleError, ConfigError, MaescanError, escaped, typed, unread
from maescan.files import finite, sync, write_text
from maescan.folders import changing

NEEDED = ("golden/golden.safetensors", "golden/scan.nii.gz", "mae.safetensors")
COIN = "no better than a coin"
CHANGES = ("calibration", "intensity", "aggregation", "card")
"""Fields of a manifest that a finished bundle may get, or get anew."""


def cautions_at(path: Path) -> list[str]:
    """`Bundle.cautions` of a folder, by its manifest alone; none where it cannot be read."""
    try:
        file = Path(path) / "manifest.json"
        return Bundle(Path(path), parse(read_content(file), file), "").cautions()
    except (OSError, MaescanError):
        return []


@dataclass(frozen=True)
class Bundle:
    """A loaded bundle. manifest: the JSON of manifest.json, checked; hash: SHA-256 of manifest.json; run: the run
    folder that it is being exported from, which keeps what a bundle does not (slices of patients)."""

    path: Path
    manifest: dict[str, Any]
    hash: str
    run: Path | None = None

    @cached_property
    def preset(self) -> Preset:
        """Raises BundleError where the manifest's preset is not one."""
        try:
            return Preset.from_dict(self.manifest["preset"])
        except ConfigError as error:
            raise BundleError(error.reason, path=self.path / "manifest.json", remedy=ANEW) from error

    @cached_property
    def known(self) -> Manifest:
        """The manifest as a type. Raises BundleError."""
        return check_manifest(self.manifest, self.path / "manifest.json")

    @property
    def model(self) -> str:
        """SHA-256 over weights and preset: which model this is, whatever engines, calibration or card are put in."""
        weights = {name: value for name, value in self.manifest["files"].items() if "/" not in name}
        return _hash_of([weights, self.manifest["preset"]])

    def cautions(self) -> list[str]:
        """What a bundle is for, and what its training found its score to be no better than a coin on, a line each;
        none where nobody said or looked."""
        use = (self.manifest.get("card") or {}).get("intended_use", "")
        found = [line for line in self.manifest["provenance"].get("warnings", ()) if line.startswith(COIN)]
        lines = [*([f"intended use: {use}"] if use else []), *(f"this model is {line}" for line in found)]
        return [escaped(line) for line in lines]

    @staticmethod
    def load(path: Path, *, signed: bool = True) -> Bundle:
        """Reads and checks a bundle: its manifest, then the hash of every file that it lists. Raises BundleError
        naming the file missing, changed or of another version, and for one that MAESCAN_TRUSTED_KEYS does not trust
        (unless not `signed`: by whoever is making or signing it)."""
        path = Path(path)
        file = path / "manifest.json"
        try:
            raw = read_content(file)
        except OSError as error:
            remedy = unread(error, file, "give a folder made by `maescan export`")
            raise BundleError(f"cannot be read: {error.strerror}", path=file, remedy=remedy) from error
        if signed:
            check_trusted(path, raw)
        manifest = parse(raw, file)
        loaded = Bundle(path, manifest, hashlib.sha256(raw).hexdigest())
        lacking = sorted(set(NEEDED[: 2 if loaded.preset.input == "image" else 3]) - set(manifest["files"]))
        if lacking:
            raise BundleError(f"lacks {', '.join(lacking)}", path=file, remedy=ANEW)
        _check_files(path, manifest["files"])
        loaded.engines()
        return loaded

    def engines(self) -> dict[str, dict[str, Any]]:
        """engine.json of every engine that the manifest lists, by name: `openvino-bf16`, ... Raises BundleError."""
        return {name: read_engine(folder / "engine.json") for name, folder in self._folders().items()}

    def engine_folder(self, name: str) -> Path:
        """Where the files of an engine of that name lie."""
        return self._folders()[name]

    def _folders(self) -> dict[str, Path]:
        listed = (name.split("/") for name in self.manifest["files"])
        parts = (part for part in listed if len(part) == 4 and (part[0], part[3]) == ("engines", "engine.json"))
        return {part[1]: self.path.joinpath(*part[:3]) for part in parts}

    def fingerprint(self, engine: str) -> str:
        """SHA-256 over what decides an engine's golden scores: its files, the golden slices, the preset."""
        ours = (f"engines/{engine}/", "golden/golden.safetensors")
        files = {name: value for name, value in self.manifest["files"].items() if name.startswith(ours)}
        return _hash_of([files, self.manifest["preset"]])

    def golden(self) -> dict[str, np.ndarray]:
        """images [G, H, W], slice_ids [G]; the fp32 answers: reconstruction, difference [G, H, W] and score [G]; and
        prepared [S, H, W], the slices that preprocessing made of golden/scan.nii.gz. Raises BundleError."""
        return load_arrays(self.path / "golden" / "golden.safetensors")


def load_arrays(file: Path) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file. Raises BundleError."""
    from safetensors.numpy import load_file

    try:
        return load_file(file)
    except Exception as error:  # the library has a class of its own, and others for what it does not expect
        raise BundleError(f"cannot be read: {str(error)[:200]}", path=file, remedy=ANEW) from error


def update(path: Path, **fields: Any) -> Bundle:
    """Sets fields of a sound bundle's manifest, which stand in CHANGES. Raises ConfigError for any other. A signature
    of what was before goes."""
    unknown = sorted(set(fields) - set(CHANGES))
    if unknown:
        raise ConfigError(f"a manifest has no {', '.join(unknown)} to change", path=path)
    with changing(path):
        manifest = Bundle.load(path).manifest
        _write(path, {**manifest, **fields})
        _clear(path, manifest["files"])
    return Bundle.load(path, signed=False)


def write_manifest(path: Path, preset: Preset, provenance: Mapping[str, Any], **others: Any) -> None:
    """Writes manifest.json over every file in `path`; the last step of an export. others: `golden` and CHANGES."""
    from maescan.engines.card import CARD

    beside = ("manifest.json", SIGNATURE, CARD)
    hashes = {f.relative_to(path).as_posix(): _sha256(f) for f in _files(path) if f.name not in beside}
    manifest = {"schema_version": SCHEMA_VERSION, "preset": preset.to_dict(), "provenance": finite(dict(provenance))}
    _write(path, {**manifest, "files": hashes, "golden": "phantom", **others})


def put_engine(path: Path, name: str, made: Path) -> None:
    """Moves the folder `made` into a sound bundle as its engine `name`, in place of another of that name.

    It lies there before the manifest lists it, and the one before it stays until the next change, for whoever has
    read the old manifest. Raises DataError where the disk refuses."""
    with changing(path):
        manifest = Bundle.load(path, signed=False).manifest
        if _elsewhere(path, at := path / "engines" / name):
            remedy = "copy the bundle by `maescan export BUNDLE --out NEW`, which takes no links"
            raise BundleError("is a link, which maescan writes through in no bundle", path=at, remedy=remedy)
        hashes = {file.relative_to(made).as_posix(): _sha256(file) for file in _files(made)}
        version = _hash_of(hashes)[:12]
        folder = path / "engines" / name / version
        others = {file: hash_ for file, hash_ in manifest["files"].items() if not file.startswith(f"engines/{name}/")}
        ours = {f"engines/{name}/{version}/{file}": hash_ for file, hash_ in hashes.items()}
        if not set(ours) <= set(manifest["files"]):
            share(made)
            folder.parent.mkdir(parents=True, exist_ok=True)
            for above in (folder.parent, folder.parent.parent):
                above.chmod(0o755)
            if folder.exists():  # left by a kill
                shutil.rmtree(folder)
            made.rename(folder)
            sync(folder.parent)
        changed = {**manifest, "files": dict(sorted({**others, **ours}.items()))}
        _write(path, changed)
        _clear(path, {**manifest["files"], **changed["files"]})


def share(folder: Path) -> None:
    """A bundle holds nothing of a patient: everyone may read it, whatever the umask."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def _clear(path: Path, listed: Mapping[str, str]) -> None:
    """Removes engines that are listed no more."""
    kept = {Path(file).parts[:3] for file in listed if file.startswith("engines/")}
    for folder in path.glob("engines/*/*"):
        if folder.relative_to(path).parts not in kept and not _elsewhere(path, folder):
            shutil.rmtree(folder, ignore_errors=True)


def _elsewhere(path: Path, inside: Path) -> bool:
    """Whether a link leads from a path below a bundle to another place."""
    return Path(os.path.realpath(inside)) != Path(os.path.realpath(path)) / inside.relative_to(path)


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def _write(path: Path, manifest: Mapping[str, Any]) -> None:
    """The manifest by one rename; what hangs on it (the model card, a signature) follows. One that is there to the
    byte stays, and its signature. Raises BundleError, and writes nothing, where `parse` would not take it again."""
    from maescan.engines.card import write_card

    values = {**manifest, "body": body_hash(manifest)}
    text = json.dumps(finite(values), indent=2, sort_keys=True) + "\n"
    file = path / "manifest.json"
    known = check_manifest(parse(text.encode(), file), file)
    if not file.exists() or read_content(file) != text.encode():
        write_text(file, text)
        file.chmod(0o644)
        sync(path)
        (path / SIGNATURE).unlink(missing_ok=True)
    write_card(path, known)


def _check_files(path: Path, files: Mapping[str, str]) -> None:
    """Every file is as it was exported, lies in the bundle itself, and engines have no others; hashing leaves the
    interpreter, so several run at once."""
    base = Path(os.path.realpath(path))
    for name in files:
        if not name.isprintable():
            raise BundleError(f"lists {name!r}, which is no file's name", path=path / "manifest.json", remedy=ANEW)
        real = Path(os.path.realpath(path / name))
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise BundleError(f"lists a file outside of it: {name}", path=path / "manifest.json", remedy=ANEW)
        if real != base / name:
            remedy = f"copy the bundle with the files that its links lead to: cp -rL {typed(path)} COPY"
            raise BundleError("is a link, or lies behind one", path=path / name, remedy=remedy)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda name: _sha256(path / name), files))
    for name, hash_ in zip(files, found, strict=True):
        if hash_ != files[name]:
            raise BundleError("is not the file that was exported", path=path / name, remedy="copy or export it anew")
    for folder in {(path / name).parent for name in files if name.startswith("engines/")}:
        for file in folder.iterdir():
            if file.relative_to(path).as_posix() not in files:
                raise BundleError("is not of the bundle", path=file, remedy="remove it")


def _hash_of(values: object) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _sha256(file: Path) -> str:
    try:
        return sha256(file)
    except OSError as error:
        remedy = unread(error, file, "copy or export it anew")
        raise BundleError(f"cannot be read: {error.strerror}", path=file, remedy=remedy) from error
