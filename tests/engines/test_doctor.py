from __future__ import annotations

from maescan import machine as device
from maescan.engines import BACKENDS, doctor


def test_every_part_is_named(capsys):
    doctor.show()
    out = capsys.readouterr().out
    for word in ("maescan", "kernels", "cpu", "gpu", "train", *BACKENDS):
        assert any(line.startswith(f"{word} ") for line in out.splitlines()), word


def test_what_is_missing_comes_with_its_command(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "_version", lambda name: None)
    monkeypatch.setattr(doctor, "driver_version", lambda: None)
    doctor.show()
    out = capsys.readouterr().out
    assert "pip install 'maescan[tensorrt]'" in out and "driver 580" in out and "pip install 'maescan[train]'" in out


def test_an_old_driver_is_to_be_updated(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "driver_version", lambda: 12040)
    monkeypatch.setattr(doctor, "gpus", lambda: ["NVIDIA RTX A4000"])
    doctor.show()
    out = capsys.readouterr().out
    assert "CUDA 12.4" in out and "update to 580" in out and "A4000" in out


def test_a_cpu_without_bf16_is_told(monkeypatch):
    monkeypatch.setattr(doctor, "cpu_features", lambda: ("avx2",))
    assert doctor._precision() == "fp32; bf16 runs as fp32"


def test_cpu_features_are_of_the_known():
    assert set(device.cpu_features()) <= set(device.FEATURES)
