"""Kernels in pytest-benchmark's table; each round also times the peer and a copy (see bench/kernels.py).

python -m pytest bench/test_kernels.py --benchmark-only -s [MAESCAN_BENCH_ROUNDS=20]
"""

from __future__ import annotations

import os
from typing import Any

import pytest

from kernels import cases, copier, line, seconds, summary, use

ROUNDS = int(os.environ.get("MAESCAN_BENCH_ROUNDS", "20"))
CASES = {f"{case.name}-{case.dtype}": case for case in cases(32, "cpu")}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", CASES)
def test_kernel(benchmark: Any, name: str, threads: int) -> None:
    case = CASES[name]
    others = [case.peer, *([copier(case.moved, "cpu", threads)] if case.moved else [])]
    times = []
    with use(threads):
        benchmark.pedantic(
            case.ours,
            setup=lambda: times.append([seconds(each, "cpu") for each in others]),
            rounds=ROUNDS,
            warmup_rounds=2,
        )
    row = {**summary(case, [benchmark.stats.stats.data, *zip(*times[2:], strict=True)]), "threads": threads}
    benchmark.extra_info.update(row)
    print("\n" + line(row))
