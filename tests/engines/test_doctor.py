from __future__ import annotations

import pytest

from helpers.gpu_machine import driver
from maescan import kernels
from maescan import machine as device
from maescan.engines import doctor
from maescan.engines.targets import TARGETS
from maescan.errors import EXTRAS


@pytest.mark.slow
def test_every_part_is_named(capsys):
    doctor.show()
    out = capsys.readouterr().out
    for word in ("maescan", "kernels", "cpu", "gpu", "train", "dicom", "network", "sign", "parquet", "ray", *TARGETS):
        assert any(line.startswith(f"{word} ") for line in out.splitlines()), word


def test_what_is_missing_comes_with_its_command(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "_version", lambda name: None)
    monkeypatch.setattr(doctor, "driver_version", lambda: None)
    doctor.show()
    out = capsys.readouterr().out
    assert "driver 580" in out
    for extra in EXTRAS:
        assert f"pip install 'maescan[{extra}]'" in out


def test_an_extra_of_which_one_package_is_missing_is_not_ready(monkeypatch):
    """Training wants more than torch."""
    version = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: None if name == "torchvision" else version(name))
    found = {name: (words, remedy) for name, words, remedy in doctor.rows()}
    assert found["train"] == ("lacks torchvision", "pip install 'maescan[train]'")


def test_an_old_driver_is_to_be_updated(monkeypatch, capsys):
    monkeypatch.setattr(device, "_driver", lambda: driver(1, (8, 6), "NVIDIA RTX A4000", version=12040))
    doctor.show()
    out = capsys.readouterr().out
    assert "CUDA 12.4" in out and "update to 580" in out and "A4000" in out


def test_kernels_for_cpus_alone_are_told_beside_a_gpu(monkeypatch):
    monkeypatch.setattr(kernels, "has_cuda", lambda: False)
    for gpus in (0, 1):
        monkeypatch.setattr(device, "_driver", lambda gpus=gpus: driver(gpus))
        found = {name: (words, remedy) for name, words, remedy in doctor.rows()}
        assert found["kernels"][0] == "CPU only" and ("MAESCAN_CUDA=ON pip install" in found["kernels"][1]) == gpus


@pytest.mark.parametrize(
    ("capability", "takes", "rtx"),
    [
        (
            (8, 6),
            "tensorrt in fp16, bf16; torch-tensorrt in fp16, bf16; tensorrt-rtx in fp16, bf16",
            True,
        ),
        ((8, 9), "tensorrt-rtx in fp16, bf16, fp8; torchscript in fp32, fp16, bf16", True),
        ((9, 0), "tensorrt in fp16, bf16, fp8; torch-tensorrt in fp16, bf16; torchscript in fp32", False),
        ((10, 0), "tensorrt in fp16, bf16, fp8, nvfp4; torch-tensorrt", False),
        ((12, 0), "tensorrt-rtx in fp16, bf16, fp8, nvfp4; torchscript", True),
        ((7, 5), "tensorrt-rtx in fp16; torchscript in fp32, fp16", True),
        ((6, 1), "too old", False),
    ],
)
def test_a_card_is_told_with_what_it_takes(monkeypatch, capability, takes, rtx):
    monkeypatch.setattr(device, "_driver", lambda: driver(1, capability))
    found = {name: words for name, words, _ in doctor.rows()}
    assert takes in found["cuda:0"] and f"compute capability {capability[0]}.{capability[1]}" in found["cuda:0"]
    assert ("does not run" in found["tensorrt-rtx"]) != rtx


def test_a_cpu_without_bf16_is_told(monkeypatch):
    monkeypatch.setattr(doctor, "cpu_features", lambda: ("avx2",))
    assert doctor._precision() == "fp32; bf16 runs as fp32"
