"""`maescan verify`: the hashes of a bundle, its signature, its golden scan through preprocessing, then its golden
slices through every engine that can run here, each in a process of its own under limits."""

from __future__ import annotations

from pathlib import Path

from maescan.engines import kind_of
from maescan.engines.bundle import Bundle
from maescan.engines.card import CARD, personal_data, render
from maescan.engines.child import prove_apart
from maescan.engines.golden import TOLERANCE, golden_scan
from maescan.engines.signing import check_signature, public_keys
from maescan.engines.targets import TARGETS
from maescan.errors import MaescanError
from maescan.machine import gpus, require_gpu
from maescan.scans.budget import Limits


def show(
    bundle: Path,
    device: str | None = None,
    *,
    trust: bool = False,
    key: str | None = None,
    limits: Limits = Limits(),
) -> bool:
    """Prints what holds of a bundle, then a line an engine: its drift, why it is refused, or why it cannot run here.
    True where nothing is refused.

    With `device` only engines that run there, and there; TorchScript, which can run any code, only with `trust`.
    `key`: public keys of minisign, one of which must have signed it. Raises BundleError for a file that is not as
    exported, a signature that is not there or not of one of the keys.
    """
    loaded = Bundle.load(bundle, signed=key is None)
    print(f"{bundle}: {len(loaded.manifest['files'])} files are as they were exported")
    if key is not None:
        manifest = (bundle / "manifest.json").read_bytes()
        print(f"signed by {check_signature(bundle, manifest, public_keys(key)).name}")
    sound = _parts(loaded)
    for name, values in sorted(loaded.engines().items()):
        kinds = getattr(TARGETS.get(values["target"]), "kinds", ())
        asked = kind_of(device) if device else None
        if asked and asked not in kinds:
            continue
        where = device or ("cpu" if "cpu" in kinds else "cuda")
        line, fine = _line(loaded, name, where, trust, limits)
        sound = sound and fine
        print(f"{name:<20} {line}")
    return sound


def _parts(bundle: Bundle) -> bool:
    """Prints what is no engine's; whether none of it is refused."""
    sound = True
    try:
        print(f"golden scan          prepared as at export, within {golden_scan(bundle):.1g} of its range")
    except MaescanError as error:
        sound = False
        print(f"golden scan          refused: {error.reason}" + (f" ({error.remedy})" if error.remedy else ""))
    card = bundle.path / CARD
    try:
        agrees = card.read_text(encoding="utf-8") == render(bundle.known)
    except (OSError, UnicodeDecodeError):
        agrees = False
    if not agrees:
        print(f"{CARD:<20} is not what the manifest says: `maescan card {bundle.path}` writes it anew")
    for line in personal_data(bundle.known):
        print(f"personal data        {line}")
    return sound


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
    parts = (f"{part} {value:.2g} of {TOLERANCE[values['precision']][part]:g}" for part, value in drift.items())
    return f"drift on {device}: {', '.join(parts)}", True
