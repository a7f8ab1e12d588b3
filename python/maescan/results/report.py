"""`report.html`: what an output folder holds, in one file that needs no network. Of many pictures the highest are in
it, the others beside it in `pictures/`."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from maescan import files as outputs
from maescan.decimals import counted, short
from maescan.method.aggregate import likely_rate, several_of
from maescan.method.healthy import RARE
from maescan.method.heat import level_values
from maescan.results.cards import Card, Seen, cards_of, columns_of
from maescan.results.maps import Scale
from maescan.results.pictures import colours
from maescan.results.profile import Axis, band_of, height_of
from maescan.results.rows import NO_DICOM
from maescan.results.tables import FAILURES, Tables

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

BINS = 24
CHANCES = (
    "In scores.csv a slice's p_value is its place among healthy slices, which hang together by scan, and a scan with"
    " 155 slices has 155 chances of a small one; its p_scan is the share of healthy scans with any slice as high."
)
FILTERS = ("alert", "fit", "state")


Run = Mapping[str, Any]
"""run.json's values, or a part of them."""

REFERENCE = (
    "Healthy scans, scored for the reference of a calibration: they have no p-values, others are judged by them."
)


def write_report(path: Path, tables: Tables, run: Run, seen: Seen) -> None:
    """Writes the report of all scans into `path`. run: run.json's values."""
    outputs.write_text(path, render(tables, run, seen))


def render(tables: Tables, run: Run, seen: Seen) -> str:
    """The page."""
    templates = _templates()
    script = _read("script.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return str(
        templates.get_template("page.html").render(
            script=_raw(script),
            script_hash=_raw(f"sha256-{digest}"),
            style=_raw(_read("style.css")),
            **_page(tables, run, seen),
        )
    )


def _page(tables: Tables, run: Run, seen: Seen) -> dict[str, object]:
    state = run["calibration"] or {}
    axis = _axis(tables, seen, state)
    cards = cards_of(tables, seen, axis)
    failures = [failure._asdict() for failure in tables.failures]
    lacking = {failure.scan for failure in tables.failures if failure.stage == NO_DICOM}
    failed = sum(failure.stage != NO_DICOM for failure in tables.failures)
    threshold = state.get("threshold") if (tables.rule or {}).get("method") != "area" else None
    values = {name: sorted({getattr(card, name) or "none" for card in cards}) for name in FILTERS}
    return {
        "title": "maescan" if _unnamed(run) else f"maescan: {outputs.printable(seen.out.name)}",
        "rows": cards,
        "columns": columns_of(cards),
        "filters": [{"name": n, "values": values[n]} for n in FILTERS if len(values[n]) > 1 or n != "state"],
        "counts": _counts(cards, (failed, len(lacking)), run),
        "banners": (run.get("population") or {}).get("warnings", ()),
        "calibration": REFERENCE if run.get("options", {}).get("healthy") else _calibration(state),
        "cautions": [f"{words[0].upper()}{words[1:]}." for words in run["bundle"].get("cautions", ())],
        "chances": CHANCES if tables.judge else "",
        "run": _run(run, seen),
        "scale": _scale(seen.scale),
        "heat": _heat(seen.scale),
        "band": band_of(seen.profile, axis) if seen.profile else None,
        "threshold": None if threshold is None else height_of(threshold, axis),
        "threshold_text": f"a scan alerts over {short(threshold)}" if threshold is not None else "",
        "axis": f"{axis.low:.3g} to {axis.top:.3g}",
        "histogram": _histogram(
            [tables.scan_score(row) for row in tables.rows], state.get("scores") or [], threshold
        ),
        "failures": failures,
        "failure_columns": FAILURES,
    }


def _axis(tables: Tables, seen: Seen, state: Run) -> Axis:
    """Of all profiles: nothing that is judged lies beyond it."""
    judged = [row for row in tables.rows if row.fit != "other"] or tables.rows
    ends = [float(end) for row in judged for end in (row.scores.min(), row.scores.max())]
    band = [value for curve in seen.profile or () for value in curve]
    return Axis.of([0.0, *ends, *band, float(state.get("threshold") or 0.0)])


def _counts(cards: Sequence[Card], failures: tuple[int, int], run: Run) -> list[dict[str, object]]:
    """failures: how many scans have no scores, and how many have them and lack DICOM results."""
    failed, lacking = failures
    alerts, other = sum(card.alert == "yes" for card in cards), sum(card.fit == "other" for card in cards)
    passed, listed = (run.get("scans") or {}).get("passed_over", 0), "passed_over.csv" if run.get("listing") else ""
    cut = sum(card.state != "complete" for card in cards)
    found: list[tuple[int, str, str, str]] = [
        (len(cards), "scan scored" if len(cards) == 1 else "scans scored", "", ""),
        *([(alerts, "alert" if alerts == 1 else "alerts", "alert", "")] if any(card.alert for card in cards) else []),
        *([(other, "of another kind, not judged", "", "")] if other else []),
        *([(cut, "incomplete", "", "")] if cut else []),
        *([(failed, "failed", "", "#failed")] if failed else []),
        *([(lacking, "lacking DICOM results", "", "#failed")] if lacking else []),
        *([(passed, "passed over by the last run", "", listed)] if passed else []),
    ]
    return [dict(zip(("number", "text", "kind", "href"), each, strict=True)) for each in found]


