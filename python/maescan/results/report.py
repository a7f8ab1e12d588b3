"""`report.html`: what an output folder holds, in one file that needs no network. Without times, so that a resumed run
writes the same bytes."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from maescan import files as outputs
from maescan.errors import DataError
from maescan.results.tables import FAILURES, SCANS, Tables

BINS = 24
CHANCES = (
    "In scores.csv a slice's <code>p_value</code> counts that slice alone, and a scan with 155 slices has 155 chances"
    " of a small one; its <code>p_scan</code> is the share of healthy scans that have any slice as high."
)
NUMBERS = {"score", "p_value", "slices", "worst_slice"}
HEADINGS = {"p_value": "p", "worst_slice": "worst slice"}


def write_report(path: Path, tables: Tables, run: dict[str, Any], pictures: Mapping[str, Path]) -> None:
    """Writes the report of all scans into `path`. run: run.json's values; pictures: of scans, by label; those that
    somebody took away are left out. Raises DataError where one cannot be read, or the report not be written."""
    scans = [dict(zip(SCANS, map(_text, row), strict=True)) for row in tables.scans()]
    failures = [failure._asdict() for failure in tables.failures]
    reference = run["calibration"]["scores"] if run["calibration"] else []
    scans.sort(key=lambda row: (row["alert"] != "yes", -float(row["score"]), row["scan"]))
    images = {label: image for label, picture in pictures.items() if (image := _image(picture))}
    drawn = [(row, images[row["scan"]]) for row in scans if row["scan"] in images]
    columns = [column for column in ("scan", "score", "p_value", "alert", "fit", "slices", "worst_slice", "warnings")
               if any(row[column] for row in scans)]  # fmt: skip
    page = Template(files("maescan.results").joinpath("page.html").read_text(encoding="utf-8"))
    outputs.write_text(
        path,
        page.substitute(
            headline=_headline(scans, failures),
            calibration=_banner((run.get("population") or {}).get("warnings", ())) + _calibration(run),
            histogram=_histogram([float(row["score"]) for row in scans], reference),
            scans=_table("scans", columns, scans, {row["scan"]: f"#p{i}" for i, (row, _) in enumerate(drawn)}),
            pictures=_pictures(drawn),
            failures=_failures(failures),
            made=escape(f"maescan {run['maescan']}, {run['engine']}, bundle {run['bundle']['hash'][:12]}"),
        ),
    )


def _image(path: Path) -> bytes:
    """What a picture's file holds; nothing where there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        remedy = "remove it, and the next run draws it again"
        raise DataError(f"cannot be read: {error.strerror}", path=path, remedy=remedy) from error


def _headline(scans: list[dict[str, str]], failures: list[dict[str, str]]) -> str:
    alerts = sum(row["alert"] == "yes" for row in scans)
    parts = [f"<b>{len(scans)}</b> scans scored"]
    if any(row["alert"] for row in scans):
        parts.append(f"<b>{alerts}</b> {'alert' if alerts == 1 else 'alerts'}")
    if failures:
        parts.append(f'<a href="#failures"><b>{len(failures)}</b> failed</a>')
    return " &middot; ".join(parts)


def _banner(said: Sequence[str]) -> str:
    """What makes alerts mean less than they should."""
    return "".join(f'<strong class="banner" role="alert">{escape(text)}</strong> ' for text in said)


def _calibration(run: dict[str, Any]) -> str:
    state = run["calibration"]
    if not state:
        return (
            "The bundle is not calibrated (<code>maescan calibrate</code>): scores can be ranked, but no scan alerts."
        )
    rate = f"{100 * state['alert_rate']:g} %"
    if not state["can_alert"]:
        return f"{state['scans']} healthy reference scans are too few to alert at a rate of {rate}."
    return f"Of healthy scans like the {state['scans']} of the reference at most {rate} alert. {CHANCES}"


def _table(name: str, columns: Sequence[str], rows: list[dict[str, str]], links: dict[str, str]) -> str:
    head = "".join(
        f'<th scope="col"{" class=n" if c in NUMBERS else ""}><button>{HEADINGS.get(c, c)}</button></th>'
        for c in columns
    )
    body = "\n".join(
        f"<tr{' class=alert' if row.get('alert') == 'yes' else ''}>"
        + "".join(_cell(column, row[column], links) for column in columns)
        + "</tr>"
        for row in rows
    )
    return f'<table id="{name}"><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table>'


def _cell(column: str, value: str, links: dict[str, str]) -> str:
    text = escape(value)
    if column in ("score", "p_value") and value:
        text = f"{float(value):.4f}"
    if column == "scan":
        text = f'<a href="{links[value]}">{text}</a>' if value in links else text
        return f'<th scope="row" data-of="scan">{text}</th>'
    kind = ' class="n"' if column in NUMBERS else ""
    return f'<td{kind} data-of="{HEADINGS.get(column, column)}">{text}</td>'


def _failures(rows: list[dict[str, str]]) -> str:
    table = _table("failures", FAILURES, rows, {})
    return f"<h2>Failures</h2>\n{table}" if rows else ""


def _pictures(drawn: list[tuple[dict[str, str], bytes]]) -> str:
    what = "Slice, reconstruction, difference, difference in red over the slice; of the scans that score highest."
    figures = "\n".join(_figure(i, row, image) for i, (row, image) in enumerate(drawn))
    return f'<h2>Worst slices</h2>\n<p class="soft">{what}</p>\n{figures}' if drawn else ""


def _figure(number: int, row: dict[str, str], image: bytes) -> str:
    data = base64.b64encode(image).decode()
    name, score = escape(row["scan"]), f"{float(row['score']):.4f}"
    text = f"{name}: slice {row['worst_slice']}, its reconstruction, their difference, and the difference in red"
    return (
        f'<figure id="p{number}"><img alt="{text}" src="data:image/png;base64,{data}">'
        f"<figcaption><b>{name}</b> slice {row['worst_slice']}, scan score {score}</figcaption></figure>"
    )


def _histogram(scores: list[float], reference: list[float]) -> str:
    """Bars of the scans' scores, and the outline of the calibration's, each as shares of its own count."""
    if not scores:
        return ""
    top = max(1e-6, *scores, *reference)
    edges = np.linspace(0, top, BINS + 1)
    kinds = (("these scans", scores, "mine"), ("healthy reference", reference, "reference"))
    shares = [(title, np.histogram(v, edges)[0] / len(v), kind) for title, v, kind in kinds if len(v)]
    peak = max(float(share.max()) for _, share, _ in shares)
    drawn, width, height = [], 480 / BINS, 110
    for title, share, kind in shares:
        bars = "".join(
            f'<rect x="{i * width + 1:.1f}" y="{height - height * s / peak:.1f}" width="{width - 2:.1f}"'
            f' height="{height * s / peak:.1f}"/>'
            for i, s in enumerate(share)
            if s
        )
        drawn.append(f'<g class="{kind}"><title>{title}</title>{bars}</g>')
    key = " ".join(f'<span class="{kind}">{title}</span>' for title, _, kind in shares)
    return (
        f'<figure class="histogram"><svg viewBox="0 0 480 128" role="img" aria-label="Histogram of scan scores">'
        f'{"".join(drawn)}<line x1="0" x2="480" y1="{height}" y2="{height}"/><text x="0" y="125">0</text>'
        f'<text x="480" y="125" text-anchor="end">score {top:.3g}</text></svg><figcaption>{key}</figcaption></figure>'
    )


def _text(value: object) -> str:
    """As in a CSV file."""
    return f"{value:.6f}" if isinstance(value, float) else str(value)
