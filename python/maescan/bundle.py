"""A bundle: what travels to the workstation, and proves itself there. A folder of JSON, safetensors and engines."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from maescan.config import Preset
from maescan.errors import BundleError, ConfigError

SCHEMA_VERSION = 1
FIELDS = {"schema_version": int, "preset": dict, "provenance": dict, "files": dict}


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
        _check_fields(manifest, file)
        for name, expected in manifest["files"].items():
            if _sha256(path / name) != expected:
                raise BundleError(
                    "is not the file that was exported", path=path / name, remedy="copy or export it anew"
                )
        return Bundle(path, manifest, hashlib.sha256(raw).hexdigest())

    def golden(self) -> dict[str, np.ndarray]:
        """images [G, H, W], slice_ids [G]; the fp32 answers: reconstruction, difference [G, H, W] and score [G]."""
        from safetensors.numpy import load_file

        return load_file(self.path / "golden" / "golden.safetensors")


def _check_fields(manifest: Any, file: Path) -> None:
    if not isinstance(manifest, dict):
        raise BundleError("is no manifest", path=file, remedy="export it anew")
    version = manifest.get("schema_version")
    if version != SCHEMA_VERSION:
        remedy = f"this maescan reads version {SCHEMA_VERSION}: export it anew, or use the maescan that wrote it"
        raise BundleError(f"is of schema version {version}", path=file, remedy=remedy)
    for name, kind in FIELDS.items():
        if not isinstance(manifest.get(name), kind):
            raise BundleError(f"lacks '{name}'", path=file, remedy="export it anew")


def seal(path: Path, preset: Preset, provenance: dict[str, Any], **others: Any) -> None:
    """Writes manifest.json over every file in `path`; the last step of an export."""
    from maescan.scoring.outputs import write_json

    files = sorted(f for f in path.rglob("*") if f.is_file() and f.name != "manifest.json")
    hashes = {f.relative_to(path).as_posix(): _sha256(f) for f in files}
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "preset": preset.to_dict(),
        "provenance": provenance,
        "files": hashes,
    }
    write_json(path / "manifest.json", {**manifest, **others})


def _sha256(file: Path) -> str:
    try:
        with open(file, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise BundleError(f"cannot be read: {error.strerror}", path=file, remedy="copy or export it anew") from error
