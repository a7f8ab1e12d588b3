"""A disk that is full while weights, a checkpoint or an engine are written: one line that says so, nothing
half there. A limit of a file's size stands for it, which the system refuses likewise."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import nn

from helpers.tiny_training import run, slices
from maescan.datasets.samples import write_samples
from maescan.errors import DataError
from maescan.export import export
from maescan.models.weights import save_plain, save_weights
from maescan.train.state import Position, save_checkpoint

WRITERS = {
    "weights": lambda file: save_weights(file, nn.Linear(90, 90).to(torch.float64)),
    "checkpoint": lambda file: save_checkpoint(file, {}, Position("mae"), model=nn.Linear(90, 90).to(torch.float64)),
    "untrained": lambda file: save_plain(file, nn.Linear(90, 90).to(torch.float64).state_dict()),
    "samples": lambda file: write_samples(file, slices(), 20),
}


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [0, 1000, 20_000])
@pytest.mark.parametrize("kind", list(WRITERS))
def test_what_training_writes(tmp_path: Path, kind: str, size: int) -> None:
    with largest_file(size), pytest.raises(DataError, match="cannot write"):
        WRITERS[kind](tmp_path / "file.pt")
    assert not list(tmp_path.iterdir())
    WRITERS[kind](tmp_path / "file.pt")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("run"))


@pytest.mark.parametrize("target", ["openvino", "torchscript", "onnx"])
def test_engines(tmp_path: Path, trained: Path, target: str) -> None:
    whole = export(trained, tmp_path / "whole", to=(target,), precision=("fp32",))
    sizes = [file.stat().st_size for file in (whole / "engines").rglob("*") if file.is_file()]
    refused = 0
    for size in sorted({size - 1 for size in sizes if size > 20_000}):
        with largest_file(size), pytest.raises(DataError, match="cannot write") as caught:
            export(trained, tmp_path / "small", to=(target,), precision=("fp32",))
        refused += 1
        assert "cannot write" in str(caught.value) and sorted(path.name for path in tmp_path.iterdir()) == ["whole"]
    assert refused
