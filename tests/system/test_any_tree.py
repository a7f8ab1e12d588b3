"""Whatever a folder holds and however it is called: every file is accounted for, and nothing given is harmed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.scoring_stub import BUNDLE, Engine, rows, write_scan
from maescan.scoring.options import ScoreOptions
from maescan.scoring.pipeline import score_folder

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=60)
NAMES = st.one_of(
    TEXT.map(str.encode),
    st.binary(min_size=1, max_size=120).map(lambda name: name.translate(None, b"/\0") or b"x"),
    st.sampled_from([b"-rf", b"=1+1", b"a\nb", b"\x1b[31m", b"..x", b"...", b"CON", b"T1", b"t1", b" ", b"n" * 255]),
    st.sampled_from(["M\u00fcller", "Mu\u0308ller", "\u202efdp", "x_anomaly.nii.gz"]).map(str.encode),
)
KINDS = st.sampled_from(["scan", "scan", "scan", "junk", "text", "link", "dangling", "folder link", "hidden"])
TREES = st.lists(st.tuples(st.lists(NAMES, max_size=3), NAMES, KINDS), min_size=1, max_size=10)


def make(root: bytes, tree, scan: bytes) -> int:
    """Writes a tree; returns how many files and links it has."""
    made = 0
    for number, (folders, name, kind) in enumerate(tree):
        folder = os.path.join(root, *(part[:255].lstrip(b".") or b"d" for part in folders))
        end = b"" if kind in ("text", "folder link") else b".nii"
        plain = name[: 255 - len(end)].lstrip(b".") or b"x"
        path = os.path.join(folder, b"." + plain[:240] if kind == "hidden" else plain + end)
        try:
            os.makedirs(folder, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            continue
        if os.path.lexists(path):
            continue
        if kind in ("scan", "hidden"):
            with open(path, "wb") as stream:  # different voxels, so that no two scans are one
                stream.write(scan[:-2] + number.to_bytes(2, "big"))
        elif kind in ("junk", "text"):
            with open(path, "wb") as stream:
                stream.write(b"nothing of ours %d" % number)
        else:
            target = {"link": b"no scan.nii", "dangling": b"nowhere", "folder link": root}[kind]
            os.symlink(os.path.join(root, target) if kind != "folder link" else root, path)
        made += 1
    return made


def state(root: bytes) -> dict[bytes, str]:
    found = {}
    for folder, _, files in os.walk(root):
        for name in files:
            path = os.path.join(folder, name)
            data = os.readlink(path) if os.path.islink(path) else Path(os.fsdecode(path)).read_bytes()
            found[path] = hashlib.sha256(data).hexdigest()
    return found


@settings(
    max_examples=int(os.environ.get("MAESCAN_TREES", "4")), deadline=None, suppress_health_check=list(HealthCheck)
)
@given(tree=TREES)
def test_every_file_is_accounted_for_and_none_is_harmed(tree):
    base = Path(tempfile.mkdtemp(prefix="maescan-test-tree-"))
    try:
        scan = write_scan(base / "scan.nii", 0, slices=2).read_bytes()
        root = os.fsencode(base / "in")
        os.mkdir(root)
        with open(os.path.join(root, b"no scan.nii"), "wb") as stream:
            stream.write(scan)
        given_files = 1 + make(root, tree, scan)
        before = state(root)
        for _ in range(2):  # again: nothing is renamed, lost or doubled
            out = base / "out"
            score_folder([base / "in"], BUNDLE, Engine(), out, ScoreOptions(maps=True, pictures=1, workers=1))
            scans, failures, passed = (rows(out / f"{name}.csv") for name in ("scans", "failures", "passed_over"))
            assert len(scans) + len(failures) + len(passed) == given_files
            assert state(root) == before
            maps = [path for path in (out / "maps").rglob("*") if path.is_file()]
            assert len(maps) == len(scans) == len({row["scan"] for row in scans})
            assert len({str(path).casefold() for path in maps}) == len(maps)
            assert all(str(path.relative_to(out)).isprintable() for path in out.rglob("*"))
            counts = json.loads((out / "run.json").read_text())["scans"]
            assert counts["found"] == counts["scored"] + counts["failed"] == len(scans) + len(failures)
        assert sorted(path.name for path in base.iterdir()) == ["in", "out", "scan.nii"]
    finally:
        shutil.rmtree(base)
