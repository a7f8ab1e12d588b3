"""Tables and JSON of others, damaged in every way: one line that names the file, or what they say."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest

from helpers.mutations import mutations
from maescan import datasets
from maescan.config import preset
from maescan.datasets.phantom import write_phantom
from maescan.errors import MaescanError
from maescan.evaluate.compare import read_evaluation
from maescan.evaluate.groups import read_groups
from maescan.method.candidates import read_candidates

TINY = preset("tiny")
COUNT = 400
PUT_IN = (b'"', b"\0", b",", b"\t", b"\n", b"9" * 400, b"\xff", b"[[[[", b"-", b"e999", b"nan", b"\xef\xbb\xbf")
SLICES = b"scan,slice,label,score,area\na,0,1,0.5,0.25\na,1,0,0.5,0.25\n"
METRICS = {"model": {"name": "a", "score": "MAE"}, "more": [1]}


def damaged(content: bytes, seed: int):
    """Copies of `content` with bytes changed, put in, or cut off."""
    draw = random.Random(seed)
    for number in range(COUNT):
        made = bytearray(content)
        at = draw.randrange(len(made))
        if number % 3 == 0:
            for _ in range(draw.randint(1, 4)):
                made[draw.randrange(len(made))] = draw.randrange(256)
        elif number % 3 == 1:
            made[at:at] = draw.choice(PUT_IN)
        else:
            del made[at:]
        yield bytes(made)


def outcomes(file: Path, contents, read: Callable[[], object]) -> dict[str, int]:
    counts = {"read": 0, "refused": 0}
    for content in contents:
        file.write_bytes(content)
        try:
            read()
        except MaescanError as error:
            assert "\n" not in str(error) and str(file) in str(error), (content, str(error))
            counts["refused"] += 1
        else:
            counts["read"] += 1
    return counts


@pytest.mark.parametrize(
    ("name", "content", "read"),
    [
        ("groups.tsv", b"participant_id\tsex\tage\nsub-1\tF\t40\nsub-2\tM\t50\n", read_groups),
        (
            "candidates.csv",
            b"seriesuid,coordX,coordY,coordZ,class\n1.2,1,2,3,0\n1.3,4.5,-2,1e2,1\n",
            read_candidates,
        ),
        ("preset.json", json.dumps(TINY.to_dict()).encode(), lambda path: preset(str(path))),
    ],
)
def test_damaged_tables_and_presets(tmp_path, name, content, read):
    file = tmp_path / name
    counts = outcomes(file, damaged(content, 1), lambda: read(file))
    assert min(counts.values()) > 2, counts


def test_damaged_evaluations(tmp_path):
    metrics, slices = tmp_path / "metrics.json", tmp_path / "slices.csv"
    metrics.write_text(json.dumps(METRICS))
    counts = outcomes(slices, damaged(SLICES, 2), lambda: read_evaluation(tmp_path))
    assert min(counts.values()) > 2, counts
    slices.write_bytes(SLICES)
    changed = (json.dumps(values).encode() for _, values in mutations(METRICS))
    counts = outcomes(metrics, changed, lambda: read_evaluation(tmp_path))
    assert min(counts.values()) > 2, counts


def test_damaged_labels(tmp_path):
    write_phantom(tmp_path, healthy=1, lesions=0, seed=0)
    scan = next(tmp_path.rglob("*.nii.gz")).relative_to(tmp_path).as_posix()
    content = f"scan,slice,label\n{scan},1,1\n{scan},2,0\n".encode()
    labels = tmp_path / "labels.csv"
    contents = (content, *islice(damaged(content, 3), 12))
    counts = outcomes(labels, contents, lambda: datasets.load(tmp_path, TINY))
    assert counts == {"read": 1, "refused": 12}
