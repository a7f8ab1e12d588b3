"""What nvcc makes of the kernels that scoring runs on a GPU: wide stores, and no registers spilled to memory.

Needs nvcc, and cuobjdump from the CUDA toolkit or from triton (which torch brings); no GPU.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FLAGS = ["-std=c++17", "-O3", "--fmad=false", "-Icsrc", "-c"]
ARCHITECTURES = (80, 90)
NARROW = {"masks": 6, "patchify": 0, "difference": 2}  # stores of 4 bytes that remain: ids; a patch's two sums


def _cuobjdump() -> str | None:
    triton = importlib.util.find_spec("triton")
    bundled = Path(triton.origin).parent / "backends/nvidia/bin" if triton and triton.origin else None
    return shutil.which("cuobjdump") or (shutil.which("cuobjdump", path=str(bundled)) if bundled else None)


pytestmark = pytest.mark.skipif(not (shutil.which("nvcc") and _cuobjdump()), reason="needs nvcc and cuobjdump")


def _instructions(folder: Path, operation: str) -> dict[tuple[str, str], Counter[str]]:
    """Memory instructions by (architecture, kernel)."""
    code = [f"-gencode=arch=compute_{each},code=sm_{each}" for each in ARCHITECTURES]
    built = folder / f"{operation}.o"
    subprocess.run(["nvcc", *FLAGS, *code, f"csrc/{operation}/cuda.cu", "-o", str(built)], cwd=ROOT, check=True)
    dumped = subprocess.run([str(_cuobjdump()), "-sass", str(built)], capture_output=True, text=True, check=True)
    found: dict[tuple[str, str], Counter[str]] = {}
    architecture = kernel = ""
    for line in dumped.stdout.splitlines():
        if each := re.search(r"arch = (sm_\d+)", line):
            architecture = each[1]
        elif each := re.search(r"Function : (\S+)", line):
            kernel = each[1]
            found[architecture, kernel] = Counter()
        elif each := re.search(r"\b((?:STG|STL|LDL)[.\w]*)", line):
            found[architecture, kernel][each[1]] += 1
    return found


@pytest.mark.timeout(300)
@pytest.mark.parametrize("operation", NARROW)
def test_wide_stores_and_no_spills(operation, tmp_path):
    found = _instructions(tmp_path, operation)
    assert {architecture for architecture, _ in found} == {f"sm_{each}" for each in ARCHITECTURES}
    for (architecture, kernel), counts in found.items():
        where = f"{architecture} {kernel}: {dict(counts)}"
        assert not any(name.startswith(("STL", "LDL")) for name in counts), f"spills: {where}"
        if re.search(r"patchify_patches.*ILi1E|ILi1E|Li1EEE|slice_errors", kernel):
            continue  # one element a store: what is not aligned
        assert not any(re.search(r"\.[US](8|16)", name) for name in counts), f"narrow stores: {where}"
        assert sum(n for name, n in counts.items() if ".128" not in name) <= NARROW[operation], where
        assert operation == "masks" or any(".128" in name for name in counts), where
