"""The table of an ablation: means and deviations over folds and seeds, and its text."""

from __future__ import annotations

import numpy as np

from maescan.config.types import Json
from maescan.decimals import rounded
from maescan.evaluate.baselines import NAMES as BASELINES
from maescan.evaluate.markdown import table, taken_text
from maescan.train.ablations.experiments import Experiment
from maescan.train.ablations.folds import Fold

COLUMNS = {
    "auroc": "AUROC",
    "area_matched": "area-matched",
    "area_strata": "within area strata",
    "rises": "rises with a lesion",
    "passes": "then passes 95 %",
}


def numbers(experiment: Experiment, metrics: list[list[list[Json]]], seeds: list[int], folds: list[Fold]) -> Json:
    """Rows and baselines from the metrics `found` of each row, seed and fold."""
    rows = [
        {"name": row.name, "paper": row.paper, **_row([[_pick(f) for f in seed] for seed in by_seed])}
        for row, by_seed in zip(experiment.rows, metrics, strict=True)
    ]
    first = metrics[0][0]
    baselines = [
        {"name": name, "paper": None, **_row([[_pick({"slice": f["baselines"][name]}) for f in first]])}
        for name in BASELINES
    ]
    data = [
        {"fold": fold.name, **metrics["data"], "matched": (metrics["slice"]["area_matched"] or {}).get("matched", 0)}
        for fold, metrics in zip(folds, first, strict=True)
    ]
    return {
        "place": experiment.place,
        "what": experiment.what,
        "paper": experiment.data,
        "seeds": seeds,
        "rows": rows,
        "baselines": baselines,
        "data": data,
    }


def _pick(metrics: Json) -> dict[str, float]:
    """AUROC, area-matched and within strata of one fold; nan where there is none."""
    values = metrics["slice"]
    matched = values["area_matched"]["auroc"] if values["area_matched"] else None
    picked = {"auroc": values["auroc"], "area_matched": matched, "area_strata": values["area_strata"]}
    if stressed := metrics.get("stress"):
        picked |= stressed["measures"]["score"]["mean"]
    return {name: np.nan if value is None else value for name, value in picked.items()}


def _row(by_seed: list[list[dict[str, float]]]) -> Json:
    """Mean over folds, then mean and standard deviation (n - 1) over seeds; folds: the mean over seeds of each."""
    row: Json = {}
    for name in by_seed[0][0]:
        values = np.array([[fold[name] for fold in seed] for seed in by_seed])
        means = values.mean(axis=1)
        spread = means.std(ddof=1) if len(means) > 1 else np.nan
        row[name] = {
            "mean": _json(means.mean()),
            "sd": _json(spread),
            "folds": [_json(v) for v in values.mean(axis=0)],
        }
    return row


def _json(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def text(result: Json) -> str:
    """The table of a result as Markdown, the paper's column beside ours."""
    data = "; ".join(
        f"{d['normal']} normal and {d['abnormal']} abnormal slices ({d['matched']} matched) of {d['scans']} scans"
        for d in result["data"]
    )
    runs = f"{_counted(len(result['seeds']), 'seed')}, {_counted(len(result['data']), 'fold')}"
    columns = {k: v for k, v in COLUMNS.items() if any(k in row for row in result["rows"])}
    lines = [
        [row["name"], row["paper"], *(_shown(row[k]) if k in row else None for k in columns)]
        for row in result["rows"] + result["baselines"]
    ]
    heads = (result["what"], f"paper ({result['paper']})", *columns.values())
    return (
        f"## {result['experiment']} ({result['place']}), preset {result['preset']}\n\n"
        f"Test: {data}. {runs}: mean over folds, then mean ± standard "
        f"deviation over seeds. The last four rows need no model.\n\n"
        f"{taken_text('', result.get('left_out', ()))}{table(heads, lines)}"
    )


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _shown(value: Json) -> str | None:
    if value["mean"] is None:
        return None
    return rounded(value["mean"]) + (f" ± {rounded(value['sd'])}" if value["sd"] is not None else "")
