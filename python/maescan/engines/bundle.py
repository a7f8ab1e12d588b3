"""A bundle: what travels to the workstation, and proves itself there. A folder of JSON, safetensors and engines."""

from __future__ import annotations

import hashlib
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from maescan.config import Preset
from maescan.errors import BundleError, ConfigError

SCHEMA_VERSION = 1
REQUIRED: dict[str, Any] = {"schema_version": int, "preset": dict, "provenance": dict, "files": dict}
OPTIONAL: dict[str, Any] = {"calibration": dict, "intensity": dict, "aggregation": dict | str}
ENGINE: dict[str, Any] = {
    "target": str,
    "precision": str,
    "versions": dict,
    "device": str | None,
    "tolerance": dict,
    "drift": dict | None,
    "seconds": float | int,
}
NEEDED = ("mae.safetensors", "golden/golden.safetensors")
ANEW = "export it anew"


COIN = "no better than a coin"


def caution(path: Path) -> str | None:
    """What a bundle's training found its score to be no better than a coin on, in one line; None where there is no
    such kind of lesion, or nobody looked. Reads the manifest alone."""
    try:
        provenance = json.loads((Path(path) / "manifest.json").read_bytes())["provenance"]
        lines = [line for line in provenance["warnings"] if str(line).startswith(COIN)]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(lines[0]) if lines else None


@dataclass(frozen=True)
class Bundle:
    """A loaded bundle. manifest: the JSON of manifest.json; hash: SHA-256 of manifest.json."""

    path: Path
    manifest: dict[str, Any]
    hash: str

    @cached_property
    def preset(self) -> Preset:
        """Raises BundleError where the manifest's preset is not one."""
        try:
            return Preset.from_dict(self.manifest["preset"])
        except ConfigError as error:
            raise BundleError(error.reason, path=self.path / "manifest.json", remedy="export it anew") from error

    @staticmethod
    def load(path: Path) -> Bundle:
        """Reads and checks a bundle. Raises BundleError naming the file missing, changed or of another version."""
        path = Path(path)
        file = path / "manifest.json"
        try:
            raw = file.read_bytes()
            manifest = json.loads(raw)
        except (OSError, ValueError) as error:
            raise BundleError(
                f"cannot be read: {error}", path=file, remedy="give a folder made by `maescan export`"
            ) from error
        _check_version(manifest, file)
        _check_fields(manifest, file, REQUIRED, OPTIONAL)
        _check_files(path, manifest["files"])
        loaded = Bundle(path, manifest, hashlib.sha256(raw).hexdigest())
        needed = NEEDED[loaded.preset.input == "image" :]
        _check_fields(manifest["files"], file, dict.fromkeys(needed, str), None)
        return loaded

    def engines(self) -> dict[str, dict[str, Any]]:
        """engine.json of every engine that the manifest lists, by folder name: `openvino-bf16`, ..."""
        return {
            name.split("/")[1]: self._engine(self.path / name) for name in self.manifest["files"] if _is_engine(name)
        }

    def _engine(self, file: Path) -> dict[str, Any]:
        try:
            values: dict[str, Any] = json.loads(file.read_bytes())
        except ValueError as error:
            raise BundleError(f"is no JSON: {error}", path=file, remedy=ANEW) from error
        _check_fields(values, file, ENGINE, {})
        return values

    def fingerprint(self, engine: str) -> str:
        """SHA-256 over what decides an engine's golden scores: its files, the golden slices, the preset."""
        ours = (f"engines/{engine}/", "golden/golden.safetensors")
        files = {name: value for name, value in self.manifest["files"].items() if name.startswith(ours)}
        return hashlib.sha256(json.dumps([files, self.manifest["preset"]], sort_keys=True).encode()).hexdigest()

    def golden(self) -> dict[str, np.ndarray]:
        """images [G, H, W], slice_ids [G]; the fp32 answers: reconstruction, difference [G, H, W] and score [G]."""
        from safetensors.numpy import load_file

        return load_file(self.path / "golden" / "golden.safetensors")


