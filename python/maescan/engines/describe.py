"""`maescan card`: what people say of a bundle, and the figures of an evaluation, into its model card."""

from __future__ import annotations

from pathlib import Path

from msgspec import field

from maescan.engines.bundle import Bundle, update
from maescan.errors import escaped
from maescan.records import Record, read


class Slices(Record, frozen=True):
    """How well slices were told apart."""

    auroc: float
    interval: tuple[float, float] | None = None


class Metrics(Record, frozen=True):
    """What of metrics.json stands in a card."""

    slice: Slices
    baselines: dict[str, Slices] = field(default_factory=dict)
    model: dict[str, object] = field(default_factory=dict)


def fill_card(path: Path, evaluation: Path | None, **said: str) -> Bundle:
    """Puts what was said, and the figures of an evaluation's folder, into a bundle's card; what is empty stays, and
    what no terminal or JSON could show stands as its number.

    Raises DataError for a folder that holds no evaluation."""
    bundle = Bundle.load(path)
    card = dict(bundle.manifest.get("card") or {})
    card |= {name: escaped(text) for name, text in said.items() if text}
    if evaluation is not None:
        found = read(Metrics, evaluation / "metrics.json", remedy="give the --out of `maescan evaluate`")
        card["evaluation"] = _evaluated(found)
    return update(path, card=card)


def _evaluated(found: Metrics) -> dict[str, float | str]:
    best = max(found.baselines.items(), key=lambda pair: pair[1].auroc, default=None)
    between = found.slice.interval
    return {
        "AUROC of slices": found.slice.auroc,
        **({"95 % interval": f"{between[0]:.3f} to {between[1]:.3f}"} if between else {}),
        **({f"best trivial baseline ({best[0]})": best[1].auroc} if best else {}),
        "engine": escaped(str(found.model.get("engine", ""))),
    }
