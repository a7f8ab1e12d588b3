"""`maescan verify`: the hashes of a bundle, its signature, its golden scan through preprocessing, then its golden
slices through every engine that can run here, each in a process of its own under limits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from maescan.content import read_content, read_text, sha256
from maescan.decimals import counted
from maescan.engines import device_for, kind_of
from maescan.engines.bundle import Bundle, load_arrays
from maescan.engines.card import CARD, personal_data, render
from maescan.engines.child import prove_apart
from maescan.engines.golden import TOLERANCE, golden_scan
from maescan.engines.signing import SIGNATURE, claimed, signature_told
from maescan.engines.targets import TARGETS
from maescan.errors import MaescanError, escaped, typed
from maescan.machine import gpus, require_gpu
from maescan.scans.budget import Limits

Finding = tuple[str, str, bool]
"""What it is about, what was found, and whether that is sound as far as this machine can tell."""


def show(
    bundle: Path,
    device: str | None = None,
    *,
    trust: bool = False,
    key: str | None = None,
    limits: Limits = Limits(),
    as_json: bool = False,
) -> bool:
    """Prints what holds of a bundle, then a line per engine: its drift, why it is refused, or why it cannot run here;
    or all of it as JSON. True where nothing is refused.

    With `device` (auto, cpu, gpu, cuda:N) only engines that run there, and there; TorchScript, which can run any
    code, only with `trust`.
    `key`: public keys of minisign, one of which must have signed it; without it those of MAESCAN_TRUSTED_KEYS, where
    they are set. Raises BundleError for a file that is not as exported, a signature that is not there or not of one
    of the keys.
    """
    loaded = Bundle.load(bundle, signed=key is None)
    files, said = len(loaded.manifest["files"]), list[Finding]()
    signer = signature_told(bundle, read_content(bundle / "manifest.json"), key)
    if not as_json:
        print(f"{bundle}: {files} files are as they were exported" + (f"\nsigned by {signer}" if signer else ""))
    unsigned = [] if signer else [("signature", claimed(bundle), True)]
    for name, text, sound in chain(unsigned, _findings(loaded, device, trust, limits)):
        said.append((name, text, sound))
        if not as_json:
            print(f"{name:<20} {text}")
    if as_json:
        findings = [dict(zip(("name", "found", "sound"), each, strict=True)) for each in said]
        about = {"bundle": str(bundle), "hash": loaded.hash, "files": files, "signed_by": signer or None}
        print(json.dumps({**about, "findings": findings}, indent=1))
    return all(sound for _, _, sound in said)


def _findings(bundle: Bundle, device: str | None, trust: bool, limits: Limits) -> Iterator[Finding]:
    yield from _parts(bundle)
    device, none = device_for(bundle, device, trust=trust) if device else None, True
    for name, values in sorted(bundle.engines().items()):
        kinds = getattr(TARGETS.get(values["target"]), "kinds", ())
        if device and kind_of(device) not in kinds:
            continue
        where, none = device or ("cpu" if "cpu" in kinds else "cuda"), False
        yield name, *_line(bundle, name, where, trust, limits)
    if device and none:
        yield "engines", f"none is for '{device}'; there are {', '.join(sorted(bundle.engines())) or 'none'}", True


def _parts(bundle: Bundle) -> Iterator[Finding]:
    """What is no engine's."""
    try:
        yield "golden scan", f"prepared as at export, within {golden_scan(bundle):.1g} of its range", True
    except MaescanError as error:
        yield "golden scan", f"refused: {error.reason}" + (f" ({error.remedy})" if error.remedy else ""), False
    for name in sorted(name for name in bundle.manifest["files"] if name.endswith(".safetensors")):
        try:
            load_arrays(bundle.path / name)
        except MaescanError as error:
            yield name, f"refused: {error.reason} ({error.remedy})", False
    card = bundle.path / CARD
    try:
        agrees = read_text(card) == render(bundle.known)
    except (OSError, UnicodeDecodeError):
        agrees = False
    if not agrees:
        yield CARD, f"is not what the manifest says: `maescan card {typed(bundle.path)}` writes it anew", True
    if others := _others(bundle):
        named = ", ".join(map(escaped, others[:3])) + (f" and {len(others) - 3} more" if others[3:] else "")
        yield "other files", f"{named}: of no use to the bundle, in no hash, under no signature", True
        yield (
            "personal data",
            f"in the {counted(len(others), 'other file')}: not looked for; the lines below say nothing of that",
            True,
        )
    for line in personal_data(bundle.known):
        yield "personal data", line, True


def _others(bundle: Bundle) -> list[str]:
    """What lies in a bundle's folder and is none of it, nor of engines that were replaced."""
    ours = {"manifest.json", SIGNATURE, CARD, *bundle.manifest["files"]}
    found = (file.relative_to(bundle.path).as_posix() for file in bundle.path.rglob("*") if not file.is_dir())
    replaced = {folder for folder in bundle.path.glob("engines/*/*") if _is_engine(folder)}
    return sorted(name for name in found if name not in ours and replaced.isdisjoint((bundle.path / name).parents))


def _is_engine(folder: Path) -> bool:
    """Whether engines/NAME/VERSION holds what VERSION is the hash of."""
    hashes = {file.relative_to(folder).as_posix(): sha256(file) for file in folder.rglob("*") if file.is_file()}
    return hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest().startswith(folder.name)


def _line(bundle: Bundle, name: str, device: str, trust: bool, limits: Limits) -> tuple[str, bool]:
    """What to say of an engine, and whether it is sound as far as this machine can tell."""
    values = bundle.engines()[name]
    if values["target"] == "torchscript" and not trust:
        return "not run: TorchScript can run any code; --trust runs it", True
    if values["target"] not in TARGETS or values["precision"] not in TOLERANCE:
        return "not run: this maescan does not know such an engine", True
    if kind_of(device) == "cuda":
        if not gpus():
            return "not run: this machine has no GPU (`maescan doctor` says more)", True
        lacks = TARGETS[values["target"]].lacks(require_gpu(device), values["precision"])
        if lacks:
            return f"not run: {lacks}", True
    try:
        drift = prove_apart(bundle, name, device, limits, trust=trust)
    except MaescanError as error:
        return f"refused: {error.reason}" + (f" ({error.remedy})" if error.remedy else ""), False
    allowed = TOLERANCE[values["precision"]]
    parts = (f"{part} {value:.2g} (allowed {allowed[part]:g})" for part, value in drift.items())
    return f"drift on {device}: {', '.join(parts)}", True