def update(path: Path, **fields: Any) -> Bundle:
    """Sets optional fields of a sound bundle's manifest. Raises ConfigError for a field that no manifest has."""
    unknown = sorted(set(fields) - set(OPTIONAL))
    if unknown:
        raise ConfigError(f"a manifest has no {', '.join(unknown)}", path=path)
    manifest = Bundle.load(path).manifest
    _write(path, {**manifest, **fields})
    return Bundle.load(path)


def seal(path: Path, preset: Preset, provenance: dict[str, Any], **others: Any) -> None:
    """Writes manifest.json over every file in `path`; the last step of an export."""
    hashes = {f.relative_to(path).as_posix(): _sha256(f) for f in _files(path) if f.name != "manifest.json"}
    manifest = {"schema_version": SCHEMA_VERSION, "preset": preset.to_dict(), "provenance": provenance}
    _write(path, {**manifest, "files": hashes, **others})


def put_engine(path: Path, name: str, made: Path) -> None:
    """Moves the folder `made` into a sound bundle as its engine `name`, in place of another of that name.

    The manifest lists the old one, then neither, then the new one: whenever it stops, what is listed is there."""
    manifest, folder = Bundle.load(path).manifest, path / "engines" / name
    others = {file: hash_ for file, hash_ in manifest["files"].items() if not file.startswith(f"engines/{name}/")}
    if others != manifest["files"]:
        _write(path, {**manifest, "files": others})
    if folder.exists():
        shutil.rmtree(folder)
    folder.parent.mkdir(exist_ok=True)
    hashes = {f"engines/{name}/{file.relative_to(made).as_posix()}": _sha256(file) for file in _files(made)}
    made.rename(folder)
    _write(path, {**manifest, "files": dict(sorted({**others, **hashes}.items()))})


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def _write(path: Path, manifest: dict[str, Any]) -> None:
    from maescan.files import write_json

    write_json(path / "manifest.json", manifest)


def _is_engine(name: str) -> bool:
    parts = name.split("/")
    return len(parts) == 3 and parts[0] == "engines" and parts[2] == "engine.json"


def _check_version(manifest: Any, file: Path) -> None:
    if not isinstance(manifest, dict):
        raise BundleError("is no manifest", path=file, remedy=ANEW)
    version = manifest.get("schema_version")
    if version != SCHEMA_VERSION:
        remedy = f"this maescan reads version {SCHEMA_VERSION}: {ANEW}, or use the maescan that wrote it"
        raise BundleError(f"is of schema version {version}", path=file, remedy=remedy)


def _check_fields(values: Any, file: Path, required: dict[str, Any], optional: dict[str, Any] | None) -> None:
    """`optional` None: any other field may be there."""
    if not isinstance(values, dict):
        raise BundleError("is no JSON object", path=file, remedy=ANEW)
    missing = sorted(set(required) - set(values))
    unknown = sorted(set(values) - set(required) - set(optional)) if optional is not None else []
    if missing or unknown:
        faults = [
            f"{word} {', '.join(names)}" for word, names in (("lacks", missing), ("has unknown", unknown)) if names
        ]
        raise BundleError(" and ".join(faults), path=file, remedy=ANEW)
    kinds = {**{name: kind | None for name, kind in (optional or {}).items()}, **required}
    for name, kind in kinds.items():
        if name in values and not isinstance(values[name], kind):
            raise BundleError(f"its '{name}' is a {type(values[name]).__name__}", path=file, remedy=ANEW)


def _check_files(path: Path, files: dict[str, Any]) -> None:
    """Every file is as it was exported; hashing leaves the interpreter, so several run at once."""
    outside = [name for name in files if Path(name).is_absolute() or ".." in Path(name).parts]
    if outside:
        raise BundleError(f"lists files outside the bundle: {outside[0]}", path=path / "manifest.json", remedy=ANEW)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda name: _sha256(path / name), files))
    for name, hash_ in zip(files, found, strict=True):
        if hash_ != files[name]:
            raise BundleError("is not the file that was exported", path=path / name, remedy="copy or export it anew")


def _sha256(file: Path) -> str:
    try:
        with open(file, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise BundleError(f"cannot be read: {error.strerror}", path=file, remedy="copy or export it anew") from error
