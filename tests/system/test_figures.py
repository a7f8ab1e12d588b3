"""What pages say of a JSON in bench/results is in it, rounded as they round."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def _card(found: Any) -> Iterator[str]:
    """Rows of rates: slices/s by batch, a scan, one slice."""
    for run in found["runs"]:
        made = run.get("found")
        steps = made if isinstance(made, list) else [made] if isinstance(made, dict) else []
        for engine in [engine for step in steps for engine in step.get("engines", [step])]:
            if "slices_per_second" in engine:
                scan, one = engine["scan_s"] * 1000, engine["slice_s"] * 1000
                rates = [f"{rate:,.0f}" for rate in engine["slices_per_second"].values()]
                yield " | ".join([*rates, f"{scan:.{0 if scan >= 100 else 1}f} ms", f"{one:.1f} ms"])


def _peers(found: Any) -> Iterator[str]:
    for row in found["rows"]:
        rate, share = f"{row['best_slices_per_second']:.2f}", f"{row['best_gflops']:.0f}"
        median, least, most = (f"{ratio:.2f}" for ratio in row["ratio"])
        base = {"draem": f"{rate} images/s, {share} GFLOP/s"}.get(row["work"], f"| {rate} | {share} | 1 |")
        yield (
            base
            if median == "1.00" or row["work"] == "draem"
            else f"| {rate} | {share} | {median} ({least} to {most})"
        )


def _foreground(found: Any) -> Iterator[str]:
    seconds = found["seconds_a_slice"]
    for name, times in seconds.items():
        full = seconds.get(f"full grid {name.split()[-1]}", times)
        if full is not times:
            ratios = [whole / less for whole, less in zip(full, times, strict=True)]
            yield f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    if found["slices"] > 100:
        yield from (f"| {min(times) * 1000:.0f} |" for times in seconds.values())


def _bench(found: Any) -> Iterator[str]:
    for engine in found["engines"]:
        rows = {row["batch"]: row for row in engine["batches"]}
        rate, limit = rows[16]["slices_per_second"], rows[16]["limit"]["slices_per_second"]
        alone, first = rows[1]["p50_s"] * 1000, engine["first_score_s"]
        yield f"| {engine['precision']} | {rate:.2f} | {rate / limit:.0%} | {alone:.0f} | {first:.1f} |".replace(
            "%", " %"
        )
    for row in found["folders"]:
        busy = f"{row['share']:.0%} | {row['engine_busy']:.0%}".replace("%", " %")
        yield f"| {row['format']} | {row['scans_per_hour']:.0f} | {row['slices_per_second']:.2f} | {busy} |"


CITED = [
    ("gpu.md", "gpu-h100.json", _card),
    ("performance.md", "peers-cpu.json", _peers),
    ("performance.md", "bench-brats/bench.json", _bench),
    ("foreground-tokens.md", "foreground-scans.json", _foreground),
    ("foreground-tokens.md", "foreground-phantom.json", _foreground),
]


@pytest.mark.parametrize(("page", "file", "said"), CITED, ids=[file for _, file, _ in CITED])
def test_what_a_page_says_is_in_the_json(page, file, said):
    text = " ".join((ROOT / "docs" / page).read_text().replace("*", "").split())
    wanted = list(said(json.loads((ROOT / "bench" / "results" / file).read_text())))
    assert len(wanted) > 1
    assert not [each for each in wanted if each not in text]