def _calibration(state: Run) -> str:
    if not state:
        return "The bundle is not calibrated (maescan calibrate): scores can be ranked, but no scan alerts."
    rate = f"{100 * state['alert_rate']:g} %"
    if not state["can_alert"]:
        few = counted(state["scans"], "healthy reference scan is", "healthy reference scans are")
        return f"{few} too few to alert at a rate of {rate}."
    if patients := state.get("patients"):
        return f"The {state['scans']} scans of the reference are {several_of(patients)}: more than {rate} may alert."
    worst = f"{100 * likely_rate(state['scans'], state['alert_rate']):.3g} %"
    return (
        f"Of healthy scans like the {state['scans']} of the reference at most {rate} alert, on average over such"
        f" references; this one's own rate may be higher (over {worst} in 1 of 20)."
    )


def _run(run: Run, seen: Seen) -> dict[str, str]:
    written = run.get("written") or ""
    date = datetime.fromisoformat(written).strftime("%Y-%m-%d %H:%M %Z") if written else ""
    bundle = run["bundle"]
    folder = "" if _unnamed(run) else outputs.printable(str(seen.out.absolute()))
    about = {"written": written, "date": date, "folder": folder}
    return {**about, "bundle": outputs.printable(bundle["path"]), "hash": bundle["hash"][:12],
            "engine": run["engine"], "version": run["maescan"]}  # fmt: skip


def _unnamed(run: Run) -> bool:
    """Whether scans have pseudonyms: then no path is told either."""
    return bool((run.get("options") or {}).get("pseudonyms"))


def _scale(scale: Scale) -> dict[str, object]:
    shown = colours(np.linspace(0, 1, 21)).tolist()
    stops = [f"rgb({r} {g} {b} / {a / 255:.3f}) {5 * i}%" for i, (r, g, b, a) in enumerate(shown)]
    named = {"middle": f"{scale.middle:.3g}", "top": f"{scale.top:.3g}", "said": scale.values}
    of_scans = f"at most {100 * RARE:g}\u202f% of healthy scans reach it"
    said = of_scans if scale.certain else "99\u202f% of healthy tissue is lower"
    return {**named, "healthy": said if scale.healthy else "", "gradient": _raw(",".join(stops))}


def _heat(scale: Scale) -> dict[str, str]:
    """The filter that gives greys of pictures their colours, channel by channel."""
    table = colours(scale.shares(level_values(scale.full))) / 255
    return {name: _raw(" ".join(f"{v:.3g}" for v in table[::3, i])) for i, name in enumerate("rgba")}


def _histogram(scores: list[float], reference: list[float], threshold: float | None) -> dict[str, object] | None:
    """Bars of the scans' scores, and the outline of the calibration's, each as shares of its own count."""
    if not scores:
        return None
    axis = Axis.of([*scores, *reference])
    edges = np.linspace(axis.low, axis.top, BINS + 1)
    kinds = (("these scans", scores, "mine"), ("healthy reference", reference, "reference"))
    shares = [(title, np.histogram(v, edges)[0] / len(v), kind) for title, v, kind in kinds if len(v)]
    peak, width, height = max(float(share.max()) for _, share, _ in shares) or 1.0, 480 / BINS, 110
    groups = [
        {"title": title, "kind": kind, "bars": [
            {"x": f"{i * width + 1:.1f}", "y": f"{height - height * s / peak:.1f}", "width": f"{width - 2:.1f}",
             "height": f"{height * s / peak:.1f}"} for i, s in enumerate(share) if s]}
        for title, share, kind in shares
    ]  # fmt: skip
    line = "" if threshold is None else f"{480 * axis.part(threshold):.1f}"
    return {"groups": groups, "low": f"{axis.low:.3g}", "top": f"{axis.top:.3g}", "threshold": line}


def _templates() -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    found = Environment(autoescape=True, loader=FunctionLoader(_read), undefined=StrictUndefined)
    found.filters["breakable"] = _breakable
    return found


def _read(name: str) -> str:
    return files("maescan.results").joinpath("templates", name).read_text(encoding="utf-8")


def _raw(text: str) -> Markup:
    """Our own text, which needs no escapes."""
    from markupsafe import Markup

    return Markup(text)


def _breakable(text: object) -> Markup:
    """A name that may break behind / and _."""
    from markupsafe import Markup, escape

    return Markup(str(escape(str(text))).replace("/", "/<wbr>").replace("_", "_<wbr>"))
