"""The benchmark's report: terminal tables, bench.json, bench.md, and pictures where matplotlib is there."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from maescan.config.types import Json
from maescan.files import write_json, write_text

Table = tuple[str, list[str], list[list[str]]]
"""Title, columns, rows."""


def write(out: Path, values: Json) -> None:
    """OUT/bench.json, OUT/bench.md and, with matplotlib, OUT/batches.png and OUT/folders.png."""
    write_json(out / "bench.json", values)
    write_text(out / "bench.md", markdown(values))
    if importlib.util.find_spec("matplotlib"):
        pictures(out, values)


def tables(values: Json) -> list[Table]:
    """What is printed and written, in the same order and words."""
    found = [_engines(values), _starts(values)]
    if "folders" in values:
        found += [_folders(values), *_scaling(values["scaling"])]
    return [table for table in found if table[2]]


def show(values: Json) -> None:
    """Prints the tables."""
    from rich.console import Console
    from rich.table import Table as Shown

    console = Console(width=max(112, Console().width))  # narrower, figures are cut off
    for title, columns, rows in tables(values):
        shown = Shown(title=title, title_justify="left")
        for index, column in enumerate(columns):
            shown.add_column(column, justify="right" if index else "left")
        for row in rows:
            shown.add_row(*row)
        console.print(shown)


def markdown(values: Json) -> str:
    """bench.md: the tables, and above them on what, from what and how they were measured."""
    machine = values["machine"]
    lines = ["# maescan bench", "", f"- machine: {machine['cpu']}, {machine['cores']} cores,"]
    lines[-1] += f" {machine['memory_gib']} GiB, load {machine['load']}, GPUs: {', '.join(machine['gpus']) or 'none'}"
    lines += [f"- commit: {values['commit']}", f"- command: `{values['command']}`"]
    lines += ["- versions: " + ", ".join(f"{name} {version}" for name, version in values["versions"].items())]
    peaks = ", ".join(f"{name} {peak / 1e9:.0f} GFLOP/s" for name, peak in values["limits"]["gemm"].items())
    lines += [f"- measured peaks: {peaks or 'none'}; copy {values['limits']['copy'] / 1e9:.1f} GB/s (read + written)"]
    for title, columns, rows in tables(values):
        lines += ["", f"## {title}", "", f"| {' | '.join(columns)} |", "|---|" + "---:|" * (len(columns) - 1)]
        lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def _engines(values: Json) -> Table:
    columns, rows = ["engine", "batch", "slices/s", "limit", "share", "p50 ms", "p95 ms", "p99 ms", "W"], []
    for row in values["engines"]:
        if "skipped" in row:
            rows.append([f"{row['target']}-{row['precision']}: {row['skipped']}"] + [""] * (len(columns) - 1))
        rows += [[row["engine"], *_batch(measured)] for measured in row.get("batches", [])]
    return "Engines: both models with masks and kernels, beside what products and copies allow", columns, rows


def _batch(row: Json) -> list[str]:
    bound = row["limit"]
    return [
        str(row["batch"]),
        f"{row['slices_per_second']:.2f}",
        f"{bound['slices_per_second']:.2f}" if bound else "-",
        f"{100 * row['share']:.0f} %" if row["share"] else "-",
        *(f"{1000 * row[name]:.1f}" for name in ("p50_s", "p95_s", "p99_s")),
        f"{row['watts']:.0f}" if row["watts"] else "-",
    ]


def _starts(values: Json) -> Table:
    rows = [
        [row["engine"], f"{row['first_score_s']:.2f}", _mib(row["peak_memory"])]
        for row in values["engines"]
        if "batches" in row
    ]
    return "Start: load, golden slices, first score", ["engine", "first score s", "peak memory MiB"], rows


def _folders(values: Json) -> Table:
    stages = "read", "preprocess", "engine", "write"
    columns, rows = ["folder", "scans", "slices", "scans/h", "slices/s", "engine alone", "of engine", *stages], []
    for row in values["folders"]:
        if "skipped" in row:
            rows.append([f"{row['format']}: {row['skipped']}"] + [""] * (len(columns) - 1))
            continue
        busy = [row["stages"].get(stage, {}).get("busy") for stage in stages]
        rows.append(
            [
                row["format"],
                *(str(row[name]) for name in ("scans", "slices")),
                f"{row['scans_per_hour']:.1f}",
                f"{row['slices_per_second']:.2f}",
                f"{row['alone_slices_per_second']:.2f}",
                *("-" if share is None else f"{100 * share:.0f} %" for share in [row["share"], *busy]),
            ]
        )
    return "End to end: files in, tables out; how busy each stage was, readers together", columns, rows


def _scaling(scaling: Json) -> list[Table]:
    threads = [[str(row["threads"]), f"{row['slices_per_second']:.2f}"] for row in scaling["threads"]]
    sizes = [
        [
            str(row["passes"]),
            str(row["tokens"]),
            f"{row['operations'] / 1e9:.3g}",
            f"{row['slices_per_second']:.2f}",
            f"{row['operations'] * row['slices_per_second'] / 1e9:.1f}",
        ]
        for row in scaling["sizes"]
    ]
    folders = [
        [
            str(row["scans"]),
            f"{row['seconds']:.1f}",
            f"{1000 * row['seconds'] / row['scans']:.1f}",
            _mib(row["peak_memory"]),
        ]
        for row in scaling["folders"]
    ]
    return [
        ("Threads", ["threads", "slices/s"], threads),
        ("Passes, and patches of a slice", ["passes", "tokens", "GFLOP per slice", "slices/s", "GFLOP/s"], sizes),
        ("Folder size (preset tiny)", ["scans", "seconds", "ms per scan", "peak memory MiB"], folders),
    ]


def _mib(size: int | None) -> str:
    return f"{size / 2**20:.0f}" if size else "-"


def pictures(out: Path, values: Json) -> None:
    """batches.png: slices per second over batch size; folders.png: seconds over folder size."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for row in values["engines"]:
        if "batches" in row:
            sizes, rates = zip(*((b["batch"], b["slices_per_second"]) for b in row["batches"]), strict=True)
            axes.plot(sizes, rates, marker="o", label=row["engine"])
    axes.set(xlabel="batch", ylabel="slices per second", xscale="log", ylim=(0, None))
    axes.legend()
    figure.savefig(out / "batches.png", dpi=120)
    rows = values.get("scaling", {}).get("folders", [])
    if rows:
        figure = Figure(figsize=(6, 4), layout="constrained")
        axes = figure.subplots()
        axes.plot([row["scans"] for row in rows], [row["seconds"] for row in rows], marker="o")
        axes.set(xlabel="scans (preset tiny)", ylabel="seconds", xlim=(0, None), ylim=(0, None))
        figure.savefig(out / "folders.png", dpi=120)
