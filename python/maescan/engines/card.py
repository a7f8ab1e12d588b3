"""The model card of a bundle, README.md: written from the manifest, so that it says what the manifest says."""

from __future__ import annotations

from pathlib import Path

from maescan.decimals import counted, rounded
from maescan.engines.manifest import Calibration, Card, Manifest, Provenance
from maescan.errors import escaped, in_markdown
from maescan.method.aggregate import least_rate, several_of

CARD = "README.md"
NOT_SAID = "not stated by whoever exported it"
REAL = "slices of scans held back from training: **pictures of people**, unless those were of a phantom"
PHANTOM = "golden slices and scan: an artificial phantom's, no person's"


def write_card(path: Path, manifest: Manifest) -> None:
    """README.md anew from a manifest. Raises DataError where it cannot be written."""
    from maescan.files import write_text

    write_text(path / CARD, render(manifest))
    (path / CARD).chmod(0o644)


def personal_data(manifest: Manifest) -> tuple[str, ...]:
    """What a bundle holds of people, in lines; what is none is said to be none."""
    prints, known = manifest.provenance.prints, "training's scans: nothing of them"
    if prints:
        known = f"training's scans: {len(prints.scans)} salted hashes, by which a copy of one is known again"
    golden = f"golden slices: {REAL}; golden scan: a phantom's"
    return PHANTOM if manifest.golden == "phantom" else golden, known, "names, identifiers, dates: none"


def render(manifest: Manifest) -> str:
    """The card's Markdown."""
    preset, card = manifest.preset, manifest.card or Card()
    name, modality = escaped(str(preset["name"])), str(preset["modality"]).upper()
    head = ["---", "library_name: maescan", "tags: [anomaly-detection, medical-imaging]"]
    head += [f"license_name: {_quoted(card.licence)}"] if card.licence else []
    engines = sorted({file.split("/")[1] for file in manifest.files if file.startswith("engines/")})
    found = "\n".join(f"- {escaped(line)}" for line in manifest.provenance.warnings)
    parts = {
        "What it is": f"A maescan bundle of preset `{name}` ({modality}): a masked autoencoder that learned healthy"
        f" anatomy, scored by {preset['measure']}. Engines: {', '.join(engines) or 'none'}.",
        "Intended use": f"{_said(card.intended_use)}\n\nFor research: no medical device; no score is a diagnosis.",
        "Training data": f"{_said(card.training_data)}\n\n{_counts(manifest.provenance)}",
        "Evaluation": _figures(card.evaluation),
        "Healthy reference": _reference(manifest.calibration),
        "What training found": found or "no warnings",
        "Personal data": "\n".join(f"- {line}" for line in personal_data(manifest)),
        "Licence": _said(card.licence),
        "Use": "```\nmaescan verify BUNDLE\nmaescan score SCANS --bundle BUNDLE --out OUT\n```",
    }
    text = [f"# {name}", *(f"## {title}\n{body}" for title, body in parts.items())]
    return "\n".join([*head, "---", "", *text]) + "\n"


def _said(text: str) -> str:
    return escaped(text) or NOT_SAID


def _counts(provenance: Provenance) -> str:
    found = (f"{counted(count, 'patient')} for {name}" for name, count in sorted(provenance.patients.items()))
    return ", ".join(found) or "How many patients: not recorded."


def _figures(figures: dict[str, float | str]) -> str:
    if not figures:
        return "none given; `maescan card BUNDLE --evaluation OUT_OF_EVALUATE` puts them here"
    rows = [f"| {_cell(name)} | {_figure(value)} |" for name, value in sorted(figures.items())]
    return "\n".join(["| what | figure |", "|---|---|", *rows])


def _figure(value: float | str) -> str:
    if isinstance(value, str):
        return _cell(value)
    return f"{value:g}" if value > 1 else rounded(value)


def _cell(text: str) -> str:
    return in_markdown(text)


def _reference(calibration: Calibration | None) -> str:
    if not calibration:
        return "none: no p-values and no alerts until `maescan calibrate BUNDLE HEALTHY_SCANS`"
    count, patients = len(calibration.scans), calibration.patients
    of = f"; they are {several_of(patients)}: more than a rate says may alert" if patients else ""
    day = f", scored on {escaped(calibration.made)}" if calibration.made else ""
    of += f"; unlike training's scans: {calibration.unlike}" if calibration.unlike else ""
    return f"{counted(count, 'healthy scan')}{day}; alerts are possible at rates from {least_rate(count):.3f}{of}"


def _quoted(text: str) -> str:
    return '"' + escaped(text).replace("\\", "\\\\").replace('"', '\\"') + '"'
