"""What `score` would do with each scan, without an engine: `maescan inspect --bundle`."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from maescan.engines.bundle import Bundle
from maescan.method.regions import Regions
from maescan.options import ReadOptions
from maescan.scans.inspect import Judge
from maescan.scans.source import ScanSource
from maescan.scoring.conformal import Reference
from maescan.scoring.options import ScoreOptions
from maescan.scoring.readers import read_and_prepare


def judge_of(bundle: Path, options: ReadOptions) -> tuple[Judge, str]:
    """What `inspect` calls for each scan, and a line about the bundle.

    Raises BundleError for a damaged bundle, ConfigError for regions that do not fit it."""
    from maescan.method import regions

    loaded = Bundle.load(bundle)
    regions.check(loaded.preset, options.regions)
    regions.check_reference(loaded.manifest, options.regions)
    reference = Reference.of(loaded.manifest, ScoreOptions().alert_rate)
    told = "calibrated: scans get p-values" if reference else "not calibrated: scans get scores alone"
    code = {name: " (any code: with --trust alone)" for name in loaded.engines() if name.startswith("torchscript-")}
    engines = ", ".join(f"{name}{code.get(name, '')}" for name in sorted(loaded.engines())) or "no engine"
    expected, prints = loaded.manifest.get("intensity"), loaded.manifest["provenance"].get("prints")
    how = {"preset": loaded.preset, "options": options, "expected": expected, "training": prints}
    judge = partial(_judge, reference=reference, **how)
    return judge, f"{bundle}: preset {loaded.preset.name}, {engines}; {told}"


def _judge(source: ScanSource, reference: Reference | None, **how: object) -> tuple[str, str]:
    """Verdict and notes. Raises ScanError where `score` would refuse it, NoScanError where pass it over."""
    prepared, images, facts = read_and_prepare(source, **how)  # type: ignore[arg-type]
    notes = [*([facts["why"]] if facts["why"] else []), *facts["warnings"]]
    if facts["trained"]:
        notes.append("the bundle was trained with it")
    if reference and not facts["why"]:
        notes += reference.unlike(facts["figures"], 0 if isinstance(prepared, Regions) else len(images))
    verdict = "scored, not judged" if facts["why"] else "scored, see notes" if notes else "scored"
    return verdict, "; ".join(dict.fromkeys(notes))
