"""The kernel tests again on an instrumented build: CPU loops, and CUDA launches on the host, under sanitizers.

The same sources are compiled with the address and undefined-behaviour sanitizers, every cuda.cu as C++ against the
host shim (tests/shim), and the kernel tests run in a process of their own with that build.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OPERATIONS = ["masks", "patchify", "difference", "pseudo", "ssim", "extract"]
UNITS = [
    *("bindings.cpp", "dispatch.cpp", "common/threads.cpp", "common/device.cu"),
    *(f"{folder}/{file}" for folder in OPERATIONS for file in ("cpu.cpp", "cuda.cu")),
]
FLAGS = "-std=c++17 -O1 -g -fPIC -pthread -ffp-contract=off -fvisibility=hidden -fsanitize=address,undefined"
STRICT = "-Wall -Wextra -Werror -Wno-unknown-pragmas -fno-sanitize-recover=undefined -fno-omit-frame-pointer"
DEFINES = "-DMAESCAN_SHIM -DMAESCAN_HAS_CUDA -DMAESCAN_ISA=baseline -DMAESCAN_MAX_BLOCKS=3"


def _library(name: str) -> str:
    return subprocess.run(
        ["g++", f"-print-file-name={name}"], capture_output=True, text=True, check=True
    ).stdout.strip()


def _build(folder: Path) -> Path:
    pybind11 = pytest.importorskip("pybind11")
    includes = [ROOT / "tests/shim", ROOT / "csrc", pybind11.get_include(), sysconfig.get_paths()["include"]]
    common = ["g++", *FLAGS.split(), *STRICT.split(), *DEFINES.split(), *(f"-I{path}" for path in includes)]
    sources = [ROOT / "csrc" / unit for unit in UNITS] + [ROOT / "tests/shim/shim.cpp"]
    objects = [folder / f"{number}.o" for number in range(len(sources))]

    def compile_one(source: Path, to: Path) -> int:
        return subprocess.run([*common, "-x", "c++", "-c", str(source), "-o", str(to)]).returncode

    with ThreadPoolExecutor(os.cpu_count()) as compilers:
        assert not any(compilers.map(compile_one, sources, objects))
    extension = folder / "_kernels.so"
    subprocess.run([*common, "-shared", *map(str, objects), "-o", str(extension)], check=True)
    return extension


@pytest.mark.timeout(600)
@pytest.mark.skipif("MAESCAN_TEST_KERNELS" in os.environ, reason="runs the others")
def test_kernels_pass_under_sanitizers_and_the_shim(tmp_path):
    if not os.path.isabs(_library("libasan.so")):
        pytest.skip("the address sanitizer is not installed")
    environment = {
        **os.environ,
        "LD_PRELOAD": f"{_library('libasan.so')} {_library('libstdc++.so')}",
        "ASAN_OPTIONS": "detect_leaks=0",
        "MAESCAN_TEST_KERNELS": str(_build(tmp_path)),
    }
    tests = sorted(str(path) for path in ROOT.glob("tests/kernels/test_*.py"))
    command = [sys.executable, "-m", "pytest", "-v", "-s", "-p", "no:faulthandler", *tests]
    run = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, (run.stdout + run.stderr)[-4000:]
    assert len(re.findall(r"\[shim.*\] PASSED", run.stdout)) > 50, run.stdout[-4000:]
