"""Arrays of numpy, torch and others: where they are, new ones like them, their shapes checked by name."""

from __future__ import annotations

import contextlib
import sys
import types
from collections import namedtuple

import numpy as np
import pytest

from maescan.errors import ConfigError, EngineError
from maescan.kernels import make_masks
from maescan.kernels.arrays import (
    beside,
    bits,
    empty,
    host_ids,
    is_torch,
    on_cuda,
    on_stream,
    passes_of,
    shape_of,
    taps_beside,
    tokens_of,
    torch_on,
)
from maescan.kernels.taps import resample_taps

HOST = np.zeros((2, 8, 8), np.float32)


class OnGpu:
    """An array of a library `fakelib`, on a GPU that is not there."""

    __module__ = "fakelib"
    device = "gpu"

    def __dlpack_device__(self):
        return 2, 0


@pytest.fixture
def fakelib(monkeypatch):
    library = types.ModuleType("fakelib")
    monkeypatch.setitem(sys.modules, "fakelib", library)
    return library


def test_where_an_array_is():
    assert not on_cuda(HOST) and not is_torch(HOST) and on_cuda(OnGpu())


@pytest.mark.parametrize("shape", [(3, 5), (512, 512), (0, 4)])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int32"])
def test_new_arrays_are_contiguous_and_large_ones_begin_a_cache_line(shape, dtype):
    array = empty(HOST, shape, dtype)
    assert array.shape == shape and array.flags.c_contiguous and array.flags.writeable
    assert array.dtype == ("uint16" if dtype == "bfloat16" else dtype)
    assert array.nbytes < 1 << 18 or array.ctypes.data % 64 == 0


def test_new_arrays_are_of_their_likes_library(fakelib):
    torch = pytest.importorskip("torch")
    tensor = empty(torch.zeros(1), (2, 3), "bfloat16")
    assert is_torch(tensor) and tensor.shape == (2, 3) and tensor.dtype == torch.bfloat16
    with pytest.raises(TypeError, match="OnGpu cannot be allocated here: give the call all its outputs"):
        empty(OnGpu(), (2,), "float32")
    fakelib.empty = lambda shape, dtype: ("made", shape, dtype)
    assert empty(OnGpu(), (2,), "bfloat16") == ("made", (2,), "uint16")


def test_host_arrays_are_copied_to_a_gpu_alone(fakelib):
    fakelib.asarray = lambda array: ("copied", array.tolist())
    there = OnGpu()
    assert beside(HOST, HOST) is HOST and beside(there, there) is there
    assert beside(there, np.arange(2)) == ("copied", [0, 1])
    taps = resample_taps(8, 4)
    assert taps_beside(HOST, taps)[0] is taps.index
    assert taps_beside(there, taps)[1] == ("copied", taps.weights.tolist())


def test_a_device_that_torch_has_not_is_an_engine_s_error(monkeypatch):
    with pytest.raises(EngineError, match="device 'nix' cannot be used: "):
        make_masks([0], seed=0, passes=1, tokens=4, keep=1, device="nix")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ConfigError, match="device 'cuda' needs torch"):
        torch_on("cuda")


def test_on_the_host_a_stream_is_only_handed_on():
    for given, taken in ((None, 0), (7, 7)):
        with on_stream(HOST, given) as stream:
            assert stream == taken


@pytest.mark.parametrize("given", [None, 7, 0])
def test_torch_s_current_gpu_is_the_array_s(monkeypatch, given):
    """torch exports no array of another one: `BufferError: Can't export tensors on a different CUDA device index`."""
    here = [0]

    @contextlib.contextmanager
    def on(device):
        here.append(device)
        yield
        here.pop()

    stream = namedtuple("Stream", "device cuda_stream")
    cuda = types.SimpleNamespace(
        device=on,
        stream=lambda stream: on(stream.device),  # which sets the device, too
        current_stream=lambda device: stream(device, 5),
        default_stream=lambda device: stream(device, 0),
        ExternalStream=lambda number, device: stream(device, number),
    )
    fake = types.ModuleType("torch")
    fake.cuda = cuda
    monkeypatch.setitem(sys.modules, "torch", fake)
    like = type("Tensor", (OnGpu,), {"__module__": "torch", "device": 1})()
    with on_stream(like, given) as taken:
        assert here == [0, 1] and taken == (5 if given is None else given)
    assert here == [0]


def test_bits_of_bfloat16():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    assert bits(np.ones(2, ml_dtypes.bfloat16)).tolist() == [0x3F80] * 2 and bits(HOST) is HOST


def test_ids_keep_their_bits():
    assert host_ids([3, 1]).dtype == host_ids([]).dtype == np.int64
    assert host_ids([2**64 - 1, 1]).tolist() == [-1, 1]
    assert host_ids(np.array([2**64 - 1], np.uint64)).view(np.uint64)[0] == 2**64 - 1
    with pytest.raises(ValueError, match="slice_ids must be integers, not float64"):
        host_ids(np.zeros(2))


def test_shapes_are_named():
    assert shape_of(HOST, "slices", 3) == (2, 8, 8)
    with pytest.raises(ValueError, match=r"slices must have 2 axes, not shape \[2, 8, 8\]"):
        shape_of(HOST, "slices", 2)
    with pytest.raises(TypeError, match="slices must be an array, not list"):
        shape_of([1], "slices", 1)


def test_tokens_and_passes():
    assert tokens_of(HOST, None, 4) == (2, 4) and tokens_of(HOST, np.zeros((2, 3), np.int32), 4) == (2, 3)
    assert tokens_of(HOST, None, 5) == (2, 1), "what is left over is no patch"
    with pytest.raises(ValueError, match="patch must be 1 or more, not 0"):
        tokens_of(HOST, None, 0)
    assert passes_of(6, 2, "restore_ids") == 3 and passes_of(0, 0, "restore_ids") == 1
    for rows, count in ((5, 2), (0, 2), (2, 0)):
        with pytest.raises(ValueError, match=f"restore_ids must have a whole number of rows .* {count} slices"):
            passes_of(rows, count, "restore_ids")
