"""`maescan verify`: the hashes of a bundle, then its golden slices through every engine that can run here."""

from __future__ import annotations

from pathlib import Path

from maescan.engines import kind_of, prove
from maescan.engines.bundle import Bundle
from maescan.engines.golden import TOLERANCE
from maescan.engines.targets import TARGETS
from maescan.errors import MaescanError
from maescan.machine import gpus, require_gpu


def show(bundle: Path, device: str | None = None, *, trust: bool = False) -> bool:
    """Prints a line an engine: its drift, why it is refused, or why it cannot run here. True where none is refused.

    With `device` only engines that run there, and there; TorchScript, which can run any code, only with `trust`.
    Raises BundleError for a file that is not as exported.
    """
    loaded = Bundle.load(bundle)
    print(f"{bundle}: {len(loaded.manifest['files'])} files are as they were exported")
    sound = True
    for name, values in sorted(loaded.engines().items()):
        kinds = getattr(TARGETS.get(values["target"]), "kinds", ())
        asked = kind_of(device) if device else None
        if asked and asked not in kinds:
            continue
        where = device or ("cpu" if "cpu" in kinds else "cuda")
        line, fine = _line(loaded, name, where, trust)
        sound = sound and fine
        print(f"{name:<20} {line}")
    return sound


def _line(bundle: Bundle, name: str, device: str, trust: bool) -> tuple[str, bool]:
    """What to say of an engine, and whether it is sound as far as this machine can tell."""
    values, folder = bundle.engines()[name], bundle.path / "engines" / name
    if values["target"] == "torchscript" and not trust:
        return "not run: TorchScript can run any code; --trust runs it", True
    if kind_of(device) == "cuda":
        if not gpus():
            return "not run: this machine has no GPU (`maescan doctor` says more)", True
        lacks = TARGETS[values["target"]].lacks(require_gpu(device), values["precision"])
        if lacks:
            return f"not run: {lacks}", True
    try:
        drift = prove(bundle, folder, values, device, trust=trust)
    except MaescanError as error:
        return f"refused: {error.reason}" + (f" ({error.remedy})" if error.remedy else ""), False
    parts = (f"{part} {value:.2g} of {TOLERANCE[values['precision']][part]:g}" for part, value in drift.items())
    return f"drift on {device}: {', '.join(parts)}", True
