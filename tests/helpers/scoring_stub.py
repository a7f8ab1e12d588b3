"""What the tests of scoring share: an engine without a model, tiny scans, and a run in a process of its own."""

from __future__ import annotations

import csv
import multiprocessing
import os
import re
import resource
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from helpers.inputs import given
from helpers.stubs import StubEngine, stub_bundle
from maescan.errors import MaescanError
from maescan.scoring.options import ScoreOptions, Shard
from maescan.scoring.pipeline import score_folder

BUNDLE = stub_bundle()
Engine = StubEngine
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["pytest", "maescan.scoring.pipeline", "maescan.method.preprocess", "maescan.scans"])


def write_scan(path: Path, seed: int, slices: int = 6) -> Path:
    x, y = np.meshgrid(np.linspace(-1, 1, 24), np.linspace(-1, 1, 24), indexing="ij")
    voxels = np.random.default_rng(seed).integers(200, 900, (24, 24, slices), dtype=np.int16)
    voxels[(x**2 + y**2) > 0.6] = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.Nifti1Image(voxels, np.diag([10.0, 10, 5, 1])).to_filename(path)
    return given(path)


def write_folder(folder: Path) -> Path:
    """Six scans of two slices, one that is broken and a text."""
    for number in range(6):
        write_scan(folder / f"scan{number}.nii.gz", number, slices=2)
    (folder / "broken.nii").write_bytes(b"broken")
    (folder / "notes.txt").write_text("no scan")
    return folder


def shard(folder: Path, out: Path, number: int, **options: Any) -> Path:
    """`out`, with one of two shards of a folder in it."""
    chosen = ScoreOptions(**{"maps": True, "pictures": 2, "shard": Shard(number, 2), **options})
    score_folder([folder], BUNDLE, Engine(), out, chosen)
    return out


def run(
    folder: Path,
    out: Path,
    pipe: Connection | None = None,
    *,
    pause: float = 0.0,
    largest: int | None = None,
    user: int | None = None,
    **options: Any,
) -> None:
    """Scores a folder and sends what came of it: "done" or the error's text. For a process of its own.

    largest: no file may grow over so many bytes, as when a disk is full; user: whom to run as."""
    if largest is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
    if user is not None:
        os.setuid(user)
    try:
        score_folder([folder], BUNDLE, Engine(pause), out, ScoreOptions(**options))
        answer = "done"
    except MaescanError as error:
        answer = str(error)
    if pipe is not None:
        pipe.send(answer)


def started(*arguments: Any, **options: Any) -> tuple[ForkServerProcess, Connection]:
    """(process, pipe on which its answer comes)."""
    pipe, theirs = PROCESSES.Pipe()
    process = PROCESSES.Process(target=run, args=(*arguments, theirs), kwargs=options)
    process.start()
    theirs.close()
    return process, pipe


def answer_of(*arguments: Any, **options: Any) -> str:
    process, pipe = started(*arguments, **options)
    answer = pipe.recv() if pipe.poll(60) else "no answer"
    process.join(10)
    pipe.close()
    return answer


def files_of(out: Path) -> dict[str, bytes]:
    """Every file of an output folder but what tells the time and where it lies."""
    found = (path for path in sorted(out.rglob("*")) if path.is_file() and ".maescan" not in path.parts)
    files = {str(path.relative_to(out)): path.read_bytes() for path in found if path.name != "run.json"}
    if "report.html" in files:
        files["report.html"] = timeless(files["report.html"].decode()).encode()
    return files


def timeless(report: str) -> str:
    """A report without its date and folder."""
    return re.sub(r'<dl id="run">.*?</dl>|<title>.*?</title>', "", report, flags=re.DOTALL)


def rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with open(path, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))
