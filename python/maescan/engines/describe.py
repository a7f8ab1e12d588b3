"""`maescan card`: what people say of a bundle, and the figures of an evaluation, into its model card."""

from __future__ import annotations

from pathlib import Path

from msgspec import field

from maescan.decimals import rounded
from maescan.engines.bundle import Bundle, update
from maescan.errors import DataError, escaped, typed
from maescan.records import Record, read


class Slices(Record, frozen=True):
    """How well slices were told apart."""

    auroc: float
    interval: tuple[float, float] | None = None


class Model(Record, frozen=True):
    """What was evaluated. weights: `Bundle.model`; "" where an older maescan, or `ablate`, wrote no such thing.
    trained_scans: of the scans judged, how many the model was trained with."""

    name: str = ""
    bundle: str = ""
    weights: str = ""
    engine: str = ""
    trained_scans: int = 0


class Data(Record, frozen=True):
    """Of how many slices and scans the figures are; 0 where nothing says it."""

    slices: int = 0
    abnormal: int = 0
    scans: int = 0
    abnormal_scans: int = 0


class Metrics(Record, frozen=True):
    """What of metrics.json stands in a card."""

    slice: Slices
    baselines: dict[str, Slices] = field(default_factory=dict)
    model: Model = Model()
    data: Data = Data()


def fill_card(path: Path, evaluation: Path | None, **said: str) -> Bundle:
    """Puts what was said, and the figures of an evaluation's folder, into a bundle's card; what is empty stays, and
    what no terminal or JSON could show stands as its number.

    Raises DataError for a folder that holds no evaluation, or another model's."""
    bundle = Bundle.load(path)
    card = dict(bundle.manifest.get("card") or {})
    card |= {name: escaped(text) for name, text in said.items() if text}
    if evaluation is not None:
        found = read(Metrics, evaluation / "metrics.json", remedy="give the --out of `maescan evaluate`")
        _check_same(bundle, found.model, evaluation / "metrics.json")
        card["evaluation"] = _evaluated(found)
    return update(path, card=card) if card else update(path)


def _check_same(bundle: Bundle, evaluated: Model, file: Path) -> None:
    """One that does not say its weights is of this bundle while nothing was put into it since."""
    told, own = (evaluated.weights, bundle.model) if evaluated.weights else (evaluated.bundle, bundle.hash)
    if told == own:
        return
    kind = "weights" if evaluated.weights else "manifest"
    theirs = f"'{escaped(evaluated.name)}' ({kind} {escaped(told[:12]) or 'not said'})"
    reason = f"is an evaluation of {theirs}, and {bundle.path} is '{bundle.preset.name}' ({kind} {own[:12]})"
    remedy = f"evaluate this bundle: maescan evaluate DATA --bundle {typed(bundle.path)} --out OUT"
    raise DataError(reason, path=file, remedy=remedy)


def _evaluated(found: Metrics) -> dict[str, float | str]:
    best = max(found.baselines.items(), key=lambda pair: pair[1].auroc, default=None)
    between, trained, of = found.slice.interval, found.model.trained_scans, found.data
    return {
        "AUROC of slices": found.slice.auroc,
        **({"AUROC of slices, 95 % interval": " to ".join(map(rounded, between))} if between else {}),
        **({f"best trivial baseline ({best[0]})": best[1].auroc} if best else {}),
        **({"scans judged that trained the bundle: on others it does worse": str(trained)} if trained else {}),
        **({"scans judged (abnormal)": f"{of.scans} ({of.abnormal_scans})"} if of.slices else {}),
        **({"slices judged (abnormal)": f"{of.slices} ({of.abnormal})"} if of.slices else {}),
        "engine": escaped(found.model.engine),
    }
