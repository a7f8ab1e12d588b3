"""Instructions that each kernel takes, counted by callgrind: what a busy machine cannot blur.

The CPU's loops are compiled at -O2 for the baseline (valgrind knows no AVX-512) with instructions.cpp, run once, and
compared with bench/results/instructions.json, which has a list for each compiler that was tried. After a change that
is meant: MAESCAN_SAVE_INSTRUCTIONS=1 python -m pytest tests/system/test_kernels_instructions.py
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SAVED = ROOT / "bench" / "results" / "instructions.json"
OPERATIONS = ["masks", "patchify", "difference", "pseudo", "ssim", "extract"]
SOURCES = [
    *(f"csrc/{folder}/cpu.cpp" for folder in OPERATIONS),
    "csrc/dispatch.cpp",
    "csrc/common/threads.cpp",
    "tests/system/instructions.cpp",
]
FLAGS = ["-std=c++17", "-O2", "-ffp-contract=off", "-pthread", "-DMAESCAN_ISA=baseline", "-Icsrc"]
MORE = 1.05

pytestmark = pytest.mark.skipif(
    "MAESCAN_TEST_KERNELS" in os.environ
    or not all(map(shutil.which, ("valgrind", "g++")))
    or not Path("/usr/include/valgrind/callgrind.h").is_file(),
    reason="needs valgrind with its headers, g++, and no sanitizer",
)


def _compiler() -> str:
    asked = ("-dumpfullversion", "-dumpmachine")
    return " ".join(
        ["g++", *(subprocess.run(["g++", each], capture_output=True, text=True).stdout.strip() for each in asked)]
    )


def _counts(folder: Path) -> dict[str, int]:
    objects = [folder / f"{number}.o" for number in range(len(SOURCES))]
    pairs = zip(SOURCES, objects, strict=True)
    jobs = [subprocess.Popen(["g++", *FLAGS, "-c", source, "-o", str(to)], cwd=ROOT) for source, to in pairs]
    assert [job.wait() for job in jobs] == [0] * len(jobs)
    subprocess.run(["g++", "-pthread", *map(str, objects), "-o", "count"], cwd=folder, check=True)
    command = ["valgrind", "--tool=callgrind", "--collect-atstart=no", "--callgrind-out-file=counted", "./count"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    dumps = [path.read_text() for path in folder.glob("counted.*")]
    found = (re.search(r"Client Request: (\w+)\n.*^totals: (\d+)", dump, re.S | re.M) for dump in dumps)
    return dict(sorted((each[1], int(each[2])) for each in found if each))


def test_no_kernel_takes_more_instructions(tmp_path):
    saved, compiler = json.loads(SAVED.read_text()) if SAVED.is_file() else {}, _compiler()
    if os.environ.get("MAESCAN_SAVE_INSTRUCTIONS") == "1":
        SAVED.write_text(json.dumps({**saved, compiler: _counts(tmp_path)}, indent=2) + "\n")
        return
    if compiler not in saved:
        pytest.skip(f"no counts were saved for {compiler}")
    found = _counts(tmp_path)
    assert found.keys() == saved[compiler].keys()
    grown = {name: (count, saved[compiler][name]) for name, count in found.items()}
    grown = {name: (now, before) for name, (now, before) in grown.items() if now > MORE * before}
    assert not grown, f"instructions now and as saved: {grown}"
