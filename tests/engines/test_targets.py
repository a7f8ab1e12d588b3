"""The one table of targets: what runs on which card."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from helpers.gpu_machine import driver
from maescan import export, kernels, machine
from maescan.engines.targets import RTX, TARGETS, best_for, place_to_prove, runs_on
from maescan.errors import EngineError
from maescan.machine import Gpu

ROOT = Path(__file__).resolve().parents[2]


def card(major, minor):
    return Gpu(0, "NVIDIA Test", (major, minor), 24 << 30)


def test_the_table_knows_the_cards_that_tensorrt_rtx_knows():
    trt = pytest.importorskip("tensorrt_rtx")
    known = set(trt.ComputeCapability.__members__) - {"NONE", "CURRENT"}
    assert {f"SM{major}{minor}" for major, minor in RTX} == known


@pytest.mark.parametrize(
    ("capability", "target"),
    [((7, 5), "tensorrt-rtx"), ((8, 0), "tensorrt-rtx"), ((8, 7), "tensorrt"), ((8, 9), "tensorrt-rtx"),
     ((9, 0), "tensorrt"), ((10, 0), "tensorrt"), ((10, 3), "tensorrt"), ((12, 0), "tensorrt-rtx")],
)  # fmt: skip
def test_every_card_takes_a_tensorrt_and_torchscript(capability, target):
    assert best_for(card(*capability)).name == target
    assert runs_on("torchscript", "fp16", "cuda", card(*capability))
    assert runs_on("tensorrt-rtx", "fp16", "cuda", card(*capability)) == (target == "tensorrt-rtx")


def test_the_kernels_are_compiled_for_every_card_of_the_guide():
    """Code runs on cards of its major version from its minor one on, but no other's on Orin; PTX from its own on."""
    built = re.search(r"set\(MAESCAN_CUDA_ARCHITECTURES ([-\w ]+)", (ROOT / "CMakeLists.txt").read_text())[1].split()
    code, ptx = [int(name.partition("-")[0]) for name in built], [int(name) for name in built if name.isdigit()]
    table = re.findall(r"^\|[^|]+\|([\d., ]+)\| `tensorrt", (ROOT / "docs/gpu.md").read_text(), re.MULTILINE)
    cards = {int(number.replace(".", "")) for row in table for number in row.split(",")}
    assert cards >= {75, 80, 86, 87, 89, 90, 100, 103, 120, 121}
    for card in cards:
        same = [each for each in code if each == card or (each // 10 == card // 10 and each < card and card != 87)]
        assert same or [each for each in ptx if each <= card], card


@pytest.mark.parametrize(
    ("precision", "first"), [("fp16", (7, 5)), ("bf16", (8, 0)), ("fp8", (8, 9)), ("nvfp4", (10, 0))]
)
def test_a_precision_starts_at_the_card_that_has_it(precision, first):
    cards = [(7, 5), (8, 0), (8, 6), (8, 7), (8, 9), (9, 0), (10, 0), (12, 0)]
    assert [c for c in cards if runs_on("tensorrt", precision, "cuda", card(*c))] == [c for c in cards if c >= first]


def test_a_card_older_than_all_takes_none():
    with pytest.raises(EngineError, match=r"older than 7\.5"):
        best_for(card(6, 1))
    assert not any(runs_on(name, "fp16", "cuda", card(6, 1)) for name in TARGETS)


def test_an_engine_is_proved_where_a_card_fits_it_and_what_runs_it_is_installed(monkeypatch):
    pytest.importorskip("tensorrt_rtx")
    pytest.importorskip("cuda.bindings")
    monkeypatch.setattr(machine, "_driver", lambda: driver(2, (8, 9)))
    assert place_to_prove("tensorrt-rtx", "fp8") == ("cuda:0", "NVIDIA Test")
    assert place_to_prove("tensorrt-rtx", "nvfp4") is None, "the card has none"
    assert place_to_prove("openvino", "fp32")[0] == "cpu"
    monkeypatch.setattr(kernels, "has_cuda", lambda: False)
    assert place_to_prove("tensorrt-rtx", "fp8") is None, "the kernels are for CPUs alone"
    monkeypatch.undo()
    monkeypatch.setattr(machine, "_driver", lambda: driver(2, (8, 9)))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert place_to_prove("tensorrt", "fp16") is None, "TensorRT is not installed"


def test_every_target_has_an_exporter_and_a_backend():
    for target in TARGETS.values():
        exporter = export.__name__ + "." + target.name.replace("-", "_")
        assert callable(__import__(exporter, fromlist=["build"]).build)
        backend = __import__(f"maescan.engines.{target.module}", fromlist=[target.backend])
        assert callable(getattr(backend, target.backend))
